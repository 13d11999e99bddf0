"""Picture files: reading them, and how bright they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from lossatlas.errors import BadInput
from lossatlas.files.images import decode_image
from lossatlas.files.reading import open_file, tell_reason

__all__ = ["Pixels", "Reals", "read_colours", "read_image", "resize_values"]

T = TypeVar("T")
Reals = npt.NDArray[np.floating[Any]]


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
    return _read(path, _pixels)


def read_colours(path: str) -> Reals:
    """The red, green and blue of each pixel in a file, (H, W, 3) in [0, 1]; transparent parts show white paper.

    Raises:
        BadInput: the file is missing, too large, of another format or cannot be decoded.
    """
    return _read(path, _colours)


def _read(path: str, convert: Callable[[Image.Image], T]) -> T:
    try:
        with open_file(path) as file:
            return convert(decode_image(file))
    except Exception as error:  # colours of damaged files are converted in many ways
        detail = tell_reason(error)
        raise BadInput(f"cannot read image {path!r} ({detail}); expected a whole picture file") from error


def resize_values(values: Reals, shape: tuple[int, int]) -> Reals:
    """Values (H, W) at another shape, antialiased."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.LANCZOS))


def _pixels(image: Image.Image) -> Pixels:
    if not image.has_transparency_data:
        return Pixels(_luminance(image), None)
    rgba = image.convert("RGBA")
    opacity = np.asarray(rgba.getchannel("A"), np.float32) / 255
    return Pixels(opacity * _luminance(rgba.convert("RGB")) + (1 - opacity), opacity)


def _colours(image: Image.Image) -> Reals:
    if image.mode == "F" or image.mode.startswith("I"):  # greys, which Pillow would clip rather than scale
        return np.repeat(_luminance(image)[..., None], 3, axis=-1)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"), np.float32) / 255
    rgba = np.asarray(image.convert("RGBA"), np.float32) / 255
    opacity = rgba[..., 3:]
    return opacity * rgba[..., :3] + (1 - opacity)


def _luminance(image: Image.Image) -> Reals:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255 rather than scale
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode == "F":
        return np.asarray(image, np.float32)
    return np.asarray(image.convert("L"), np.float32) / 255
