"""The examples whose losses have risen most since the centre."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel, make_example

__all__ = ["Changed"]


class Changed(Panel):
    """Examples of the chosen split, the largest rise first, with both predictions."""

    wide = True
    rank = 50
    title = "Changed most since the centre"

    def show(self, answer: Answer) -> Component | None:
        if not answer.changed:
            return None
        shown = []
        for changed in answer.changed:
            before, after = changed.before, changed.after
            said = [f"loss {before.loss:.3g} \u2192 {after.loss:.3g}"]
            if after.target is not None:
                said.append(f"label {answer.name_class(after.target)}")
            if after.prediction is not None:
                said.append(f"{answer.name_class(before.prediction)} \u2192 {answer.name_class(after.prediction)}")
            flipped = before.right is True and after.right is False
            picture = answer.pictures.get(after.index, "")
            shown.append(make_example(picture, f"{answer.split} {after.index}", said, flipped))
        return html.Ul(shown, className="examples")
