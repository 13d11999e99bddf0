"""The recipe of a fit: from its configuration to its objects, with all checks before any computation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import torch

from lossatlas.charts import Startable, make_chart
from lossatlas.engine import Engine
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Fit
from lossatlas.hashing import fingerprint
from lossatlas.metrics import count_numbers
from lossatlas.objectives import CLIPS, CoarseToFine, Decorrelated, Levels, Objective, Pattern, Stage
from lossatlas.objectives.residuals import check_residuals
from lossatlas.pictures import GreyPicture, MemberGrid, Picture, Raster, Source, find_source, parse_size
from lossatlas.recipes.base import AUTO, require
from lossatlas.recipes.chart_recipe import DescentRecipe
from lossatlas.recipes.fit_config import FEWEST, FitConfig
from lossatlas.recipes.metrics import make_metrics
from lossatlas.recipes.networks import bring_module
from lossatlas.recipes.options import check_options
from lossatlas.recipes.problem import build_problem
from lossatlas.recipes.room import Extent
from lossatlas.recipes.usual_fit import settle_fit
from lossatlas.weights import INITIALISERS

__all__ = ["FitRecipe", "build_fit"]

SMALLEST_STAGE = 6
"""The least number of cells along the longer side of a coarser picture; smaller ones are left out."""


@dataclass(frozen=True, kw_only=True)
class FitRecipe(DescentRecipe[FitConfig]):
    """The objects of a fit, on its device.

    While the number of surveyed examples is undecided, ``surveyed`` has the smallest possible number.
    """

    chart: Startable
    picture: Raster
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

    def begin_fit(self, engine: Engine, target_gap: float | None = None) -> Fit:
        return super().begin_fit(engine, self.config.target_gap if target_gap is None else target_gap)

    def fingerprints(self) -> dict[str, str]:
        cells = fingerprint([("target", torch.from_numpy(self.picture.target))])
        return {**super().fingerprints(), "picture": cells}


def build_fit(config: FitConfig) -> FitRecipe:
    """Build the recipe of a fit from its configuration.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    source = find_source(
        config.pattern, config.invert, check_options("pattern", config.pattern, config.pattern_options)
    )
    picture = source.render(parse_size(config.size) if config.size is not None else None)
    base = build_problem(config, config.splits)
    problem, space, module = base.problem, base.space, base.problem.module
    notes = bring_module(config.checkpoint, base) if config.checkpoint is not None else ()
    buffers, survey_buffers = (
        base.make_buffers(name, config)
        for name in (config.buffers, config.survey_buffers if config.survey_buffers != AUTO else config.buffers)
    )
    metrics = make_metrics(problem.loss, config)
    sides = [side + 2 * config.padding for side in picture.shape]
    numbers = count_numbers(metrics, sampled=config.examples != "all")
    extent = Extent(prod(sides), len(config.splits), numbers)
    extent.check("size with padding", " x ".join(f"{side:,}" for side in sides))
    if config.target_gap is not None and not problem.loss.classifies:
        raise BadInput("target_gap is a gap of accuracies, which this loss does not have; leave it out")
    if config.target_gap is not None and not isinstance(picture, Picture):
        what = "a grey picture" if isinstance(picture, GreyPicture) else "a grid of members"
        raise BadInput(f"target_gap is a gap between low and high cells, which {what} does not have; leave it out")
    if config.decorrelation:
        check_residuals(problem.loss)
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
            f"scale_lr is the learning rate of a scale, which chart {config.chart!r} does not train; leave it out"
        )
    config = settle_fit(config, module, picture, has_scale=has_scale)
    objective, sampled = _objective(config, source, picture)
    lr = require(config.lr)
    factors = {"scale": require(config.scale_lr) * unit / lr} if has_scale else {}
    return FitRecipe(
        config=config,
        picture=picture,
        sampled=sampled,
        objective=objective,
        base=base,
        buffers=buffers,
        survey_buffers=survey_buffers,
        chart=chart.to(base.device),
        surveyed=base.take_examples(examples, config.splits),
        metrics=metrics,
        optimizer=Adam(lr, config.betas, config.max_norm, factors),
        extent=extent,
        notes=notes,
    )


def _objective(config: FitConfig, source: Source, picture: Raster) -> tuple[Objective, npt.NDArray[np.bool_]]:
    """Make the objective, from coarse pictures to fine ones, and the mask of cells that the last one may sample."""
    clip, cells = CLIPS[config.clip](config.threshold), require(config.cells)
    coarse, shares = require(config.coarse), require(config.shares)

    if config.decorrelation and not isinstance(picture, MemberGrid):
        raise BadInput(
            f"decorrelation is between members of an ensemble, which picture {picture.name!r} does not have; give "
            "--pattern members:K, or leave --decorrelation out"
        )

    def objective(raster: Raster) -> Levels | Pattern | Decorrelated:
        if isinstance(raster, MemberGrid):
            return Decorrelated(raster, weight=config.decorrelation, cells=cells)
        if isinstance(raster, GreyPicture):
            return Levels(raster, cells=cells)
        assert isinstance(raster, Picture)
        return Pattern(raster, cells=cells, clip=clip, boundary_share=config.boundary_share)

    stages = []
    for fraction, share in zip(coarse if source.scalable else (), shares, strict=False):
        shape = tuple(round(side * fraction) for side in picture.shape)
        if min(shape) < SMALLEST_STAGE or shape == picture.shape:
            continue
        try:
            stages.append(Stage(objective(source.render(shape)), share))
        except BadInput:
            continue  # at this size the low or the high cells vanish
    last = objective(picture)
    return CoarseToFine([*stages, Stage(last, shares[-1])], config.there), last.sampled
