"""Figure 3 of Li et al.: filter-normalised slices of small and large batches' minima side by side, and plain ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, final

import numpy as np

from lossatlas.measures import take_surfaces
from lossatlas.measures.kinds.sharpness import Sharpness
from lossatlas.measures.measure import Value
from lossatlas.recipes import ProblemConfig, SurveyConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.studies._batches import configure_trainings, name_training
from lossatlas.reproduce.study import Run, Study
from lossatlas.studies import spearman
from lossatlas.views import Style, draw

__all__ = ["LI_FIG3"]

SEEDS = {"small": 2, "paper": 1}
REPEATS = 10
"""The number of random directions per line, as in the paper."""
REACH = {"small": 20.0, "paper": 60.0}
"""The half length of plain lines in weight space, about that of filter-normalised ones."""
SLICES = {"filter": "filter-normalised", "plain": "plain"}


@final
class _HonestSlices(Study):
    title = "Figure 3 of Li et al. 2018: slices of small and large batches' minima, filter-normalised and plain"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        configs: dict[str, ProblemConfig] = {}
        for seed in range(SEEDS[scale]):
            for key, training in configure_trainings(scale, seed).items():
                name = f"{name_training(*key)}-{seed}"
                configs[name] = training
                shared: dict[str, Any] = {**copy_problem(training), "checkpoint": name, "examples": "all"}
                shared["splits"] = ("train",) if scale == "small" else ("train", "test")
                line = {
                    **shared,
                    "directions": ("random",),
                    "repeats": REPEATS,
                    "grid": (31 if scale == "small" else 401,),
                }
                configs[f"{name}-filter"] = SurveyConfig(normalize="filter", ignore="biasbn", range=(-1, 1), **line)
                configs[f"{name}-plain"] = SurveyConfig(
                    normalize="none", ignore="biasbn", range=(-REACH[scale], REACH[scale]), **line
                )
                if seed == 0:
                    configs[f"{name}-plane"] = SurveyConfig(
                        directions=("random", "random"), normalize="filter", ignore="biasbn",
                        grid=(21 if scale == "small" else 51,), **shared,
                    )  # fmt: skip
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        trained = [name for name in runs if f"{name}-filter" in runs]
        sharp = {(name, kind): _sharpness(runs[f"{name}-{kind}"]) for name in trained for kind in SLICES}
        rows = []
        for name in trained:
            config, summary = runs[name].config, runs[name].summary
            rows.append(
                [f"{config.weight_decay:g}", config.batch_size, config.seed, _error(runs[name])]
                + [summary["train_loss"]]
                + [sharp[name, kind] for kind in SLICES]
                + [_number(runs[f"{name}-filter"], "spread_mean"), _number(runs[f"{name}-filter"], "spread_largest")]
            )
        shown = []
        first = [name for name in trained if name.endswith("-0")]
        for kind, words in SLICES.items():
            lines = {name.removesuffix("-0"): runs[f"{name}-{kind}"].survey for name in first}
            shown.append(
                save(draw(lines, style=Style(title=f"{words} lines"))["overlay_line"], out / f"lines-{kind}.png")
            )
        planes = {name.removesuffix("-0"): runs[f"{name}-plane"].survey for name in first}
        picture = draw(planes, style=Style(title="filter-normalised planes"))["overlay_loss"]
        shown.append(save(picture, out / "planes.png"))
        style = Style(title=f"{first[0]}, filter-normalised lines")
        drawn = draw(runs[f"{first[0]}-filter"].survey, ["repeats"], style)
        shown.append(save(drawn["repeats"], out / "repeats.png"))
        head = ["weight decay", "batch", "seed", "test error, %", "train loss"]
        columns = [*head, *(f"{kind}: sharpness, %" for kind in SLICES), "spread of repeats, mean", "largest"]
        sentence = (
            "Published: filter-normalised, large batches' minima are the sharper ones with and without weight decay, "
            "if not by much, and sharpness goes with the test error; slices along ten random directions nearly "
            "coincide."
        )
        return "\n\n".join([sentence, write_table(columns, rows), *_verdicts(runs, sharp), *shown]) + "\n"


def _number(run: Run, name: str) -> float | None:
    """A number of the training loss on all repeats of a line together."""
    value: float | None = run.summary["train_surface"][name]
    return value


def _sharpness(run: Run) -> float | None:
    """Return the sharpness of the training loss within half the line, in per cent; the mean over the repeats."""
    surface = take_surfaces(run.survey)["train"]
    assert surface.repeats is not None
    measure = Sharpness((run.config.range[1] / 2,))
    found = [measure.of(replace(surface, values=one, repeats=None)) for one in surface.repeats]
    return _mean(value for numbers in found for value in numbers.values())


def _error(run: Run) -> float:
    """Return the test error in per cent."""
    return 100 * (1 - float(run.summary["test_accuracy"]))


def _verdicts(runs: Mapping[str, Run], sharp: Mapping[tuple[str, str], float | None]) -> list[str]:
    """What the slices say of either decay and of all networks together.

    Args:
        runs: all of the study.
        sharp: the sharpness of each network on its lines of either kind.
    """
    told = []
    trained = list(dict.fromkeys(name for name, _ in sharp))
    groups: dict[tuple[float, int], list[str]] = {}
    for name in trained:
        groups.setdefault((runs[name].config.weight_decay, runs[name].config.batch_size), []).append(name)
    for decay in dict.fromkeys(decay for decay, _ in groups):
        small, large = (groups[key] for key in sorted(key for key in groups if key[0] == decay))
        found = {}
        for kind in SLICES:
            pair = [_mean(sharp[name, kind] for name in names) for names in (small, large)]
            found[kind] = (*pair, _sharper(*pair))
        errors = [mean(_error(runs[name]) for name in names) for names in (small, large)]
        told.append(
            f"Weight decay {decay:g}: filter-normalised, the minima of {found['filter'][2]} are the sharper ones "
            f"(sharpness {_words(found['filter'])} %); on plain lines those of {found['plain'][2]} "
            f"({_words(found['plain'])} %). Their test errors are {errors[0]:.2f} and "
            f"{errors[1]:.2f} %."
        )
    errors = [_error(runs[name]) for name in trained]
    for kind, words in SLICES.items():
        values = [sharp[name, kind] for name in trained]
        told.append(
            f"Over all {len(trained)} networks the rank correlation of the test error with the "
            f"sharpness on {words} lines is {_rank_correlation(values, errors)}."
        )
    spreads = [_number(runs[f"{name}-filter"], "spread_mean") for name in trained]
    known = [spread for spread in spreads if spread is not None]
    if known:
        told.append(
            f"The {REPEATS} filter-normalised repeats of a network differ by {100 * min(known):.0f} to "
            f"{100 * max(known):.0f} % of their mean (standard deviation, averaged over the line)."
        )
    return told


def _words(pair: Sequence[Any]) -> str:
    return " against ".join("open" if value is None else f"{value:.3g}" for value in pair[:2])


def _mean(values: Iterable[Value]) -> float | None:
    """Return the mean; None if one of the values is None."""
    listed = list(values)
    numbers = [float(value) for value in listed if isinstance(value, float | int)]
    return float(np.mean(numbers)) if len(numbers) == len(listed) else None


def _sharper(small: float | None, large: float | None) -> str:
    if small is None or large is None:
        return "neither"
    return "the large batch" if large > small else "the small batch"


def _rank_correlation(one: Sequence[float | None], other: Sequence[float]) -> str:
    value = spearman(np.array(one, dtype=np.float64), np.array(other))
    return "not defined" if value is None else f"{value:.2f}"


LI_FIG3 = _HonestSlices()
