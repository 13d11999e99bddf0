"""Im et al. on batch normalisation: lines of repeated trainings on one axis, and the surfaces between their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lossatlas.measures import take_surfaces
from lossatlas.measures.kinds.spread import Spread
from lossatlas.measures.surface import ROUNDING, Floats, Surface
from lossatlas.recipes import ProblemConfig, SurveyConfig, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.study import Run, Study
from lossatlas.views import DrawnPicture, StillView, Style, draw, figures, lines, scales

__all__ = ["IM_BATCHNORM"]

NETWORKS = {"plain": False, "batch-norm": True}
COLOURS = {"plain": "#31688e", "batch-norm": "#de4968"}
OPTIMIZERS = {"sgd": "sgd,lr=0.05", "adam": "adam,lr=1e-3"}
SEEDS = {"small": 4, "paper": 3}
LOW_ERROR = 0.1
"""The error rate below which an error counts as low."""
ENDS = ("ends", "others")
"""The families of lines between ends, to which the claims refer."""
LINES = {
    "ends": "from SGD's end (0) to Adam's end (1)",
    "others": "from SGD's end (0) to that of the next initialisation (1)",
    "way": "from the initial weights (0) to SGD's end (1)",
    "ends-interpolated": "from SGD's end to Adam's, statistics interpolated",
}
"""Families of lines, one line for each initialisation; statistics are those of the batch where nothing else is said."""


@dataclass(frozen=True)
class _Family:
    """All lines of one kind with one network, and what is measured of them; lists have one number per line.

    Everything is measured between the two networks; pictures go beyond.
    """

    surface: Surface
    """The surface of the training loss, whose repeats are the lines."""
    barriers: list[float | None]
    slopes: list[float | None]
    low_error: list[float]
    """The share of the line on which the training error is low."""
    deviation: float | None
    """The standard deviation of the training error over the lines, averaged over the points of the line."""

    @property
    def half_way(self) -> float:
        """The loss in the middle between the networks, the mean over the lines."""
        (along,) = self.surface.coords
        return float(np.interp(0.5, along, self.surface.values))

    @property
    def spread(self) -> float | None:
        """Standard deviation of the loss over the lines by its mean, the mean over the points of the line."""
        (along,), repeats = self.surface.coords, self.surface.repeats
        assert repeats is not None
        inside = _between(along)
        part = Surface(self.surface.values[inside], (along[inside],), repeats=repeats[:, inside])
        value = Spread().of(part)["spread_mean"]
        return float(value) if isinstance(value, float) else None


@final
class _BatchNormalisation(Study):
    title = "Im, Tao & Branson 2016: the loss between repeated trainings, with and without batch normalisation"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        configs: dict[str, ProblemConfig] = {}
        points, side = ((61,), (21,)) if scale == "small" else ((201,), (51,))
        for network, normalised in NETWORKS.items():
            for seed in range(SEEDS[scale]):
                ends = {f"{network}-{name}-{seed}": spec for name, spec in OPTIMIZERS.items()}
                for name, spec in ends.items():
                    configs[name] = _training(scale, spec, normalised, seed)
                sgd, adam = ends
                shared: dict[str, Any] = {**copy_problem(configs[sgd]), "examples": "all", "buffers": "batch"}
                line = {**shared, "range": (-0.5, 1.5), "grid": points}
                configs[f"{network}-ends-{seed}"] = SurveyConfig(between=(sgd, adam), **line)
                configs[f"{network}-way-{seed}"] = SurveyConfig(between=(f"{sgd}@0", sgd), **line)
                if normalised:
                    # Beyond the ends variances that are continued like weights would be negative.
                    interpolated = line | {"buffers": "interpolated", "range": (0.0, 1.0)}
                    configs[f"{network}-ends-interpolated-{seed}"] = SurveyConfig(between=(sgd, adam), **interpolated)
            ends_of_sgd = [f"{network}-sgd-{seed}" for seed in range(SEEDS[scale])]
            for seed, pair in enumerate(zip(ends_of_sgd, ends_of_sgd[1:] + ends_of_sgd[:1], strict=True)):
                configs[f"{network}-others-{seed}"] = SurveyConfig(between=pair, **line)
            first, second = (f"{network}-{name}-0" for name in OPTIMIZERS)
            configs[f"{network}-triangle"] = SurveyConfig(
                between=(f"{first}@0", first, second), chart="simplex", grid=side, **shared
            )
            others = (f"{network}-{name}-1" for name in OPTIMIZERS)
            configs[f"{network}-quadrilateral"] = SurveyConfig(between=(first, second, *others), grid=side, **shared)
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        families = {
            (network, kind): _family([run for name, run in runs.items() if _is_line(name, network, kind)])
            for kind in LINES
            for network in NETWORKS
            if any(_is_line(name, network, kind) for name in runs)
        }
        head = ["line", "network", "barrier, nat", "± sd", "steepest slope, nat", "± sd", "share of low error", "± sd"]
        rows = [[LINES[kind], network, *_row(family)] for (network, kind), family in families.items()]
        shown = [
            save(_picture({n: f for (n, k), f in families.items() if k == kind}, words), out / f"lines-{kind}.png")
            for kind, words in LINES.items()
        ]
        areas = []
        for figure in ("triangle", "quadrilateral"):
            between = {network: runs[f"{network}-{figure}"] for network in NETWORKS}
            surveys = {network: _trained(run.survey) for network, run in between.items()}
            title = f"training loss in the {figure} of networks"
            shown.append(save(draw(surveys, style=Style(title=title))["overlay_loss"], out / f"{figure}.png"))
            areas += [[figure, network, *_area(run)] for network, run in between.items()]
        sentence = (
            "Published, on CIFAR-10: with batch normalisation the curves of repeated runs stay together, slopes are "
            "steeper, barriers sharper and regions of low error larger. (Another paper, Skorokhodov & Burtsev 2019, "
            "calls the surfaces of normalised networks smoother. Both are measured here: slopes, and total variation.) "
            f"A low error is one of at most {LOW_ERROR:g} on training images."
        )
        columns = [*head, "loss half way, nat", "spread of the loss", "sd of the error"]
        accuracies = write_table(["network", "optimiser", "test accuracy", "± sd"], _accuracies(runs))
        measured = ["figure", "network", "share of low error", "highest loss", "total variation", "minima"]
        parts = [
            sentence,
            accuracies,
            write_table(columns, rows),
            write_table(measured, areas),
            _verdict(families, areas),
        ]
        return "\n\n".join([*parts, *shown]) + "\n"


def _training(scale: str, optimizer: str, normalised: bool, seed: int) -> TrainConfig:
    options: dict[str, Any] = {"batch_norm": normalised}
    shared: dict[str, Any] = {"optimizer": optimizer, "seed": seed}
    if scale == "paper":
        return TrainConfig(
            data="cifar10", model="nin", model_options=options, epochs=200, batch_size=128, snapshots="epoch:200",
            **shared,
        )  # fmt: skip
    return TrainConfig(
        model="vgg", model_options=options | {"depth": 9, "width": 8}, epochs=30, batch_size=64, snapshots="epoch:30",
        **shared,
    )  # fmt: skip


def _is_line(name: str, network: str, kind: str) -> bool:
    return name.startswith(f"{network}-{kind}-") and name.removeprefix(f"{network}-{kind}-").isdecimal()


def _family(runs: Sequence[Run]) -> _Family:
    surveys = [run.survey for run in runs]
    each = [take_surfaces(survey)["train"] for survey in surveys]
    repeats = np.stack([surface.values for surface in each])
    errors = np.stack([_errors(survey) for survey in surveys])[:, _between(each[0].coords[0])]
    numbers = [run.summary["train_surface"] for run in runs]
    return _Family(
        replace(each[0], values=repeats.mean(axis=0), repeats=repeats),
        [one["barrier_height"] for one in numbers],
        [one["barrier_steepest_slope"] for one in numbers],
        [float((error <= LOW_ERROR).mean()) for error in errors],
        float(errors.std(axis=0, ddof=1).mean()) if len(errors) > 1 else None,
    )


def _between(along: Floats) -> NDArray[np.bool_]:
    """Which points of a line (U,) lie between its networks, at 0 and 1, or on them."""
    inside: NDArray[np.bool_] = (along >= -ROUNDING) & (along <= 1 + ROUNDING)
    return inside


def _errors(survey: xr.Dataset) -> Floats:
    return np.asarray(1 - survey["train_accuracy"].values, dtype=np.float64)


def _row(family: _Family) -> list[float | None]:
    pairs = (_statistics(values) for values in (family.barriers, family.slopes, family.low_error))
    return [*(value for pair in pairs for value in pair), family.half_way, family.spread, family.deviation]


def _statistics(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation; None where a number is missing, the latter of a single one."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None, None
    return float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None


def _trained(survey: xr.Dataset) -> xr.Dataset:
    """What was measured on training images only."""
    return survey.drop_vars([name for name in survey.data_vars if str(name).startswith("test_")])


def _area(run: Run) -> list[float | None]:
    surface = run.summary["train_surface"]
    share = float((_errors(run.survey) <= LOW_ERROR).mean())
    return [share, run.summary["train_highest_loss"], surface["roughness_total_variation"], surface["local_minima"]]


def _accuracies(runs: Mapping[str, Run]) -> list[list[object]]:
    rows: list[list[object]] = []
    for network in NETWORKS:
        for name in OPTIMIZERS:
            own = [run.summary["test_accuracy"] for key, run in runs.items() if _is_line(key, network, name)]
            rows.append([network, name, *_statistics(own)])
    return rows


def _picture(families: Mapping[str, _Family], words: str) -> DrawnPicture:
    return _Lines(words).picture(families, "lines")


@dataclass(frozen=True)
class _Lines(StillView[Mapping[str, _Family]]):
    """All lines of both networks on one axis; ``words`` says what the axis is."""

    words: str

    needs = "lines of both networks"
    caption = "The training loss on one line for each initialisation, of networks with and without batch normalisation."
    rank = 10

    def applies(self, families: Mapping[str, _Family]) -> bool:
        return bool(families)

    def draw(self, families: Mapping[str, _Family], style: Style) -> Figure:
        drawn = figures.figure(style, 7.0, 4.4)
        ax = drawn.add_subplot()
        everything = np.concatenate([np.ravel(_lines(family)) for family in families.values()])
        limits = style.limit_values(everything, scales.limits(everything, log=True))
        ax.set_yscale("log")
        for network, family in families.items():
            (along,) = family.surface.coords
            for index, values in enumerate(_lines(family)):
                label = network if index == 0 else f"_{network}"
                ax.plot(along, limits.shown(values), color=COLOURS[network], linewidth=1.2, alpha=0.8, label=label)
        lines.frame(ax, limits.shown(everything), limits)
        ax.margins(x=0.02)
        ax.set(xlabel=self.words, ylabel="training loss (nat, log scale)")
        ax.tick_params(labelsize=8)
        figures.captioned(drawn, "one line for each initialisation", limits.note, keys=lines.keys(drawn))
        return drawn


def _lines(family: _Family) -> Floats:
    """(lines, points) the losses; what is not finite is left out of the picture."""
    repeats = family.surface.repeats
    assert repeats is not None
    return np.where(np.isfinite(repeats), repeats, np.nan)


def _verdict(families: Mapping[tuple[str, str], _Family], areas: Sequence[Sequence[Any]]) -> str:
    """Each claim with its numbers."""
    claims: list[tuple[str, float | None, float | None, bool]] = []
    for kind in ENDS:
        plain, normalised = (families[network, kind] for network in NETWORKS)
        where = LINES[kind]
        claims += [
            (f"curves stay together (spread of the loss), {where}", plain.spread, normalised.spread, False),
            (f"curves stay together (deviation of the error), {where}", plain.deviation, normalised.deviation, False),
            (f"slopes are steeper, {where}", _mean(plain.slopes), _mean(normalised.slopes), True),
            (f"barriers are sharper (slope by height), {where}", _sharpness(plain), _sharpness(normalised), True),
            (f"low errors take more of the line {where}", _mean(plain.low_error), _mean(normalised.low_error), True),
        ]
    ways = [families[network, "way"].half_way for network in NETWORKS]
    claims.append(("the loss drops from the beginning (half way to SGD's end)", ways[0], ways[1], False))
    for figure in dict.fromkeys(row[0] for row in areas):
        pair = [row[2] for row in areas if row[0] == figure]
        claims.append((f"low errors take more of the {figure}", pair[0], pair[1], True))
    told = []
    for claim, without, with_it, more in claims:
        if without is None or with_it is None:
            told.append(f"- {claim}: no number, since a loss is not finite, or nothing rises.")
            continue
        found = with_it > without if more else with_it < without
        told.append(f"- {claim}: {with_it:.3g} with, {without:.3g} without: {'found' if found else 'not found'}.")
    return "\n".join(["With batch normalisation:", "", *told])


def _sharpness(family: _Family) -> float | None:
    """The steepest slope by the height of the barrier, the mean over the lines; per unit of the coordinate."""
    pairs = zip(family.slopes, family.barriers, strict=True)
    return _mean([None if slope is None or not height else slope / height for slope, height in pairs])


def _mean(values: Sequence[float | None]) -> float | None:
    return _statistics(values)[0]


IM_BATCHNORM = _BatchNormalisation()
