"""How many weight vectors a picture needs: from the plane's three to one for each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

from lossatlas.recipes import FitConfig
from lossatlas.reproduce.drawing import Curve, draw_curves, draw_maps, save, write_table
from lossatlas.reproduce.settings import configure_paper_fit
from lossatlas.reproduce.studies._ensembles import write_spread
from lossatlas.reproduce.study import Run, Study

__all__ = ["MPO_CAPACITY"]

CELLS = 24
"""Cells along a side of the pictures."""
PLANE = 3
"""The weight vectors of a plane: its origin and two directions."""
DEGREE = 2
FINEST = CELLS + DEGREE
SIDES = (3, 4, 6, 9, 14, FINEST)
"""Control vectors along a side of the splines, each about 1.5 times the one before.

Of the last each cell has one of its own at its centre, and a ring of others lies around the picture. With 24 x 24 there
would be as many as cells, but those in the middle would lie between cells: neighbours could hardly be told apart (the
matrix of coefficients at the cells has a condition number of 5e5 instead of 4).
"""
PICTURES = {"skull": "#de4968", "random": "#31688e"}
SEEDS = 3
BUDGETS: dict[str, dict[str, dict[str, Any]]] = {
    "small": {"steps": {"steps": 1500}, "seconds": {"seconds": 20.0}},
    "paper": {"steps": {"steps": 11_800}, "seconds": {"steps": None, "seconds": 1800.0}},
}
"""By scale the two budgets of each case."""
STYLES = {"steps": "-", "seconds": ":"}
SHOWN = (PLANE, 9, 36, 81, FINEST**2)
"""Numbers of vectors whose maps are shown."""
TOLERANCE = 0.02
"""How far from the largest mean a chart may stay and still count as large enough."""


@final
class _Capacity(Study):
    title = (
        "How many weight vectors a picture needs: beyond the plane of Skorokhodov & Burtsev 2019, to one for each cell"
    )

    def runs(self, scale: str) -> dict[str, FitConfig]:
        return {
            _name(picture, count, seed, budget): _configure(scale, picture, side, seed, stated)
            for seed in range(SEEDS)
            for picture in PICTURES
            for count, side in _list_charts()
            for budget, stated in BUDGETS[scale].items()
        }

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        rows = [
            [picture, budget, count, *_describe(_repeat(runs, picture, count, budget))]
            for picture, budget in product(PICTURES, STYLES)
            for count, _ in _list_charts()
        ]
        head = ["picture", "equal", "vectors", "gap", "IoU", "low accuracy", "high accuracy", "steps", "s", "MB held"]
        shown = [self._draw(runs, key, label, out) for key, label in (("gap", "gap"), ("iou", "IoU"))]
        maps = {f"{count} vectors": runs[_name("skull", count, 0, "steps")].survey for count in SHOWN}
        strip = draw_maps(maps, "test_accuracy", "skull, equal steps, first seed: mask and test accuracy", mask=True)
        shown.append(save(strip, out / "maps.png"))
        return "\n\n".join([_explain(runs), _judge(runs), write_table(head, rows), *shown]) + "\n"

    @staticmethod
    def _draw(runs: Mapping[str, Run], key: str, label: str, out: Path) -> str:
        counts = [count for count, _ in _list_charts()]
        drawn = []
        for picture, budget in product(PICTURES, STYLES):
            found = [[float(run.summary[key]) for run in _repeat(runs, picture, count, budget)] for count in counts]
            drawn.append(
                Curve(
                    f"{picture}, equal {budget}", counts, [mean(each) for each in found],
                    [stdev(each) if len(each) > 1 else 0.0 for each in found], PICTURES[picture], STYLES[budget],
                )
            )  # fmt: skip
        marks = {"a plane's three": float(PLANE), "as many as cells (trivial from there)": float(CELLS**2)}
        curves = draw_curves(drawn, "number of weight vectors", label, log_x=True, marks=marks)
        return save(curves, out / f"{key}-by-vectors.png")


def _list_charts() -> Iterator[tuple[int, int | None]]:
    """Yield the number of vectors of each chart and, of a spline, how many there are along a side."""
    yield PLANE, None
    yield from ((side**2, side) for side in SIDES)


def _name(picture: str, count: int, seed: int, budget: str) -> str:
    return f"{picture}-{count}-{seed}-{budget}"


def _configure(scale: str, picture: str, side: int | None, seed: int, budget: Mapping[str, Any]) -> FitConfig:
    """Configure a fit that samples all cells: a chart with a vector for each would leave the others as they start.

    All charts have the default learning rate. In trials on digits at this size (700 steps, one seed) twice the rate
    took the gap of the skull from .79 to .85 on a plane, from .949 to .950 on 9 x 9 controls and from .92 to .90 on the
    finest net, and that of a random mask from .28 to .16 on a plane and from .86 to .90 on 9 x 9. In 300 steps at
    12 x 12 the default was within .06 of the best of four rates (2.5e-3 to 2e-2) on every chart.
    """
    settings: dict[str, Any] = {
        "pattern": picture, "size": str(CELLS), "seed": seed, "padding": 1, "splits": ("test",), "boundary_only": False,
        "isometry": 0.0,
        **budget,
    }  # fmt: skip
    if picture == "random":
        settings |= {"pattern": "random:0.5", "pattern_options": {"seed": seed}}
    if side is not None:
        settings |= {"chart": "spline", "chart_options": {"controls": str(side), "degree": (DEGREE,)}, "scale_lr": None}
    if scale == "small":
        return FitConfig(**settings, examples="all")
    return configure_paper_fit(**settings, data="fashion_mnist")


def _repeat(runs: Mapping[str, Run], picture: str, count: int, budget: str) -> list[Run]:
    return [runs[_name(picture, count, seed, budget)] for seed in range(SEEDS)]


def _describe(repeated: list[Run]) -> list[object]:
    """The cells of a row of the table, over the seeds."""
    scores = [
        write_spread([float(run.summary[key]) for run in repeated], 3)
        for key in ("gap", "iou", "low_accuracy", "high_accuracy")
    ]
    steps, seconds, held = (
        mean(float(run.summary[key]) for run in repeated) for key in ("steps", "seconds", "held_bytes")
    )
    return [*scores, f"{steps:,.0f}", f"{seconds:.1f}", f"{held / 1e6:.1f}"]


def _explain(runs: Mapping[str, Run]) -> str:
    """Say what is compared, and at which end nothing is won."""
    steps = runs[_name("skull", PLANE, 0, "steps")].config.steps
    seconds = runs[_name("skull", PLANE, 0, "seconds")].config.seconds
    return (
        f"Pictures have {CELLS} x {CELLS} cells, all of which are sampled, and are scored on held-out images at all "
        f"cells, over {SEEDS} seeds (of networks, batches and random masks). A plane has {PLANE} trained weight "
        f"vectors, a spline of degree {DEGREE} one for each control. With {FINEST} x {FINEST} controls each cell "
        "has one at its centre (and a ring of others lies around the picture), so that it could have a network of its "
        "own, whatever the others are: that end of the curve is trivial, since separate trainings draw any picture, "
        "and says only how far the budget goes.\n\n"
        f"Each case is fitted at equal effort ({steps:,} steps) and for equal time ({seconds:g} s of fitting), by a "
        "fit of its own: where the learning rate falls over the budget, a look at a longer fit after those seconds "
        "would find it unfinished. Steps of larger charts take longer, since the optimiser works on all vectors; "
        "seconds are those of the machine, with what else it did. All charts have one learning "
        "rate: in short trials at scale small twice as much drew the skull better on a plane and a random mask worse "
        "there, and the skull worse on the finest net."
    )


def _judge(runs: Mapping[str, Run]) -> str:
    """State in words from which number of vectors on more of them hardly help."""
    told = []
    for picture, budget in product(PICTURES, STYLES):
        for key, label in (("gap", "gap"), ("iou", "IoU")):
            means = {
                count: mean(float(run.summary[key]) for run in _repeat(runs, picture, count, budget))
                for count, _ in _list_charts()
            }
            best = max(means.values())
            fewest = next(count for count, value in means.items() if value >= best - TOLERANCE)
            told.append(
                f"- {picture}, equal {budget}: the largest mean {label} is {best:.3f}; {fewest} weight vectors come "
                f"within {TOLERANCE:g} of it, and the plane's {PLANE} have {means[PLANE]:.3f}."
            )
    return "\n".join(told)


MPO_CAPACITY = _Capacity()
