"""Grey pictures: a target loss for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.raster import Raster, TargetVariable, check_sides, take_losses
from lossatlas.schema import TARGET_LOSS

__all__ = ["GreyPicture"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class GreyPicture(Raster):
    """Target losses in the unit of the fitted loss; NaN where a cell is ignored.

    The geometry is that of :class:`Raster`.

    Args:
        losses: (W,), (H, W) or (D, H, W), positive, in any real type. A read-only float64 copy is kept.
        name: the name of the picture, for reports and messages.

    Raises:
        BadInput: another rank, a side of fewer than four cells, a loss that is not positive and finite, or fewer
            than two levels.

    Example:
        >>> import numpy as np, lossatlas as la
        >>> ramp = la.GreyPicture(np.geomspace(0.05, 2.0, 24).reshape(4, 6), "ramp")
        >>> ramp.axes, ramp.size, round(float(ramp.target[0, 0]), 3)
        (('u', 'v'), 6, -2.996)
    """

    losses: npt.NDArray[np.float64]
    name: str

    def __post_init__(self) -> None:
        losses = _as_losses(np.asarray(self.losses), self.name)
        losses.setflags(write=False)
        object.__setattr__(self, "losses", losses)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.losses.shape

    @property
    def target(self) -> npt.NDArray[np.float64]:
        """The natural logarithm of the target loss; NaN where a cell is ignored."""
        return np.log(self.losses)

    def list_variables(self, padding: int, loss_units: str) -> Sequence[TargetVariable]:
        values = self.to_grid(self.losses.astype(np.float32), padding, np.nan)
        return [TargetVariable(TARGET_LOSS, values, {"long_name": f"target loss: {self.name}", "units": loss_units})]


def _as_losses(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """A float64 copy of the array, after all checks of :class:`GreyPicture`."""
    check_sides(array.shape, name)
    losses = take_losses(array, name)
    if np.unique(losses[~np.isnan(losses)]).size < 2:
        raise BadInput(f"picture {name!r} has fewer than two levels of loss; expected at least two: nothing else shows")
    return losses
