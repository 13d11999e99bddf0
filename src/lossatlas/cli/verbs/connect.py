"""``lossatlas connect``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.bounds import NotNegative
from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, lend_problem, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.recipes import ConnectConfig
from lossatlas.rundir import MODEL, SNAPSHOTS
from lossatlas.specs import NetworkSpec

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["CONNECT"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/connect")
    """Directory of the run."""
    checkpoint_seconds: NotNegative = 10.0
    """Seconds between checkpoints."""
    pictures: bool = True
    """Draw pictures and write the report."""


class _Connect(ConfiguredVerb[ConnectConfig, _Options]):
    unnamed = "between"

    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the first network's run."""
        given = find_option(tokens, "between")
        if given is None:
            return {}
        named = NetworkSpec.parse(given).path
        run = named.parent if named.name in (SNAPSHOTS, MODEL) else named
        return lend_problem(run, tokens, without=("device", "seed"))

    def job(self) -> Job[ConnectConfig]:
        from lossatlas.jobs.connect import run_connect

        return run_connect

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        shown = ("worse_end", "curve_max", "curve_mean", "curve_barrier", "straight_barrier")
        for split in ("train", "test"):
            if numbers := format_numbers(summary.get(f"{split}_scores"), shown):
                say(f"{split}: {numbers}")
        if length := format_numbers({"length": summary.get("length_ratio")}, ["length"], digits=3):
            say(f"{length} times that of the straight line, {summary.get('steps')} steps")
        print_place(run, run.pictures)


CONNECT = _Connect(
    "connect",
    ConnectConfig,
    _Options,
    None,
    "Connect trained networks by a curve of low loss. Name the networks first: lossatlas connect RUN RUN [RUN ...]",
    (
        Example("A Bezier curve between two runs of lossatlas train", "lossatlas connect runs/a runs/b"),
        Example(
            "A polygonal chain through three networks, with a budget in steps",
            "lossatlas connect runs/a runs/b runs/c --curve chain --steps 2000",
        ),
        Example(
            "A curve whose highest loss is as low as possible",
            "lossatlas connect runs/a runs/b --objective max --out runs/lowest",
        ),
    ),
)
