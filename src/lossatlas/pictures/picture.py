"""A picture: the pattern of low and high loss that a chart is asked to show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.raster import Raster, check_sides
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
        name: what reports and messages call the picture.

    Raises:
        BadInput: another rank, another value, a side of fewer than four cells, or only one of the two classes.

    >>> picture = Picture(np.eye(4, 6, dtype=bool), "diagonal")
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
        """Where the loss should be low, shaped like ``cells``."""
        return self.cells > 0

    @property
    def high(self) -> npt.NDArray[np.bool_]:
        """Where the loss should be high, shaped like ``cells``."""
        return self.cells < 0

    @property
    def target(self) -> npt.NDArray[np.float64]:
        """+1 on high cells, -1 on low ones, NaN on those that are ignored."""
        return np.where(self.cells == 0, np.nan, -self.cells.astype(np.float64))

    def variable(self, padding: int, loss_units: str) -> tuple[str, npt.NDArray[Any], dict[str, str]]:
        attributes = {"long_name": f"target: {self.name}", "units": "1", "flags": "+1 low, -1 high, 0 ignored"}
        return TARGET, self.on_grid(padding), attributes

    def drawn(self) -> npt.NDArray[np.bool_]:
        """The cells worth drawing: those that have a cell of another value among their neighbours.

        Neighbours are the 3^d cells around, clipped at the edges of the picture; an ignored neighbour counts as
        another value, and an ignored cell is never drawn. Shaped like ``cells``.
        """
        # Repeating the edge adds nothing to a clipped neighbourhood that it does not contain already.
        padded = np.pad(self.cells, 1, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * padded.ndim)
        window_axes = tuple(range(-padded.ndim, 0))
        mixed = windows.max(axis=window_axes) != windows.min(axis=window_axes)
        return np.asarray(mixed & (self.cells != 0))

    def on_grid(self, padding: int) -> npt.NDArray[np.int8]:
        """The cells in the order of ``grid(padding)``, (len u, len v, len w); 0 in the padding.

        Raises:
            BadInput: the padding is negative.
        """
        return self.to_grid(self.cells, padding, 0)


def _as_cells(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.int8]:
    """An int8 copy of the array, once everything that :class:`Picture` promises has been checked."""
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
