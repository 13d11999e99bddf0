"""What the runs have in common that evaluate networks on a chart, and those among them that train it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lossatlas.charts import CoefficientChart
from lossatlas.data import AUGMENTATIONS, Augmentation, Dataset, Split
from lossatlas.engine import BuffersPolicy, Engine, Metric, Plan
from lossatlas.engine.checking import check_network
from lossatlas.engine.planning import LARGEST_CHUNK, allow_measuring
from lossatlas.engine.setup import engine_for
from lossatlas.fitting import Adam, Budget, Fit, Momentum, Seconds, Steps
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
    """The objects that evaluate networks on a chart, on its device.

    Attributes:
        config: what they were made of.
        base: module, loss, feed and data.
        chart: the networks.
        surveyed: by name the examples that are evaluated.
        metrics: by name what is measured.
        survey_buffers: what running statistics mean at a point.
        notes: what somebody should know of the files of weights.
    """

    config: E
    base: ProblemRecipe
    chart: CoefficientChart
    surveyed: dict[str, Split]
    metrics: dict[str, Metric]
    survey_buffers: BuffersPolicy
    notes: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """Module, loss and feed."""
        return self.base.problem

    @property
    def space(self) -> WeightSpace:
        """The parameters that the chart spans."""
        return self.base.space

    @property
    def data(self) -> Dataset:
        """All splits, whole."""
        return self.base.data

    @property
    def examples(self) -> Split:
        """Examples of the kind that is evaluated."""
        return next(iter(self.surveyed.values()))

    @property
    def steps_with(self) -> tuple[int, int | None] | None:
        """Points and examples of a step; None where no steps are made."""
        return None

    @property
    def seconds(self) -> float | None:
        """What the run may take, where that is known: the longer, the longer its plan may be measured for."""
        return None

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what the configuration names and does not hold."""
        return hash_data(self.data)

    def build_engine(
        self,
        plan: str | Plan,
        *,
        buffers: BuffersPolicy | None = None,
        measuring: float | None = None,
        evaluations: int = 0,
    ) -> Engine:
        """The engine, checked on all examples that will be seen.

        Args:
            plan: stated, or how it is found.
            buffers: what running statistics mean; default what they mean in the survey.
            measuring: seconds that an automatic plan may be measured for; default what the run affords.
            evaluations: points times batches that will be evaluated, as far as is known; measuring may take 3 % of
                that.

        Raises:
            BadInput: module, loss, metrics and data do not fit together, or the plan cannot be.
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
        return engine

    def build_surveyor(
        self, engine: Engine, chart: CoefficientChart | None = None, splits: dict[str, Split] | None = None
    ) -> Surveyor:
        """What evaluates the metrics at points of the chart, or of another one, on these examples or on others."""
        return Surveyor(
            engine,
            chart if chart is not None else self.chart,
            splits if splits is not None else self.surveyed,
            self.metrics,
            self.config.eval_batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class DescentRecipe(ChartRecipe[D]):
    """The objects of a chart that is trained before it is surveyed.

    Attributes:
        objective: what is minimised.
        buffers: what running statistics mean while it is.
        optimizer: of the chart's parameters.
        augment: applied to the images of each step.
        budget: in steps or in seconds.
        schedule: of the learning rate.

    Raises:
        BadInput: nothing is called as the configuration calls one of the last three, or it has other options.
    """

    objective: Objective
    buffers: BuffersPolicy
    optimizer: Adam | Momentum
    augment: list[Augmentation] = field(init=False)
    budget: Budget = field(init=False)
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        options = check_options("schedule", config.schedule, config.schedule_options)
        made = {
            "augment": [AUGMENTATIONS[name]() for name in config.augment],
            "budget": Steps(config.steps) if config.steps is not None else Seconds(config.seconds or 0.0),
            "schedule": SCHEDULES[config.schedule](**options),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def train(self) -> Split:
        """The examples that it is trained on, on the device."""
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
        """The engine of the survey: the fit's, unless statistics mean something else there."""
        same = self.survey_buffers.record == self.buffers.record
        return engine if same else self.build_engine(engine.plan)

    def begin_fit(self, engine: Engine, target_gap: float | None = None) -> Fit:
        """The fit at its first step.

        Args:
            engine: under the policy of the fit.
            target_gap: stop once the running gap reaches this.
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
        )
