"""Training: a small, clear loop for making minima on purpose."""

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
from lossatlas.errors import BadInput, CannotFinish, in_one_line
from lossatlas.files.reading import converted
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
"""Examples per step, by default."""
REMEMBERED = 20
"""About how many steps the running numbers remember."""


@dataclass(frozen=True)
class Switch:
    """Another optimiser from an epoch on, with a fresh state."""

    epoch: float
    optimizer: OptimizerChoice


def parse_switch(spec: str) -> Switch:
    """The switch that ``EPOCH:NAME,option=value,...`` stands for.

    Raises:
        BadInput: the epoch or the optimiser cannot be read.

    >>> parse_switch("100:sgd,lr=0.01").epoch
    100.0
    """
    epoch, colon, optimizer = spec.partition(":")
    try:
        when = float(epoch)
    except ValueError:
        colon = ""
    if not colon or not when > 0 or not is_ordinary(when):
        raise BadInput(f"switch {spec!r} cannot be read; expected EPOCH:OPTIMIZER, as in 100:sgd,lr=0.01")
    return Switch(when, parse_optimizer(optimizer))


@dataclass(frozen=True)
class _Numbers:
    """What is stored of a training beside its tensors."""

    steps: Tally
    seconds: Elapsed
    optimizer: dict[str, Any]


