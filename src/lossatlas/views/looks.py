"""Colours that all pictures share."""

from __future__ import annotations

__all__ = ["GREY", "INK", "PAPER", "colour"]

INK, GREY, PAPER = "#20222b", "#5d616b", "#ffffff"

# Told apart by hue and by lightness, so that neighbours differ in print and to those who see few hues.
SEVERAL = ("#3b0f70", "#de4968", "#1f7a8c", "#e08b2c", "#35b779", "#8c2981", "#6d8b00", "#31688e", "#a0522d", "#111111")


def colour(index: int) -> str:
    """The colour of one of several things; begins again after ten."""
    return SEVERAL[index % len(SEVERAL)]
