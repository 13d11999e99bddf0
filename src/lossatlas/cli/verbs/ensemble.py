"""``lossatlas ensemble``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, lend_problem_of, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.describing import join_words
from lossatlas.recipes import EnsembleConfig
from lossatlas.schema import STANDARD_ERROR, parse_texts
from lossatlas.specs import MemberSpec

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["ENSEMBLE"]


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
        return lend_problem_of(MemberSpec.parse(given).place, tokens)

    def job(self) -> Job[EnsembleConfig]:
        from lossatlas.jobs.ensemble import run_ensemble

        return run_ensemble

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        members = summary.get("members")
        for name in parse_texts(summary.get("scores")):
            mean = format_numbers(summary, (f"member_{name}_mean",)).rpartition(" ")[2]
            error = format_numbers(summary, (f"{name}_standard_error",), digits=2).rpartition(" ")[2]
            halves = format_numbers(summary, (f"{name}_halves_tempered",)).rpartition(" ")[2]
            parts = [
                f"{format_numbers(summary, (name,))}{f' ± {error}' if error else ''}",
                f"one member {mean}" if mean else "",
                f"with a temperature {halves}" if halves else "",
            ]
            say(f"{members} members: {', '.join(filter(None, parts))}")
        at_bound = summary.get("temperature_at_bound")
        orders = {order: found for order, found in at_bound.items() if found} if isinstance(at_bound, Mapping) else {}
        if orders:
            low, high = (summary.get(f"temperature_{end}", float("nan")) for end in ("low", "high"))
            counted = join_words([f"{found:,} in {order} order" for order, found in orders.items()])
            say(
                f"of {summary.get('temperatures', 0):,} temperatures {counted} ended at the bounds {low:g} and "
                f"{high:g} of their search; scores with them are doubtful"
            )
        against = summary.get("against")
        for name, found in against.items() if isinstance(against, Mapping) else ():
            say(f"less {name}: {', '.join(_write_differences(found))}")
        print_place(run, run.pictures)


def _write_differences(found: Mapping[str, Any]) -> Iterator[str]:
    """Write differences of scores with their paired standard errors."""
    for key in found:
        if not key.endswith(STANDARD_ERROR.of("")):
            error = format_numbers(found, (STANDARD_ERROR.of(key),), digits=2).rpartition(" ")[2]
            yield f"{format_numbers(found, (key,))}{f' ± {error}' if error else ''}"


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
