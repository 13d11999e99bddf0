"""``lossatlas status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.terminal import say

__all__ = ["STATUS"]


def status(
    run: Annotated[Path, Parameter(allow_leading_hyphen=False)],
    /,
    *,
    json: bool = False,
) -> int | None:
    """Show how far a run is, who works on it, how fast, and what of it failed; from any machine that sees its files.

    Nothing is changed, and the run may be written at the same time.

    Args:
        run: A run directory, of any verb.
        json: Print one JSON object, for scripts, in place of lines for people.
    """
    from lossatlas.presence import read_status

    found = read_status(run)
    if json:
        import msgspec

        say(msgspec.json.encode(found).decode())
        return None
    from lossatlas.cli.status_lines import write_lines

    for line in write_lines(found):
        say(line)
    return None


STATUS = PlainVerb(
    status,
    panels=(Panel(title="Run", common=("run",)), Panel(title="Output", common=("json",))),
    examples=(
        Example("How far a survey is, and which workers it has", "lossatlas status runs/survey"),
        Example("The same for a script", "lossatlas status runs/survey --json"),
    ),
)
