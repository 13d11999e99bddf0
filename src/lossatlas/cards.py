"""How results show themselves in notebooks: a picture and a small table of numbers, as HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from lossatlas.describing import count_things, join_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown", "choose_numbers", "draw_history", "embed_png", "write_card"]

DPI = 100
WIDEST = 480  # pixels of a picture beside its table
DRAWN = ("loss", "low_loss", "high_loss")
"""What is drawn of a history, where it has one of them."""
OTHERWISE = "objective"
"""And where it has none."""
RATIO = 10
"""Of the largest to the smallest loss, from which on they are drawn on a logarithmic scale."""
MOST_STEPS = 400
"""Steps that are drawn one by one; means are drawn of more."""


@dataclass(frozen=True)
class Shown:
    """A picture as it is shown.

    Attributes:
        png: The bytes of a PNG file.
        alt: What it shows, for those who cannot see it.
    """

    png: bytes
    alt: str


def embed_png(content: bytes) -> str:
    """The URI of a PNG file that an HTML page holds in itself."""
    return f"data:image/png;base64,{b64encode(content).decode()}"


def write_card(title: str, numbers: Mapping[str, str], shown: Shown | None) -> str:
    """The HTML of a result; colours but those of the picture are the notebook's own, light or dark.

    Args:
        title: what it is, in a line.
        numbers: as they are written, by what they are called.
        shown: the picture; None where there is none.
    """
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:right">{escape(value)}</td></tr>'
        for name, value in numbers.items()
    )
    table = f"<table>{rows}</table>" if rows else ""
    beside = f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:center">{_embed(shown)}{table}</div>'
    return f"<div><p>{escape(title)}</p>{beside}</div>"


def _embed(shown: Shown | None) -> str:
    """The picture on white, as it is in print, whatever is around it."""
    if shown is None:
        return ""
    style = f"max-width:min(100%,{WIDEST}px);background:#fff"
    return f'<img src="{embed_png(shown.png)}" alt="{escape(shown.alt)}" style="{style}">'


def choose_numbers(numbers: Mapping[str, object], names: Sequence[str]) -> dict[str, str]:
    """Those of some numbers that there are, as they are written, by their names in words.

    >>> choose_numbers({"mean_loss": 0.12345, "steps": 1200, "kind": "x"}, ["steps", "mean_loss", "kind", "gap"])
    {'steps': '1,200', 'mean loss': '0.1235'}
    """
    found = {name: numbers[name] for name in names if name in numbers}
    return {
        name.replace("_", " "): f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        for name, value in found.items()
        if isinstance(value, int | float)
    }


def draw_history(history: Sequence[Mapping[str, float]]) -> Shown | None:
    """Losses over the steps of a fit or a training; None where no step was made."""
    if not history:
        return None
    names = [name for name in DRAWN if name in history[-1]] or [OTHERWISE]
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(4.8, 3.0), layout="constrained")
    ax = drawn.add_subplot(xlabel="step")
    for name in names:
        steps, values = _thin([float(record.get(name, float("nan"))) for record in history])
        ax.plot(steps, values, label=name.replace("_", " "), linewidth=1.2)
    if len(names) > 1:
        ax.legend(frameon=False, fontsize=8)
    else:
        ax.set_ylabel(names[0].replace("_", " "))
    low, high = ax.dataLim.intervaly
    if 0 < RATIO * low < high:
        ax.set_yscale("log")
    told = join_words([name.replace("_", " ") for name in names])
    return Shown(_write_png(drawn), f"{told} over {count_things(len(history), 'step')}")


def _thin(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Steps and values, of which means over equal parts are taken where they are many."""
    width = -(-len(values) // MOST_STEPS)
    parts = [values[start : start + width] for start in range(0, len(values), width)]
    return [width * k + (len(part) - 1) / 2 for k, part in enumerate(parts)], [sum(part) / len(part) for part in parts]


def _write_png(drawn: Figure) -> bytes:
    buffer = BytesIO()
    drawn.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
