"""What interactive pictures are made of: a plotly figure as JSON, its controls, and what it shows in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Plot", "Strand"]


@dataclass(frozen=True)
class Strand:
    """One line of a picture of lines.

    Attributes:
        label: what it is called, plain text.
        colour: in hexadecimal digits, ``#8c6bb1``.
        dash: ``solid`` or ``dash``.
        shown: whether it is visible at first.
    """

    label: str
    colour: str
    dash: str
    shown: bool


@dataclass(frozen=True)
class Plot:
    """A plotly figure with one trace per choice of its menu, of which the first is visible.

    Attributes:
        json: the figure as plotly's JSON; ``<`` is escaped, so that it can stand inside a script element.
        choices: the menu's entries, one per trace; empty where all traces are shown together.
        hint: one or two sentences on how to read it.
        motion: what buttons and arrow keys do: ``turn`` a landscape, ``move`` over a plane, or move ``along`` a line.
        alternative: what it shows, a sentence per quantity, for those who cannot see it.
        strands: the lines that can be shown and hidden; empty where there is a menu.
        axis: the axis that a slider moves along; empty where there is one slice only.
        depths: coordinates along that axis as they are shown, one per frame of the figure.
        depth: the index of the frame that is shown at first.
    """

    json: str
    choices: list[str]
    hint: str
    motion: str
    alternative: str
    strands: Sequence[Strand] = ()
    axis: str = ""
    depths: Sequence[str] = ()
    depth: int = 0
