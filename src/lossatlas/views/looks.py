"""The colours that all pictures share."""

from __future__ import annotations

__all__ = ["GREY", "INK", "PAPER", "colour"]

INK, GREY, PAPER = "#20222b", "#5d616b", "#ffffff"

# Chosen so that any two differ by 20 at least in CIE L*a*b*, for full colour vision and for each of the three kinds of
# dichromacy (Machado, Oliveira & Fernandes 2009), and the first five in lightness, for print without colour.
SEVERAL = ("#3b0f70", "#de4968", "#167094", "#dfaa3e", "#17ab95", "#b285ee", "#6d5b00", "#1434ac", "#5a1a00", "#9daad3")


def colour(index: int) -> str:
    """Return the colour of the curve or group with this index; the ten colours repeat."""
    return SEVERAL[index % len(SEVERAL)]
