"""From the configuration of a fit to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import torch

from lossatlas.charts import CHARTS, AffineChart
from lossatlas.data import AUGMENTATIONS, Augmentation, Dataset, Split
from lossatlas.engine import BUFFERS, BuffersPolicy
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Budget, Seconds, Steps
from lossatlas.hashing import fingerprint
from lossatlas.metrics import metrics_for
from lossatlas.objectives import CLIPS, CoarseToFine, Levels, Objective, Pattern, Stage
from lossatlas.pictures import GreyPicture, Picture, Raster, Source, parse_size, picture_source
from lossatlas.problem import Problem
from lossatlas.recipes.base import AUTO, stated
from lossatlas.recipes.fit_config import FEWEST, FitConfig
from lossatlas.recipes.options import checked
from lossatlas.recipes.problem import build_problem, surveyed_subset
from lossatlas.recipes.room import Extent
from lossatlas.recipes.slicing import check_finite
from lossatlas.schedules import SCHEDULES, Schedule
from lossatlas.training.start import starting_state
from lossatlas.weights import INITIALISERS, WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["FitRecipe", "build_fit"]

SMALLEST_STAGE = 6
"""Coarser pictures than this many cells are left out."""


@dataclass(frozen=True)
class FitRecipe:
    """The objects of a fit, on its device.

    ``drawn`` are the cells that the fit may draw, shaped like the picture's; ``data`` is whole, ``surveyed`` what the
    survey looks at: the fewest examples that it may come to, as long as how many is undecided.
    """

    picture: Raster
    drawn: npt.NDArray[np.bool_]
    objective: Objective
    problem: Problem
    space: WeightSpace
    buffers: BuffersPolicy
    survey_buffers: BuffersPolicy
    chart: AffineChart
    data: Dataset
    train: Split
    augment: list[Augmentation]
    surveyed: dict[str, Split]
    metrics: tuple[str, ...]
    budget: Budget
    optimizer: Adam
    schedule: Schedule
    extent: Extent
    """Of the survey."""
    notes: tuple[str, ...] = ()
    """What somebody should know of the file of weights."""

    def surveying(self, examples: str) -> FitRecipe:
        """The same fit with a survey of so many examples per split, or ``all``."""
        device = self.train.device
        chosen = {name: surveyed_subset(examples, name, self.data.splits[name]).to(device) for name in self.surveyed}
        return replace(self, surveyed=chosen)

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what a configuration names and does not hold: data, picture and module."""
        splits = {f"data/{name}": split.fingerprint() for name, split in self.data.splits.items()}
        cells = fingerprint([("target", torch.from_numpy(self.picture.target))])
        return {**splits, "picture": cells, "module": fingerprint(self.problem.module.state_dict().items())}


def build_fit(config: FitConfig) -> FitRecipe:
    """The objects that a configuration stands for.

    Raises:
        BadInput: the first thing that is wrong with it.
    """
    source = picture_source(config.pattern, config.invert, checked("pattern", config.pattern, config.pattern_options))
    picture = source.render(parse_size(config.size) if config.size is not None else None)
    objective, drawn = _objective(config, source, picture)
    base = build_problem(config, config.splits)
    problem, space, data, train, device = base.problem, base.space, base.data, base.train, base.device
    module = problem.module
    notes: tuple[str, ...] = ()
    if config.checkpoint is not None:
        notes = load_state(module, starting_state(config.checkpoint), f"checkpoint {config.checkpoint}")
        check_finite(module, f"checkpoint {config.checkpoint}")
    buffers, survey_buffers = (
        BUFFERS[name].for_run(train, config.eval_batch_size, config.buffers_batches)
        for name in (config.buffers, config.survey_buffers if config.survey_buffers != AUTO else config.buffers)
    )
    sides = [side + 2 * config.padding for side in picture.shape]
    extent = Extent(
        prod(sides), len(config.splits), len(metrics_for(problem.loss, config.metrics)), errors=config.examples != "all"
    )
    extent.check("size with padding", " x ".join(f"{side:,}" for side in sides))
    if config.target_gap is not None and not problem.loss.classifies:
        raise BadInput("target_gap is a gap of accuracies, and this loss has none; leave it out")
    if config.target_gap is not None and isinstance(picture, GreyPicture):
        raise BadInput("target_gap is a gap between low and high cells, and a grey picture has none; leave it out")
    axes = config.axes if config.axes is not None else len(picture.axes)
    if axes != len(picture.axes):
        raise BadInput(
            f"picture {picture.name!r} has {len(picture.axes)} axes and the chart {axes}; leave --axes out or choose "
            "a picture of that rank"
        )
    # Lengths are in units of half the longer side; a cell is one in max(shape) / 2 of them.
    unit = max(picture.shape) / 2 if config.scale_unit == "cell" else 1.0
    affine = CHARTS[config.chart]
    if not issubclass(affine, AffineChart):
        raise BadInput(f"chart {config.chart!r} does not start from random directions; choose plane or corners")
    chart = affine.random(
        module,
        axes,
        initialiser=INITIALISERS[config.init](),
        scale=config.scale * unit,
        seed=config.seed,
        space=space,
        origin=space.vector_of(module) if config.checkpoint is not None else None,
        train_origin=config.train_origin if config.train_origin is not None else config.checkpoint is None,
        anchor=[coords[0] for coords in picture.grid(0).values()] if config.origin_at == "corner" else None,
    )
    examples = str(FEWEST) if config.examples == AUTO else config.examples
    lr = stated(config.lr)
    scale_lr = config.scale_lr if config.scale_lr is not None else lr
    return FitRecipe(
        picture=picture,
        drawn=drawn,
        objective=objective,
        problem=problem,
        space=space,
        buffers=buffers,
        survey_buffers=survey_buffers,
        chart=chart.to(device),
        data=data,
        train=train,
        augment=[AUGMENTATIONS[name]() for name in config.augment],
        surveyed={name: surveyed_subset(examples, name, data.splits[name]).to(device) for name in config.splits},
        metrics=config.metrics,
        budget=Steps(config.steps) if config.steps is not None else Seconds(config.seconds or 0.0),
        optimizer=Adam(lr, config.betas, config.max_norm, {"scale": scale_lr * unit / lr}),
        schedule=SCHEDULES[config.schedule](**checked("schedule", config.schedule, config.schedule_options)),
        extent=extent,
        notes=notes,
    )


def _objective(config: FitConfig, source: Source, picture: Raster) -> tuple[Objective, npt.NDArray[np.bool_]]:
    """Coarse pictures first, and which cells of the last one may be drawn."""
    clip = CLIPS[config.clip](config.threshold)

    def objective(raster: Raster) -> Levels | Pattern:
        if isinstance(raster, GreyPicture):
            return Levels(raster, cells=config.cells)
        assert isinstance(raster, Picture)
        return Pattern(raster, cells=config.cells, clip=clip, boundary_only=config.boundary_only)

    stages = []
    for fraction, share in zip(config.coarse if source.scalable else (), config.shares, strict=False):
        shape = tuple(round(side * fraction) for side in picture.shape)
        if min(shape) < SMALLEST_STAGE or shape == picture.shape:
            continue
        try:
            stages.append(Stage(objective(source.render(shape)), share))
        except BadInput:
            continue  # at this size nothing is left of one of the classes
    last = objective(picture)
    return CoarseToFine([*stages, Stage(last, config.shares[-1])], config.there), last.drawn
