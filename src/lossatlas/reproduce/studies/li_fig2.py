"""Figure 2 of Li et al.: the line between a small batch's minimum and a large one's, with and without weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from lossatlas.measures import MEASURES, take_surfaces
from lossatlas.recipes import ProblemConfig, SurveyConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.studies._batches import configure_trainings, name_training
from lossatlas.reproduce.study import Run, Study
from lossatlas.views import Style, draw
from lossatlas.views.networks import histograms

__all__ = ["LI_FIG2"]

RADIUS = 0.25
"""Half the box in which the loss may rise, in units of the distance between the two minima."""


@dataclass(frozen=True)
class _End:
    """One end of a line."""

    training: Run
    sharpness: float | None
    width: float | None
    deviation: float
    """The standard deviation of the weights."""


@final
class _LineBetweenBatches(Study):
    title = "Figure 2 of Li et al. 2018: between the minima of a small and a large batch, with and without weight decay"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        trained = configure_trainings(scale)
        configs: dict[str, ProblemConfig] = {name_training(*key): config for key, config in trained.items()}
        for decay in dict.fromkeys(decay for _, decay in trained):
            # Running variances extrapolated like weights would be negative beyond an end, so they are re-estimated.
            ends = {name_training(batch, other): config for (batch, other), config in trained.items() if other == decay}
            configs[f"line-decay{decay:g}"] = SurveyConfig(
                **copy_problem(next(iter(ends.values()))), between=tuple(ends), range=(-0.5, 1.5),
                grid=(101 if scale == "small" else 401,), examples="all",
                buffers="reestimated",
            )  # fmt: skip
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown, rows, verdicts = [], [], []
        for name, run in runs.items():
            if not name.startswith("line-"):
                continue
            decay = name.removeprefix("line-decay")
            ends = _ends(run, [runs[Path(spec).name] for spec in run.config.between])
            pictures = draw(run.survey, ["line", "weights"], Style(title=f"weight decay {decay}"))
            shown += [save(picture, out / f"{kind}-decay{decay}.png") for kind, picture in pictures.items()]
            for end in ends:
                config, summary = end.training.config, end.training.summary
                rows.append(
                    [decay, config.batch_size, end.sharpness, end.width, end.deviation]
                    + [summary[key] for key in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]
                )
            verdicts.append(_verdict(decay, ends, run.summary))
        head = ["weight decay", "batch", f"sharpness within {RADIUS:g}, %", "width at + 0.1 nat", "std of weights"]
        sentence = (
            "Published: without weight decay the small batch's end of the line looks flat and its weights are large, "
            "the large batch's end looks sharp and its weights are small; weight decay turns both round, and the small "
            "batch has the lower test error either way (7.37 against 11.07 %, with weight decay 6.0 against 10.19 %)."
        )
        columns = [*head, "train loss", "train accuracy", "test loss", "test accuracy"]
        return "\n\n".join([sentence, write_table(columns, rows), *verdicts, *shown]) + "\n"


def _ends(run: Run, trained: list[Run]) -> list[_End]:
    """Both ends of a line, each as the centre of the training loss on it."""
    surface = take_surfaces(run.survey)["train"]
    found = []
    for place, (training, histogram) in enumerate(zip(trained, histograms(run.survey), strict=True)):
        around = replace(surface, corners=(surface.corners[place],))
        numbers: dict[str, Any] = {}
        for kind in ("sharpness", "width"):
            numbers |= MEASURES[kind]().of(around)
        sharpness, width = (numbers[name] for name in (f"sharpness_within_{RADIUS:g}", "width_u_at_centre_plus_0.1"))
        found.append(_End(training, sharpness, width, histogram.deviation))
    return found


def _verdict(decay: str, ends: list[_End], line: Mapping[str, Any]) -> str:
    small, large = ends
    pair = [end.sharpness for end in ends]
    sharper = "the large" if _more(large.sharpness, small.sharpness) else "the small"
    heavier = "the small" if small.deviation > large.deviation else "the large"
    expected = ("the large", "the small") if float(decay) == 0 else ("the small", "the large")
    agrees = [
        "as published" if found == wanted else "not as published"
        for found, wanted in zip((sharper, heavier), expected, strict=True)
    ]
    right = [end.training.summary["test_accuracy"] for end in ends]
    better = "Neither" if right[0] == right[1] else "The small" if right[0] > right[1] else "The large"
    height = line["train_surface"]["barrier_height"]
    return (
        f"Weight decay {decay}: {sharper} batch's end is the sharper one on the line "
        f"({' against '.join('not finite' if value is None else f'{value:.3g} %' for value in pair)}, {agrees[0]}); "
        f"{heavier} batch has the wider histogram of weights ({small.deviation:.3g} against {large.deviation:.3g}, "
        f"{agrees[1]}). {better} batch classifies more test images. Between the two the training loss "
        f"rises by {'a value that is not finite' if height is None else f'{height:.3g} nat'}."
    )


def _more(one: float | None, other: float | None) -> bool:
    """Whether a sharpness is the larger one; one that is not finite is larger than any."""
    return (float("inf") if one is None else one) > (float("inf") if other is None else other)


LI_FIG2 = _LineBetweenBatches()
