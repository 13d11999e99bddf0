"""Figure 8 of Li et al.: why random directions fail to show a trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

from lossatlas.recipes import ProblemConfig, SurveyConfig, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import PAPER_TRAINING, copy_problem
from lossatlas.reproduce.study import Run, Study
from lossatlas.views import Style, draw

__all__ = ["LI_FIG8"]

PLANES = {
    "components": ("component", "component"),
    "random": ("random", "random"),
    "solution": ("solution", "random"),
}


@final
class _RandomDirectionsFail(Study):
    title = "Figure 8 of Li et al. 2018: a trajectory in random planes, and in that of its principal components"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        training = (
            TrainConfig(
                data="fashion_mnist", model="conv", optimizer="momentum,lr=0.05", epochs=3, schedule="steps",
                schedule_options={"at": (0.5, 0.75)}, snapshots="epoch:0.15",
            )
            if scale == "small"
            else TrainConfig(model="vgg", model_options={"depth": 9, "batch_norm": True}, **PAPER_TRAINING)
        )  # fmt: skip
        grid, examples = ((15,), "1000") if scale == "small" else ((51,), "all")
        shared = {**copy_problem(training), "grid": grid, "examples": examples, "trajectory": "training"}
        shared |= {"splits": ("train",), "normalize": "none", "ignore": "none"}  # directions as they are sampled
        surveys = {name: SurveyConfig(directions=kinds, **shared) for name, kinds in PLANES.items()}
        return {"training": training, **surveys}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown, rows = [], []
        for name, kinds in PLANES.items():
            summary = runs[name].summary
            picture = draw(runs[name].survey, ["trajectory"], Style(title=", ".join(kinds)))["trajectory"]
            shown.append(save(picture, out / f"{name}.png"))
            rows.append(
                [
                    " and ".join(kinds),
                    *(f"{100 * summary[key]:.3g} %" for key in ("captured_variance", "captured_by_u")),
                    summary["largest_distance_from_plane"],
                    summary["train_largest_loss_difference"],
                ]
            )
        end = runs["training"].summary
        head = ["directions", "variance in the plane", "along u", "largest distance from it", "largest loss difference"]
        sentence = (
            f"One training: test accuracy {end['test_accuracy']:.3f} after {end['steps']} steps. In the published "
            "figure two random directions show no movement at all, and a random one beside that through the solution "
            "shows a straight line; components hold 40 to 90 % of the variance."
        )
        return "\n\n".join([sentence, write_table(head, rows), *shown]) + "\n"


LI_FIG8 = _RandomDirectionsFail()
