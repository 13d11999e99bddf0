"""From the configuration of a training to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from lossatlas.bounds import MOST_STEPS, written
from lossatlas.data import AUGMENTATIONS, Dataset, Split
from lossatlas.errors import BadInput
from lossatlas.problem import Problem
from lossatlas.recipes.base import require
from lossatlas.recipes.networks import bring_module, check_finite
from lossatlas.recipes.options import check_options
from lossatlas.recipes.problem import build_problem, hash_data, hash_network
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.schedules import SCHEDULES
from lossatlas.surveying.standing import Standing
from lossatlas.training import OptimizerChoice, Thinning, Training, parse_optimizer, parse_switch, parse_thinning
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import collect_state

__all__ = ["TrainRecipe", "build_train"]


@dataclass(frozen=True)
class TrainRecipe:
    """The objects of a training, on its device."""

    problem: Problem
    space: WeightSpace
    data: Dataset
    evaluated: dict[str, Split]
    training: Training
    thinning: Thinning | None
    """Which steps are kept; None: no trajectory."""
    start: str
    """A hash of the weights at the start."""
    twin: Callable[[], Training]
    """Makes a training of a copy of the module, to be stepped and thrown away."""
    notes: tuple[str, ...] = ()
    """What somebody should know of the file that these are in."""

    @property
    def disk(self) -> int:
        """Bytes that the run takes on disk at least: the network, where it came by, and a checkpoint."""
        state = collect_state(self.problem.module).values()
        kept = 0 if self.thinning is None else self.thinning.count(self.training.total_steps, self.training.epochs)
        return (kept + 2) * sum(value.numel() * value.element_size() for value in state)

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what a configuration names and does not hold: data and weights at the start."""
        return {**hash_data(self.data), "module": self.start}


def build_train(config: TrainConfig) -> TrainRecipe:
    """The objects that a configuration stands for.

    Raises:
        BadInput: the first thing that is wrong with it.
    """
    thinning = parse_thinning(config.snapshots)
    optimizer = _decaying(parse_optimizer(config.optimizer).with_options(lr=config.lr), config)
    switches = [parse_switch(spec) for spec in config.switch]
    switches = [replace(switch, optimizer=_decaying(switch.optimizer, config)) for switch in switches]
    base = build_problem(config)
    module = base.problem.module
    notes = bring_module(config.init_from, base, called="the start") if config.init_from is not None else ()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(config.init_gain)
    check_finite(module, "the start" if config.init_gain == 1 else f"the start, with init_gain {config.init_gain:g},")
    start = hash_network(module)
    module.to(base.device)
    evaluated = base.take_examples("all", base.data.splits)
    for split in evaluated.values():  # what the summary would refuse is refused now
        Standing(base.problem, base.space, split, eval_batch_size=config.eval_batch_size)
    begin = partial(
        Training,
        space=base.space,
        split=base.train,
        epochs=config.epochs,
        optimizer=optimizer,
        schedule=SCHEDULES[config.schedule](**check_options("schedule", config.schedule, config.schedule_options)),
        switches=switches,
        batch_size=require(config.batch_size),
        seed=config.seed,
        augment=[AUGMENTATIONS[name]() for name in config.augment],
    )
    training = begin(base.problem)
    if training.total_steps > MOST_STEPS:
        raise BadInput(
            f"epochs is {config.epochs:g}, which are {written(training.total_steps)} steps; expected {MOST_STEPS:,} at "
            "most, a year of the shortest"
        )
    twin = _twin_of(base.problem, begin)
    return TrainRecipe(base.problem, base.space, base.data, evaluated, training, thinning, start, twin, notes)


def _twin_of(problem: Problem, begin: Callable[[Problem], Training]) -> Callable[[], Training]:
    """What makes a training of a copy of a problem's module as it is when that is made."""

    def twin() -> Training:
        copied = copy.copy(problem)
        copied.module = copy.deepcopy(problem.module)
        return begin(copied)

    return twin


def _decaying(optimizer: OptimizerChoice, config: TrainConfig) -> OptimizerChoice:
    """With the common weight decay, unless it states its own."""
    own = "weight_decay" in optimizer.options
    return optimizer if own else optimizer.with_options(weight_decay=config.weight_decay)
