"""The surface in the plane of a curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from lossatlas.recipes import ProblemConfig, TrainConfig
from lossatlas.reproduce.connecting import PRERESNET, SMALL_NETWORK, configure_curve
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.study import Run, Study
from lossatlas.rundir import PLANE
from lossatlas.surveying.store import read_survey
from lossatlas.views import Style, draw

__all__ = ["GARIPOV_PLANE"]

CURVES = ("bezier", "chain")


@final
class _Planes(Study):
    title = "Figure 1 of Garipov et al. 2018: the regularised loss in the planes of curves between two networks"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        if scale == "paper":
            training = TrainConfig(**{**PRERESNET, "data": "cifar100"})
            shared: dict[str, Any] = {
                "epochs": 200, "lr": 0.03, "weight_decay": 3e-4, "augment": training.augment, "examples": "all",
                "plane_examples": "all", "buffers_batches": 100,
            }  # fmt: skip
        else:
            training = TrainConfig(**SMALL_NETWORK)
            shared = {"steps": 2000, "plane_examples": "1000"}
        shared |= {"metrics": ("auto", f"regularised_loss:{training.weight_decay:g}"), "ensembles": False}
        ends = {f"end-{k}": replace(training, seed=k) for k in range(2)}
        return {**ends, **{curve: configure_curve(training, *ends, curve=curve, **shared) for curve in CURVES}}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown, rows = [], []
        for curve in CURVES:
            plane = read_survey(runs[curve].path / PLANE)
            shown.append(save(draw(plane, ["curve_plane"], Style(title=curve))["curve_plane"], out / f"{curve}.png"))
            regularised = plane["train_regularised_loss"]
            summary = runs[curve].summary
            rows.append([curve, float(regularised.min()), float(regularised.max()), summary["length"],
                         summary["straight_length"], summary["norm_min"], summary["norm_first"]])  # fmt: skip
        head = ["plane of", "lowest regularised loss", "highest", "length", "straight", "smallest norm", "norm of end"]
        sentence = (
            "Published: a valley of nearly constant loss joins the two ends in the planes of both curves. (The plane "
            "through three independent minima, which stands beside them, is `lossatlas survey --between A B C`.)"
        )
        return "\n\n".join([sentence, write_table(head, rows), *shown]) + "\n"


GARIPOV_PLANE = _Planes()
