"""From the configuration of a fit to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.charts import CHARTS, AffineChart
from lossatlas.data import AUGMENTATIONS, Augmentation, Dataset, Split, load_data
from lossatlas.engine import BUFFERS, BuffersPolicy
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Budget, Seconds, Steps
from lossatlas.hashing import fingerprint
from lossatlas.losses import LOSSES, Loss
from lossatlas.metrics import metrics_for
from lossatlas.models import MODELS, load_model
from lossatlas.objectives import CLIPS, CoarseToFine, Levels, Objective, Pattern, Stage
from lossatlas.pictures import GreyPicture, Picture, Raster, Source, parse_size, picture_source
from lossatlas.problem import Dict, Feed, Pair, Problem
from lossatlas.recipes.config import FitConfig
from lossatlas.schedules import SCHEDULES, Schedule
from lossatlas.streams import generator
from lossatlas.weights import INITIALISERS, WeightSpace
from lossatlas.weights.files import load_state, read_state

__all__ = ["FitRecipe", "build_fit"]

SMALLEST_STAGE = 6
"""Coarser pictures than this many cells are left out."""


@dataclass(frozen=True)
class FitRecipe:
    """The objects of a fit, on its device.

    ``drawn`` are the cells that the fit may draw, shaped like the picture's; ``data`` is whole, ``surveyed`` what the
    survey looks at.
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
    metrics: list[str] | None
    budget: Budget
    optimizer: Adam
    schedule: Schedule

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
    device = _device(config.device)
    source = picture_source(config.pattern, config.invert, config.pattern_options)
    picture = source.render(parse_size(config.size) if config.size is not None else None)
    objective, drawn = _objective(config, source, picture)
    with _seeded(config.seed):
        data = load_data(config.data, config.data_options)
    for name in config.splits:
        if name not in data.splits:
            raise BadInput(f"unknown split {name!r} of {config.data}; Choices: {', '.join(data.splits)}")
    feed, inputs, targets = _feed(data.train)
    module = _module(config, data, inputs, targets)
    if config.checkpoint is not None:
        load_state(module, read_state(Path(config.checkpoint)), f"checkpoint {config.checkpoint}")
    space = WeightSpace(module, config.parameters)
    train = data.train.to(device)
    buffers, survey_buffers = (
        BUFFERS[name].for_run(train, config.group, config.buffers_batches)
        for name in (config.buffers, config.survey_buffers or config.buffers)
    )
    problem = Problem(module, _loss(config.loss, targets), feed)
    metrics = list(config.metrics) or None
    metrics_for(problem.loss, metrics)
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
    scale_lr = config.scale_lr if config.scale_lr is not None else config.lr
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
        surveyed={name: _subset(config, name, data.splits[name]).to(device) for name in config.splits},
        metrics=metrics,
        budget=Steps(config.steps) if config.steps is not None else Seconds(config.seconds or 0.0),
        optimizer=Adam(config.lr, config.betas, config.max_norm, {"scale": scale_lr * unit / config.lr}),
        schedule=SCHEDULES[config.schedule](**config.schedule_options),
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"device {name!r} is not available on this machine; use cpu or auto") from error
    return device


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


def _feed(split: Split) -> tuple[Feed, Tensor | None, Tensor]:
    """How batches of this structure are handed over, the inputs where there is one tensor of them, the targets."""
    data: Any = split.data
    if isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        return Pair(), data[0], data[1]
    if isinstance(data, dict) and "labels" in data:
        return Dict(), None, data["labels"]
    raise BadInput("examples must be pairs (inputs, targets), or dicts with the targets under 'labels'")


def _module(config: FitConfig, data: Dataset, inputs: Tensor | None, targets: Tensor) -> nn.Module:
    if ":" in config.model:
        with _seeded(config.seed):
            return load_model(config.model)
    family = MODELS[config.model](**config.model_options)
    if inputs is None:
        raise BadInput(f"model {config.model!r} takes one tensor; for dict batches give --model module:callable")
    outputs = data.classes if data.classes is not None else max(1, targets[0].numel())
    with _seeded(config.seed):
        return family.build(tuple(inputs.shape[1:]), outputs)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """What a user's code or a constructor draws is the run's own, so that the run can be resumed and repeated."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _loss(name: str, targets: Tensor) -> Loss:
    if name == "auto":
        name = "squared_error" if targets.is_floating_point() else "cross_entropy"
    return LOSSES[name]()


def _subset(config: FitConfig, name: str, split: Split) -> Split:
    if config.examples == "all":
        return split
    return split.subset(int(config.examples), generator(0, f"survey/{name}"))
