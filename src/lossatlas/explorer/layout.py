"""The parts of the page, before anything is asked of it: pictures, controls, and where answers will stand."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from lossatlas.errors import LossatlasError
from lossatlas.explorer.action import list_actions
from lossatlas.explorer.scene import BLANK, find_scene
from lossatlas.explorer.subject import Subject, SurveyNow

__all__ = ["HELP", "lay_page", "read_shown"]

HELP = (
    "Click on a picture, type coordinates or use the arrow keys: the network there is evaluated. Drag moves, the wheel "
    "zooms; box select chooses a region."
)
KEYS_STEP = 40
"""An arrow key moves by this fraction of an axis where its points are closer."""
STORES = ("window", "region", "cut", "ticket", "seen")
"""What the page keeps of each run that it shows."""
BUTTONS: Any = {
    "displaylogo": False,
    "scrollZoom": True,
    "modeBarButtonsToAdd": ["select2d"],
    "modeBarButtonsToRemove": ["lasso2d", "toImage", "autoScale2d", "resetCameraLastSave3d", "tableRotation"],
}


def lay_page(subjects: Sequence[Subject]) -> Component:
    """Lay out the page of some runs; each call makes one for another window."""
    shown: dict[int, SurveyNow] = {}
    for index, subject in enumerate(subjects):
        with suppress(LossatlasError):  # its card says why
            shown[index] = read_shown(subject)
    stores = [
        dcc.Store(id="look", data={}),
        dcc.Store(id="place", data={"at": {}}),
        dcc.Store(id="question"),
        dcc.Store(id="theme", data="light"),
        dcc.Store(id="session", data=secrets.token_urlsafe(9)),
        dcc.Store(id="facts", data=_list_facts(shown)),
        dcc.Store(id="unread", data=[index for index in range(len(subjects)) if index not in shown]),
        dcc.Interval(id="beat", interval=250, disabled=True),
        dcc.Interval(id="watch", interval=2000),
    ]
    cards = [_lay_card(index, subject, shown.get(index)) for index, subject in enumerate(subjects)]
    header = html.Header(
        [
            html.Div(
                [
                    html.H1("lossatlas explorer"),
                    html.Button("Copy link", id="copy", title="A link to what is shown, without the token"),
                ],
                className="bar",
            ),
            html.P(HELP, className="lead"),
            _lay_controls(shown),
            html.Div(id="alert", role="alert"),
        ]
    )
    several = " several" if len(subjects) > 1 else ""
    return html.Div([*stores, header, html.Main(cards, className=f"cards{several}")], id="page")


def read_shown(subject: Subject, anew: bool = False) -> SurveyNow:
    """Read a survey that the page can show.

    Args:
        subject: the run.
        anew: as of :meth:`Subject.read`.

    Raises:
        BadInput: it cannot be read, holds no quantity yet, or there is no scene for its kind.
    """
    now = subject.read(anew)
    find_scene(now)
    now.list_fields()
    return now


def _list_facts(shown: dict[int, SurveyNow]) -> dict[str, Any]:
    """List what the page has to know of the surveys without asking: axes, boxes, steps, trajectories."""
    axes: dict[str, dict[str, float]] = {}
    homes: dict[str, float] = {}
    paths: dict[str, Any] = {}
    for index, now in shown.items():
        for axis, (low, high) in now.boxes.items():
            points = now.survey.sizes[axis]
            step = (high - low) / max(min(points - 1, KEYS_STEP), 1) or 1.0
            before = axes.get(axis, {"low": low, "high": high, "step": step})
            axes[axis] = {
                "low": min(low, before["low"]),
                "high": max(high, before["high"]),
                "step": min(step, before["step"]),
            }
        homes = {**now.home, **homes}
        if now.path is not None and not paths:
            paths = {
                "run": index,
                "axes": list(now.axes),
                "at": now.path.tolist(),
                "names": [now.say_snapshot(k) for k in range(len(now.path))],
            }
    return {"axes": axes, "home": homes, "path": paths, "choices": _list_choices(shown)}


def _list_choices(shown: dict[int, SurveyNow]) -> dict[str, list[Any]]:
    """List what can be chosen by each menu, of all runs together; the page takes nothing else from a link."""
    metrics: dict[str, None] = {}
    splits: dict[str, None] = {}
    samples = 1
    for now in shown.values():
        for field in now.list_fields():
            metrics.setdefault(field.metric or field.name)
            if field.split:
                splits.setdefault(field.split)
        samples = max(samples, len(now.samples))
    return {
        "metric": list(metrics),
        "split": list(splits),
        "scale": ["auto", "log", "linear"],
        "sample": list(range(samples)),
        "alike": ["alike", "own"],
    }


def _lay_controls(shown: dict[int, SurveyNow]) -> Component:
    """Lay out what all runs share: what is shown, and where."""
    found = _list_choices(shown)
    metrics, splits = found["metric"], found["split"]
    samples: list[str] = []
    axes: dict[str, None] = {}
    for now in shown.values():
        samples = max(samples, [name for name in now.samples if name], key=len)
        axes |= dict.fromkeys(now.axes)
    split = "test" if "test" in splits else next(iter(splits), "")
    choices = [
        _label("Metric", dcc.Dropdown(_name(metrics), next(iter(metrics), None), id="metric", clearable=False)),
        _label("Split", dcc.Dropdown(splits, split, id="split", clearable=False)),
        _label("Scale", dcc.Dropdown(found["scale"], "auto", id="scale", clearable=False)),
        _label(
            "Sample",
            dcc.Dropdown([{"label": name, "value": k} for k, name in enumerate(samples)] or [0], 0, id="sample",
                         clearable=False),
            hidden=not samples,
        ),
        _label(
            "Colours of all runs",
            dcc.Dropdown([{"label": "one scale", "value": "alike"}, {"label": "each its own", "value": "own"}], "alike",
                         id="alike", clearable=False),
            hidden=len(shown) < 2,
        ),
    ]  # fmt: skip
    fields = [
        _label(axis, dcc.Input(id={"kind": "field", "axis": axis}, type="number", step="any", debounce=True))
        for axis in axes
    ]
    has_path = any(now.path is not None for now in shown.values())
    walk = html.Div(
        [
            _label(
                "Walk along",
                dcc.Dropdown(
                    [
                        {"label": "the line between two points", "value": "line"},
                        *([{"label": "the trajectory of the training", "value": "path"}] if has_path else []),
                    ],
                    "path" if has_path else "line",
                    id="walk",
                    clearable=False,
                ),
            ),
            html.Button("From here", id="from", title="The line begins at the place that is marked now"),
            html.Button("To here", id="to", title="The line ends at the place that is marked now"),
            html.Div(
                dcc.Slider(0, 1, 0.01, value=0, marks=None, id="along", updatemode="drag", allow_direct_input=False),
                className="slider",
            ),
            html.Output(id="walked", className="note"),
        ],
        className="bar walk",
    )
    centre = html.Button("Back to the centre", id="home")
    return html.Div(
        [
            html.Div(choices, className="bar"),
            html.Div([*fields, centre], className="bar"),
            walk,
        ],
        className="card controls",
    )


def _name(metrics: Sequence[str]) -> list[dict[str, str]]:
    return [{"label": metric.replace("_", " "), "value": metric} for metric in metrics]


def _label(words: str, control: Component, hidden: bool = False) -> Component:
    """Lay out a control with its label."""
    return html.Label([html.Span(words), control], className="control", hidden=hidden)


def _lay_card(index: int, subject: Subject, now: SurveyNow | None) -> Component:
    """Lay out one run."""
    title = [html.H2(subject.name), html.P(_describe(subject), className="note")]
    revision = dcc.Store(id={"kind": "revision", "run": index}, data=now.revision if now else "")
    if now is None:  # nothing on the page asks for such a run: it has none of the stores below
        return html.Section([revision, *title, html.P(_find_fault(subject), className="caution")], className="card run")
    stores = [revision, *(dcc.Store(id={"kind": kind, "run": index}) for kind in STORES)]
    scene = find_scene(now)
    pictures = [
        html.Div(
            dcc.Graph(
                id={"kind": "graph", "run": index, "part": part},
                figure=BLANK,
                config=BUTTONS,
                responsive=True,
            ),
            className=f"picture {part}",
            tabIndex=0,
            role="group",
            **_label_for_readers(f"{subject.name}: {words}"),
        )
        for part, words in scene.parts.items()
    ]
    names = list_actions()
    buttons = [
        html.Div(
            [
                dcc.Store(id={"kind": "task", "run": index, "action": name}),
                html.Button(action.button, id={"kind": "start", "run": index, "action": name}, title=action.hint),
                html.Progress(id={"kind": "progress", "run": index, "action": name}, max="1", hidden=True),
                html.Button("Stop", id={"kind": "stop", "run": index, "action": name}, hidden=True),
                html.Output(id={"kind": "words", "run": index, "action": name}, className="note"),
            ],
            className="action",
        )
        for name, action in names.items()
    ]
    results = [html.Div(id={"kind": "result", "run": index, "action": name}) for name in names]
    return html.Section(
        [
            *stores,
            *title,
            html.P(id={"kind": "state", "run": index}, className="note", role="status"),
            html.Div(pictures, className=f"pictures {type(scene).__name__.lower()}"),
            html.P(id={"kind": "note", "run": index}, className="note"),
            html.P(id={"kind": "chosen", "run": index}, className="note", role="status"),
            html.Div([html.Div(buttons, className="bar"), *results], className="actions"),
            html.P(id={"kind": "told", "run": index}, className="told", role="status"),
            html.Div(id={"kind": "answer", "run": index}, className="answer"),
        ],
        className="card run",
    )


def _label_for_readers(words: str) -> Any:
    """Make the attribute that screen readers read out."""
    return {"aria-label": words}


def _describe(subject: Subject) -> str:
    """Describe a run in a line: what made it, of what."""
    try:
        config = subject.run.directory.config()
        verb = subject.run.verb
    except LossatlasError as error:
        return str(error)
    told = [f"a run of lossatlas {verb}"]
    told += [f"{name} {config[name]}" for name in ("model", "data", "checkpoint", "pattern") if config.get(name)]
    return ", ".join(told)


def _find_fault(subject: Subject) -> str:
    """Find out why a survey cannot be shown."""
    try:
        read_shown(subject)
    except LossatlasError as error:
        return str(error)
    return "it can be read now: reload the page"
