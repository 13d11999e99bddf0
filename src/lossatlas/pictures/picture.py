"""Pictures: a pattern of low and high loss that a chart is to show, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.raster import Raster, TargetVariable, check_sides
from lossatlas.schema import TARGET

__all__ = ["Picture"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Picture(Raster):
    """Cells of low loss (+1, ink), high loss (-1) and cells that are ignored (0).

    The geometry is :class:`Raster`'s.

    Args:
        cells: (W,), (H, W) or (D, H, W), of -1, 0 and +1 in any number type, or booleans (True low, False high).
            A read-only int8 copy is kept.
        name: the name of the picture, for reports and messages.

    Raises:
        BadInput: another rank, another value, a side of fewer than four cells, or only one of the two classes.

    Example:
        >>> import numpy as np, lossatlas as la
        >>> picture = la.Picture(np.eye(4, 6, dtype=bool), "diagonal")
        >>> picture.axes, picture.size, picture.coords().shape
        (('u', 'v'), 6, (4, 6, 2))
    """

    cells: npt.NDArray[np.int8]
    name: str

    def __post_init__(self) -> None:
        cells = _as_cells(np.asarray(self.cells), self.name)
        cells.setflags(write=False)
        object.__setattr__(self, "cells", cells)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of ``cells``: (W,), (H, W) or (D, H, W)."""
        return self.cells.shape

    @property
    def low(self) -> npt.NDArray[np.bool_]:
        """The cells whose loss should be low: a boolean array of the shape of ``cells``."""
        return self.cells > 0

    @property
    def high(self) -> npt.NDArray[np.bool_]:
        """The cells whose loss should be high: a boolean array of the shape of ``cells``."""
        return self.cells < 0

    @property
    def target(self) -> npt.NDArray[np.float64]:
        """The target: +1 for high cells, -1 for low ones, NaN for those that are ignored."""
        return np.where(self.cells == 0, np.nan, -self.cells.astype(np.float64))

    def list_variables(self, padding: int, loss_units: str) -> Sequence[TargetVariable]:
        attributes = {"long_name": f"target: {self.name}", "units": "1", "flags": "+1 low, -1 high, 0 ignored"}
        return [TargetVariable(TARGET, self.on_grid(padding), attributes)]

    def find_boundary(self) -> npt.NDArray[np.bool_]:
        """The cells that ``boundary_only`` samples: those with a cell of another value among their neighbours.

        Neighbours are the cells of the 3^d neighbourhood within the picture. An ignored neighbour counts as another
        value, and ignored cells are never sampled. A boolean array of the shape of ``cells``.
        """
        # Repeating the edge adds no new value to a clipped neighbourhood.
        padded = np.pad(self.cells, 1, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * padded.ndim)
        window_axes = tuple(range(-padded.ndim, 0))
        mixed = windows.max(axis=window_axes) != windows.min(axis=window_axes)
        return np.asarray(mixed & (self.cells != 0))

    @property
    def boundary_share(self) -> float:
        """The share of the ink, or of the paper where it is larger, that :meth:`find_boundary` finds; two decimals.

        Thin lines are all boundary, and steps on empty paper would teach little; the inside of a filled shape has to be
        sampled as well.

        >>> import lossatlas as la
        >>> la.picture("heart", 40).boundary_share, la.picture("skull", 40).boundary_share
        (0.19, 0.83)
        """
        boundary = self.find_boundary()
        return round(max(float((boundary & ink).sum() / ink.sum()) for ink in (self.low, self.high)), 2)

    def on_grid(self, padding: int) -> npt.NDArray[np.int8]:
        """Return the cells in the order of ``grid(padding)``, (len u, len v, len w), with 0 in the padding.

        Raises:
            BadInput: the padding is negative.
        """
        return self.to_grid(self.cells, padding, 0)


def _as_cells(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.int8]:
    """An int8 copy of the array, after all checks of :class:`Picture`."""
    check_sides(array.shape, name)
    if array.dtype == np.bool_:
        array = np.where(array, 1, -1)
    elif not np.issubdtype(array.dtype, np.number):
        raise BadInput(f"picture {name!r} has cells of type {array.dtype}; expected numbers -1, 0, +1 or booleans")
    odd = array[~np.isin(array, (-1, 0, 1))]
    if odd.size:
        raise BadInput(
            f"picture {name!r} has a cell with the value {odd[0]}; "
            "expected +1 (low loss), -1 (high) and 0 (ignored), or booleans (True low, False high)"
        )
    cells = array.real.astype(np.int8)
    for value, what in ((1, "low cells (ink)"), (-1, "high cells (background)")):
        if not (cells == value).any():
            raise BadInput(
                f"picture {name!r} has no {what}; expected both +1 (low loss) and -1 (high), or booleans: "
                "take another picture, size or threshold"
            )
    return cells
