"""Figure 7 of Li et al.: the ratio of the ends of the Hessian's spectrum over slices, with and without shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import xarray as xr

from lossatlas.recipes import ProblemConfig, SurveyConfig, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import PAPER_TRAINING, copy_problem
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import RESIDUAL, name_variable
from lossatlas.views import Style, draw
from lossatlas.views.data import RESOLVED

__all__ = ["LI_FIG7"]

RATES = {True: 0.1, False: 0.01}
"""The learning rates with and without shortcuts, as published."""
METRICS = ("loss", "hessian_max", "hessian_min", "hessian_ratio")
LEVELS = (0.01, 0.1, 0.5)
"""Ratios of which the shares of points below are told."""
CONVEX = 0.1
"""The ratio below which the verdict counts a point."""
MARGIN = 0.1
"""By how much shares have to differ to count."""
PUBLISHED = (
    "Published: where the slices of networks with shortcuts look convex, large regions are blue: negative eigenvalues "
    "are small beside the positive ones. Chaotic regions of a network of 56 layers without shortcuts have large "
    "negative curvatures. The figure is a map of colours without numbers."
)


@final
class _RatioMaps(Study):
    title = (
        "Figure 7 of Li et al. 2018: |smallest / largest| eigenvalue of the Hessian over slices, with and without "
        "shortcuts"
    )

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        trainings = _configure_small() if scale == "small" else _configure_paper()
        configs: dict[str, ProblemConfig] = {}
        for name, training in trainings.items():
            configs[name] = training
            configs[f"{name}-map"] = SurveyConfig(
                **copy_problem(training), checkpoint=name, directions=("random", "random"), normalize="filter",
                ignore="biasbn", splits=("train",), metrics=METRICS, curvature_parameters=("matrices",),
                curvature_tolerance=1e-3, curvature_products=100,
                grid=(9 if scale == "small" else 51,), examples="256",
            )  # fmt: skip
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        maps = {name.removesuffix("-map"): run for name, run in runs.items() if name.endswith("-map")}
        rows, found, shown = [], {}, []
        for name, run in maps.items():
            survey, summary = run.survey, runs[name].summary
            found[name] = _measure(survey)
            rows.append([name, 100 * (1 - summary["test_accuracy"]), summary["train_loss"], *found[name].values()])
            pictures = draw(survey, style=Style(title=name))
            shown += [save(picture, out / f"{name}-{key}.png") for key, picture in pictures.items()]
        numbers = next(iter(found.values()))
        table = write_table(["network", "test error, %", "train loss", *numbers], rows)
        return "\n\n".join([PUBLISHED, table, _judge(found), *shown]) + "\n"


def _configure_small() -> dict[str, TrainConfig]:
    """Networks of 20 layers on images of 16x16 pixels."""
    return {
        f"resnet-20{'' if shortcuts else '-without'}": TrainConfig(
            data="cifar10", data_options={"shrink": 2}, model="resnet",
            model_options={"depth": 20, "width": 8, "shortcuts": shortcuts}, augment=("flip",), optimizer="nesterov",
            lr=RATES[shortcuts], weight_decay=5e-4, schedule="steps", epochs=5, batch_size=128, snapshots="none",
        )
        for shortcuts in (True, False)
    }  # fmt: skip


def _configure_paper() -> dict[str, TrainConfig]:
    """Networks as published, and maps of 51x51 points on 256 training images rather than all 50,000.

    Counting operations of torch, a product with the Hessian takes 1.5e9 of them per image for the residual networks and
    10.6e9 for the DenseNet. With at most 100 products at each point these are 1.0e17 and 7.1e17 for a map: at a
    sustained 1e13 a second at most 3 hours for each residual network and 20 for the DenseNet, and with all images 200
    times as long. That is an estimate; it has not been run.
    """
    settings: dict[str, Any] = PAPER_TRAINING | {"snapshots": "none"}
    found = {
        f"resnet-56{'' if shortcuts else '-without'}": TrainConfig(
            model="resnet", model_options={"depth": 56, "shortcuts": shortcuts},
            **settings | {"lr": RATES[shortcuts]},
        )
        for shortcuts in (True, False)
    }  # fmt: skip
    dense = {"depth": 121, "growth": 32, "bottleneck": True, "compression": 0.5}
    return {**found, "densenet-121": TrainConfig(model="densenet", model_options=dense, **settings)}


def _measure(survey: xr.Dataset) -> dict[str, float | None]:
    """What a map says, by the heads of the columns; None where no point is resolved."""
    names = {metric: name_variable("train", metric) for metric in METRICS}
    ratio = survey[names["hessian_ratio"]].values
    resolved = survey[RESIDUAL.of(names["hessian_ratio"])].values <= RESOLVED
    centre = tuple(int(np.abs(survey[axis].values).argmin()) for axis in survey[names["hessian_ratio"]].dims)
    known = ratio[resolved]
    shares = {
        f"share of resolved points below {level:g}": float((known < level).mean()) if known.size else None
        for level in LEVELS
    }
    return {
        "largest eigenvalue at the centre": float(survey[names["hessian_max"]].values[centre]),
        "smallest": float(survey[names["hessian_min"]].values[centre]),
        "ratio": float(ratio[centre]) if resolved[centre] else None,
        "share of points resolved": float(resolved.mean()),
        "median ratio": float(np.median(known)) if known.size else None,
        **shares,
    }


def _judge(found: Mapping[str, Mapping[str, float | None]]) -> str:
    """Whether the share of points with small ratios is clearly larger with shortcuts, in a sentence."""
    column = f"share of resolved points below {CONVEX:g}"
    without = {name: numbers[column] for name, numbers in found.items() if name.endswith("-without")}
    told = []
    for name, share in without.items():
        other = found[name.removesuffix("-without")][column]
        if share is None or other is None:
            told.append(f"Of {name} or its twin with shortcuts no point is resolved, so they cannot be compared.")
            continue
        order = "is found" if other > share + MARGIN else "is not found"
        told.append(
            f"Negative curvature is below a tenth of the positive one at {100 * other:.0f} % of the resolved points "
            f"with shortcuts and at {100 * share:.0f} % without: the published order {order} (a difference counts from "
            f"{100 * MARGIN:.0f} % on)."
        )
    return " ".join(told)


LI_FIG7 = _RatioMaps()
