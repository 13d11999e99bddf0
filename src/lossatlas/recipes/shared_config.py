"""The settings that several verbs share, each declared once; a verb's configuration inherits those that it has.

Settings whose default differs between verbs are left open here (None or ``auto``) and settled by ``Config.usual``.
"""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lossatlas.bounds import Count, NotNegative, Positive, Seed, StepCount, ToInfinity
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, Config, Options, check_count, check_named_once

__all__ = [
    "BetweenConfig",
    "ChartConfig",
    "CheckpointConfig",
    "DirectionConfig",
    "EvalBatchConfig",
    "EvaluationConfig",
    "FittedConfig",
    "GridConfig",
    "MetricsConfig",
    "OptimizerConfig",
    "SteppedConfig",
]


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Config):
    """A network that something lies around."""

    checkpoint: str | None = None
    """Network to lie around: a file of weights, one of several networks in it as FILE#KEY, a run of lossatlas train, or
    a snapshot of one as RUN@STEP."""


@dataclass(frozen=True, kw_only=True)
class ChartConfig(Config):
    """What kind of chart something is."""

    chart: str = AUTO
    """Kind of chart (see `lossatlas info`), or module:Class, with options as --chart.OPTION. A default of auto goes by
    the number of networks that the chart lies between."""
    chart_options: Options = field(default_factory=dict)
    """Options of a kind of chart; on the command line --chart.OPTION."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chart == AUTO and self.chart_options:
            raise BadInput("chart is auto, and there are options of a chart; name the one that has them")


@dataclass(frozen=True, kw_only=True)
class BetweenConfig(Config):
    """Networks that something lies between."""

    between: tuple[str, ...] = ()
    """Networks to lie between, two or more in their order: files of weights, networks in them as FILE#KEY, runs of
    lossatlas train, or snapshots as RUN@STEP."""


@dataclass(frozen=True, kw_only=True)
class GridConfig(Config):
    """Where something is evaluated along its axes."""

    grid: tuple[int, ...] | None = None
    """Points along each axis, one number for each or one for all."""


@dataclass(frozen=True, kw_only=True)
class DirectionConfig(Config):
    """Random directions around a network."""

    normalize: str = AUTO
    """Scale of random directions: that of the network per filter, layer or weight, or none (length 1); auto: filter."""
    ignore: Literal["auto", "none", "biasbn"] = AUTO
    """Hold parameters of one dimension (biases, scales and shifts of normalisations) on random directions (biasbn), or
    none; auto: biasbn."""
    direction_seed: Seed = 0
    """Seed of random directions."""
    repeats: Count | None = None
    """How many times random directions are drawn, to be shown together."""


@dataclass(frozen=True, kw_only=True)
class SteppedConfig(Config):
    """Steps of an optimiser on batches of training examples."""

    batch_size: Count | None = None
    """Examples per step."""
    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""
    lr: Positive | None = None
    """Learning rate; where no default is shown, the optimiser's own."""
    schedule: str = AUTO
    """Learning-rate schedule (see `lossatlas info`), or auto for the default."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(SteppedConfig):
    """Which optimiser steps, and how it decays weights."""

    optimizer: str = AUTO
    """Optimiser (see `lossatlas info`), such as momentum (gradient descent with momentum 0.9) or adam; or auto for the
    default."""
    weight_decay: NotNegative | None = None
    """Weight decay; where no default is shown, the optimiser's own."""


@dataclass(frozen=True, kw_only=True)
class FittedConfig(SteppedConfig):
    """What is fitted to an objective within a budget, and surveyed then."""

    usual_seconds: ClassVar[float]
    """The budget where nobody states one."""

    steps: StepCount | None = None
    """Budget in steps, in place of seconds."""
    seconds: Positive | None = None
    """Budget in seconds of fitting, unless steps are given."""
    max_norm: ToInfinity = 100.0
    """Gradient norm is clipped here; inf leaves it as it is."""
    survey_buffers: str = AUTO
    """What running statistics mean at a point that is surveyed after the fit (see `lossatlas info`). A default of auto
    means what they mean while fitting."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.seconds is not None:
            raise BadInput("the budget is given in steps and in seconds; give one of the two")
        if self.steps is None and self.seconds is None:
            self._settle(seconds=self.usual_seconds)


@dataclass(frozen=True, kw_only=True)
class EvalBatchConfig(Config):
    """How many examples networks are evaluated on at a time."""

    eval_batch_size: Count = 500
    """Examples that are evaluated, and under batch statistics normalised, together."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(EvalBatchConfig):
    """On what a survey evaluates networks, and how."""

    splits: tuple[str, ...] = (AUTO,)
    """Splits that networks are evaluated on (train, test), or auto for the default; what is told of one split is told
    of the first."""
    examples: str = AUTO
    """Examples per split that networks are evaluated on, a fixed random subset; or all. A default of auto is the most
    of 200, 500, 1000, 2000 or all with which that takes no longer than fitting (the run records which)."""
    buffers: str = AUTO
    """What running statistics mean at a point (see `lossatlas info`). A default of auto is frozen around one network,
    which has its own, reestimated between several, and on the chart of a run what they mean there."""
    buffers_batches: Count = 8
    """Batches of eval_batch_size training examples that reestimated statistics come from, at each point."""
    plan: str = AUTO
    """Engine plan: auto, which measures, a strategy's name, or a plan file."""
    memory: str = AUTO
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of what is free."""
    precision: str = "fp32"
    """Numbers that networks are evaluated in: fp32, bf16, tf32 (see `lossatlas info`), or auto, which measures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_named_once("splits", self.splits, "surveyed", "train, test or both")
        check_count("examples", self.examples, "all", AUTO)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(EvaluationConfig):
    """What a survey measures."""

    metrics: tuple[str, ...] = (AUTO,)
    """Metrics that are surveyed (see `lossatlas info`), or module:callable, or module:Class; auto is the loss, and the
    accuracy where it has a meaning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_named_once("metrics", self.metrics, "surveyed", "some, or auto")
