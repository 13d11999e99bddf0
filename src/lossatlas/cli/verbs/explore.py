"""``lossatlas explore``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.signals import is_asked_to_stop
from lossatlas.cli.terminal import note, say
from lossatlas.errors import BadInput, Interrupted

if TYPE_CHECKING:
    from lossatlas.explorer.queue import TaskQueue

__all__ = ["EXPLORE"]

EXTRA = ("dash", "waitress")
"""The packages of the extra ``explore``."""
PATIENCE = 1.0
"""Seconds after which it is said what the end waits for."""
Place = Annotated[Path, Parameter(allow_leading_hyphen=False)]


def explore(
    run: Place,
    /,
    *more: Place,
    browser: bool = True,
    port: int | None = None,
    host: str = "127.0.0.1",
    token: str | None = None,
    device: str = "auto",
) -> int | None:
    """Walk through surveys on a page in the browser, which evaluates networks where one points; Ctrl-C ends it.

    The first line printed is the address of the page. It holds a token: without it nobody else on this machine sees
    the page, or has anything computed.

    Args:
        run: A run with a survey, finished or not, or a comparison, whose surveys are shown side by side.
        more: Further runs to show beside the first.
        browser: Open the page in the browser; --no_browser only prints its address.
        port: Port of the page; by default a free one. If it is in use, another is taken.
        host: Name or address of this machine to serve the page on. Others than the default can be reached by other
            machines, and need --token.
        token: Secret in the address of the page, at least 16 characters; by default a random one, new each time.
        device: Device to compute on: auto, cpu, cuda, or cuda:N for one of several GPUs.
    """
    _check_extra()
    from lossatlas.explorer.choosing import open_surveyed
    from lossatlas.explorer.queue import TaskQueue
    from lossatlas.explorer.server.serving import check_port, choose_token, open_browser, serve
    from lossatlas.recipes.base import check_device

    check_port(port)
    check_device(device)
    secret = choose_token(host, token)
    runs = open_surveyed((run, *more), device)

    def announce(address: str, lent: str) -> None:
        say(address)
        sys.stdout.flush()  # who starts the page from a script reads the line from a pipe
        if browser:
            open_browser(lent, note)

    from lossatlas.explorer.page import make_page

    queue = TaskQueue()
    try:
        page = make_page(runs, queue)
        scripts = page.csp_hashes()
        serve(
            page.server, token=secret, announce=announce, note=note, stop=is_asked_to_stop, host=host, port=port,
            inline_scripts=scripts,
        )  # fmt: skip
    finally:
        _end(queue)
    raise Interrupted("interrupted; the page has ended, and what was measured on it is in the runs")


def _end(queue: TaskQueue) -> None:
    """Wait for the task that is carried out to stop, or end the process where one does not want to wait."""
    try:
        if not queue.close(PATIENCE):
            note("waiting for a part of a task that is computed; Ctrl-C ends it at once")
            queue.close()
    except KeyboardInterrupt:
        note("interrupted; the task that was carried out is lost, and what it stored is kept")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(Interrupted.exit_code)  # Python aborts if it ends while another thread computes in torch


def _check_extra() -> None:
    """Refuse to begin without the packages of the extra.

    Raises:
        BadInput: one of them is not installed.
    """
    from importlib.util import find_spec

    for name in EXTRA:
        try:
            found = find_spec(name)
        except ValueError:  # what stands in its place is not a module
            found = None
        if found is None:
            raise BadInput(
                f"lossatlas explore needs {name}, which is not installed; install it by pip install "
                "'lossatlas[explore]'"
            )


EXPLORE = PlainVerb(
    explore,
    panels=(
        Panel(title="Runs", common=("run", "more")),
        Panel(title="The page", common=("browser", "port", "host", "token")),
        Panel(title="How it runs", common=("device",)),
    ),
    examples=(
        Example("Walk through the survey of a run", "lossatlas explore runs/survey"),
        Example("Several runs side by side", "lossatlas explore runs/a runs/b"),
        Example(
            "On another machine, reached through ssh -L 8050:127.0.0.1:8050",
            "lossatlas explore runs/a --port 8050 --no_browser",
        ),
    ),
)
