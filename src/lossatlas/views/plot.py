"""The content of interactive pictures: a plotly figure as JSON, and its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Plot", "Strand"]


@dataclass(frozen=True)
class Strand:
    """One curve of an interactive picture of curves.

    Attributes:
        label: The name of the curve, plain text.
        colour: The colour in hexadecimal digits, ``#8c6bb1``.
        dash: ``solid`` or ``dash``.
        shown: Whether the curve is visible at first.
    """

    label: str
    colour: str
    dash: str
    shown: bool


@dataclass(frozen=True)
class Plot:
    """A plotly figure with one trace per menu entry, of which the first is visible.

    Attributes:
        json: The figure as plotly's JSON; ``<`` is escaped, so that it can stand inside a script element.
        choices: The menu's entries, one per trace; empty where all traces are shown together.
        hint: One or two sentences on how to read the figure.
        motion: What buttons and arrow keys do: ``turn`` a landscape, ``move`` over a plane, or move ``along`` a line.
        strands: The curves that can be shown and hidden; empty where there is a menu.
        axis: The axis of the slider; empty where the figure has one slice only.
        depths: Formatted coordinates along that axis, one per frame of the figure.
        depth: The index of the frame that is shown at first.
    """

    json: str
    choices: list[str]
    hint: str
    motion: str
    strands: Sequence[Strand] = ()
    axis: str = ""
    depths: Sequence[str] = ()
    depth: int = 0
