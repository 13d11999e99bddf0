"""``image:FILE``: any picture file that Pillow reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lossatlas.errors import BadInput
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.source import PrefixSource, Size, shape_at

__all__ = ["ImageSource"]

Reals = npt.NDArray[np.floating[Any]]

HALF = 0.5
TOLERANCE = 1e-6  # the rounding of a float32 resize must not decide a tie


@final
class ImageSource(PrefixSource):
    """A picture file whose opaque or dark parts are ink.

    Where the image has an alpha channel that is not opaque everywhere, ink is what is opaque (alpha at least one
    half). Otherwise ink is what is darker than the threshold.

    Args:
        path: the file.
        invert: turn ink and background.
        threshold: luminance in (0, 1) below which a cell is ink; None is one half. A threshold that is given asks
            for luminance whether or not there is an alpha channel; transparent parts are then white.

    Raises:
        BadInput: the file is missing or cannot be decoded, or the threshold lies outside (0, 1).
    """

    form: ClassVar[str] = "image:FILE"

    def __init__(self, path: str | Path, invert: bool = False, threshold: float | None = None) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise BadInput(f"the threshold of image {str(path)!r} is {threshold}; expected a luminance between 0 and 1")
        self.name = Path(path).stem
        self.rank = 2
        self._path = path
        self._invert = invert
        self._paper, self._limit = _paper(_read(path), threshold)

    @classmethod
    def from_spec(cls, rest: str, invert: bool) -> Self:
        """The file ``rest``; see :class:`ImageSource`."""
        return cls(rest, invert)

    def render(self, size: Size | None = None) -> Picture:
        """Resized with antialiasing, then split into ink and background; see :meth:`Source.render`."""
        height, width = shape_at(size, self._paper.shape, self.name)
        resized = Image.fromarray(self._paper.astype(np.float32)).resize((width, height), Image.Resampling.LANCZOS)
        ink = np.asarray(resized) < self._limit
        try:
            return Picture(ink != self._invert, self.name)
        except BadInput as error:
            raise BadInput(f"image {str(self._path)!r}: {error}") from error


def _read(path: str | Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise nearly anything on damaged files
        detail = "no such file" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
        raise BadInput(
            f"cannot read image {str(path)!r} ({detail.splitlines()[0]}); expected a PNG, JPEG or other picture file"
        ) from error


def _paper(image: Image.Image, threshold: float | None) -> tuple[Reals, float]:
    """How much like paper each pixel is, (H, W) in [0, 1], and the limit below which it is ink."""
    darker = (HALF if threshold is None else threshold) - TOLERANCE
    if not image.has_transparency_data:
        return _luminance(image), darker
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"), np.float32) / 255
    if threshold is None and alpha.min() < 1:
        return 1 - alpha, HALF + TOLERANCE
    return alpha * _luminance(rgba.convert("RGB")) + (1 - alpha), darker


def _luminance(image: Image.Image) -> Reals:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255 rather than scale
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode == "F":
        return np.asarray(image, np.float32)
    return np.asarray(image.convert("L"), np.float32) / 255
