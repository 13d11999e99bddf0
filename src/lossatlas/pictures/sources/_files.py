"""Picture files: reading them, and how bright they are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from lossatlas.errors import BadInput, first_line
from lossatlas.files.reading import Unreadable, opened

__all__ = ["MOST_PIXELS", "Pixels", "Reals", "read_image", "resized"]

Reals = npt.NDArray[np.floating[Any]]

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM")
"""Those whose decoders only decode; others of Pillow's call programs."""
MOST_PIXELS = 10**8
"""More than cameras have; a file of a kilobyte can ask for any number."""


@dataclass(frozen=True)
class Pixels:
    """What an image file shows, upright."""

    on_white: Reals
    """The luminance of each pixel, (H, W) in [0, 1]; transparent parts show white paper."""
    opacity: Reals | None
    """Likewise of each pixel; None where the image has no transparency."""


def read_image(path: str) -> Pixels:
    """The pixels in a file.

    Raises:
        BadInput: the file is missing, too large, of another format or cannot be decoded.
    """
    try:
        with opened(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what can be decoded all the same
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unreadable(path, f"it has {image.width} x {image.height} pixels, make it smaller")
                image.load()
                return _pixels(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise nearly anything on damaged files
        detail = error.reason if isinstance(error, Unreadable) else first_line(error)
        if isinstance(error, UnidentifiedImageError):  # whose message names an object of Python
            detail = "it begins like no picture"
        raise BadInput(
            f"cannot read image {path!r} ({detail}); expected a whole file of one of {', '.join(FORMATS)}"
        ) from error


def resized(values: Reals, shape: tuple[int, int]) -> Reals:
    """Values (H, W) at another shape, antialiased."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS))


def _pixels(image: Image.Image) -> Pixels:
    if not image.has_transparency_data:
        return Pixels(_luminance(image), None)
    rgba = image.convert("RGBA")
    opacity = np.asarray(rgba.getchannel("A"), np.float32) / 255
    return Pixels(opacity * _luminance(rgba.convert("RGB")) + (1 - opacity), opacity)


def _luminance(image: Image.Image) -> Reals:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255 rather than scale
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode == "F":
        return np.asarray(image, np.float32)
    return np.asarray(image.convert("L"), np.float32) / 255
