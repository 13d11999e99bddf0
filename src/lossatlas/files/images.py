"""Decoding of images of unknown origin: a few formats with plain decoders, and a bounded number of pixels."""

from __future__ import annotations

import warnings
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from lossatlas.errors import format_error

__all__ = ["FORMATS", "decode_image"]

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM")
"""The formats that are decoded; some of Pillow's other decoders call programs."""
MOST_PIXELS = 10**8
"""The largest number of pixels, above that of cameras; a file of a kilobyte can state any number."""


def decode_image(file: BinaryIO) -> Image.Image:
    """Decode the image in a file, rotated upright.

    Raises:
        ValueError: the image is damaged, of another format, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about images that can be decoded nevertheless
            with Image.open(file, formats=FORMATS) as image:
                pixels = image.width * image.height
                if pixels <= MOST_PIXELS:
                    image.load()
                    return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:  # its message names an object of Python
        raise ValueError(f"it is not an image of a known format; expected one of {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ValueError(format_error(error)) from error
    raise ValueError(f"it has {pixels:,} pixels; make it smaller")