class Training:
    """A training that can be stepped, stopped, stored and continued; equal arguments give equal networks.

    Args:
        problem: its module is trained in place, on the device that it is on.
        space: the parameters that are trained; the others are held, and so are those that do not require gradients.
        split: training examples, or what :meth:`Split.of` makes a split of.
        epochs: how often all examples are seen (in parts, too); examples that are left over by the last full batch
            of an epoch are not.
        optimizer: the first one.
        schedule: of the learning rate, over the whole training.
        switches: to other optimisers, in the order of their epochs.
        batch_size: examples per step, drawn in epochs without replacement; default the split's own, where it was made
            of a loader, else 128.
        seed: of batches, augmentation and what the module draws.
        augment: applied to the images of each step's batch.

    Raises:
        BadInput: a switch at or after the end, or before the one before it; numbers that cannot be; parameters of
            several kinds of numbers, or none to train; examples that cannot be augmented, or that the module fails on.
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
            raise BadInput(f"a training of {epochs} epochs; expected a positive number")
        self.module = problem.module
        self.epochs = epochs
        self.steps = 0
        self.seconds = 0.0
        self.running: dict[str, float] = {}
        """Exponential means of the numbers of a batch, over about 20 steps; not stored."""
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
        )  # refused now or never
        self._phases = self._planned(optimizer, switches, epochs)
        self._vector = _flat_parameters(self.module, space)
        self._start = self._vector.clone()
        self._phase = 0
        self._optimizer = self._built()
        self._metrics = choose_streaming_metrics(problem.loss)
        self.members = sorted({self._lowest(share) for share in schedule.lowest()})
        """After how many steps the learning rate was lowest: members of an ensemble."""
        self._try()

    @property
    def _loss(self) -> Loss:
        return self._handed.loss

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._vector.device

    @property
    def progress(self) -> float:
        """The share of the steps that is done."""
        return self.steps / self.total_steps

    @property
    def done(self) -> bool:
        """Whether all steps are."""
        return self.steps >= self.total_steps

    def _lowest(self, share: float) -> int:
        """Steps that are made once that of the lowest rate is, which is at a share of them or just before."""
        at = min(self.total_steps - 1, round(share * self.total_steps))
        return 1 + min((at, max(0, at - 1)), key=lambda step: self._schedule(step / self.total_steps))

    def step(self) -> dict[str, float]:
        """One step of the optimiser; returns what it came to.

        ``step`` counts from 0: after the step that is called k, k + 1 are made. ``loss`` and ``accuracy`` are those of
        the batch before the step; ``distance`` from the start, ``weight_norm`` and ``step_length`` are Euclidean and
        over the parameters of the space, after it.

        Raises:
            CannotFinish: loss or weights are not finite any more.
        """
        started = time.perf_counter()
        self._switch()
        factor = self._schedule(self.progress)
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
            if math.isfinite(record[name]):  # it is not where nothing in the batch counts
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
        """Tensors and JSON types from which :meth:`restore` continues bit for bit."""
        tensors, numbers = read_optimizer_state(self._optimizer)
        tensors |= {f"module.{name}": value for name, value in collect_state(self.module).items()}
        return tensors, {"steps": self.steps, "seconds": self.seconds, "optimizer": numbers}

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: it is the state of another training.
        """
        numbers = converted(scalars, _Numbers)
        state = collect_state(self.module)
        module = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
        check_alike(module, state)
        self.steps, self.seconds = numbers.steps, numbers.seconds
        # The state is the last step's: where the next one switches, a fresh one follows.
        self._phase = self._phase_of(max(0, self.steps - 1))
        self._optimizer = self._built()
        load_optimizer_state(self._optimizer, tensors, numbers.optimizer)
        with torch.no_grad():
            for name, value in state.items():
                value.copy_(module[name])

    def _call(self, batch: Any, module: nn.Module | None = None) -> tuple[Any, Tensor]:
        """Outputs and losses in training mode; what the module draws is a function of seed and step."""
        module = module if module is not None else self.module
        device = self._vector.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # torch.manual_seed notes for each kind of device who called it, which takes as long as a small step.
            seeded = torch.default_generator if device.type == "cpu" else torch
            seeded.manual_seed(make_generator(self._seed, "module", self.steps).initial_seed())
            module.train()
            seen = self._handed.called_with(module, batch)
        return self._handed.judged(seen, batch)

    def _try(self) -> None:
        """Call a copy as steps will call the module: evaluation mode shows nothing of what fails in training mode."""
        batch = self._split.take(self._batches.at(0))
        targets = self._handed.targets(batch)
        try:
            outputs, losses = self._call(batch, copy.deepcopy(self.module))
            first = float(losses.detach() @ share_examples(self._loss.weights(targets), losses))
        except BadInput:
            raise
        except Exception as error:  # the user's own module and data may fail in any way
            raise BadInput(
                f"the model fails in training mode on a batch of {self._batches.size}: {in_one_line(error)}"
            ) from error
        if not math.isfinite(first):
            raise BadInput(
                f"the loss of the first batch is {first} before any step; expected finite data and weights: look for "
                "NaN among them, or lower the weights (init_gain)"
            )
        self._loss.check(outputs, targets, targets)
        total_weights(self._loss, targets, len(losses))
        self._handed.loss = self._loss.settled(outputs, targets)

    def _planned(
        self, optimizer: OptimizerChoice, switches: Sequence[Switch], epochs: float
    ) -> list[tuple[int, OptimizerChoice]]:
        """The first step of every phase, and its optimiser."""
        phases = [(0, optimizer)]
        for switch in switches:
            step = round(switch.epoch * self._batches.per_epoch)
            if step < 1:
                raise BadInput(f"the switch at epoch {switch.epoch:g} comes before the first step; switch later")
            if step >= self.total_steps:
                raise BadInput(
                    f"a switch to {switch.optimizer.name} at epoch {switch.epoch:g} of {epochs:g} would never come; "
                    "switch earlier or train longer"
                )
            if step <= phases[-1][0]:
                raise BadInput(f"the switch at epoch {switch.epoch:g} is not after the one before it; order them")
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
            raise BadInput("no parameter of the model requires gradients, so there is nothing to train")
        return self._phases[self._phase][1].build(trained)

    def _diverged(self, what: str, rate: float) -> CannotFinish:
        return CannotFinish(
            f"the training diverged: {what} at step {self.steps} with a learning rate of {rate:.3g}; use a lower one"
        )


def _flat_parameters(module: nn.Module, space: WeightSpace) -> Tensor:
    """The vector (n,) that the module's trained parameters become views of, so that norms are one operation.

    All others stop asking for gradients, and those that asked for none do not begin to.
    """
    vector = space.vector_of(module)
    places = {name: (entry.slice, entry.shape) for entry in space.entries for name in entry.names}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in places and parameter.requires_grad)
        if name in places:
            if parameter.dtype != vector.dtype:
                raise BadInput(
                    f"parameter {name!r} has dtype {parameter.dtype}, others {vector.dtype}; expected one kind"
                )
            where, shape = places[name]
            parameter.data = vector[where].view(shape)
    return vector
