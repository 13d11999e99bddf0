"""What the page says of a point that was evaluated: panels, and the tables and examples that they are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from dash import html
from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.registry import Registry

__all__ = ["PANELS", "Panel", "list_panels", "make_example", "make_table"]


class Panel(ABC):
    """One thing that the page says of a point that was evaluated."""

    rank: int = 0
    """Panels are shown in the order of their ranks."""
    title: str = ""
    opened: bool = True
    """Whether it is shown before one asks for it."""
    wide: bool = False
    """Whether it takes the whole width, where others stand side by side."""
    tall: bool = False
    """Whether two others stand beside it, one above the other."""

    @abstractmethod
    def show(self, answer: Answer) -> Component | None:
        """Make what is shown; None where there is nothing to say."""


PANELS: Registry[type[Panel]] = Registry("panel", "lossatlas.explorer.panels")


def list_panels(answer: Answer) -> list[Component]:
    """Make all panels that have something to say of an answer."""
    made: list[Component] = []
    for panel in sorted((PANELS[name]() for name in PANELS), key=lambda panel: panel.rank):
        shown = panel.show(answer)
        if shown is not None:
            summary = html.Summary(panel.title)
            size = " wide" if panel.wide else " tall" if panel.tall else ""
            made.append(html.Details([summary, shown], open=panel.opened, className=f"panel{size}"))
    return made


def make_table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Component:
    """Make a table; the first cell of each row names the row."""
    head = html.Thead(html.Tr([html.Th(title, scope="col") for title in header]))
    body = [html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows]
    parts = [html.Caption(caption)] if caption else []
    return html.Div(html.Table([*parts, head, html.Tbody(body)]), className="scroll")


def make_example(picture: str, title: str, lines: Sequence[str | Component], wrong: bool = False) -> Component:
    """Make one example of a list: its image, if it is one, and what is said of it."""
    image = [html.Img(src=picture, alt=title, className="example")] if picture else []
    words = [html.Strong(title), *(html.Span(line) for line in lines)]
    return html.Li([*image, html.Div(words)], className="wrong" if wrong else "")
