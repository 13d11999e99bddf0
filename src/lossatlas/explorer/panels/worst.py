"""The examples with the largest losses here."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel, make_example

__all__ = ["Worst"]


class Worst(Panel):
    """Examples of the chosen split, the worst first, with predictions and images."""

    wide = True
    rank = 40
    title = "Worst examples here"

    def show(self, answer: Answer) -> Component | None:
        if not answer.worst:
            return None
        shown = []
        for example in answer.worst:
            said = [f"loss {example.loss:.3g}"]
            if example.target is not None:
                said.append(f"label {answer.name_class(example.target)}")
            if example.prediction is not None:
                sure = "" if example.probability is None else f" ({example.probability:.0%})"
                said.append(f"predicted {answer.name_class(example.prediction)}{sure}")
            picture = answer.pictures.get(example.index, "")
            shown.append(make_example(picture, f"{answer.split} {example.index}", said, example.right is False))
        return html.Ul(shown, className="examples")
