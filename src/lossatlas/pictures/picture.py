"""A picture: the pattern of low and high loss that a chart is asked to show, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.schema import AXES

__all__ = ["SMALLEST_SIDE", "Picture"]

SMALLEST_SIDE = 4
"""No side of a picture has fewer cells: below that hardly any cell has a neighbourhood."""

S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Picture:
    """Cells of low loss (+1, ink), high loss (-1) and cells that are ignored (0).

    Row 0 of the array is the top of the picture. Axis ``u`` runs right along the columns, ``v`` up and ``w``
    through a stack of pictures; lengths are in units of half the longest side, so that a picture of any size covers
    the same extent.

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

    cells: npt.NDArray[np.int8] = field(repr=False)
    name: str

    def __post_init__(self) -> None:
        cells = _as_cells(np.asarray(self.cells), self.name)
        cells.setflags(write=False)
        object.__setattr__(self, "cells", cells)

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes: ``("u",)``, ``("u", "v")`` or ``("u", "v", "w")``."""
        return AXES[: self.cells.ndim]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of ``cells``: (W,), (H, W) or (D, H, W)."""
        return self.cells.shape

    @property
    def size(self) -> int:
        """The number of cells along the longest side."""
        return max(self.shape)

    @property
    def low(self) -> npt.NDArray[np.bool_]:
        """Where the loss should be low, shaped like ``cells``."""
        return self.cells > 0

    @property
    def high(self) -> npt.NDArray[np.bool_]:
        """Where the loss should be high, shaped like ``cells``."""
        return self.cells < 0

    def coords(self) -> npt.NDArray[np.float64]:
        """The point of every cell, shaped like ``cells`` with a last dimension d, in the order of ``axes``."""
        mesh = np.meshgrid(*self.grid(0).values(), indexing="ij")
        return np.stack([self.from_grid(along_axis, 0) for along_axis in mesh], axis=-1)

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

    def grid(self, padding: int) -> dict[str, npt.NDArray[np.float64]]:
        """Ascending coordinates per axis: those of the cells, and of ``padding`` further cells on each side.

        Raises:
            BadInput: the padding is negative.
        """
        _check_padding(padding)
        lengths = dict(zip(self.axes, reversed(self.shape), strict=True))
        return {
            axis: (np.arange(-padding, length + padding, dtype=np.float64) - (length - 1) / 2) / (self.size / 2)
            for axis, length in lengths.items()
        }

    def on_grid(self, padding: int) -> npt.NDArray[np.int8]:
        """The cells in the order of ``grid(padding)``, (len u, len v, len w); 0 in the padding.

        Raises:
            BadInput: the padding is negative.
        """
        _check_padding(padding)
        return np.pad(_flip_v(self.cells.T), padding)

    def from_grid(self, values: npt.NDArray[S], padding: int) -> npt.NDArray[S]:
        """Values on ``grid(padding)`` as the picture has them: without the padding, shaped like ``cells``.

        Args:
            values: (len u, len v, len w) of any type.
            padding: what the grid was made with.

        Raises:
            BadInput: the padding is negative, or the values have another shape than the grid.
        """
        _check_padding(padding)
        expected = tuple(length + 2 * padding for length in reversed(self.shape))
        if values.shape != expected:
            raise BadInput(
                f"values of shape {values.shape} are not on the grid of picture {self.name!r} with padding {padding}; "
                f"expected {expected}, in the order of the axes {', '.join(self.axes)}"
            )
        inner = values[tuple(slice(padding, length - padding) for length in expected)]
        return _flip_v(inner).T


def _flip_v(on_grid: npt.NDArray[S]) -> npt.NDArray[S]:
    """Turn axis ``v`` (dimension 1 of a grid), which runs up in a grid and down the rows of a picture."""
    return np.flip(on_grid, axis=1) if on_grid.ndim > 1 else on_grid


def _check_padding(padding: int) -> None:
    if padding < 0:
        raise BadInput(f"the padding of a picture is {padding}; expected a number of cells, 0 or more")


def _as_cells(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.int8]:
    """An int8 copy of the array, once everything that :class:`Picture` promises has been checked."""
    if not 1 <= array.ndim <= 3:
        raise BadInput(f"picture {name!r} has an array of rank {array.ndim}; expected 1 to 3 dimensions")
    if min(array.shape) < SMALLEST_SIDE:
        sides = " x ".join(map(str, array.shape))
        raise BadInput(
            f"picture {name!r} is {sides} cells; expected at least {SMALLEST_SIDE} along every side: take a larger size"
        )
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
