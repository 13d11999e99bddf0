"""Recipes of runs that evaluate networks on a chart, and of those that also train it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lossatlas.charts import Chart, CoefficientChart
from lossatlas.data import AUGMENTATIONS, Augmentation, Dataset, Split
from lossatlas.engine import BuffersPolicy, Engine, Metric, Network, Plan
from lossatlas.engine.checking import check_network
from lossatlas.engine.planning import LARGEST_CHUNK, allow_measuring
from lossatlas.engine.setup import engine_for
from lossatlas.fitting import Budget, ChartOptimizer, Fit, KeepBest, Seconds, Steps
from lossatlas.metrics import check_computations, group_by_computation
from lossatlas.objectives import Objective
from lossatlas.problem import Problem
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.options import check_options
from lossatlas.recipes.problem import ProblemRecipe, hash_data, hash_network
from lossatlas.recipes.shared_config import EvaluationConfig
from lossatlas.schedules import SCHEDULES, Schedule
from lossatlas.surveying import Surveyor
from lossatlas.weights import WeightSpace

__all__ = ["ChartRecipe", "DescentRecipe"]


E = TypeVar("E", bound=EvaluationConfig, covariant=True)
D = TypeVar("D", bound=FitConfig | ConnectConfig, covariant=True)


@dataclass(frozen=True, kw_only=True)
class ChartRecipe(Generic[E]):
    """The objects of a run that evaluates networks on a chart, on its device.

    Attributes:
        config: The configuration.
        base: Module, loss, feed and data.
        chart: The chart.
        surveyed: The examples that are evaluated, by split.
        metrics: The metrics by name.
        survey_buffers: The policy of running statistics at a point.
        notes: Notes on the files of weights, for the user.
    """

    config: E
    base: ProblemRecipe
    chart: Chart
    surveyed: dict[str, Split]
    metrics: dict[str, Metric]
    survey_buffers: BuffersPolicy
    notes: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """Return module, loss and feed."""
        return self.base.problem

    @property
    def space(self) -> WeightSpace:
        """Return the weight space of the chart."""
        return self.base.space

    @property
    def data(self) -> Dataset:
        """Return the complete data."""
        return self.base.data

    @property
    def examples(self) -> Split:
        """Return examples like those that are evaluated."""
        return next(iter(self.surveyed.values()))

    @property
    def steps_with(self) -> tuple[int, int | None] | None:
        """Return the numbers of points and examples of a step; None if there are no steps."""
        return None

    @property
    def seconds(self) -> float | None:
        """Return the budget of the run if it is known; the longer it is, the longer its plan may be measured."""
        return None

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the inputs that the configuration names."""
        return hash_data(self.data)

    def build_engine(
        self,
        plan: str | Plan,
        *,
        buffers: BuffersPolicy | None = None,
        measuring: float | None = None,
        evaluations: int = 0,
    ) -> Engine:
        """Build the engine, checked on all examples that will be used.

        Args:
            plan: a plan, a plan file, the name of a strategy, or ``auto``.
            buffers: the policy of running statistics; default that of the survey.
            measuring: seconds for which an automatic plan may be measured; by default a share of the run's time.
            evaluations: points times batches that will be evaluated, if known; measuring may take 3 % of their time.

        Raises:
            BadInput: module, loss, metrics and data do not fit together, or the plan cannot be used.
        """
        points, batch_size = self.steps_with or (LARGEST_CHUNK, None)
        engine = engine_for(
            self.problem,
            self.chart,
            self.examples,
            space=self.space,
            buffers=buffers if buffers is not None else self.survey_buffers,
            plan=plan,
            precision=self.config.precision,
            memory=self.config.memory,
            measuring=measuring if measuring is not None else allow_measuring(self.seconds),
            batch_size=batch_size,
            eval_batch_size=self.config.eval_batch_size,
            points=points,
            steps=self.steps_with is not None,
            evaluations=evaluations,
            metrics=self.metrics,
        )
        for split in self.surveyed.values():
            check_network(engine.network, split)
        self._check_metrics(engine)
        return engine

    def _check_metrics(self, engine: Engine) -> None:
        """Refuse metrics of derivatives that the survey would refuse, whatever statistics this engine uses.

        Raises:
            BadInput: the first of them.
        """
        if not group_by_computation(self.metrics):
            return
        if engine.network.buffers != self.survey_buffers.record and engine.network.has_statistics:
            network = Network(self.problem, self.space, self.survey_buffers, self.chart, engine.network.device)
            check_network(network, self.examples)
            engine = Engine(network, engine.plan)
        check_computations(engine, self.metrics, next(iter(self.surveyed.values())), self.chart.lay_controls())

    def build_surveyor(
        self, engine: Engine, chart: Chart | None = None, splits: dict[str, Split] | None = None
    ) -> Surveyor:
        """Build the surveyor of the metrics, by default on the recipe's chart and examples."""
        return Surveyor(
            engine,
            chart if chart is not None else self.chart,
            splits if splits is not None else self.surveyed,
            self.metrics,
            self.config.eval_batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class DescentRecipe(ChartRecipe[D]):
    """The objects of a run that trains a chart before it surveys it.

    Attributes:
        objective: The objective that is minimised.
        buffers: The policy of running statistics during the training.
        optimizer: The optimiser of the chart's parameters.
        augment: The augmentations of the images of each step.
        budget: The budget in steps or in seconds.
        schedule: The factor of the learning rate as a function of progress.

    Raises:
        BadInput: an augmentation or the schedule is unknown or does not have the given options.
    """

    chart: CoefficientChart
    objective: Objective
    buffers: BuffersPolicy
    optimizer: ChartOptimizer
    augment: list[Augmentation] = field(init=False)
    budget: Budget = field(init=False)
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        options = check_options("schedule", config.schedule, config.schedule_options)
        made = {
            "augment": [AUGMENTATIONS[name]() for name in config.augment or ()],
            "budget": Steps(config.steps) if config.steps is not None else Seconds(config.seconds or 0.0),
            "schedule": SCHEDULES[config.schedule](**options),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def train(self) -> Split:
        """Return the training examples, on the device."""
        return self.base.train

    @property
    def examples(self) -> Split:
        return self.train

    @property
    def steps_with(self) -> tuple[int, int | None]:
        return self.objective.most_points, self.config.batch_size

    @property
    def seconds(self) -> float | None:
        return self.config.seconds

    def fingerprints(self) -> dict[str, str]:
        return {**super().fingerprints(), "module": hash_network(self.problem.module)}

    def build_survey_engine(self, engine: Engine) -> Engine:
        """Build the engine of the survey: that of the fit, unless the buffers policies differ."""
        same = self.survey_buffers.record == self.buffers.record
        return engine if same else self.build_engine(engine.plan)

    @property
    def keep_best(self) -> KeepBest | None:
        """Return what the best chart is found with, which is kept; None keeps that of the end."""
        return None

    @property
    def average_last(self) -> float:
        """Return the share of the budget whose last steps are averaged."""
        return 0.0

    def begin_fit(self, engine: Engine, target_gap: float | None = None) -> Fit:
        """Make the fit, before its first step.

        Args:
            engine: the engine, with the buffers policy of the fit.
            target_gap: stop when the running mean of the gap reaches this.
        """
        return Fit(
            self.chart,
            self.objective,
            engine,
            self.train,
            self.budget,
            optimizer=self.optimizer,
            schedule=self.schedule,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            target_gap=target_gap,
            augment=self.augment,
            keep_best=self.keep_best,
            average_last=self.average_last,
        )
