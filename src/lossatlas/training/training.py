"""Training: a plain loop of optimiser steps on a module."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.bounds import Elapsed, Tally, is_ordinary
from lossatlas.data import Augmentation, Batches, Split, augment_batch
from lossatlas.engine import Evaluation, Folded
from lossatlas.engine.private import Handed
from lossatlas.engine.setup import choose_batch_size, find_device
from lossatlas.errors import BadInput, CannotFinish, format_error
from lossatlas.files.reading import convert
from lossatlas.files.tensors import check_alike
from lossatlas.losses import Loss, share_examples, total_weights
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.optimizer_state import load_optimizer_state, read_optimizer_state
from lossatlas.problem import Problem
from lossatlas.schedules import Schedule
from lossatlas.streams import make_generator
from lossatlas.training.optimizers import OptimizerChoice, parse_optimizer
from lossatlas.types import Source
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import collect_state

__all__ = ["Switch", "Training", "parse_switch"]


BATCH = 128
"""The default number of examples per step."""
REMEMBERED = 20
"""The time constant of running means, in steps."""


@dataclass(frozen=True)
class Switch:
    """A change to another optimiser, with a fresh state, at an epoch."""

    epoch: float
    """The epoch from which the optimiser is used; may be a fraction."""
    optimizer: OptimizerChoice
    """The optimiser from then on."""


def parse_switch(spec: str) -> Switch:
    """Parse ``EPOCH:NAME,option=value,...`` as a switch of the optimiser.

    Raises:
        BadInput: the epoch is not a positive number, or the optimiser cannot be parsed.

    >>> parse_switch("100:sgd,lr=0.01").epoch
    100.0
    """
    epoch, colon, optimizer = spec.partition(":")
    try:
        when = float(epoch)
    except ValueError:
        colon = ""
    if not colon or not when > 0 or not is_ordinary(when):
        raise BadInput(f"{spec!r} is not a switch; expected EPOCH:OPTIMIZER, as in 100:sgd,lr=0.01")
    return Switch(when, parse_optimizer(optimizer))


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a stored training, beside its tensors."""

    steps: Tally
    seconds: Elapsed
    optimizer: dict[str, Any]


