"""Loss, accuracy and the other metrics of each split, here and at the centre."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel, make_table
from lossatlas.schema import PROBE_ERROR, RESIDUAL, STANDARD_ERROR
from lossatlas.views.scales import number

__all__ = ["Numbers"]

BESIDE = tuple(f"_{companion.suffix}" for companion in (STANDARD_ERROR, PROBE_ERROR, RESIDUAL))
"""The ends of the names of numbers that say how accurate others are."""


class Numbers(Panel):
    """A table of all metrics by split, with standard errors where they are known."""

    rank = 10
    title = "Numbers"

    def show(self, answer: Answer) -> Component | None:
        rows = []
        for split, here in answer.found.splits.items():
            there = answer.centre.splits[split]
            errors = {"loss": here.loss_error, "accuracy": here.accuracy_error}
            for name, value in here.metrics.items():
                if not isinstance(value, float) or name.endswith(BESIDE):
                    continue
                error = errors.get(name)
                before = there.metrics.get(name)
                said = f"{value:.4f} \u00b1 {error:.2g}" if error is not None else number(value)
                was = f"{before:.4f}" if isinstance(before, float) else "\u2013"
                rows.append((f"{split} {name.replace('_', ' ')}", said, was))
        notes = {note for split in answer.found.splits.values() for note in split.notes}
        parts: list[Component] = [make_table(("", "here", f"at {answer.centre_name}"), rows)]
        parts += [html.P(line, className="caution") for line in (*answer.found.cautions, *sorted(notes))]
        parts.append(html.P("\u00b1 is one standard error over the examples of the split.", className="note"))
        return html.Div(parts)
