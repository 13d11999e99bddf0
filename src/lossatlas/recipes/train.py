"""The recipe of a training: from its configuration to its objects, with all checks before any computation."""

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
from lossatlas.training import (
    Averaging,
    OptimizerChoice,
    Thinning,
    Training,
    check_averaging,
    parse_averaging,
    parse_optimizer,
    parse_switch,
    parse_thinning,
)
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
    """The rule by which steps are kept as snapshots; None records no trajectory."""
    averaging: Averaging | None
    """What is averaged of the weights; None averages nothing."""
    start: str
    """The hash of the initial weights."""
    twin: Callable[[], Training]
    """Makes a training of a copy of the module, for measurements."""
    notes: tuple[str, ...] = ()
    """Notes on the file of the initial weights, for the user."""

    @property
    def disk(self) -> int:
        """Return the least bytes of the run on disk: the network, its trajectory and a checkpoint."""
        state = collect_state(self.problem.module).values()
        kept = 0 if self.thinning is None else self.thinning.count(self.training.total_steps, self.training.epochs)
        return (kept + 2) * sum(value.numel() * value.element_size() for value in state) + 2 * self.averages_bytes

    @property
    def averages_bytes(self) -> int:
        """Return the bytes of the averages of the weights, which a checkpoint holds, too."""
        if self.averaging is None:
            return 0
        doubles = 3 if self.averaging.decay is not None else 2
        return self.space.size * (8 * doubles + 4 * self.averaging.rank)

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the inputs that the configuration names: data and initial weights."""
        return {**hash_data(self.data), "module": self.start}


def build_train(config: TrainConfig) -> TrainRecipe:
    """Build the recipe of a training from its configuration.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    rest = Averaging(begin=config.average_from, rank=config.average_rank, decay=config.average_decay)
    averaging = parse_averaging(config.average, rest)
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
    for split in evaluated.values():  # checks what the summary will evaluate
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
        augment=[AUGMENTATIONS[name]() for name in config.augment or ()],
    )
    training = begin(base.problem)
    if training.total_steps > MOST_STEPS:
        raise BadInput(
            f"epochs is {config.epochs:g}, which are {written(training.total_steps)} steps; expected at most "
            f"{MOST_STEPS:,}, a year of the shortest steps"
        )
    thinning = parse_thinning(config.snapshots, training.kept_members)
    if averaging is not None:
        check_averaging(averaging, training)
    twin = _twin_of(base.problem, begin)
    return TrainRecipe(
        base.problem, base.space, base.data, evaluated, training, thinning, averaging, start, twin, notes
    )


def _twin_of(problem: Problem, begin: Callable[[Problem], Training]) -> Callable[[], Training]:
    """Return a function that makes a training of a copy of the problem's module in its current state."""

    def twin() -> Training:
        copied = copy.copy(problem)
        copied.module = copy.deepcopy(problem.module)
        return begin(copied)

    return twin


def _decaying(optimizer: OptimizerChoice, config: TrainConfig) -> OptimizerChoice:
    """Return the optimiser with the common weight decay, unless it states its own."""
    own = "weight_decay" in optimizer.options
    return optimizer if own else optimizer.with_options(weight_decay=config.weight_decay)