class Training:
    """A training that can be stepped, stopped, stored and resumed; equal arguments give equal networks.

    Args:
        problem: module, loss and feed; the module is trained in place, on its device.
        space: the parameters that are trained; the others are held fixed, and so are those that do not require
            gradients.
        split: the training examples, or anything that :meth:`Split.of` accepts.
        epochs: number of passes over the examples; may be a fraction. Examples that do not fill the last batch of an
            epoch are left out of that epoch.
        optimizer: the optimiser that the training starts with.
        schedule: the factor of the learning rate as a function of the progress of the whole training.
        switches: changes to other optimisers, in the order of their epochs.
        batch_size: number of examples per step, sampled without replacement within an epoch; by default that of the
            loader that the split was made from, else 128.
        seed: the seed of batches, augmentation and the module's own randomness, such as dropout.
        augment: augmentations of the images of each step's batch, applied in order.

    Raises:
        BadInput: a switch comes after the end or is out of order, a number is outside its range, parameters have
            several dtypes, the schedule has more cycles than the steps allow, the module has nothing to train or fails
            on the examples, or the examples cannot be augmented.

    >>> import torch, lossatlas as la
    >>> from lossatlas.training.optimizers import parse_optimizer
    >>> problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> training = la.Training(
    ...     problem, la.WeightSpace(problem.module), examples, epochs=2, batch_size=32,
    ...     optimizer=parse_optimizer("sgd,lr=0.1"), schedule=la.Constant(),
    ... )
    >>> while not training.done:
    ...     record = training.step()
    >>> training.steps, record["lr"], record["epoch"]
    (4, 0.1, 2.0)
    """

    def __init__(
        self,
        problem: Problem,
        space: WeightSpace,
        split: Split | Source,
        *,
        epochs: float,
        optimizer: OptimizerChoice,
        schedule: Schedule,
        switches: Sequence[Switch] = (),
        batch_size: int | None = None,
        seed: int = 0,
        augment: Sequence[Augmentation] = (),
    ) -> None:
        if not 0 < epochs < math.inf:
            raise BadInput(f"{epochs} is not a number of epochs; expected a positive, finite number")
        self.module = problem.module
        self.epochs = epochs
        self.steps = 0
        self.seconds = 0.0
        self.running: dict[str, float] = {}
        """Exponential moving averages of the numbers of a batch, over about 20 steps; they are not stored."""
        self._problem = problem
        self._handed = Handed(problem.feed, problem.loss)
        self._space = space
        split = Split.of(split).to(find_device(problem.module))
        self._split = split
        self._batches = Batches(split, choose_batch_size(batch_size, split, BATCH), seed)
        self.total_steps = max(1, round(epochs * self._batches.per_epoch))
        self._schedule = schedule
        self._seed = seed
        self._augment = tuple(augment)
        augment_batch(
            split.take(torch.arange(1)), self._augment, make_generator(seed, "augment")
        )  # augmentations that cannot be applied are refused here
        self._phases = self._planned(optimizer, switches, epochs)
        self._vector = _flat_parameters(self.module, space)
        self._start = self._vector.clone()
        self._phase = 0
        self._optimizer = self._built()
        self._metrics = choose_streaming_metrics(problem.loss)
        self.members = schedule.list_members(self.total_steps)
        """The numbers of steps after which the learning rate is lowest, where members of an ensemble are kept."""
        self._try()

    @property
    def _loss(self) -> Loss:
        return self._handed.loss

    @property
    def space(self) -> WeightSpace:
        """Return the parameters that are trained."""
        return self._space

    @property
    def device(self) -> torch.device:
        """Return the device of the network."""
        return self._vector.device

    @property
    def progress(self) -> float:
        """Return the share of the steps that is done."""
        return self.steps / self.total_steps

    @property
    def done(self) -> bool:
        """Return whether all steps are done."""
        return self.steps >= self.total_steps

    def step(self) -> dict[str, float]:
        """Make one optimiser step and return its record.

        In the record, ``step`` counts from 0. ``loss`` (in the unit of the loss) and ``accuracy`` (in [0, 1]) are
        those of the batch before the step. ``distance`` from the start, ``weight_norm`` and ``step_length`` are
        Euclidean norms over the parameters of the space, after the step.

        Raises:
            CannotFinish: the loss or the weights are not finite.
        """
        started = time.perf_counter()
        self._switch()
        factor = self._schedule.at_step(self.steps, self.total_steps)
        rate = self._phases[self._phase][1].lr * factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = augment_batch(
            self._split.take(self._batches.at(self.steps)),
            self._augment,
            make_generator(self._seed, "augment", self.steps),
        )
        outputs, losses = self._call(batch)
        targets = self._handed.targets(batch)
        loss = losses @ share_examples(self._loss.weights(targets), losses)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}", rate)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        left = self._vector.clone()
        self._optimizer.step()
        norm = float(self._vector.norm())
        if not math.isfinite(norm):
            raise self._diverged("the weights are not finite", rate)
        record = {"step": self.steps, "epoch": (self.steps + 1) / self._batches.per_epoch}
        evaluation = Evaluation.of_one(outputs, losses, targets, batch, self._loss)
        for name, metric in self._metrics.items():
            sums = metric.sums(evaluation).double()
            folded = Folded(sums, len(losses), len(losses), lambda: left.double().square().sum()[None])
            record[name] = float(metric.value(folded))
            if math.isfinite(record[name]):  # NaN where all examples of the batch have weight zero
                before = self.running.get(name, record[name])
                self.running[name] = before + (record[name] - before) / REMEMBERED
        record |= {
            "lr": rate,
            "phase": self._phase,
            "distance": float((self._vector - self._start).norm()),
            "weight_norm": norm,
            "step_length": float((self._vector - left).norm()),
        }
        self.steps += 1
        self.seconds += time.perf_counter() - started
        return {**record, "seconds": self.seconds}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and JSON values from which :meth:`restore` continues bit for bit."""
        tensors, numbers = read_optimizer_state(self._optimizer)
        tensors |= {f"module.{name}": value for name, value in collect_state(self.module).items()}
        return tensors, {"steps": self.steps, "seconds": self.seconds, "optimizer": numbers}

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state` returned.

        Raises:
            ValueError: it is the state of a different training.
        """
        numbers = convert(scalars, _Numbers)
        state = collect_state(self.module)
        module = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
        check_alike(module, state)
        self.steps, self.seconds = numbers.steps, numbers.seconds
        # The stored state belongs to the last step; if the next step switches, it gets a fresh optimiser.
        self._phase = self._phase_of(max(0, self.steps - 1))
        self._optimizer = self._built()
        load_optimizer_state(self._optimizer, tensors, numbers.optimizer)
        with torch.no_grad():
            for name, value in state.items():
                value.copy_(module[name])

    def _call(self, batch: Any, module: nn.Module | None = None) -> tuple[Any, Tensor]:
        """Return outputs and losses in training mode; the module's randomness is a function of the seed and the
        step.
        """
        module = module if module is not None else self.module
        device = self._vector.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # torch.manual_seed records the caller for each kind of device, which takes as long as a small step.
            seeded = torch.default_generator if device.type == "cpu" else torch
            seeded.manual_seed(make_generator(self._seed, "module", self.steps).initial_seed())
            module.train()
            seen = self._handed.called_with(module, batch)
        return self._handed.judged(seen, batch)

    @property
    def kept_members(self) -> list[int]:
        """Return the steps after which members of an ensemble are kept; none where the last network is the only one."""
        return self.members if self.members != [self.total_steps] else []

    def _try(self) -> None:
        """Call a copy of the module as steps will: some modules fail in training mode and not in evaluation mode."""
        batch = self._split.take(self._batches.at(0))
        targets = self._handed.targets(batch)
        try:
            outputs, losses = self._call(batch, copy.deepcopy(self.module))
            first = float(losses.detach() @ share_examples(self._loss.weights(targets), losses))
        except BadInput:
            raise
        except Exception as error:  # the user's own module and data may fail in any way
            raise BadInput(
                f"the model fails in training mode on a batch of {self._batches.size}: {format_error(error)}"
            ) from error
        if not math.isfinite(first):
            raise BadInput(
                f"the loss of the first batch is {first} before any step; expected a finite number: look for NaN in "
                "the data and weights, or lower the weights (init_gain)"
            )
        self._loss.check(outputs, targets, targets)
        total_weights(self._loss, targets, len(losses))
        self._handed.loss = self._loss.settled(outputs, targets)

    def _planned(
        self, optimizer: OptimizerChoice, switches: Sequence[Switch], epochs: float
    ) -> list[tuple[int, OptimizerChoice]]:
        """Return the first step of each phase between switches, and its optimiser."""
        phases = [(0, optimizer)]
        for switch in switches:
            step = round(switch.epoch * self._batches.per_epoch)
            if step < 1:
                raise BadInput(
                    f"the switch at epoch {switch.epoch:g} comes before the first step; expected a later epoch"
                )
            if step >= self.total_steps:
                raise BadInput(
                    f"the switch to {switch.optimizer.name} at epoch {switch.epoch:g} comes after the last of "
                    f"{epochs:g} epochs; switch earlier or train longer"
                )
            if step <= phases[-1][0]:
                raise BadInput(
                    f"the switch at epoch {switch.epoch:g} is not later than the one before it; expected rising epochs"
                )
            phases.append((step, switch.optimizer))
        return phases

    def _phase_of(self, step: int) -> int:
        return sum(step >= begin for begin, _ in self._phases) - 1

    def _switch(self) -> None:
        phase = self._phase_of(self.steps)
        if phase != self._phase:
            self._phase = phase
            self._optimizer = self._built()

    def _built(self) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        if not trained:
            raise BadInput("the model has nothing to train; expected at least one parameter that requires gradients")
        return self._phases[self._phase][1].build(trained)

    def _diverged(self, what: str, rate: float) -> CannotFinish:
        return CannotFinish(
            f"the training diverged: {what} at step {self.steps} with a learning rate of {rate:.3g}; use a lower one"
        )


def _flat_parameters(module: nn.Module, space: WeightSpace) -> Tensor:
    """Make the module's trained parameters views of one vector (n,), so that norms are one operation.

    All other parameters no longer require gradients, and those that did not require them stay so.
    """
    vector = space.vector_of(module)
    places = {name: (entry.slice, entry.shape) for entry in space.entries for name in entry.names}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in places and parameter.requires_grad)
        if name in places:
            if parameter.dtype != vector.dtype:
                raise BadInput(
                    f"parameter {name!r} has dtype {parameter.dtype}, others {vector.dtype}; expected one dtype"
                )
            where, shape = places[name]
            parameter.data = vector[where].view(shape)
    return vector
