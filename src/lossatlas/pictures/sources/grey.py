"""``grey:FILE``: a photograph whose greys are losses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.pictures.grey import GreyPicture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.scores import LOSS_FLOOR
from lossatlas.pictures.source import PrefixSource, Size, Source, scale_shape
from lossatlas.pictures.sources._files import Reals, read_image, resize_values

__all__ = ["GreyImage"]

DEFAULT_SIZE = 32
FLAT = 1e-4  # of the brightest: below this a range of greys is the rounding of a resize

HIGHEST = 1e4
"""The highest target loss, far above the threshold of clips."""


@final
@dataclass(frozen=True)
class GreyImage(PrefixSource):
    """A picture file whose luminance becomes target losses: dark is low, in proportion to the loss's logarithm."""

    low: float = 0.05
    """Loss of the darkest cell."""
    high: float = 2.3
    """Loss of the brightest cell; the cross-entropy of guessing among ten classes is ln 10 = 2.3."""

    form: ClassVar[str] = "grey:FILE"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the file ``rest``, with transparent parts white; ``invert`` makes bright parts low.

        Raises:
            BadInput: the file cannot be read or is of one grey, or the losses are not 0 < low < high.
        """
        if not LOSS_FLOOR < self.low < self.high < HIGHEST:
            raise BadInput(
                f"grey levels beyond the loss range: low is {self.low} and high {self.high}; expected "
                f"{LOSS_FLOOR:g} < low < high < {HIGHEST:g}"
            )
        return _Grey(rest, self.low, self.high, invert)


@final
class _Grey(Source):
    scalable = True
    rank = 2

    def __init__(self, path: str, low: float, high: float, invert: bool) -> None:
        self.name = Path(path).stem
        self._path = path
        self._ends = (low, high)
        self._invert = invert
        self._luminance = read_image(path).on_white
        self._check_range(self._luminance)

    def render(self, size: Size | None = None) -> Raster:
        """Resize the image with antialiasing; the darkest and brightest cells at the default size get the end losses.

        See :meth:`Source.render`.
        """
        native = self._luminance.shape
        # Resampling overshoots beside an edge; without clipping the overshoot would get the ends of the range.
        grey = self._resized(scale_shape(DEFAULT_SIZE if size is None else size, native, self.name))
        self._check_range(grey)
        # One scale for all sizes, so that coarse pictures have the same target losses as fine ones.
        usual = self._resized(scale_shape(DEFAULT_SIZE, native, self.name))
        bright = np.clip((grey - usual.min()) / np.ptp(usual), 0, 1)
        low, high = np.log(self._ends)
        share = 1 - bright if self._invert else bright
        return GreyPicture(np.exp((1 - share) * low + share * high), self.name)

    def _resized(self, shape: tuple[int, ...]) -> Reals:
        height, width = shape
        grey = resize_values(self._luminance, (height, width)).astype(np.float64)
        return np.clip(grey, self._luminance.min(), self._luminance.max())

    def _check_range(self, grey: Reals) -> None:
        if not np.isfinite(grey).all():
            raise BadInput(f"image {self._path!r} has pixels that are not finite; expected greys")
        if np.ptp(grey) <= FLAT * max(abs(float(grey.max())), FLAT):
            raise BadInput(
                f"image {self._path!r} at {'x'.join(map(str, grey.shape))} is of one grey; "
                "expected at least two: take another image or a larger size"
            )
