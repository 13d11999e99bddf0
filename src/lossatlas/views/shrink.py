"""Smaller PNG files for a page that holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from PIL import Image

__all__ = ["shrink_to_fit"]

MOST_BYTES = 1_150_000
"""Of all pictures of a page, which are a third larger as base64: with a table of all points a page stays below 2 MB."""
COLOURS = 256


def shrink_to_fit(images: Mapping[str, bytes], most: int = MOST_BYTES) -> dict[str, bytes]:
    """PNG files by name, of which the largest are shrunk until all together fit.

    Args:
        images: PNG files by name.
        most: bytes that they may take together; they take more where shrinking all of them does not suffice.

    Returns:
        The same names in the same order; files are as they were where they fit.
    """
    fitted = dict(images)
    for name in sorted(images, key=lambda name: len(images[name]), reverse=True):
        if sum(map(len, fitted.values())) <= most:
            break
        fitted[name] = shrink_png(images[name])
    return fitted


def shrink_png(content: bytes) -> bytes:
    """A PNG file with 256 colours at most, about a third as large; itself where that is not smaller.

    Colours are chosen for their largest error rather than their mean: of plots with colour scales it is some 10 of 255,
    which eyes do not see. Transparency is lost.
    """
    picture = Image.open(BytesIO(content)).convert("RGB")
    # Dithering would make noise of even areas, which neither looks nor compresses well.
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = BytesIO()
    few.save(buffer, format="PNG", optimize=True)
    return min(content, buffer.getvalue(), key=len)
