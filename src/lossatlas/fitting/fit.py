"""Fits: gradient descent on the trained parameters of a chart under an objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.bounds import Elapsed, Tally, check_arguments
from lossatlas.cards import choose_numbers, draw_history, write_card
from lossatlas.charts import CoefficientChart, check_coefficients, check_controls
from lossatlas.data import Augmentation, Batches, Split, augment_batch
from lossatlas.describing import count_things, write_repr
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.buffers.batch import BatchStatistics
from lossatlas.engine.planning import allow_measuring
from lossatlas.engine.setup import choose_batch_size, engine_for, find_device
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.files.reading import convert
from lossatlas.files.tensors import check_alike
from lossatlas.fitting.adam import Adam
from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.optimizer import ChartOptimizer
from lossatlas.fitting.selection import KeepBest, Kept, Selection
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.objectives import Objective
from lossatlas.optimizer_state import load_optimizer_state, read_optimizer_state
from lossatlas.problem import Problem
from lossatlas.progress import show_progress
from lossatlas.schedules import Schedule
from lossatlas.schedules.kinds.linear import LinearDecay
from lossatlas.streams import make_generator
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = ["Fit", "FitResult", "fit"]

UNTOLD = ("step", "seconds", "stage", "learning_rate_factor")
"""The entries of a step's record that a notebook does not show."""
REMEMBERED = 20
"""The time constant of running means, in steps, and the number of steps before decisions are based on them."""


