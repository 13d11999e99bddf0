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
    """Network that the chart or the survey lies around: a file of weights, one of several networks in it as FILE#KEY, a
    run of lossatlas train, or a snapshot of one as RUN@STEP. A fit without one starts at random."""


@dataclass(frozen=True, kw_only=True)
class ChartConfig(Config):
    """What kind of chart something is."""

    chart: str = AUTO
    """Kind of chart (see `lossatlas info`), or module:Class, with options as --chart.OPTION. A fit begins with a plane,
    or with corners as in the multi-point paper's code. Between networks a survey has barycentric coordinates (simplex),
    a plane through three in distances (through), or a bilinear surface between four (quadrilateral). auto: plane in a
    fit, by the number of networks in a survey."""
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
    """Networks to lie between: files of weights, networks in them as FILE#KEY, runs of lossatlas train, or snapshots as
    RUN@STEP. A survey takes two, three or four; a curve two or more, in the order in which it passes through them."""


@dataclass(frozen=True, kw_only=True)
class GridConfig(Config):
    """Where something is evaluated along its axes."""

    grid: tuple[int, ...] | None = None
    """Points along each axis, one number for each or one for all. Default: 25 of a survey; 22 of the surfaces of a
    comparison, where with 1 more than a multiple of 7 all networks are among them; 61 values of t of a curve, to which
    it adds as many as it takes for all networks of a chain to be among them, and points between them."""


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
    """How many times random directions are drawn, to be shown together. Default: 1, and 3 in a comparison."""


@dataclass(frozen=True, kw_only=True)
class SteppedConfig(Config):
    """Steps of an optimiser on batches of training examples."""

    batch_size: Count | None = None
    """Examples per step. Default: 32 of a fit and 128 of a training; those of a curve are 128 divided by the number of
    points of a step, which share them."""
    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""
    lr: Positive | None = None
    """Learning rate. Default: 0.005 of a fit, 0.1 of a Bezier curve, 0.03 of a chain, whose bends have more leverage,
    and of a training the optimiser's own."""
    schedule: str = AUTO
    """Learning-rate schedule (see `lossatlas info`); auto: constant for a training, linear for a fit or a curve."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(SteppedConfig):
    """Which optimiser steps, and how it decays weights."""

    optimizer: str = AUTO
    """Optimiser: of a curve momentum (gradient descent with momentum 0.9) or adam; of a training a name
    (see `lossatlas info`) with options as in momentum,lr=0.05, or a class as torch.optim.NAdam; auto: momentum, of a
    training adam."""
    weight_decay: NotNegative | None = None
    """Weight decay: in a training of all optimisers that state none of their own (default: theirs); along a curve half
    of this times the squared norm of the drawn points' weights joins the objective (default: 0)."""


@dataclass(frozen=True, kw_only=True)
class FittedConfig(SteppedConfig):
    """What is fitted to an objective within a budget, and surveyed then."""

    usual_seconds: ClassVar[float]
    """The budget where nobody states one."""

    steps: StepCount | None = None
    """Budget in steps, in place of seconds."""
    seconds: Positive | None = None
    """Budget in seconds of fitting. Default: 45 for a picture and 120 for a curve, unless steps are given."""
    max_norm: ToInfinity = 100.0
    """Gradient norm is clipped here; inf leaves it as it is."""
    survey_buffers: str = AUTO
    """What running statistics mean at a point that is surveyed after the fit (see `lossatlas info`); auto: the same as
    in the fit of a picture, and along a curve those that are estimated anew at every point (reestimated)."""

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
    """Splits that are surveyed; auto: train and test, in a comparison train alone, whose barriers, widths and pictures
    are of the first."""
    examples: str = AUTO
    """Examples per split that are surveyed, a fixed random subset; or all. auto: 2000; in a fit the most of 200, 500,
    1000, 2000 or all with which the survey takes no longer than the fit (the run records which). A comparison compares
    outputs on all test examples."""
    buffers: str = AUTO
    """What running statistics mean at a point (see `lossatlas info`); auto: those of the batch while a chart or a curve
    is fitted; on slices around a network its own (frozen), between networks those that are estimated anew at every
    point (reestimated), and on the chart of a run those of the run."""
    buffers_batches: Count = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    plan: str = AUTO
    """Engine plan: auto (measures; a comparison once for each architecture), a strategy's name, or a plan file."""
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
    """Metrics that are surveyed (see `lossatlas info`), or module:callable; auto is the loss, and the accuracy where it
    has a meaning. Those of a curve have the loss among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_named_once("metrics", self.metrics, "surveyed", "some, or auto")
