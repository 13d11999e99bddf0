"""Figure 5 of Li et al.: depth and shortcuts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, final

from lossatlas.recipes import ProblemConfig, SurveyConfig, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import PAPER_TRAINING, copy_problem
from lossatlas.reproduce.study import Run, Study
from lossatlas.views import Style, draw

__all__ = ["LI_FIG5"]

DEPTHS = {"small": (8, 20, 32, 44), "paper": (20, 56, 110)}
RATES = {True: 0.1, False: 0.01}
"""The learning rates with and without shortcuts, as published."""
PUBLISHED = {(20, True): 7.37, (110, True): 5.79, (20, False): 8.18, (110, False): 16.44, (56, True): 5.89,
             (56, False): 13.31}  # fmt: skip
"""Test errors in percent, of the networks at the paper's scale."""
VARIATION, MINIMA = "roughness_total_variation", "minima_more_persistent_than_0.1"
NUMBERS = {
    "sharpness_within_0.25": "sharpness within 0.25, %",
    "area_at_centre_plus_1": "area below centre + 1 nat",
    "convex_share": "convex share",
    VARIATION: "total variation",
    "local_minima": "minima",
    MINIMA: "deeper than 0.1 nat",
}


@final
class _DepthAndShortcuts(Study):
    title = "Figure 5 of Li et al. 2018: surfaces of residual networks by depth, with and without shortcuts"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        configs: dict[str, ProblemConfig] = {}
        for shortcuts, depth in product((True, False), DEPTHS[scale]):
            name = _name(depth, shortcuts)
            training = self._training(scale, depth, shortcuts)
            configs[name] = training
            configs[f"{name}-plane"] = SurveyConfig(
                **copy_problem(training), checkpoint=name, directions=("random", "random"), normalize="filter",
                ignore="biasbn", splits=("train",), grid=(25 if scale == "small" else 51,),
                examples="500" if scale == "small" else "all",
            )  # fmt: skip
        return configs

    @staticmethod
    def _training(scale: str, depth: int, shortcuts: bool) -> TrainConfig:
        options: dict[str, Any] = {"depth": depth, "shortcuts": shortcuts}
        if scale == "paper":
            settings = PAPER_TRAINING | {"lr": RATES[shortcuts], "snapshots": "none"}
            return TrainConfig(model="resnet", model_options=options, **settings)
        return TrainConfig(
            model="resnet", model_options=options | {"width": 8}, optimizer="nesterov", lr=RATES[shortcuts],
            weight_decay=5e-4, schedule="steps", epochs=30, batch_size=32, snapshots="none",
        )  # fmt: skip

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        planes = {name.removesuffix("-plane"): run for name, run in runs.items() if name.endswith("-plane")}
        surveys = {name: run.survey for name, run in planes.items()}
        style = Style(title="training loss around residual networks")
        shown = save(draw(surveys, style=style)["overlay_loss"], out / "planes.png")
        rows = []
        for name, run in planes.items():
            config, summary = runs[name].config, runs[name].summary
            surface = run.summary["train_surface"]
            options = config.model_options
            row = [options["depth"], "yes" if options["shortcuts"] else "no", _error(runs[name]), summary["train_loss"]]
            rows.append([*row, run.summary["train_highest_loss"], *(surface[key] for key in NUMBERS)])
        head = ["depth", "shortcuts", "test error, %", "train loss", "highest loss", *NUMBERS.values()]
        errors = ", ".join(
            f"{depth} {'with' if shortcuts else 'without'} {error:.2f} %"
            for (depth, shortcuts), error in PUBLISHED.items()
        )
        sentence = (
            "Published: without shortcuts surfaces go from nearly convex to chaotic as networks deepen, with shortcuts "
            f"they do not. Test errors there, by depth: {errors}."
        )
        return "\n\n".join([sentence, write_table(head, rows), _verdict(runs, planes), shown]) + "\n"


def _name(depth: int, shortcuts: bool) -> str:
    return f"resnet-{depth}{'' if shortcuts else '-without'}"


def _error(run: Run) -> float:
    """Return the test error in per cent."""
    return 100 * (1 - float(run.summary["test_accuracy"]))


def _verdict(runs: Mapping[str, Run], planes: Mapping[str, Run]) -> str:
    """How the deepest network differs from the shallowest, with shortcuts and without."""
    told: list[str] = []
    lost: dict[bool, float] = {}
    for shortcuts in (True, False):
        own = [name for name in planes if runs[name].config.model_options["shortcuts"] is shortcuts]
        ends = (own[0], own[-1])
        shallow, deep = (planes[name].summary["train_surface"] for name in ends)
        depths = [runs[name].config.model_options["depth"] for name in ends]
        convex = shallow["convex_share"], deep["convex_share"]
        lost[shortcuts] = float("nan") if None in convex else convex[0] - convex[1]
        told.append(
            f"{'With' if shortcuts else 'Without'} shortcuts, from depth {depths[0]} to {depths[1]}, the convex share "
            f"goes from {_text(convex[0])} to {_text(convex[1])}, the number of minima from {shallow[MINIMA]} to "
            f"{deep[MINIMA]} (more than 0.1 nat deep), the total variation from {_text(shallow[VARIATION])} to "
            f"{_text(deep[VARIATION])} (2 is a bowl), the test error from {_error(runs[ends[0]]):.1f} to "
            f"{_error(runs[ends[1]]):.1f} %."
        )
    if any(map(math.isnan, lost.values())):
        return " ".join([*told, "A convex share has no number, since losses are not finite."])
    order = "is found" if lost[False] > max(lost[True], 0) else "is not found"
    order = f"The published order, in which depth takes convexity most from what has no shortcuts, {order}."
    return " ".join([*told, order])


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


LI_FIG5 = _DepthAndShortcuts()
