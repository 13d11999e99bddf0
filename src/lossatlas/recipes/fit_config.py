"""The configuration of a fit: one frozen dataclass is the command line, the YAML file and the record in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from lossatlas.bounds import Count, Decay, Fraction, Positive, StepCount, ToInfinity
from lossatlas.errors import BadInput
from lossatlas.recipes.base import Options, ProblemConfig, check_count, check_named_once
from lossatlas.registry import Registry

__all__ = ["AUTO", "FEWEST", "PRESETS", "FitConfig"]

PRESETS: Registry[dict[str, Any]] = Registry("preset", "lossatlas.recipes.presets", dashes=True)

AUTO = "auto"
"""Examples: as many as the survey has time for. Decided once, by the clock; the run's record has the number."""
FEWEST = 200
"""Examples of each split that are surveyed at least, where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class FitConfig(ProblemConfig):
    """Everything that a fit of a picture and the survey of its chart depend on."""

    verb: ClassVar[str] = "fit"

    pattern: str = "heart"
    """Picture: a name or a prefix with its argument, such as image:FILE (see `lossatlas info`). Ink is low loss."""
    pattern_options: Options = field(default_factory=dict)
    """Options of a picture with a prefix; on the command line --pattern.OPTION."""
    size: str | None = None
    """Cells along the longer side, or height x width as in 30x40; default 40, or an array's own."""
    invert: bool = False
    """Swap ink and paper."""
    axes: Count | None = None
    """Axes of the chart; default as many as the picture has."""

    checkpoint: str | None = None
    """Weights to lay the chart around: a file, one of several networks in it as FILE#KEY, a run of lossatlas train, or
    a snapshot of one as RUN@STEP; default a random start."""
    train_origin: bool | None = None
    """Let the fit move the chart's origin; default only where it started at random."""
    init: str = "xavier"
    """Initialiser of origin and directions (see `lossatlas info`)."""
    buffers: str = "batch"
    """What running statistics mean at a point of the fit (see `lossatlas info`)."""
    survey_buffers: str | None = None
    """What they mean in the survey; default the same."""
    buffers_batches: Count = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    chart: str = "plane"
    """Kind of chart: plane, corners as in the multi-point paper's code, another one that fits begin with (see
    `lossatlas info`), or module:Class; with options as --chart.OPTION."""
    chart_options: Options = field(default_factory=dict)
    """Options of a kind of chart; on the command line --chart.OPTION."""
    origin_at: Literal["centre", "corner"] = "centre"
    """Where in the picture the chart's origin lies: in its centre, or in its lower left cell."""
    scale: Positive = 2.0
    """Start of the trained scale, in direction lengths per unit."""
    scale_unit: Literal["half", "cell"] = "half"
    """Unit of the scale and of its learning rate: half the picture's longer side, or a cell."""

    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""
    steps: StepCount | None = None
    """Budget in steps; or"""
    seconds: Positive | None = None
    """budget in seconds of fitting. Default: 45 seconds."""
    target_gap: Fraction | None = None
    """Stop once the running accuracy gap of drawn cells reaches this; a run that ends on a plateau then fails."""
    cells: Count = 32
    """Low cells and high cells drawn per step."""
    batch_size: Count = 32
    """Examples per step."""
    clip: str = "example"
    """Clip the loss of high cells per example or per cell."""
    threshold: Positive = 2.5
    """Where the loss of high cells is clipped."""
    boundary_only: bool = False
    """Never draw cells in a uniform 3x3 neighbourhood: better for thin lines, worse for filled shapes."""
    coarse: tuple[float, ...] = (0.3, 0.6)
    """Coarser sizes that are fitted first, as fractions of the size."""
    shares: tuple[float, ...] = (0.2, 0.3, 0.5)
    """Shares of the budget of each size."""
    there: Fraction = 0.9
    """The running gap at which a coarser picture counts as there."""
    lr: Positive = 5e-3
    """Learning rate of Adam."""
    scale_lr: Positive | None = None
    """Learning rate of the scale, in its unit; default that of all."""
    betas: tuple[Decay, Decay] = (0.8, 0.95)
    """Adam's decay rates."""
    max_norm: ToInfinity = 100.0
    """Gradient norm is clipped here; inf leaves it as it is."""
    schedule: str = "linear"
    """Learning-rate schedule (see `lossatlas info`)."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""

    splits: tuple[str, ...] = ("train", "test")
    """Splits that are surveyed."""
    metrics: tuple[str, ...] = ()
    """Metrics that are surveyed; default the loss, and the accuracy where it has a meaning."""
    examples: str = AUTO
    """Examples per split in the survey, a fixed random subset; or all. Default (auto): the most of 200, 500, 1000, 2000
    or all with which the survey takes no longer than the fit; the run records which."""
    eval_batch_size: Count = 500
    """Examples that a survey evaluates, and under batch statistics normalises, together."""
    padding: int = 4
    """Cells surveyed around the picture."""

    plan: str = "auto"
    """Engine plan: auto (measures), a strategy's name, or a plan file."""
    memory: str = "auto"
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of what is free."""
    precision: str = "fp32"
    """Numbers that networks are evaluated in: fp32, bf16, tf32 (see `lossatlas info`), or auto, which measures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.seconds is not None:
            raise BadInput("the budget is given in steps and in seconds; give one of the two")
        if self.steps is None and self.seconds is None:
            object.__setattr__(self, "seconds", 45.0)
        check_named_once("splits", self.splits, "surveyed", "train, test or both")
        if self.metrics:
            check_named_once("metrics", self.metrics, "surveyed", "some")
        if self.padding < 0:
            raise BadInput(f"padding is {self.padding}; expected 0 or more cells")
        if len(self.shares) != len(self.coarse) + 1 or not all(share > 0 for share in self.shares):
            raise BadInput(
                f"{len(self.coarse)} coarser sizes need {len(self.coarse) + 1} positive shares of the budget; "
                f"got {self.shares}"
            )
        if not all(0 < fraction < 1 for fraction in self.coarse):
            raise BadInput(f"coarse sizes are fractions of the size between 0 and 1; got {self.coarse}")
        check_count("examples", self.examples, "all", AUTO)

    def settled(self, stored: Mapping[str, Any]) -> Self:
        return replace(self, examples=stored["examples"]) if self.examples == AUTO else self
