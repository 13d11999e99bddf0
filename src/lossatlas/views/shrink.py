"""Compression of the PNG files of a page."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from PIL import Image

__all__ = ["shrink_to_fit"]

MOST_BYTES = 1_150_000
"""The most bytes of all pictures of a page: base64 adds a third, and the page is to stay below 2 MB."""
COLOURS = 256


def shrink_to_fit(images: Mapping[str, bytes], most: int = MOST_BYTES) -> dict[str, bytes]:
    """Compress the largest PNG files until all of them together fit.

    Args:
        images: PNG files by name.
        most: the most bytes that all files may take; exceeded where compressing all of them does not suffice.

    Returns:
        The files by the same names in the same order; those that need not shrink are unchanged.
    """
    fitted = dict(images)
    for name in sorted(images, key=lambda name: len(images[name]), reverse=True):
        if sum(map(len, fitted.values())) <= most:
            break
        fitted[name] = shrink_png(images[name])
    return fitted


def shrink_png(content: bytes) -> bytes:
    """Reduce a PNG file to 256 colours, about a third of its size; unchanged where that is not smaller.

    Colours are chosen to minimise the largest error rather than the mean one. For plots with colour scales it is about
    10 of 255, which is not visible. Transparency is lost.
    """
    picture = Image.open(BytesIO(content)).convert("RGB")
    # Dithering would add noise to uniform areas, which looks worse and compresses worse.
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = BytesIO()
    few.save(buffer, format="PNG", optimize=True)
    return min(content, buffer.getvalue(), key=len)
