"""The fit: gradient descent on a chart's trained parameters under an objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.bounds import Elapsed, Tally
from lossatlas.cards import choose_numbers, draw_history, write_card
from lossatlas.charts import CoefficientChart, check_coefficients
from lossatlas.data import Augmentation, Batches, Split, augment_batch
from lossatlas.describing import count_things, write_repr
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.buffers.batch import BatchStatistics
from lossatlas.engine.planning import allow_measuring
from lossatlas.engine.setup import choose_batch_size, engine_for, find_device
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.files.reading import converted
from lossatlas.files.tensors import check_alike
from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.momentum import Momentum
from lossatlas.fitting.optimizer import Adam
from lossatlas.metrics import streaming_metrics
from lossatlas.objectives import Objective
from lossatlas.optimizer_state import load_optimizer_state, read_optimizer_state
from lossatlas.problem import Problem
from lossatlas.progress import show_progress
from lossatlas.schedules import Schedule
from lossatlas.schedules.kinds.linear import Linear
from lossatlas.streams import make_generator
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = ["Fit", "FitResult", "fit"]

UNTOLD = ("step", "seconds", "stage", "learning_rate_factor")
"""Of what the last step came to, what a notebook does not show."""
REMEMBERED = 20
"""About how many steps the running numbers remember, and how many it takes before they are acted on."""


class Fit:
    """A fit that can be stepped, stopped, stored and continued.

    Equal arguments, plan and budget in steps give equal charts, whether or not the fit was stored and restored on
    the way.

    Args:
        chart: its parameters that require gradients are trained in place.
        objective: which points are drawn, and what is made of them.
        engine: evaluates the problem.
        split: training examples, or what :meth:`Split.of` makes a split of.
        budget: in steps or in seconds.
        optimizer: of the chart's parameters.
        schedule: of the learning rate; default linear from half of the budget on.
        batch_size: examples per step, shared by all points; drawn in epochs, without replacement. Default the split's
            own, where it was made of a loader, else 32.
        seed: of the objective's points, batches and augmentation.
        target_gap: stop once the running number ``gap`` has reached this in the objective's last stage: of objectives
            that report one, how much higher the accuracy is where they want a low loss than where they want a high one.
        augment: applied to the images of each step's batch, one after the other; all points of a step see the same.

    Raises:
        BadInput: objective and chart have different axes, the batch size is below 1, the target gap cannot be, the
            buffers policy does not tell how statistics change with weights, the examples are not images that could be
            augmented, or the chart is as :func:`~lossatlas.charts.check_coefficients` refuses it.
    """

    def __init__(
        self,
        chart: CoefficientChart,
        objective: Objective,
        engine: Engine,
        split: Split | Source,
        budget: Budget,
        *,
        optimizer: Adam | Momentum,
        schedule: Schedule | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        target_gap: float | None = None,
        augment: Sequence[Augmentation] = (),
    ) -> None:
        if objective.axes != chart.axes:
            raise BadInput(
                f"the objective has {len(objective.axes)} axes ({', '.join(objective.axes)}), "
                f"the chart {len(chart.axes)} ({', '.join(chart.axes)}); they must agree"
            )
        if target_gap is not None and (not 0 < target_gap <= 1 or not engine.network.loss.classifies):
            raise BadInput(f"a target gap of {target_gap} needs accuracies and lies in (0, 1]")
        if not engine.network.follows_weights:
            raise BadInput(
                f"a fit cannot follow statistics that are {engine.network.buffers}; fit under another buffers policy, "
                "such as batch, and survey under this one"
            )
        if objective.per_example and not engine.network.loss.per_example:
            raise BadInput(
                f"{type(objective).__name__} needs each example's own loss, and {engine.network.loss.record} gives the "
                "mean of a batch; return one loss per example, or choose an objective of means (clip per cell)"
            )
        check_coefficients(chart, objective.most_points)
        self.chart = chart
        chart.fitted_under = engine.network.buffers
        self.objective = objective
        self.engine = engine
        self.budget = budget
        self.steps = 0
        self.seconds = 0.0
        self.running: dict[str, float] = {}
        """Exponential means of the reported numbers over about 20 steps of the present stage."""
        self._remembered = 0
        split = Split.of(split).to(find_device(chart))
        self._split = split
        self._max_norm = optimizer.max_norm
        self._optimizer = optimizer.build(chart)
        self._schedule = schedule if schedule is not None else Linear()
        self._batches = Batches(split, choose_batch_size(batch_size, split), seed)
        self._seed = seed
        self._target_gap = target_gap
        self._augment = tuple(augment)
        augment_batch(
            split.take(torch.arange(1)), self._augment, make_generator(seed, "augment")
        )  # refused now or never
        self.metrics = streaming_metrics(engine.network.loss)

    @property
    def progress(self) -> float:
        """The share of the budget that is used."""
        return self.budget.progress(self.steps, self.seconds)

    @property
    def reached_target(self) -> bool:
        """Whether the running number ``gap`` has reached the target in the last stage."""
        target, gap = self._target_gap, self._settled.get("gap", -math.inf)
        return target is not None and self.objective.final and gap >= target

    @property
    def _settled(self) -> Mapping[str, float]:
        """The running numbers once there are enough steps to go by them, none before."""
        return self.running if self._remembered >= REMEMBERED else {}

    @property
    def done(self) -> bool:
        """Whether the budget is used up or the target reached."""
        return self.progress >= 1 or self.reached_target

    @property
    def held_bytes(self) -> int:
        """Bytes of what is trained, a gradient each, and the optimiser's state as it is now."""
        return _held(self._optimizer)

    def measure_separate_bytes(self, count: int) -> int:
        """Bytes that training so many networks by themselves would hold, measured on one that makes a step."""
        weights = nn.Parameter(self.chart.controls()[0].detach().clone())
        weights.grad = torch.zeros_like(weights)
        optimizer = torch.optim.Adam([weights])
        optimizer.step()
        return count * _held(optimizer)

    def step(self) -> dict[str, float]:
        """One step of the optimiser; returns what it came to.

        Raises:
            CannotFinish: the objective or its gradient is not finite; the chart stays as it was.
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

        report = sampled.report(pull.metrics)
        self._remember(report)
        self.seconds += time.perf_counter() - started
        record = {
            "step": self.steps,
            "seconds": self.seconds,
            "stage": self.objective.stage,
            "objective": pull.value,
            **report,
        }
        record |= {"gradient_norm": norm, "learning_rate_factor": factor}
        self.steps += 1
        return record

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON types from which :meth:`restore` continues bit for bit."""
        tensors, numbers = read_optimizer_state(self._optimizer)
        tensors |= {f"chart.{name}": value for name, value in self.chart.state_dict().items()}
        scalars = {
            "steps": self.steps,
            "seconds": self.seconds,
            "running": self.running,
            "remembered": self._remembered,
            "objective": self.objective.state(),
            "optimizer": numbers,
        }
        return tensors, scalars

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: it is the state of another fit.
        """
        numbers = converted(scalars, _Numbers)
        chart = {k.removeprefix("chart."): v for k, v in tensors.items() if k.startswith("chart.")}
        check_alike(chart, self.chart.state_dict())
        load_optimizer_state(self._optimizer, tensors, numbers.optimizer)
        self.chart.load_state_dict(chart)
        self.steps, self.seconds = numbers.steps, numbers.seconds
        self.running, self._remembered = numbers.running, numbers.remembered
        self.objective.restore(numbers.objective)

    def _remember(self, report: dict[str, float]) -> None:
        for name, value in report.items():
            if not math.isfinite(value):  # nothing in the batch counts
                continue
            before = self.running.get(name, value)
            self.running[name] = before + (value - before) / REMEMBERED
        self._remembered += 1


@dataclass(frozen=True)
class _Numbers:
    """What is stored of a fit beside its tensors."""

    steps: Tally
    seconds: Elapsed
    running: dict[str, float]
    remembered: Tally
    objective: dict[str, Any]
    optimizer: dict[str, Any]


def _send_back(*pulled: tuple[Tensor, Tensor | None]) -> None:
    """Send the gradients of controls and coefficients into the parameters that these are made of, in one pass."""
    sent = [(value, gradient) for value, gradient in pulled if value.requires_grad]
    torch.autograd.backward([value for value, _ in sent], [gradient for _, gradient in sent])


def _held(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimiser's parameters, a gradient each, and all that it remembers of them."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    state = [value for values in optimizer.state.values() for value in values.values()]
    held = [*trained, *trained, *state]
    return sum(value.numel() * value.element_size() for value in held if isinstance(value, Tensor))


@dataclass(frozen=True)
class FitResult:
    """A finished fit."""

    chart: CoefficientChart
    """The chart that was given, fitted."""
    history: list[dict[str, float]]
    """What each step came to."""
    steps: int
    seconds: float
    plan: Plan

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.chart!r}, {self._describe()}")

    def _repr_html_(self) -> str:
        last = self.history[-1] if self.history else {}
        numbers = choose_numbers(last, [name for name in last if name not in UNTOLD])
        title = f"Fit of {self.chart!r} in {self._describe()}"
        return write_card(title, numbers, draw_history(self.history))

    def _describe(self) -> str:
        return f"{count_things(self.steps, 'step')} and {self.seconds:.3g} s"


def fit(
    chart: CoefficientChart,
    objective: Objective,
    problem: Problem,
    split: Split | Source,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    optimizer: Adam | Momentum | None = None,
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
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Fit a chart to an objective, in memory.

    Args:
        chart: trained in place.
        objective: such as :class:`~lossatlas.Pattern`.
        problem: module, loss and feed; the module is never changed.
        split: training examples, or what :meth:`Split.of` makes a split of.
        steps: the budget in steps; or
        seconds: the budget in seconds of fitting. Exactly one of the two.
        optimizer: an :class:`Adam` or a :class:`Momentum`; default the former with its defaults.
        schedule: factor of the learning rate by progress; default :class:`~lossatlas.schedules.kinds.linear.Linear`.
        batch_size: examples per step; default the split's own, where it was made of a loader, else 32.
        space: which parameters the chart spans; default all.
        buffers: what running statistics mean; default the batch's own, wherever the chart lies, because a fit needs
            statistics that follow the weights.
        plan: how the engine runs: ``auto``, a strategy's name, a file or a plan.
        precision: of the networks, unless the plan states one: fp32, bf16, tf32, or auto, what is measured to pay.
        memory: bytes that a chunk of points may take, such as 2GiB; auto is a quarter of what is free.
        seed: of the objective's points, batches and augmentation.
        target_gap: stop once the running number ``gap`` has reached this in the last stage; see :class:`Fit`.
        augment: applied to the images of each step's batch, such as :class:`~lossatlas.Crop`.
        on_step: called with what each step came to.
        progress: whether to show how far it is; None shows it after two seconds, in a notebook or on a terminal.

    Raises:
        BadInput: arguments that do not fit together.
        CannotFinish: the objective is not finite any more; the chart keeps its last finite state.
    """
    if (steps is None) == (seconds is None):
        raise BadInput("give the budget as steps or as seconds, one of the two")
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
        )  # fmt: skip
        while not running.done:
            history.append(running.step())
            reporter.progress("fit", min(running.progress, 1.0), running.running)
            if on_step is not None:
                on_step(history[-1])
    return FitResult(chart, history, running.steps, running.seconds, engine.plan)
