"""The matrix of optimisers of Im et al."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.exchange.comparison import read_comparison
from lossatlas.recipes import CompareConfig, Config, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.study import Run, Study
from lossatlas.studies import pearson
from lossatlas.views import draw

__all__ = ["IM_MATRIX"]

Floats = npt.NDArray[np.float64]

OPTIMIZERS = {"sgd": 0.1, "momentum": 0.05, "rmsprop": 0.001, "adadelta": 1.0, "adam": 0.001}
"""The optimisers and their learning rates."""
SEEDS = {"small": (0, 1), "paper": (0, 1, 2)}
"""The seeds of the initialisations; all optimisers start from each."""
HUMP = 0.01
"""The rise in nats above the straight line between two ends' losses that counts as a hump."""
FLOOR = 1e-6
"""The floor of losses in nats, before logarithms are taken."""
PICTURES = ("matrix", "slices", "lines", "differences", "sharpness", "weights")


@final
class _Matrix(Study):
    title = "Im, Tao & Branson 2016: five optimisers from one initialisation, and what lies between them"

    def runs(self, scale: str) -> Mapping[str, Config]:
        nets: dict[str, dict[str, Any]] = (
            {"mlp": {"batch_size": 64, "epochs": 30}}
            if scale == "small"
            else {
                net: {
                    "data": "cifar10", "model": net, "model_options": {"batch_norm": True}, "batch_size": 128,
                    "epochs": 200,
                }
                for net in ("nin", "vgg")
            }
        )  # fmt: skip
        configs: dict[str, Config] = {}
        for net, settings in nets.items():
            trained = {
                f"{net}-{name}-{seed}": TrainConfig(optimizer=name, lr=rate, seed=seed, snapshots="none", **settings)
                for seed in SEEDS[scale]
                for name, rate in OPTIMIZERS.items()
            }
            configs |= trained
            configs[f"{net}-compared"] = CompareConfig(runs=tuple(trained))
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        compared = {name: run for name, run in runs.items() if isinstance(run.config, CompareConfig)}
        return "\n".join(self._of_one(name.removesuffix("-compared"), run, out) for name, run in compared.items())

    def _of_one(self, net: str, run: Run, out: Path) -> str:
        summary = run.summary
        data = read_comparison(run.path)
        shown = [save(picture, out / f"{net}-{name}.png") for name, picture in draw(data).items() if name in PICTURES]
        keys = ("test_accuracy", "train_loss", "distance_from_start", "start_norm", "weight_norm", "width", "sharpness")
        rows = [[name, *(found.get(key) for key in keys)] for name, found in summary["runs"].items()]
        head = ["run", *(key.replace("_", " ") for key in keys)]
        kinds = list(dict.fromkeys(kind for found in summary["spread"].values() for kind in found))
        spreads = [
            [key.replace("_", " "), *(_moments(found.get(kind)) for kind in kinds)]
            for key, found in summary["spread"].items()
        ]
        columns = ["quantity", *(kind.replace("_", ", ", 1).replace("_", " ") for kind in kinds)]
        published = (
            "Published: surfaces look alike for one optimiser and different between optimisers, and humps part all "
            "pairs."
        )
        pairs = (
            "Pairs of runs of one optimiser (within) and of two (between), from the same initial weights and from "
            "others; mean and standard deviation, and how many pairs:"
        )
        parts = [
            f"## {net}", published, *_verdicts(data, summary), *shown[:1], write_table(head, rows), pairs,
            write_table(columns, spreads), *shown[1:],
        ]  # fmt: skip
        return "\n\n".join(parts) + "\n"


def _moments(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    deviation = f" ± {found['deviation']:.3f}" if found["deviation"] is not None else ""
    return f"{found['mean']:.3f}{deviation} ({found['pairs']})"


def _verdicts(data: xr.Dataset, summary: Mapping[str, Any]) -> Iterator[str]:
    """The claims as numbers."""
    for kind, surfaces in (("triangles (start, A, B)", _triangles(data)), ("slices", _slices(data))):
        within, between = _likeness(surfaces)
        yield (
            f"Log losses of {kind}, the same optimisers from two initialisations against other optimisers from two "
            f"initialisations: correlation {_told(within, 0)} against {_told(between, 0)}, root mean square difference "
            f"{_told(within, 1)} against {_told(between, 1)} ({len(within)} and {len(between)} pairs; mean and "
            "standard deviation)."
        )
    barriers = [pair["barrier"] for pair in summary["pairs"].values() if pair.get("barrier") is not None]
    humps = sum(barrier > HUMP for barrier in barriers)
    yield f"A hump of more than {HUMP:g} nat of training loss parts {humps} of {len(barriers)} pairs."
    towards = [name for name, run in summary["runs"].items() if run["weight_norm"] < run["start_norm"]]
    yield f"Moved towards the origin: {', '.join(towards) or 'none'}; all others away from it."
    rank = summary["sharpness_and_test_error"]
    if rank["pearson"] is not None:
        yield (
            f"Sharpness (filter-normalised) and test error over {rank['runs']} runs: correlation "
            f"{rank['pearson']:.2f} (Pearson), {rank['spearman']:.2f} (Spearman)."
        )


Curves = dict[tuple[str, int], Floats]
"""Log losses by what optimisers they belong to, and from which initialisation."""


def _triangles(data: xr.Dataset) -> Curves:
    names = [str(name).rpartition("-") for name in data["run"].values]
    values = data["surface_train_loss"].values
    return {
        (f"{names[i][0]} {names[k][0]}", int(names[i][2])): _log(values[i, k])
        for i, k in combinations(range(len(names)), 2)
        if str(data["chart"].values[i, k]) == "simplex"
    }


def _slices(data: xr.Dataset) -> Curves:
    """Return the means over repeats."""
    names = [str(name).rpartition("-") for name in data["run"].values]
    values = _log(data["slice_train_loss"].values).mean(axis=1)
    return {(name, int(seed)): values[place] for place, (name, _, seed) in enumerate(names)}


def _likeness(curves: Curves) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Correlation and root mean square difference of every two from different initialisations: alike, and not."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for one, other in combinations(curves, 2):
        if one[1] != other[1]:
            a, b = curves[one].ravel(), curves[other].ravel()
            correlation = pearson(a, b)
            if correlation is not None:
                found[one[0] == other[0]].append((correlation, float(np.sqrt(np.nanmean((a - b) ** 2)))))
    return found[True], found[False]


def _told(pairs: list[tuple[float, float]], place: int) -> str:
    values = np.array([pair[place] for pair in pairs])
    if not len(values):
        return "-"
    return f"{values.mean():.3f} ± {values.std(ddof=1) if len(values) > 1 else 0.0:.3f}"


def _log(values: Floats) -> Floats:
    found: Floats = np.log(np.maximum(values, FLOOR))
    return found


IM_MATRIX = _Matrix()
