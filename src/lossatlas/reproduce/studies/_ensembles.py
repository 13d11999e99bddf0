"""What the studies of ensembles share: configurations of scores, means over seeds, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import xarray as xr

from lossatlas.exchange.ensemble import read_ensemble
from lossatlas.recipes import EnsembleConfig, ProblemConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.study import Run
from lossatlas.schema import STANDARD_ERROR, InEnsemble
from lossatlas.views import Style, draw

__all__ = ["SCORES", "configure_scores", "describe_paired", "draw_ways", "score_at", "tabulate", "write_spread"]

SCORES = ("error", "nll", "brier", "ece")
"""The scores of classifiers, in the order of the tables."""


def configure_scores(problem: ProblemConfig, members: Sequence[str], **settings: Any) -> EnsembleConfig:
    """Configure the scores of an ensemble of members with this problem, on its test examples."""
    return EnsembleConfig(**copy_problem(problem), members=tuple(members), **settings)


def score_at(run: Run, score: str, count: int | None = None, *, scale: str = InEnsemble.TEMPERED) -> float:
    """A score on halves, in the given order.

    Args:
        run: of an ensemble.
        score: its name.
        count: the number of members; None for all.
        scale: raw, or with a temperature.
    """
    values = read_ensemble(run.path)[InEnsemble.halves(score)].sel(
        {InEnsemble.ORDER: InEnsemble.GIVEN, InEnsemble.SCALE: scale}
    )
    return float(values.sel({InEnsemble.COUNT: count}) if count is not None else values.isel({InEnsemble.COUNT: -1}))


def write_spread(values: Sequence[float], digits: int = 4) -> str:
    """``0.1234 ± 0.0021``: the mean and the standard deviation over repetitions."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def tabulate(ways: Mapping[str, Sequence[tuple[Run, int | None]]]) -> str:
    """Make the table of several ways to an ensemble, each with one run for each seed.

    Args:
        ways: by what a way is called its runs, with the number of members that counts; None for all.
    """
    columns = [
        (score, scale)
        for score in SCORES
        for scale in (InEnsemble.RAW, InEnsemble.TEMPERED)
        if score != "error" or scale == InEnsemble.RAW  # which no temperature changes
    ]
    words = [score if scale == InEnsemble.RAW else f"{score}, tempered" for score, scale in columns]
    head = ["way", "members", "training passes (10⁶)", "held (MB)", "evaluations", *words]
    rows = []
    for name, runs in ways.items():
        data = read_ensemble(runs[0][0].path)
        count = runs[0][1] if runs[0][1] is not None else int(data[InEnsemble.COUNT].values[-1])
        at = data.sel({InEnsemble.COUNT: count})
        cells = [f"{float(at[InEnsemble.PASSES]) / 1e6:.2f}", f"{float(at[InEnsemble.BYTES]) / 1e6:.1f}"]
        scores = [
            write_spread([score_at(run, score, here, scale=scale) for run, here in runs]) for score, scale in columns
        ]
        rows.append([name, count, *cells, int(at[InEnsemble.EVALUATIONS]), *scores])
    return write_table(head, rows)


def describe_paired(run: Run, name: str) -> str:
    """``-0.0123 ± 0.0011``: the difference in negative log-likelihood from another run, with its paired error."""
    found = run.summary["against"][name]
    return f"{found['nll']:+.4f} ± {found[STANDARD_ERROR.of('nll')]:.4f}"


def draw_ways(
    ways: Mapping[str, tuple[Run, int | None]], out: Path, kinds: Sequence[str] = ("score", "cost")
) -> list[str]:
    """Draw several ensembles together, each up to the number of members that counts.

    Args:
        ways: by what a way is called a run, with the number of members that counts; None for all.
        out: the directory of the pictures.
        kinds: which of them.

    Returns:
        The Markdown that shows them.
    """
    pictures = draw({way: _cut(*found) for way, found in ways.items()}, list(kinds), Style())
    return [save(picture, out / f"{name}.png") for name, picture in pictures.items()]


def _cut(run: Run, count: int | None) -> xr.Dataset:
    """Read an ensemble up to a number of members; None for all."""
    data = read_ensemble(run.path)
    return data if count is None else data.sel({InEnsemble.COUNT: slice(None, count)})
