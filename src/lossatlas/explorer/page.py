"""The page: what happens when one clicks, types, walks or asks for something.

Callbacks run in the server's threads and compute nothing with networks. They submit tasks to the queue, get tickets,
and look at these; what a ticket says is drawn by panels and actions.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update, set_props
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from flask import Response, request
from werkzeug.exceptions import HTTPException

from lossatlas.errors import BadInput, LossatlasError, format_error
from lossatlas.explorer.action import Download, Request, list_actions
from lossatlas.explorer.answer import Answer, answer
from lossatlas.explorer.evaluation.evaluator import Evaluator
from lossatlas.explorer.layout import lay_page, read_shown
from lossatlas.explorer.look import (
    Look,
    choose_field,
    choose_limits,
    parse_look,
    parse_place,
    parse_question,
    parse_window,
)
from lossatlas.explorer.panel import list_panels
from lossatlas.explorer.queue import Handle, TaskQueue, TaskState
from lossatlas.explorer.scene import BLANK, View, find_scene
from lossatlas.explorer.subject import Subject
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import name_places
from lossatlas.views import data, scales

__all__ = ["make_page"]

AT_ONCE = 0.4
"""Seconds for which an answer is waited for; what takes longer is looked at again and again."""
INKS = {"light": "#20222b", "dark": "#e9e8e4"}
MOST_WINDOWS = 1000
"""Of how many windows and runs it is known which question was the newest."""
SUITES = "/_dash-component-suites/"
"""Where Dash has its scripts."""
LONGEST_NAME = 64
"""The most letters of the name of a window."""


def make_page(runs: Sequence[OpenedRun], queue: TaskQueue) -> Dash:
    """Make the page of some runs.

    Args:
        runs: the runs, each with a survey.
        queue: what carries out evaluations.

    Returns:
        The application; its ``server`` is a WSGI application.
    """
    names = list(name_places([run.path for run in runs]))
    subjects = [Subject(run, name) for run, name in zip(runs, names, strict=True)]
    app = Dash(
        __name__,
        title=escape(" \u00b7 ".join(names)[:80]) + " \u2013 lossatlas",  # Dash writes it into the page as it is
        assets_folder=str(Path(__file__).parent / "assets"),
        update_title=None,  # type: ignore[arg-type]  # None leaves the title as it is
        serve_locally=True,
        suppress_callback_exceptions=True,
        include_pages_meta=False,
        enable_mcp=False,
        websocket_callbacks=False,
        add_log_handler=False,
        on_error=_tell_error,
    )
    app.layout = lambda: lay_page(subjects)
    page = _Page(subjects, queue)
    page.connect(app)
    queue.submit("", "prepare", "read the surveys", page.prepare)
    return app


class _Page:
    """The callbacks of one server, which serve all of its windows: what a window shows, it says itself."""

    def __init__(self, subjects: Sequence[Subject], queue: TaskQueue) -> None:
        self.subjects = subjects
        self.queue = queue
        self.evaluators = [Evaluator(subject.run) for subject in subjects]
        self.actions = list_actions()
        self._asking = threading.Lock()
        self._turns: OrderedDict[tuple[str, int], int] = OrderedDict()
        """By window and run the turn of the newest question."""

    def prepare(self, handle: Handle) -> None:
        """Read what every window will ask for first, while the page is on its way to the first of them.

        Networks wait for the page's first question, which it asks when its pictures are drawn: what takes seconds to
        import would take the cores that the browser draws with.
        """
        for subject in self.subjects:
            with suppress(LossatlasError):  # who asks is told
                choose_field(subject.read(), Look())
            handle.breathe()

    def connect(self, app: Dash) -> None:
        """Declare what calls what."""

        def one(kind: str, field: str) -> dict[str, Any]:
            return {"component_id": {"kind": kind, "run": MATCH}, "component_property": field}

        def task(kind: str, field: str) -> dict[str, Any]:
            found = {"kind": kind, "run": MATCH, "action": MATCH}
            return {"component_id": found, "component_property": field}

        graphs = {"kind": "graph", "run": MATCH, "part": ALL}
        app.callback(
            Output(graphs, "figure"),
            Output(**one("note", "children")),
            Input("look", "data"),
            Input("theme", "data"),
            Input(**one("window", "data")),
            Input(**one("revision", "data")),
            Input(**one("cut", "data")),
            State("place", "data"),
            State(graphs, "id"),
        )(self.draw)
        app.callback(
            Output(**one("ticket", "data")),
            Output(**one("answer", "children")),
            Output(**one("told", "children")),
            Output(**one("seen", "data")),
            Input("question", "data"),
            State("session", "data"),
            State(**one("ticket", "id")),
            prevent_initial_call=True,
        )(self.ask)
        app.callback(
            Output(**one("answer", "children"), allow_duplicate=True),
            Output(**one("told", "children"), allow_duplicate=True),
            Output(**one("seen", "data"), allow_duplicate=True),
            Input("beat", "n_intervals"),
            State(**one("ticket", "data")),
            State(**one("seen", "data")),
            State(**one("ticket", "id")),
            State("place", "data"),
            State("look", "data"),
            prevent_initial_call=True,
        )(self.follow)
        app.callback(
            Output({"kind": "revision", "run": ALL}, "data"),
            Output({"kind": "state", "run": ALL}, "children"),
            Input("watch", "n_intervals"),
            State({"kind": "revision", "run": ALL}, "data"),
            State({"kind": "state", "run": ALL}, "id"),
        )(self.watch)
        shown = [task("task", "data"), task("result", "children"), task("words", "children")]
        shown += [task("progress", "value"), task("progress", "hidden"), task("stop", "hidden")]
        app.callback(
            *(Output(**each) for each in shown),
            Input(**task("start", "n_clicks")),
            State(**task("start", "id")),
            State("place", "data"),
            State("look", "data"),
            State(**one("region", "data")),
            State("session", "data"),
            prevent_initial_call=True,
        )(self.start)
        app.callback(
            *(Output(**each, allow_duplicate=True) for each in shown),
            Input("beat", "n_intervals"),
            Input(**task("stop", "n_clicks")),
            State(**task("task", "data")),
            State(**task("task", "id")),
            prevent_initial_call=True,
        )(self.attend)
        app.server.route("/results/<ticket>")(self.download)
        app.server.register_error_handler(Exception, _refuse_request)
        _connect_browser(app)

    def draw(
        self,
        look: Any,
        theme: Any,
        window: Any,
        revision: Any,
        cut: Any,
        place: Any,
        graphs: Sequence[Mapping[str, Any]],
    ) -> tuple[list[Any], list[Component]]:
        """Draw the pictures of a run."""
        if not graphs:
            raise PreventUpdate
        wanted, index = parse_look(look), self._find(graphs[0]["run"])
        subject = self.subjects[index]
        now = subject.read()
        try:
            field = choose_field(now, wanted)
        except BadInput as error:
            return [BLANK] * len(graphs), [html.Span(str(error))]
        view = View(
            now=now,
            survey=now.take_sample(wanted.sample),
            field=field,
            limits=self._find_limits(field, wanted),
            at=subject.settle(parse_place(place).at),
            window=parse_window(window),
            ink=INKS.get(theme, INKS["light"]) if isinstance(theme, str) else INKS["light"],
        )
        drawn = find_scene(now).draw(view)
        holes = (
            ", drawn as holes" if subject.run.finished else ", drawn as holes; such are points not surveyed yet, too"
        )
        said = [*data.notes(view.survey), view.limits.note, scales.invalid(field.values).describe(holes)]
        said += [f"damaged: {line}" for line in now.damaged]
        return [drawn.get(graph["part"], no_update) for graph in graphs], [
            html.Span(f"{field.label}: " + "; ".join(line for line in said if line))
        ]

    def _find_limits(self, field: data.Field, look: Look) -> scales.Limits:
        """Find the scale of a quantity, which is that of all runs where they are to be alike."""
        together = [field]
        for subject in self.subjects if look.alike else ():
            try:
                other = choose_field(subject.read(), look)
            except LossatlasError:
                continue
            if (other.metric, other.units) == (field.metric, field.units):
                together.append(other)
        return choose_limits(together, look)

    def ask(self, question: Any, session: Any, own: Mapping[str, Any]) -> tuple[Any, ...]:
        """Have the network at a place evaluated."""
        index, window = self._find(own["run"]), _check_session(session)
        asked, subject, evaluator = parse_question(question), self.subjects[index], self.evaluators[index]

        def work(_: Any) -> Answer:
            return answer(subject, evaluator, asked.at, asked.sample, asked.split, asked.find_snapshot(index))

        if subject.own_code and not asked.acted:
            said = f"this run names code of its own, {subject.own_code}; click on a picture to have it executed"
            stored = self._tell_stored(index, asked.at, asked.sample)
            return no_update, no_update, f"{said}. {stored}", no_update
        with self._asking:  # requests overtake one another on their way, and the newest question counts
            if asked.turn < self._turns.get((window, index), 0):
                raise PreventUpdate
            self._turns[window, index] = asked.turn
            self._turns.move_to_end((window, index))
            while len(self._turns) > MOST_WINDOWS:
                self._turns.popitem(last=False)
            try:
                ticket = self.queue.submit(
                    window, f"answer {index}", f"evaluate {subject.name}", work, short=True, replaceable=True
                )
            except BadInput as error:
                return no_update, no_update, str(error), no_update
        return ticket, *self._show(index, ticket, self.queue.wait(ticket, AT_ONCE), asked.at, asked.sample)

    def follow(
        self, _: Any, ticket: Any, seen: Any, own: Mapping[str, Any], place: Any, look: Any
    ) -> tuple[Any, Any, Any]:
        """Look what became of an evaluation.

        It says whose end was seen, and never forgets the ticket itself: where answers overtake one another, the page
        goes on asking until it shows what came of the newest.
        """
        if not isinstance(ticket, str) or ticket == seen:
            raise PreventUpdate
        index = self._find(own["run"])
        return self._show(index, ticket, self.queue.look(ticket), parse_place(place).at, parse_look(look).sample)

    def _show(
        self, index: int, ticket: str, state: TaskState, at: dict[str, float], sample: int
    ) -> tuple[Any, Any, Any]:
        """Make what the page says of an evaluation: the panels, a line, and its ticket once it has ended."""
        if state.stage == "done":
            found: Answer = state.result
            cautions = [html.P(line, className="caution") for line in state.cautions]
            return [*cautions, *list_panels(found)], f"{found.place}: evaluated", ticket
        if state.stage == "failed":
            stored = self._tell_stored(index, at, sample)
            return html.Div([html.P(state.error, className="caution"), html.P(stored)]), "not evaluated", ticket
        if state.stage in ("superseded", "stopped"):
            return no_update, no_update, ticket
        if state.stage == "forgotten":
            return no_update, state.error, ticket
        behind = f"number {state.place} in the queue" if state.place else "evaluating"
        return no_update, f"{behind}\u2026 {self._tell_stored(index, at, sample)}", no_update

    def _tell_stored(self, index: int, at: dict[str, float], sample: int) -> str:
        """Say what the survey holds at the grid point nearest to a place; why not, where it has no such sample."""
        subject = self.subjects[index]
        try:
            return subject.read().tell_nearest(subject.settle(at), sample)
        except BadInput as error:
            return str(error)

    def watch(self, _: Any, revisions: Sequence[Any], own: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Any]]:
        """Look whether surveys have grown, and whether one that has only just begun can be shown now."""
        found: list[Any] = []
        said: dict[int, str] = {}
        for index, (subject, before) in enumerate(zip(self.subjects, revisions, strict=True)):
            try:
                now = subject.read(anew=True) if before else read_shown(subject, anew=True)
            except LossatlasError as error:
                found.append(no_update)
                said[index] = str(error)
                continue
            found.append(now.revision if now.revision != before else no_update)
            said[index] = subject.tell_progress()
        return found, [said.get(each["run"], "") for each in own]

    def start(
        self, _: Any, own: Mapping[str, Any], place: Any, look: Any, region: Any, session: Any
    ) -> tuple[Any, ...]:
        """Begin an action."""
        index, name = self._find(own["run"]), self._find_action(own["action"])
        action = self.actions[name]
        marked, window, kind = parse_place(place), _check_session(session), f"{name} {index}"
        request = Request(
            self.subjects[index], self.evaluators[index], marked, parse_look(look), parse_window(region),
            marked.find_snapshot(index),
        )  # fmt: skip
        try:
            action.check(request)
            with self._asking:  # a second click while it runs means the first: what is done twice may differ
                ticket = self.queue.find_running(window, kind) or self.queue.submit(
                    window,
                    kind,
                    f"{action.button}: {self.subjects[index].name}",
                    lambda handle: action.carry_out(request, handle),
                )
        except LossatlasError as error:
            return _say_of_action(None, str(error))
        return self._report(name, ticket, self.queue.wait(ticket, AT_ONCE))

    def attend(self, _: Any, stops: Any, ticket: Any, own: Mapping[str, Any]) -> tuple[Any, ...]:
        """Look how far an action is, or stop it."""
        if not isinstance(ticket, str):
            raise PreventUpdate
        if isinstance(ctx.triggered_id, dict) and ctx.triggered_id.get("kind") == "stop" and stops:
            self.queue.stop(ticket)
        state = self.queue.look(ticket)
        _, *said = self._report(self._find_action(own["action"]), ticket, state)
        return None if state.ended else no_update, *said  # a newer one may have begun meanwhile

    def _report(self, name: str, ticket: str, state: TaskState) -> tuple[Any, ...]:
        """Make what the page says of an action, as :func:`_say_of_action`."""
        if not state.ended:
            said = state.words or "working"
            said = f"number {state.place} in the queue" if state.place else said
            return _say_of_action(ticket, said, state.share)
        if state.stage == "done":
            cautions = [html.P(line, className="caution") for line in state.cautions]
            made = html.Div([*cautions, self.actions[name].show(state.result, ticket)])
            return _say_of_action(None, result=made)
        words = {"failed": state.error, "stopped": f"stopped; {state.words}", "superseded": "begun anew"}
        return _say_of_action(None, words.get(state.stage, state.error))

    def download(self, ticket: str) -> Response:
        """Hand out a file that an action has made."""
        state = self.queue.look(ticket)
        if not isinstance(state.result, Download):
            return Response("the file is not kept any more; make it again", status=404, mimetype="text/plain")
        headers = {"Content-Disposition": f'attachment; filename="{state.result.name}"'}
        return Response(state.result.content, mimetype="application/octet-stream", headers=headers)

    def _find(self, index: Any) -> int:
        """Check the number of a run.

        Raises:
            BadInput: there is no such run.
        """
        if not isinstance(index, int) or not 0 <= index < len(self.subjects):
            raise BadInput("there is no such run on this page; reload it")
        return index

    def _find_action(self, name: Any) -> str:
        """Check the name of an action.

        Raises:
            BadInput: there is no such action.
        """
        if name not in self.actions:
            raise BadInput("there is no such action on this page; reload it")
        return str(name)


def _say_of_action(
    ticket: str | None, words: str = "", share: float | None = None, result: Any = no_update
) -> tuple[Any, ...]:
    """Make the properties of an action's parts: ticket, result, words, progress, and whether it and Stop are hidden.

    Args:
        ticket: of the action as long as it runs; None once it has ended.
        words: what is said beside its button.
        share: how much of it is done, where that is known.
        result: what stands below.
    """
    return ticket, result, words, share, ticket is None, ticket is None


def _tell_error(error: Exception) -> None:
    """Say on the page why a callback failed."""
    set_props("alert", {"children": str(error) if isinstance(error, LossatlasError) else format_error(error)})


def _refuse_request(error: Exception) -> Response | HTTPException:
    """Answer a request that Dash itself cannot read, as none of this page is: what callbacks raise is told by it."""
    if isinstance(error, HTTPException):
        return error
    if request.method == "POST":
        said = f"the request cannot be read ({format_error(error, kind=True)}); reload the page"
        return Response(f"{said}\n", status=400, mimetype="text/plain")
    if request.path.startswith(SUITES):
        return Response("there is nothing here; the page is at /\n", status=404, mimetype="text/plain")
    raise error


def _check_session(session: Any) -> str:
    """Check the name of a window.

    Raises:
        BadInput: it is not one.
    """
    if not isinstance(session, str) or len(session) > LONGEST_NAME:
        raise BadInput("the window has lost its name; reload the page")
    return session


def _connect_browser(app: Dash) -> None:
    """Declare what the browser does by itself: ``assets/explorer.js``."""
    declare: Any = app.clientside_callback
    every = {"kind": "graph", "run": ALL, "part": ALL}
    calls = (
        ("choose", [Input(name, "value") for name in ("metric", "split", "scale", "sample", "alike")]),
        ("click", [Input(every, "clickData")]),
        ("select", [Input(every, "selectedData")]),
        ("zoom", [Input(every, "relayoutData")]),
        ("mark", [Input("place", "data"), Input(every, "figure")]),
        ("type", [Input({"kind": "field", "axis": ALL}, "value"), State({"kind": "field", "axis": ALL}, "id")]),
        ("press", [Input(name, "n_clicks") for name in ("home", "from", "to", "copy")]),
        ("walk", [Input("walk", "value"), Input("along", "value")]),
        ("write", [Input("look", "data"), Input("place", "data")]),
        ("begin", [Input("facts", "data")]),
        ("renew", [Input({"kind": "revision", "run": ALL}, "data"), State("unread", "data")]),
    )
    for name, inputs in calls:
        declare(ClientsideFunction("explorer", name), *inputs)
    declare(
        ClientsideFunction("explorer", "rest"),
        Output("beat", "disabled"),
        Input({"kind": "ticket", "run": ALL}, "data"),
        Input({"kind": "seen", "run": ALL}, "data"),
        Input({"kind": "task", "run": ALL, "action": ALL}, "data"),
    )
