"""Pictures from arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.files.arrays import read_array
from lossatlas.files.reading import Unreadable
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.source import Size, Source, scale_shape

__all__ = ["ArraySource"]

INK_SHARE = 1 / 3
TOLERANCE = 1e-9  # shares of areas are rounded; exactly one third must count as one third


@final
class ArraySource(Source):
    """An array of +1 (low loss), -1 (high) and 0 (ignored), or of booleans (True low).

    Args:
        array: (W,), (H, W) or (D, H, W), or the path of a ``.npy`` file with such an array.
        name: the name of the picture; by default the file name without its suffix, or ``"array"``.
        invert: whether to exchange ink and background; ignored cells stay ignored.

    Raises:
        BadInput: the file cannot be read as one array of numbers, or the array is not a picture (see
            :class:`Picture`).
    """

    scalable = True

    def __init__(self, array: npt.NDArray[Any] | str | Path, name: str | None = None, invert: bool = False) -> None:
        if isinstance(array, np.ndarray):
            self._native = Picture(array, name or "array")
        else:
            self._native = _read(array, name or Path(array).stem)
        self.name = self._native.name
        self.rank = self._native.cells.ndim
        self._invert = invert

    def render(self, size: Size | None = None) -> Picture:
        """Resample the array by area; see :meth:`Source.render`.

        A cell of another size is ink if at least a third of its area is, so that lines of one cell survive down to
        a third of the array's size; otherwise it takes whichever of high and ignored covers more of it (high if
        they are equal).
        """
        shape = scale_shape(size, self._native.shape, self.name)
        cells = self._native.cells if shape == self._native.shape else _resampled(self._native, shape)
        return Picture(-cells if self._invert else cells, self.name)


def _read(path: str | Path, name: str) -> Picture:
    try:
        array = read_array(path)
    except Unreadable as error:
        raise BadInput(
            f"cannot read array {str(path)!r} ({error.reason}); expected a file written by numpy.save"
        ) from error
    try:
        return Picture(array, name)
    except BadInput as error:
        raise BadInput(f"array {str(path)!r}: {error}") from error


def _resampled(picture: Picture, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    ink, high, ignored = (_shares(picture.cells == value, shape) for value in (1, -1, 0))
    background = np.where(high >= ignored - TOLERANCE, -1, 0)
    return np.where(ink >= INK_SHARE - TOLERANCE, 1, background).astype(np.int8)


def _shares(mask: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The share of the area of each cell of the new shape that lies in the mask, of any rank."""
    shares = mask.astype(np.float64)
    for axis, side in enumerate(shape):
        weights = _overlaps(mask.shape[axis], side)
        shares = np.moveaxis(np.tensordot(weights, shares, axes=(1, axis)), 0, axis)
    return shares


def _overlaps(old: int, new: int) -> npt.NDArray[np.float64]:
    """The share of each of ``new`` equal intervals in each of ``old`` equal intervals of the same line, (new, old)."""
    edges = np.arange(new + 1)[:, None] * (old / new)
    cells = np.arange(old)
    overlap = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    return np.asarray(np.clip(overlap, 0, None) / (old / new))
