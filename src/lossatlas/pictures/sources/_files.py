"""Picture files: reading them, and how bright they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lossatlas.errors import BadInput, first_line

__all__ = ["Reals", "alpha", "on_white", "read_image", "resized"]

Reals = npt.NDArray[np.floating[Any]]


def read_image(path: str) -> Image.Image:
    """The image in a file, upright.

    Raises:
        BadInput: the file is missing or cannot be decoded.
    """
    try:
        with Image.open(Path(path)) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise nearly anything on damaged files
        detail = "no such file" if isinstance(error, FileNotFoundError) else first_line(error)
        raise BadInput(f"cannot read image {path!r} ({detail}); expected a PNG, JPEG or other picture file") from error


def alpha(image: Image.Image) -> Reals | None:
    """The opacity of each pixel, (H, W) in [0, 1]; None where an image has no transparency."""
    if not image.has_transparency_data:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"), np.float32) / 255


def on_white(image: Image.Image) -> Reals:
    """The luminance of each pixel, (H, W) in [0, 1]; transparent parts show white paper."""
    opacity = alpha(image)
    if opacity is None:
        return _luminance(image)
    return opacity * _luminance(image.convert("RGBA").convert("RGB")) + (1 - opacity)


def resized(values: Reals, shape: tuple[int, int]) -> Reals:
    """Values (H, W) at another shape, antialiased."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS))


def _luminance(image: Image.Image) -> Reals:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255 rather than scale
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode == "F":
        return np.asarray(image, np.float32)
    return np.asarray(image.convert("L"), np.float32) / 255
