"""The confusion matrix of the chosen split."""

from __future__ import annotations

import numpy as np
from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel

__all__ = ["Confusion"]

MOST = 30
"""Of more classes only the largest confusions are listed."""
LISTED = 20


class Confusion(Panel):
    """How often each label (rows) was given each prediction (columns); the largest confusions of many classes."""

    rank = 20
    tall = True
    title = "Confusion matrix"

    def show(self, answer: Answer) -> Component | None:
        confusion = answer.here.confusion
        if confusion is None:
            return None
        shown = self._list(answer, confusion) if len(confusion) > MOST else self._lay(answer, confusion)
        said = f"{int(confusion.sum()):,} predictions on the {answer.here.examples:,} examples of {answer.split}"
        return html.Div([html.P(said, className="note"), shown])

    def _lay(self, answer: Answer, confusion: np.ndarray) -> Component:
        names = [answer.name_class(k) for k in range(len(confusion))]
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        head = html.Thead(
            html.Tr(
                [html.Th("label \u2193 predicted \u2192", scope="col"), *(html.Th(name, scope="col") for name in names)]
            )
        )
        rows = [
            html.Tr(
                [
                    html.Th(name, scope="row"),
                    *(
                        html.Td(
                            f"{count:,}" if count else "",
                            style={"--share": f"{share:.3f}"},
                            className="right" if i == j else "cell",
                        )
                        for j, (count, share) in enumerate(zip(confusion[i], shares[i], strict=True))
                    ),
                ]
            )
            for i, name in enumerate(names)
        ]
        return html.Div(html.Table([head, html.Tbody(rows)], className="confusion"), className="scroll")

    def _list(self, answer: Answer, confusion: np.ndarray) -> Component:
        off = confusion.copy()
        np.fill_diagonal(off, 0)
        order = np.argsort(off, axis=None)[::-1][:LISTED]
        pairs = [np.unravel_index(k, off.shape) for k in order if off.flat[k]]
        said = [
            f"{answer.name_class(int(i))} taken for {answer.name_class(int(j))}: {int(off[i, j]):,}" for i, j in pairs
        ]
        return html.Ul([html.Li(line) for line in said], className="plain")
