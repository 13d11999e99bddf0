"""The settings that several verbs share, each declared once; a verb's configuration inherits those that it has.

Settings whose default differs between verbs are left open here (None or ``auto``) and settled by ``Config.usual``.
"""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lossatlas.bounds import BelowOne, Count, CountOrZero, NotNegative, Positive, Seed, StepCount, ToInfinity
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, Config, Options, check_count, check_named_once
from lossatlas.schema import AVERAGE_RANK, AVERAGED_FROM

__all__ = [
    "AveragesConfig",
    "BetweenConfig",
    "ChartConfig",
    "CheckpointConfig",
    "CurvatureConfig",
    "DecayConfig",
    "DirectionConfig",
    "EvalBatchConfig",
    "EvaluationConfig",
    "FittedConfig",
    "GridConfig",
    "MetricsConfig",
    "OptimizerConfig",
    "SamplesConfig",
    "SteppedConfig",
    "TrajectoryConfig",
]


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Config):
    """A network that something lies around."""

    checkpoint: str | None = None
    """Trained network at the origin of the chart: a file of weights, FILE#KEY for one of several networks in a file, a
    run of lossatlas train, RUN@STEP for a snapshot of one, or RUN@swa, RUN@ema for averages of its weights."""


@dataclass(frozen=True, kw_only=True)
class ChartConfig(Config):
    """What kind of chart something is."""

    chart: str = AUTO
    """Kind of chart (see `lossatlas info`), with options as --chart.OPTION, or module:Class. Where the default is auto,
    it follows from the number of networks that the chart lies between."""
    chart_options: Options = field(default_factory=dict)
    """Options of the kind of chart; on the command line --chart.OPTION."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chart == AUTO and self.chart_options:
            raise BadInput("chart is auto, and there are options of a chart; name the one that has them")


@dataclass(frozen=True, kw_only=True)
class BetweenConfig(Config):
    """Networks that something lies between."""

    between: tuple[str, ...] = ()
    """Networks to connect, or to survey between, two or more in order: files of weights, FILE#KEY for one of several
    networks in a file, runs of lossatlas train, RUN@STEP, or averages RUN@swa, RUN@ema."""


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig(Config):
    """A trajectory that something is measured along."""

    trajectory: str | None = None
    """Trajectory to follow: a run of lossatlas train, or the folder of a trajectory. Where a chart is made for it, its
    last snapshot is the origin."""


@dataclass(frozen=True, kw_only=True)
class AveragesConfig(Config):
    """Which weights are averaged, and how much is known of how they vary."""

    average_from: BelowOne = AVERAGED_FROM
    """Fraction of all steps after which weights belong to the average, or snapshots where no averages were recorded;
    for a training that averages members 0."""
    average_rank: CountOrZero = AVERAGE_RANK
    """Largest number of deviations from the running mean that are held or taken, each as large as the network."""


@dataclass(frozen=True, kw_only=True)
class SamplesConfig(AveragesConfig):
    """Samples of the posterior that averages make."""

    sample_seed: Seed = 0
    """Seed of samples of posteriors, and of random points and cells; sample k depends on it and on k alone."""


@dataclass(frozen=True, kw_only=True)
class GridConfig(Config):
    """Where something is evaluated along its axes."""

    grid: tuple[int, ...] | None = None
    """Number of points along each axis: one number for all axes, or one for each."""


@dataclass(frozen=True, kw_only=True)
class DirectionConfig(Config):
    """Random directions around a network."""

    normalize: str = AUTO
    """Normalisation of random directions: per filter, layer or weight to the norm in the network, or none (length 1);
    auto is filter."""
    ignore: Literal["auto", "none", "biasbn"] = AUTO
    """Parameters that random directions leave unchanged: biasbn for all of one dimension (biases, scales and shifts of
    normalisation layers), or none; auto is biasbn."""
    direction_seed: Seed = 0
    """Seed of random directions."""
    repeats: Count | None = None
    """Number of independent sets of random directions, which are shown together."""


@dataclass(frozen=True, kw_only=True)
class SteppedConfig(Config):
    """Steps of an optimiser on batches of training examples."""

    batch_size: Count | None = None
    """Number of training examples per step."""
    augment: tuple[str, ...] | None = None
    """Augmentations of the training images (see `lossatlas info`), such as crop flip; where none are shown they are
    noise if each cell of a picture has a loss of its own (grey:FILE, colour:FILE), and none otherwise."""
    lr: Positive | None = None
    """Learning rate; where no default is shown, that of the optimiser."""
    schedule: str = AUTO
    """Learning-rate schedule (see `lossatlas info`), with options as --schedule.OPTION; auto is the default."""
    schedule_options: Options = field(default_factory=dict)
    """Options of the schedule; on the command line --schedule.OPTION."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(SteppedConfig):
    """Which optimiser steps."""

    optimizer: str = AUTO
    """Optimiser (see `lossatlas info`), such as adam, or momentum (gradient descent with momentum 0.9); auto is the
    default. Pictures are fitted by adam, or by muon, whose updates of weight matrices are orthogonal; muon is the
    default for networks with convolutions."""


