"""The page: a Dash application over runs and a queue."""

from __future__ import annotations

from collections.abc import Sequence

import dash
from dash import html

from lossatlas.explorer.queue import TaskQueue
from lossatlas.recipes.opened_run import OpenedRun

__all__ = ["make_page"]


def make_page(runs: Sequence[OpenedRun], queue: TaskQueue) -> dash.Dash:
    """Make the page that shows runs.

    Args:
        runs: the runs, each with a survey.
        queue: carries out what the page has computed.

    Returns:
        The application; its ``server`` is served behind a :class:`~lossatlas.explorer.gate.Gate`.
    """
    page = dash.Dash(
        __name__,
        title="lossatlas",
        serve_locally=True,
        enable_mcp=False,
        use_pages=False,
        websocket_callbacks=False,
        add_log_handler=False,
    )
    page.layout = html.Main([html.H1("Surveys"), html.Ul([html.Li(str(run.path)) for run in runs])])
    return page
