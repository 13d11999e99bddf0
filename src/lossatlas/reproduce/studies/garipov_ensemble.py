"""Ensembles of two networks on a curve, from one network to others that were made in another way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.recipes import ProblemConfig, TrainConfig
from lossatlas.reproduce.connecting import configure_curve
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import Along
from lossatlas.views import Style, draw

__all__ = ["GARIPOV_ENSEMBLE"]

BASE: dict[str, Any] = {
    "data": "cifar10", "model": "vgg", "model_options": {"depth": 16}, "augment": ("crop", "flip"),
    "optimizer": "momentum,lr=0.05", "weight_decay": 5e-4, "epochs": 200, "batch_size": 100, "snapshots": "none",
    "schedule": "steps", "schedule_options": {"at": (0.3, 0.6, 0.8), "factor": 0.2},
}  # fmt: skip
SMALL_BASE: dict[str, Any] = {
    **BASE, "data": "fashion_mnist", "model": "conv", "model_options": {}, "augment": ("flip",), "epochs": 5,
}  # fmt: skip
WORDS = {
    "A": "large batches",
    "B": "Adam",
    "C": "linear decay of the rate",
    "D": "no weight decay",
    "E": "larger initial weights",
    "F": "no augmentation",
}


@final
class _Ensembles(Study):
    title = "Garipov et al. 2018, and the slides on it: ensembles of a network G and a point of the curve to a partner"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        paper = scale == "paper"
        base = TrainConfig(**(BASE if paper else SMALL_BASE))
        other = replace(base, seed=1)
        partners = {
            "A": replace(other, batch_size=4000) if paper else replace(other, batch_size=1000, epochs=10),
            "B": replace(other, optimizer="adam,lr=0.001"),
            "C": replace(other, schedule="linear", schedule_options={}),
            "D": replace(other, weight_decay=0.0),
            "E": replace(other, init_gain=2.0),
            "F": replace(other, augment=()),
        }
        shared: dict[str, Any] = (
            {"epochs": 600, "lr": 0.015, "weight_decay": 5e-4, "buffers_batches": 100}
            if paper
            else {"steps": 1500, "lr": 0.05, "weight_decay": 5e-4, "splits": ("test",), "grid": (21,)}
        )
        shared |= {"augment": base.augment, "plane": 0, "examples": "all"}
        curves = {f"G-{name}": configure_curve(base, "G", name, **shared) for name in partners}
        return {"G": base, **partners, **curves}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        rows, shown = [], []
        for name, words in WORDS.items():
            survey = runs[f"G-{name}"].survey
            alone, paired, three = _errors(survey, "curve")
            straight, random = (_errors(survey, path)[1] for path in ("straight", "random"))
            rows.append([
                name, words, float(alone[0]), float(alone[-1]), float(paired[-1]), float(paired.min()),
                float(survey[Along.T].values[paired.argmin()]), float(three.min()), float(straight.min()),
                float(random.min()),
            ])  # fmt: skip
            picture = draw(survey, ["ensembles"], Style(title=f"G and {name} ({words})"))["ensembles"]
            shown.append(save(picture, out / f"ensemble-{name}.png"))
        head = ["partner", "made with", "G alone", "partner alone", "both", "G and curve, best", "at t",
                "both and curve, best", "G and straight, best", "G and random step, best"]  # fmt: skip
        sentence = (
            "Test errors in per cent. Published: an ensemble of an end and a point of the curve is better than the end "
            "from a little way along the curve, as good as one with the other end long before it, and better than one "
            "on the straight line or a random step away. (The best t is chosen on the test examples: a bound.)"
        )
        return "\n\n".join([sentence, write_table(head, rows), *shown]) + "\n"


def _errors(survey: xr.Dataset, path: str) -> npt.NDArray[np.float64]:
    """Test errors (3, T) in per cent along a path: alone, with the first end, with both."""
    accuracies = np.asarray(survey[Along.ensemble(path, "test", "accuracy")].values, dtype=np.float64)
    return 100 * (1 - accuracies)


GARIPOV_ENSEMBLE = _Ensembles()
