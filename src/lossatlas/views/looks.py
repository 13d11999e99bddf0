"""The colours that all pictures share."""

from __future__ import annotations

__all__ = ["GREY", "INK", "PAPER", "colour"]

INK, GREY, PAPER = "#20222b", "#5d616b", "#ffffff"

# They differ in hue and in lightness, so that neighbours differ in greyscale and under colour-vision deficiency.
SEVERAL = ("#3b0f70", "#de4968", "#1f7a8c", "#e08b2c", "#35b779", "#8c2981", "#6d8b00", "#31688e", "#a0522d", "#111111")


def colour(index: int) -> str:
    """Return the colour of the curve or group with this index; the ten colours repeat."""
    return SEVERAL[index % len(SEVERAL)]