class Fit:
    """A fit of a chart to an objective that can be stepped, stopped, stored and resumed.

    Equal arguments, an equal plan and an equal budget in steps give equal charts, bit for bit on one machine,
    whether or not the fit was stored and restored in between.

    Args:
        chart: the chart, whose parameters that require gradients are trained in place.
        objective: what is minimised; it samples the points of each step.
        engine: the engine that evaluates the problem.
        split: the training examples, or anything that :meth:`Split.of` accepts.
        budget: the budget, in steps or in seconds.
        optimizer: the optimiser of the chart's parameters.
        schedule: the factor of the learning rate as a function of progress; by default it falls linearly over the
            second half of the budget.
        batch_size: number of examples per step, shared by all points and sampled without replacement within an epoch;
            by default that of the loader that the split was made from, else 32.
        seed: the seed of the sampled points, the batches and the augmentation.
        target_gap: stop when the running mean of ``gap`` reaches this value in the last stage of the objective, in
            (0, 1]. Pattern objectives report ``gap``: the accuracy at low points minus that at high points.
        augment: augmentations of the images of each step's batch, applied in order; all points of a step see the same
            images.
        keep_best: at the end the chart is the best one on held-out examples instead of that of the last step.
        average_last: at the end the chart has the mean of its trained parameters over this last share of the budget, in
            [0, 1], as far as the last stage of the objective goes; 0 for none. With ``keep_best`` looks within it judge
            that mean.

    Raises:
        BadInput: the objective and the chart have different axes, the batch size is below 1, the target gap is not in
            (0, 1] or the loss has no accuracy, the share to be averaged is not in [0, 1], the objective has no score on
            held-out examples, the running statistics of the buffers policy do not follow the weights,
            the examples are not images that can be augmented, or
            :func:`~lossatlas.charts.check_coefficients` refuses the chart.
    """

    def __init__(
        self,
        chart: CoefficientChart,
        objective: Objective,
        engine: Engine,
        split: Split | Source,
        budget: Budget,
        *,
        optimizer: ChartOptimizer,
        schedule: Schedule | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        target_gap: float | None = None,
        augment: Sequence[Augmentation] = (),
        keep_best: KeepBest | None = None,
        average_last: float = 0.0,
    ) -> None:
        check_controls(chart, "a fit")
        if not isinstance(optimizer, ChartOptimizer):
            raise BadInput(f"optimizer is {optimizer!r}; expected a ChartOptimizer, such as la.Adam() or la.Muon()")
        if keep_best is not None and not isinstance(keep_best, KeepBest):
            raise BadInput(
                f"keep_best is a {type(keep_best).__name__}; expected la.KeepBest(held_out), with examples that are "
                "not fitted"
            )
        if objective.axes != chart.axes:
            raise BadInput(
                f"the objective has {len(objective.axes)} axes ({', '.join(objective.axes)}), "
                f"the chart {len(chart.axes)} ({', '.join(chart.axes)}); expected the same axes"
            )
        if target_gap is not None and (not 0 < target_gap <= 1 or not engine.network.loss.classifies):
            raise BadInput(
                f"{target_gap} is not a target gap for this loss; expected a number in (0, 1] and a loss with "
                "accuracies"
            )
        if not engine.network.follows_weights:
            raise BadInput(
                f"running statistics that are {engine.network.buffers} do not follow the weights during a fit; fit "
                "under another buffers policy, such as batch, and survey under this one"
            )
        if objective.per_example and not engine.network.loss.per_example:
            raise BadInput(
                f"{engine.network.loss.record} is not a loss per example, which {type(objective).__name__} needs, but "
                "the mean of a batch; return one loss per example, or choose an objective of means (clip per cell)"
            )
        check_coefficients(chart, objective.most_points)
        self.chart = chart
        chart.fitted_under = engine.network.buffers
        self.objective = objective
        self.engine = engine
        self.budget = budget
        self.steps = 0
        self.seconds = 0.0
        self._passes = self._forward_passes = 0
        self.running: dict[str, float] = {}
        """Exponential moving averages of the reported numbers, over about 20 steps of the current stage."""
        self._remembered = 0
        split = Split.of(split).to(find_device(chart))
        self._split = split
        self._max_norm = optimizer.max_norm
        self._optimizer = optimizer.build(chart, engine.network.space)
        self._schedule = schedule if schedule is not None else LinearDecay()
        self._batches = Batches(split, choose_batch_size(batch_size, split), seed)
        self._seed = seed
        self._target_gap = target_gap
        self._augment = tuple(augment)
        augment_batch(
            split.take(torch.arange(1)), self._augment, make_generator(seed, "augment")
        )  # augmentations that cannot be applied are refused here
        self.metrics = choose_streaming_metrics(engine.network.loss)
        self._selection = Selection(chart, objective, engine, self.metrics, keep_best, average_last)

    @property
    def progress(self) -> float:
        """Return the share of the budget that is used."""
        return self.budget.progress(self.steps, self.seconds)

    @property
    def reached_target(self) -> bool:
        """Return whether the running mean of ``gap`` has reached the target in the last stage."""
        target, gap = self._target_gap, self._settled.get("gap", -math.inf)
        return target is not None and self.objective.final and gap >= target

    @property
    def _settled(self) -> Mapping[str, float]:
        """Return the running means once they average over enough steps, and nothing before."""
        return self.running if self._remembered >= REMEMBERED else {}

    @property
    def done(self) -> bool:
        """Return whether the budget is spent or the target is reached."""
        return self.progress >= 1 or self.reached_target

    @property
    def training_passes(self) -> int:
        """Return how many examples went through a network forward and backward so far, counted for each network.

        A forward pass alone, of which objectives that couple their points make one more and looks at held-out examples
        consist, counts as a third: a backward pass takes about twice the operations of a forward pass.
        """
        return round(self._passes + (self._forward_passes + self._selection.passes) / 3)

    @property
    def kept(self) -> Kept | None:
        """Return the best chart on held-out examples so far; None where none is kept, or no score was finite."""
        return self._selection.kept

    @property
    def averaged(self) -> int:
        """Return how many of the last steps the average of the weights is of so far; 0 where none is made."""
        return self._selection.averaged

    @property
    def held_bytes(self) -> int:
        """Return the bytes of the trained parameters, their gradients and the current state of the optimiser, and of
        the mean and the best of the parameters where these are kept.
        """
        return _held(self._optimizer) + self._selection.held_bytes

    def measure_separate_bytes(self, count: int) -> int:
        """Return the bytes that ``count`` networks trained separately with Adam would hold, measured on a step of
        one.
        """
        weights = nn.Parameter(self.chart.controls()[0].detach().clone())
        weights.grad = torch.zeros_like(weights)
        optimizer = torch.optim.Adam([weights])
        optimizer.step()
        return count * _held(optimizer)

    def step(self) -> dict[str, float]:
        """Make one optimiser step and return its record; after the last one the chart is the one that is kept.

        Raises:
            CannotFinish: the objective or its gradient is not finite; the chart keeps its state before the step.
        """
        started = time.perf_counter()
        factor = self._schedule(min(self.progress, 1.0))
        stage = self.objective.stage
        sampled = self.objective.sample(self._seed, self.steps, self.progress, self._settled)
        if self.objective.stage != stage:
            self.running, self._remembered = {}, 0
        try:
            controls = self.chart.controls()
        except BadInput as error:
            raise CannotFinish(f"{error} (at step {self.steps}); use a lower learning rate") from error
        coefficients = self.chart.mixture(sampled.coords, controls)
        batch = self._split.take(self._batches.at(self.steps))
        batch = augment_batch(batch, self._augment, make_generator(self._seed, "augment", self.steps))
        pull = self.engine.pullback(coefficients, controls, batch, sampled, self.metrics)

        self._optimizer.zero_grad()
        _send_back((controls, pull.controls), (coefficients, pull.coefficients))
        trained = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, self._max_norm))
        if not math.isfinite(pull.value + norm):
            raise CannotFinish(
                f"the objective is {pull.value} and its gradient's norm {norm} at step {self.steps}; "
                "use a lower learning rate or a smaller scale"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        self._optimizer.step()

        evaluated = len(coefficients) * self._batches.size
        self._passes += evaluated
        self._forward_passes += evaluated if sampled.coupled else 0

        report = sampled.report(pull.metrics)
        self._remember(report)
        self.steps += 1
        self.seconds += time.perf_counter() - started
        looked = self._select()
        record = {
            "step": self.steps - 1,
            "seconds": self.seconds,
            "stage": self.objective.stage,
            "objective": pull.value,
            **report,
        }
        return record | {"gradient_norm": norm, "learning_rate_factor": factor} | looked

    def _select(self) -> dict[str, float]:
        """Have the trained parameters followed, within the budget, and those of the end chosen after the last step."""
        started = time.perf_counter()
        looked = self._selection.follow(self.steps, self.progress, self.objective.final, self._passes)
        self.seconds += time.perf_counter() - started
        return looked | (self._selection.finish(self.steps, self.progress) if self.done else {})

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and JSON values from which :meth:`restore` continues bit for bit."""
        tensors, numbers = read_optimizer_state(self._optimizer)
        tensors |= {f"chart.{name}": value for name, value in self.chart.state_dict().items()}
        followed, selection = self._selection.state()
        tensors |= followed
        scalars = {
            "steps": self.steps,
            "seconds": self.seconds,
            "passes": self._passes,
            "forward_passes": self._forward_passes,
            "running": self.running,
            "remembered": self._remembered,
            "objective": self.objective.state(),
            "optimizer": numbers,
            "selection": selection,
        }
        return tensors, scalars

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state` returned.

        Raises:
            ValueError: it is the state of a different fit.
        """
        numbers = convert(scalars, _Numbers)
        chart = {k.removeprefix("chart."): v for k, v in tensors.items() if k.startswith("chart.")}
        check_alike(chart, self.chart.state_dict())
        load_optimizer_state(self._optimizer, tensors, numbers.optimizer)
        self._selection.restore(tensors, numbers.selection)
        self.chart.load_state_dict(chart)
        self.steps, self.seconds = numbers.steps, numbers.seconds
        self._passes, self._forward_passes = numbers.passes, numbers.forward_passes
        self.running, self._remembered = numbers.running, numbers.remembered
        self.objective.restore(numbers.objective)

    def _remember(self, report: dict[str, float]) -> None:
        for name, value in report.items():
            if not math.isfinite(value):  # all examples of the batch have weight zero
                continue
            before = self.running.get(name, value)
            self.running[name] = before + (value - before) / REMEMBERED
        self._remembered += 1


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a stored fit, beside its tensors."""

    steps: Tally
    seconds: Elapsed
    passes: Tally
    forward_passes: Tally
    running: dict[str, float]
    remembered: Tally
    objective: dict[str, Any]
    optimizer: dict[str, Any]
    selection: dict[str, Any] | None = None


def _send_back(*pulled: tuple[Tensor, Tensor | None]) -> None:
    """Backpropagate the gradients of controls and coefficients into the chart's parameters, in one pass."""
    sent = [(value, gradient) for value, gradient in pulled if value.requires_grad]
    torch.autograd.backward([value for value, _ in sent], [gradient for _, gradient in sent])


def _held(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of an optimiser's parameters, their gradients and its state."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    state = [value for values in optimizer.state.values() for value in values.values()]
    held = [*trained, *trained, *state]
    return sum(value.numel() * value.element_size() for value in held if isinstance(value, Tensor))


@dataclass(frozen=True)
class FitResult:
    """A finished fit."""

    chart: CoefficientChart
    """The fitted chart, which is the one that was passed in."""
    history: list[dict[str, float]]
    """The record of each step: objective, gradient norm, learning-rate factor and the numbers of the objective."""
    steps: int
    """The number of steps."""
    seconds: float
    """The seconds of fitting, without the choice of the plan."""
    plan: Plan
    """The engine plan that was used."""
    kept: Kept | None = None
    """What was kept as the best on held-out examples; None where nothing was."""

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.chart!r}, {self._describe()}")

    def _repr_html_(self) -> str:
        last = self.history[-1] if self.history else {}
        numbers = choose_numbers(last, [name for name in last if name not in UNTOLD])
        title = f"Fit of {self.chart!r} in {self._describe()}"
        return write_card(title, numbers, draw_history(self.history))

    def _describe(self) -> str:
        return f"{count_things(self.steps, 'step')} and {self.seconds:.3g} s"


@check_arguments
def fit(
    chart: CoefficientChart,
    objective: Objective,
    problem: Problem,
    split: Split | Source,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    optimizer: ChartOptimizer | None = None,
    schedule: Schedule | None = None,
    batch_size: int | None = None,
    space: WeightSpace | None = None,
    buffers: BuffersPolicy | None = None,
    plan: str | Plan = "auto",
    precision: str = "fp32",
    memory: str = "auto",
    seed: int = 0,
    target_gap: float | None = None,
    augment: Sequence[Augmentation] = (),
    keep_best: KeepBest | None = None,
    average_last: float = 0.0,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Fit a chart to an objective by gradient descent, in memory (Skorokhodov & Burtsev 2019, arXiv 1910.03867).

    Args:
        chart: the chart, whose parameters that require gradients are trained in place.
        objective: what is minimised, such as :class:`~lossatlas.Pattern`.
        problem: module, loss and feed; the module is not changed.
        split: the training examples, such as tensors ``(inputs (N, ...), targets (N, ...))``, a data set or a loader:
            see :meth:`Split.of`.
        steps: the budget in optimiser steps. Give either ``steps`` or ``seconds``.
        seconds: the budget in seconds of fitting.
        optimizer: the optimiser, such as an :class:`Adam`, a :class:`Muon` or a :class:`Momentum`; default ``Adam()``.
        schedule: the factor of the learning rate as a function of progress; default
            :class:`~lossatlas.schedules.kinds.linear.LinearDecay`.
        batch_size: number of examples per step; by default that of the loader that the split was made from, else 32.
        space: the parameters that the chart spans; default all.
        buffers: how running statistics are handled; default :class:`~lossatlas.BatchStatistics`, because the statistics
            of a fit have to follow the weights.
        plan: how the engine runs: ``auto`` (measured), the name of a strategy, a plan file or a
            :class:`~lossatlas.Plan`.
        precision: the number format of the networks, unless the plan states one: ``fp32``, ``bf16``, ``tf32``, or
            ``auto``, which measures what is faster.
        memory: the memory that a chunk of points may take, such as ``2GiB``; ``auto`` is a quarter of the free memory.
        seed: the seed of the sampled points, the batches and the augmentation.
        target_gap: stop when the running mean of ``gap`` reaches this value in the last stage; see :class:`Fit`.
        augment: augmentations of the images of each step's batch, such as :class:`~lossatlas.Crop`.
        keep_best: keep the best chart on held-out examples, ``la.KeepBest(held_out)``, and not that of the last step.
        average_last: the last share of the budget, over whose steps the chart's parameters are averaged; 0 for none.
            See :class:`Fit`.
        on_step: a function that is called with the record of each step.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.

    Returns:
        The chart, the record of each step, and the plan.

    Raises:
        BadInput: arguments do not fit together.
        CannotFinish: the objective is not finite; the chart keeps its last finite state.

    >>> import torch, lossatlas as la
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> problem = la.Problem(module, la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> plane = la.Plane.random(module, initialiser=la.Xavier(), scale=2.0)
    >>> heart = la.picture("heart", size=8)
    >>> result = la.fit(plane, la.Pattern(heart), problem, examples, steps=5, plan="loop")
    >>> result.steps, result.chart is plane, "gap" in result.history[-1]
    (5, True, True)

    With the chart that scored best on examples that are not fitted:

    >>> best = la.KeepBest((torch.randn(16, 4), torch.randint(2, (16,))))
    >>> result = la.fit(plane, la.Pattern(heart), problem, examples, steps=5, plan="loop", keep_best=best)
    >>> result.kept.name, result.kept.examples, result.kept.score >= result.kept.score_at_end
    ('gap', 16, True)
    """
    if (steps is None) == (seconds is None):
        raise BadInput("the budget is given in both steps and seconds, or in neither; expected one of the two")
    split = Split.of(split).to(find_device(chart))
    history = []
    with show_progress(progress) as reporter:
        engine = engine_for(
            problem, chart, split, space=space, buffers=buffers or BatchStatistics(), plan=plan, precision=precision,
            batch_size=batch_size, points=objective.most_points, memory=memory, measuring=allow_measuring(seconds),
        )  # fmt: skip
        budget = Steps(steps) if steps is not None else Seconds(seconds or 0.0)
        running = Fit(
            chart, objective, engine, split, budget, optimizer=optimizer or Adam(), schedule=schedule,
            batch_size=batch_size, seed=seed, target_gap=target_gap, augment=augment,
            keep_best=keep_best, average_last=average_last,
        )  # fmt: skip
        while not running.done:
            history.append(running.step())
            reporter.progress("fit", min(running.progress, 1.0), running.running)
            if on_step is not None:
                on_step(history[-1])
    return FitResult(chart, history, running.steps, running.seconds, engine.plan, running.kept)
