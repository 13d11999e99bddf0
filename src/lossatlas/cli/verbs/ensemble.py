"""``lossatlas ensemble``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, lend_problem_of, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.recipes import EnsembleConfig
from lossatlas.rundir import MEMBERS
from lossatlas.specs import MemberSpec

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["ENSEMBLE"]

SCORES = ("nll", "error", "brier", "ece", "squared_error", "gaussian_nll")


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/ensemble")
    """Directory of the run."""
    pictures: bool = True
    """Draw pictures and write the report."""


class _Ensemble(ConfiguredVerb[EnsembleConfig, _Options]):
    unnamed = "members"

    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that the first member belongs to."""
        given = find_option(tokens, "members")
        if given is None:
            return {}
        place = Path(MemberSpec.parse(given).place)
        return lend_problem_of(str(place.parent.parent if place.parent.name == MEMBERS else place), tokens)

    def job(self) -> Job[EnsembleConfig]:
        from lossatlas.jobs.ensemble import run_ensemble

        return run_ensemble

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        members = summary.get("members")
        for name in SCORES:
            if name not in summary:
                continue
            mean = format_numbers(summary, (f"member_{name}_mean",)).rpartition(" ")[2]
            error = format_numbers(summary, (f"{name}_standard_error",), digits=2).rpartition(" ")[2]
            halves = format_numbers(summary, (f"{name}_halves_tempered",)).rpartition(" ")[2]
            parts = [
                f"{format_numbers(summary, (name,))}{f' ± {error}' if error else ''}",
                f"one member {mean}" if mean else "",
                f"with a temperature {halves}" if halves else "",
            ]
            say(f"{members} members: {', '.join(filter(None, parts))}")
        if bound := summary.get("temperature_at_bound"):
            say(
                f"{bound:g} temperatures ended at the bounds 0.05 and 20 of their search; scores with them are doubtful"
            )
        against = summary.get("against")
        for name, found in against.items() if isinstance(against, Mapping) else ():
            numbers = format_numbers(found, tuple(key for key in found if not key.endswith("_standard_error")))
            say(f"less {name}: {numbers}")
        print_place(run, run.pictures)


ENSEMBLE = _Ensemble(
    "ensemble",
    EnsembleConfig,
    _Options,
    None,
    "Score the average of what many networks predict against their number: error, negative log-likelihood, Brier score "
    "and calibration, raw and with a temperature, with diversity and cost. Name the members first: runs, files of "
    "weights, or several at once as RUN@KIND.",
    (
        Example("Independent trainings", "lossatlas ensemble runs/a runs/b runs/c"),
        Example("Members of a cyclic schedule", "lossatlas ensemble runs/fge@members"),
        Example("Samples of SWAG's posterior", "lossatlas ensemble runs/a@swag:30"),
        Example("Low cells of a fitted picture", "lossatlas ensemble runs/heart@low:31"),
        Example(
            "Paired differences from another ensemble",
            "lossatlas ensemble runs/c@points:11 --against runs/ensemble --out runs/b",
        ),
    ),
)
