"""``image:FILE``: a picture file, in one of the usual formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source, scale_shape
from lossatlas.pictures.sources._files import Reals, read_image, resize_values

__all__ = ["ImageFile"]

HALF = 0.5
DEFAULT_SIZE = 40
OTSU = "otsu"
TOLERANCE = 1e-6  # the rounding of a float32 resize must not decide a tie


@final
@dataclass(frozen=True)
class ImageFile(PrefixSource):
    """A picture file whose opaque or dark parts are ink.

    Where the image has an alpha channel that is not opaque everywhere, ink is what is opaque (alpha at least one
    half). Otherwise ink is what is darker than the threshold.
    """

    threshold: str | None = None
    """Luminance between 0 and 1 below which a cell is ink, or otsu for the one that parts dark from bright best; by
    default one half. Where it is given, luminance decides even in an image with an alpha channel, whose transparent
    parts are then white."""

    form: ClassVar[str] = "image:FILE"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the image file ``rest``.

        Raises:
            BadInput: the file is missing or cannot be decoded, the threshold lies outside (0, 1), or Otsu's method
                finds one grey only.
        """
        fixed = _fixed(self.threshold, rest)
        pixels = read_image(rest)
        if self.threshold is None and pixels.opacity is not None and pixels.opacity.min() < 1:
            return _Image(rest, 1 - pixels.opacity, HALF + TOLERANCE, invert)
        limit = fixed if fixed is not None else _otsu(pixels.on_white, rest)
        return _Image(rest, pixels.on_white, limit - TOLERANCE, invert)


@final
class _Image(Source):
    """``paper`` is the brightness or transparency of each pixel, (H, W) in [0, 1]; below ``limit`` it is ink."""

    scalable = True
    rank = 2

    def __init__(self, path: str, paper: Reals, limit: float, invert: bool) -> None:
        self.name = Path(path).stem
        self._path = path
        self._paper = paper
        self._limit = limit
        self._invert = invert

    def render(self, size: Size | None = None) -> Raster:
        """Resize the image with antialiasing, then split it into ink and background; see :meth:`Source.render`.

        By default at the size of the file, but with at most 40 cells along the longer side, since each cell is a
        network to be evaluated.
        """
        default = min(DEFAULT_SIZE, max(self._paper.shape))
        height, width = scale_shape(default if size is None else size, self._paper.shape, self.name)
        ink = resize_values(self._paper, (height, width)) < self._limit
        try:
            return Picture(ink != self._invert, self.name)
        except BadInput as error:
            raise BadInput(f"image {self._path!r}: {error}") from error


def _fixed(threshold: str | None, path: str) -> float | None:
    """The threshold, where it does not depend on the image; else None."""
    if threshold is None:
        return HALF
    if threshold == OTSU:
        return None
    try:
        number = float(threshold)
    except ValueError:
        number = np.nan
    if not 0 < number < 1:
        raise BadInput(
            f"the threshold of image {path!r} is {threshold}; expected a luminance between 0 and 1, or {OTSU}"
        )
    return number


def _otsu(luminance: Reals, path: str) -> float:
    """The threshold with the largest variance between the two classes that it makes.

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. Syst. Man Cybern. 9(1), 1979, 62-66;
    on the histogram of all levels that occur. It lies midway between two of them.
    """
    levels, counts = np.unique(luminance.astype(np.float64), return_counts=True)
    if len(levels) < 2:
        raise BadInput(f"image {path!r} is of one grey, which {OTSU} cannot part; take another image or threshold")
    below = np.cumsum(counts)[:-1] / counts.sum()  # omega in Otsu's equation 18, for each split after a level
    first_moment = np.cumsum(counts * levels)[:-1] / counts.sum()
    mean = (counts * levels).sum() / counts.sum()
    between = (mean * below - first_moment) ** 2 / (below * (1 - below))
    best = int(between.argmax())
    return float(levels[best] + levels[best + 1]) / 2
