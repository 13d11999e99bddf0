"""The recipe of a fit: from its configuration to its objects, with all checks before any computation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lossatlas.charts import Startable, make_chart
from lossatlas.data import Dataset
from lossatlas.engine import Engine
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Fit, KeepBest, Muon
from lossatlas.hashing import fingerprint
from lossatlas.metrics import count_numbers
from lossatlas.objectives import CoarseToFine, Isometric, Objective, Stage
from lossatlas.pictures import Raster, Source, find_source, parse_size
from lossatlas.recipes.base import AUTO, require
from lossatlas.recipes.chart_recipe import DescentRecipe
from lossatlas.recipes.fit_config import FEWEST, FitConfig
from lossatlas.recipes.metrics import make_metrics
from lossatlas.recipes.networks import bring_module
from lossatlas.recipes.options import check_options
from lossatlas.recipes.picture_kind import PictureKind, find_picture_kind
from lossatlas.recipes.problem import ProblemRecipe, build_problem
from lossatlas.recipes.room import Extent
from lossatlas.recipes.usual_fit import settle_fit
from lossatlas.weights import INITIALISERS

__all__ = ["FitRecipe", "build_fit"]

OPTIMIZERS = {"adam": Adam, "muon": Muon}
SMALLEST_STAGE = 6
"""The least number of cells along the longer side of a coarser picture; smaller ones are left out."""

HELD_OUT = 0.1
"""The share of the training examples that is held out where the best chart is kept and nothing else is said."""
MOST_HELD_OUT, FEWEST_HELD_OUT = 1000, 50
"""The most examples that are held out so, and the fewest by which charts are told apart."""


@dataclass(frozen=True, kw_only=True)
class FitRecipe(DescentRecipe[FitConfig]):
    """The objects of a fit, on its device.

    While the number of surveyed examples is undecided, ``surveyed`` has the smallest possible number.
    """

    chart: Startable
    picture: Raster
    kind: PictureKind[Any]
    """The kind of the picture."""
    sampled: npt.NDArray[np.bool_]
    """The cells that the fit may sample, shaped like the picture."""
    extent: Extent
    """The extent of the survey."""

    def surveying(self, examples: str) -> FitRecipe:
        """Return the same recipe with a survey of this number of examples per split, or ``all``."""
        chosen = self.base.take_examples(examples, self.surveyed)
        return replace(self, config=replace(self.config, examples=examples), surveyed=chosen)

    @property
    def grid(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the coordinates of the survey along each axis."""
        return self.picture.grid(self.config.padding)

    @property
    def keep_best(self) -> KeepBest | None:
        if not self.config.keep_best or self.data.holdout is None:
            return None
        return KeepBest(self.data.holdout, eval_batch_size=self.config.eval_batch_size)

    @property
    def average_last(self) -> float:
        return self.config.average_last

    def begin_fit(self, engine: Engine, target_gap: float | None = None) -> Fit:
        return super().begin_fit(engine, self.config.target_gap if target_gap is None else target_gap)

    def fingerprints(self) -> dict[str, str]:
        contents = self.picture.list_contents().items()
        cells = fingerprint([(name, torch.from_numpy(np.array(values))) for name, values in contents])
        return {**super().fingerprints(), "picture": cells}