@dataclass(frozen=True, kw_only=True)
class DecayConfig(OptimizerConfig):
    """Which optimiser steps, and how it decays weights."""

    weight_decay: NotNegative | None = None
    """Weight decay; where no default is shown, that of the optimiser."""


@dataclass(frozen=True, kw_only=True)
class FittedConfig(SteppedConfig):
    """What is fitted to an objective within a budget, and surveyed then."""

    usual_seconds: ClassVar[float]
    """The budget in seconds where none is stated."""

    steps: StepCount | None = None
    """Budget as a number of optimiser steps, instead of --seconds."""
    seconds: Positive | None = None
    """Budget in seconds of fitting, unless --steps is given."""
    max_norm: ToInfinity = 100.0
    """Norm that gradients are clipped to; inf leaves them unclipped."""
    survey_buffers: str = AUTO
    """Running statistics, such as those of batch normalisation, at points that are surveyed after the fit (see
    `lossatlas info`). Where the default is auto, they are as while fitting."""

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
    """Number of examples that are evaluated together; batch statistics are those of such a batch."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(EvalBatchConfig):
    """On what a survey evaluates networks, and how."""

    splits: tuple[str, ...] = (AUTO,)
    """Splits to evaluate on, such as train test. A result that is given for one split only is that of the first."""
    examples: str = AUTO
    """Number of examples per split to evaluate on, a fixed random subset; or all. Where the default is auto, the most
    of 200, 500, 1000, 2000 and all that takes no longer than fitting."""
    buffers: str = AUTO
    """Running statistics, such as those of batch normalisation, at each point (see `lossatlas info`). Where the default
    is auto, they are frozen around one network, reestimated between several networks, and those of the run on the chart
    of a run."""
    buffers_batches: Count = 8
    """Number of training batches, of --eval_batch_size examples each, from which running statistics are reestimated at
    each point."""
    plan: str = AUTO
    """Engine plan: auto, which measures what is fastest, a strategy (see `lossatlas info`), or a plan file."""
    memory: str = AUTO
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of the free memory."""
    precision: str = "fp32"
    """Number format that networks are evaluated in: fp32, bf16 or tf32 (see `lossatlas info`), or auto, which measures
    what is fastest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_named_once("splits", self.splits, "surveyed", "some of train, test and holdout")
        check_count("examples", self.examples, "all", AUTO)


@dataclass(frozen=True, kw_only=True)
class CurvatureConfig(Config):
    """In what curvature is measured, and how exactly."""

    curvature_parameters: tuple[str, ...] = ("*",)
    """Parameters that curvature is taken in, as patterns of their names among those that vary; matrices stands for
    those of two and more dimensions."""
    curvature_tolerance: Positive = 1e-3
    """Residual at which an eigenvalue counts as found, as a share of the largest magnitude among the eigenvalues."""
    curvature_products: Count = 300
    """Most products with the operator at a point, of all starts together; eigenvalues that have not settled by then are
    counted, and stored with the residuals that they have. Traces and densities take further products."""
    second_start: bool = False
    """Whether further random starts look beside what was found for eigenvalues that the first one missed, such as
    copies; lists of several eigenvalues do so always."""
    curvature_seed: Seed = 0
    """Seed of random starts and probes, which all points share."""


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(EvaluationConfig, CurvatureConfig):
    """What a survey measures."""

    metrics: tuple[str, ...] = (AUTO,)
    """Metrics to survey (see `lossatlas info`), or module:callable or module:Class; auto is the loss and, for
    classifiers, the accuracy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_named_once("metrics", self.metrics, "surveyed", "some, or auto")
