"""Colour pictures: three target losses for each cell, of three groups of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.groups import check_groups, settle_groups, write_group
from lossatlas.pictures.raster import Raster, TargetVariable, check_sides, take_losses
from lossatlas.schema import CHANNELS, TargetColour

__all__ = ["ColourPicture"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class ColourPicture(Raster):
    """Target losses of three groups of classes, which are the red, green and blue of each cell; bright is high loss.

    The geometry is that of :class:`Raster`, with two axes.

    Args:
        losses: (H, W, 3), of red, green and blue, positive, in the unit of the loss and in any real type; NaN where a
            cell is ignored, in all three. A read-only float64 copy is kept.
        name: the name of the picture, for reports and messages.
        groups: the classes of red, of green and of blue, disjoint; None shares all classes out in their order, as
            equally as possible and with the larger groups last, once their number is known.
        ends: the losses that are drawn as black and as full colour; default the lowest and the highest target.

    Raises:
        BadInput: another shape, a side of fewer than four cells, a loss that is not positive and finite, a cell that
            is ignored in one or two channels, three channels that are alike; groups that are not three, are empty or
            overlap; or ends that do not ascend.

    Example:
        >>> import numpy as np, lossatlas as la
        >>> red, green, blue = np.meshgrid(*[np.geomspace(0.05, 2.0, 6)] * 2), np.ones((6, 6)), np.ones((6, 6))
        >>> picture = la.ColourPicture(np.stack([*red, blue], axis=-1), "squares", groups=((0, 1), (2,), (3, 4)))
        >>> picture.shape, picture.list_groups()
        ((6, 6), ('0-1', '2', '3-4'))
    """

    losses: npt.NDArray[np.float64]
    name: str
    groups: tuple[tuple[int, ...], ...] | None = None
    ends: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        losses = _as_losses(np.asarray(self.losses), self.name)
        losses.setflags(write=False)
        object.__setattr__(self, "losses", losses)
        if self.groups is not None:
            groups = check_groups(self.groups)
            if len(groups) != len(CHANNELS):
                raise BadInput(
                    f"picture {self.name!r} has {len(groups)} groups of classes; expected three, of red, green and blue"
                )
            object.__setattr__(self, "groups", groups)
        low, high = self.ends if self.ends is not None else (np.nanmin(losses), np.nanmax(losses))
        if not 0 < low < high < np.inf:
            raise BadInput(f"picture {self.name!r} has ends {low} and {high}; expected 0 < low < high")
        object.__setattr__(self, "ends", (float(low), float(high)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.losses.shape[:2]

    @property
    def target(self) -> npt.NDArray[np.float64]:
        """The mean of the natural logarithms of a cell's three target losses, its brightness; NaN where it is ignored.

        :attr:`log_losses` has the three.
        """
        return np.asarray(self.log_losses.mean(axis=-1))

    @property
    def log_losses(self) -> npt.NDArray[np.float64]:
        """The natural logarithms of the target losses, (H, W, 3); NaN where a cell is ignored."""
        return np.log(self.losses)

    def settle(self, classes: int) -> Self:
        """Return the picture with its groups decided for a number of classes.

        Raises:
            BadInput: a group names a class that there is not, or there are fewer than three classes.
        """
        return replace(self, groups=settle_groups(self.groups, classes))

    def list_groups(self) -> tuple[str, ...]:
        """Write the classes of red, green and blue; nothing while they are open."""
        return tuple(map(write_group, self.groups or ()))

    def list_contents(self) -> Mapping[str, npt.NDArray[Any]]:
        pairs = [(channel, number) for channel, group in enumerate(self.groups or ()) for number in group]
        return {
            "target": self.log_losses,
            "groups": np.array(pairs, dtype=np.int64).reshape(-1, 2),
            "ends": np.array(self.ends, dtype=np.float64),
        }

    def list_variables(self, padding: int, loss_units: str) -> Sequence[TargetVariable]:
        assert self.ends is not None
        classes = self.list_groups() or ("",) * len(CHANNELS)
        return [
            TargetVariable(
                TargetColour.variable(channel),
                self.to_grid(self.losses[..., place].astype(np.float32), padding, np.nan),
                {
                    "long_name": f"target loss of {channel}: {self.name}",
                    "units": loss_units,
                    TargetColour.LOW: self.ends[0],
                    TargetColour.HIGH: self.ends[1],
                    **({TargetColour.GROUP: classes[place]} if classes[place] else {}),
                },
            )
            for place, channel in enumerate(CHANNELS)
        ]


def _as_losses(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """A float64 copy of the array, after all checks of :class:`ColourPicture`."""
    if array.ndim != 3 or array.shape[-1] != len(CHANNELS):
        raise BadInput(f"picture {name!r} has losses of shape {array.shape}; expected (height, width, 3)")
    check_sides(array.shape[:2], name)
    losses = take_losses(array, name)
    ignored = np.isnan(losses)
    if (ignored.any(axis=-1) != ignored.all(axis=-1)).any():
        raise BadInput(f"picture {name!r} has a cell that is NaN in some channels; expected NaN in all or in none")
    counted = losses[~ignored]
    if not counted.size or (np.ptp(counted.reshape(-1, len(CHANNELS)), axis=1) == 0).all():
        raise BadInput(f"picture {name!r} has three channels that are alike; expected colours, or take a GreyPicture")
    return losses