def build_fit(config: FitConfig, *, begins: bool = False) -> FitRecipe:
    """Build the recipe of a fit from its configuration.

    Args:
        config: the configuration.
        begins: whether the run begins, and decides what its configuration leaves open: whether training examples are
            held out to keep the best chart, and how many. A run that is there has recorded it; if not, it held out
            none.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    source = find_source(
        config.pattern, config.invert, check_options("pattern", config.pattern, config.pattern_options)
    )
    picture = source.render(parse_size(config.size) if config.size is not None else None)
    kind = find_picture_kind(picture)
    kind.check(picture, config)
    base = build_problem(config, config.splits)
    config, base, kept = _hold_out(config, kind, base) if begins else (config, base, ())
    problem, space, module = base.problem, base.space, base.problem.module
    picture = kind.settle(picture, base.data)
    notes = [*kept, *(bring_module(config.checkpoint, base) if config.checkpoint is not None else ())]
    notes += kind.list_notes(picture, base.data)
    buffers, survey_buffers = (
        base.make_buffers(name, config)
        for name in (config.buffers, config.survey_buffers if config.survey_buffers != AUTO else config.buffers)
    )
    metrics = make_metrics(problem.loss, config, kind.list_metrics(config, base.data))
    sides = [side + 2 * config.padding for side in picture.shape]
    numbers = count_numbers(metrics, sampled=config.examples != "all")
    extent = Extent(prod(sides), len(config.splits), numbers)
    extent.check("size with padding", " x ".join(f"{side:,}" for side in sides))
    kind.check_loss(problem.loss, config)
    axes = config.axes if config.axes is not None else len(picture.axes)
    if axes != len(picture.axes):
        raise BadInput(
            f"picture {picture.name!r} has {len(picture.axes)} axes and the chart {axes}; expected the same number: "
            "leave --axes out, or choose another picture"
        )
    # Coordinates are in units of half the longer side, which has max(shape) / 2 cells.
    unit = max(picture.shape) / 2 if config.scale_unit == "cell" else 1.0
    chart = make_chart(
        config.chart,
        Startable.named(config.chart).random,
        module,
        axes,
        initialiser=INITIALISERS[config.init](),
        scale=config.scale * unit,
        seed=config.seed,
        space=space,
        origin=space.vector_of(module) if config.checkpoint is not None else None,
        train_origin=config.train_origin if config.train_origin is not None else config.checkpoint is None,
        anchor=[coords[0] for coords in picture.grid(0).values()] if config.origin_at == "corner" else None,
        extent=picture.extent,
        options=check_options("chart", config.chart, config.chart_options),
    )
    examples = str(FEWEST) if config.examples == AUTO else config.examples
    has_scale = "scale" in dict(chart.named_parameters())
    if config.scale_lr is not None and not has_scale:
        raise BadInput(
            f"scale_lr is the learning rate of a scale, which chart {config.chart!r} does not train; leave it out, "
            "or say --scale_lr none where a preset or a file sets it"
        )
    config = settle_fit(config, module, kind.list_usual(picture, config, base.data), chart)
    objective: Objective
    objective, sampled = _build_objective(config, kind, source, picture, base.data)
    if config.isometry:
        objective = Isometric(objective, chart, config.isometry)
    lr = require(config.lr)
    factors = {"scale": require(config.scale_lr) * unit / lr} if has_scale else {}
    return FitRecipe(
        config=config,
        picture=picture,
        kind=kind,
        sampled=sampled,
        objective=objective,
        base=base,
        buffers=buffers,
        survey_buffers=survey_buffers,
        chart=chart.to(base.device),
        surveyed=base.take_examples(examples, config.splits),
        metrics=metrics,
        optimizer=OPTIMIZERS[config.optimizer](lr=lr, betas=config.betas, max_norm=config.max_norm, factors=factors),
        extent=extent,
        notes=tuple(notes),
    )


def _hold_out(
    config: FitConfig, kind: PictureKind[Any], base: ProblemRecipe
) -> tuple[FitConfig, ProblemRecipe, tuple[str, ...]]:
    """Decide whether the best chart is kept, and hold out training examples for it where none are held out already.

    Returns:
        The configuration with both as numbers, the problem without the examples, and what is to be told of it.

    Raises:
        BadInput: the best chart is asked for, and there are too few training examples.
    """
    examples = len(base.data.train)
    wanted = kind.keeps_best if config.keep_best is None else config.keep_best
    if not wanted or config.holdout or base.data.holdout is not None:
        return replace(config, keep_best=wanted), base, ()
    count = min(MOST_HELD_OUT, round(HELD_OUT * examples))
    if count < FEWEST_HELD_OUT:
        few = f"a tenth of {examples:,} training examples is too few to tell which chart is best"
        if config.keep_best:
            raise BadInput(f"keep_best: {few}; leave it out, or say how many are held out with --holdout N")
        return replace(config, keep_best=False), base, (f"{few}: the chart of the last step is kept",)
    data = base.data.hold_out(count)
    told = (
        f"{count:,} of {examples:,} training examples are held out, and the chart that scores best on them is kept; "
        "--no_keep_best fits all"
    )
    return (
        replace(config, keep_best=True, holdout=count),
        replace(base, data=data, train=data.train.to(base.device)),
        (told,),
    )


def _build_objective(
    config: FitConfig, kind: PictureKind[Any], source: Source, picture: Raster, data: Dataset
) -> tuple[Objective, npt.NDArray[np.bool_]]:
    """Build the objective, from coarse pictures to fine ones, and the mask of cells that the last one may sample."""
    coarse, shares = require(config.coarse), require(config.shares)
    last, sampled = kind.build_objective(picture, config)
    stages = []
    for fraction, share in zip(coarse if source.scalable else (), shares, strict=False):
        shape = tuple(round(side * fraction) for side in picture.shape)
        if min(shape) < SMALLEST_STAGE or shape == picture.shape:
            continue
        try:
            smaller, _ = kind.build_objective(kind.settle(source.render(shape), data), config)
        except BadInput:
            continue  # at this size the low or the high cells vanish
        stages.append(Stage(smaller, share))
    return CoarseToFine([*stages, Stage(last, shares[-1])], config.there), sampled
