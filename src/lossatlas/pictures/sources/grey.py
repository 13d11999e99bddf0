"""``grey:FILE``: a photograph whose greys are losses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.pictures.grey import GreyPicture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source
from lossatlas.pictures.sources._brightness import FLAT, Brightness, check_ends
from lossatlas.pictures.sources._files import Reals, read_image

__all__ = ["GreyImage"]


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
        check_ends(self.low, self.high, "grey")
        return _Grey(rest, self.low, self.high, invert)


@final
class _Grey(Source):
    scalable = True
    rank = 2

    def __init__(self, path: str, low: float, high: float, invert: bool) -> None:
        self.name = Path(path).stem
        luminance = read_image(path).on_white
        self._brightness = Brightness(luminance, path, self.name, (low, high), invert)
        self._check_range(luminance)

    def render(self, size: Size | None = None) -> Raster:
        """Resize the image with antialiasing; the darkest and brightest cells at the default size get the end losses.

        See :meth:`Source.render`.
        """
        grey = self._brightness.resize(size)
        self._check_range(grey)
        self._check_range(self._brightness.usual)
        return GreyPicture(self._brightness.to_losses(grey), self.name)

    def _check_range(self, grey: Reals) -> None:
        if np.ptp(grey) <= FLAT * max(abs(float(grey.max())), FLAT):
            raise BadInput(
                f"image {self._brightness.path!r} at {'x'.join(map(str, grey.shape))} is of one grey; "
                "expected at least two: take another image or a larger size"
            )
