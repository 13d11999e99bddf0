"""Images of unknown origin: few formats, whose decoders only decode, and a bounded number of pixels."""

from __future__ import annotations

import warnings
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from lossatlas.errors import format_error

__all__ = ["FORMATS", "decode_image"]

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM")
"""Others of Pillow's decoders call programs."""
MOST_PIXELS = 10**8
"""More than cameras have; a file of a kilobyte can ask for any number."""


def decode_image(file: BinaryIO) -> Image.Image:
    """The image in a file, upright.

    Raises:
        ValueError: it is damaged, of another format, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what can be decoded all the same
            with Image.open(file, formats=FORMATS) as image:
                pixels = image.width * image.height
                if pixels <= MOST_PIXELS:
                    image.load()
                    return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:  # its message names an object of Python
        raise ValueError(f"it begins like none of {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ValueError(format_error(error)) from error
    raise ValueError(f"it has {pixels:,} pixels; make it smaller")
