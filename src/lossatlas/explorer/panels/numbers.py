"""Loss, accuracy and the other metrics of each split, here and at the centre."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from lossatlas.describing import join_words
from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel, make_table
from lossatlas.schema import PROBE_ERROR, RESIDUAL, STANDARD_ERROR

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
                said = f"{_write(value)} \u00b1 {error:.2g}" if error is not None else _write(value)
                was = _write(before) if isinstance(before, float) else "\u2013"
                rows.append((f"{split} {name.replace('_', ' ')}", said, was))
        parts: list[Component] = [make_table(("", "here", f"at {answer.centre_name}"), rows)]
        parts += [html.P(line, className="caution") for line in answer.found.cautions]
        counts = [f"{found.examples:,} of {name}" for name, found in answer.found.splits.items()]
        parts.append(
            html.P(
                f"Means over examples, {join_words(counts)}; \u00b1 is one standard error over these.", className="note"
            )
        )
        return html.Div(parts)


def _write(value: float) -> str:
    """Write a number with four digits behind the point, or with four digits that count where these would say nothing.

    >>> _write(2.30258), _write(0.00001234), _write(1234567.8), _write(0.0)
    ('2.3026', '1.234e-05', '1.235e+06', '0.0000')
    """
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 1e5 else f"{value:.4g}"
