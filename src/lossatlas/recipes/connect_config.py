"""The configuration of a curve between networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lossatlas.bounds import Count, NotNegative, Positive, StepCount, ToInfinity
from lossatlas.errors import BadInput
from lossatlas.recipes.base import Options, ProblemConfig, check_count, check_named_once

__all__ = ["ConnectConfig"]


@dataclass(frozen=True, kw_only=True)
class ConnectConfig(ProblemConfig):
    """Everything that a curve between networks and its evaluation depend on."""

    verb: ClassVar[str] = "connect"

    between: tuple[str, ...] = ()
    """The networks, in their order along the curve: runs of lossatlas train, files of weights, networks in them as
    FILE#KEY, snapshots as RUN@STEP. On the command line they stand first."""
    curve: str = "bezier"
    """Kind of curve: bezier (between two networks), chain (polygonal, through two or more), or module:Class."""
    bends: Count = 1
    """Trained control points between each two networks."""
    start: tuple[str, ...] = ()
    """Networks that the bends start at; default the straight segments."""
    train_ends: bool = False
    """Let the curve leave the networks: its ends are trained like its bends, and only start at them."""
    objective: str = "uniform"
    """What is minimised: the expected loss over t (uniform) or over the curve's length (arclength), or its maximum
    (max)."""
    points: Count | None = None
    """Points of the curve drawn per step; default 1, for the maximum 4."""
    temperature: Positive = 0.01
    """Of the soft maximum, in the loss's unit: far below the losses it is their maximum, far above their mean."""
    weight_decay: NotNegative = 0.0
    """Adds half of this times the squared norm of the drawn points' weights."""

    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""
    steps: StepCount | None = None
    """Budget in steps; or"""
    seconds: Positive | None = None
    """budget in seconds of training the curve. Default: 120 seconds."""
    batch_size: Count | None = None
    """Examples per step, shared by its points; default 128 divided by their number."""
    optimizer: Literal["momentum", "adam"] = "momentum"
    """Gradient descent with momentum 0.9, or Adam."""
    lr: Positive | None = None
    """Its learning rate; default that of the curve: 0.1, of a chain, whose bends have more leverage, 0.03."""
    max_norm: ToInfinity = 100.0
    """Gradient norm is clipped here; inf leaves it as it is."""
    schedule: str = "linear"
    """Learning-rate schedule (see `lossatlas info`)."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""
    buffers: str = "batch"
    """What running statistics mean at a point while the curve is trained (see `lossatlas info`)."""

    grid: int = 61
    """Values of t that the curve, the straight line and the radial path are evaluated at; as many more as it takes for
    all networks of a chain to be among them, and points between them."""
    splits: tuple[str, ...] = ("train", "test")
    """Splits that are evaluated."""
    metrics: tuple[str, ...] = ("auto",)
    """Metrics that are evaluated (see `lossatlas info`), the loss among them; auto is the loss, and the accuracy where
    it has a meaning."""
    examples: str = "2000"
    """Examples per split, a fixed random subset; or all."""
    survey_buffers: str = "reestimated"
    """What running statistics mean at an evaluated point."""
    buffers_batches: Count = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    eval_batch_size: Count = 500
    """Examples that are evaluated, and under batch statistics normalised, together."""
    plane: int = 21
    """Points along each side of the plane of the curve; 0 leaves it out."""
    plane_examples: str = "1000"
    """Examples per split in the plane; or all."""
    ensembles: bool = True
    """Evaluate ensembles of the ends and a point of the curve."""

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
            object.__setattr__(self, "seconds", 120.0)
        if self.points is None:
            object.__setattr__(self, "points", 4 if self.objective == "max" else 1)
        if self.batch_size is None:
            object.__setattr__(self, "batch_size", max(1, 128 // max(1, self.points or 1)))
        if self.grid < 3:
            raise BadInput(f"grid is {self.grid}; expected 3 or more values of t")
        if self.plane < 0 or self.plane == 1:
            raise BadInput(f"plane is {self.plane}; expected 2 or more points along each side, or 0 for no plane")
        check_named_once("splits", self.splits, "evaluated", "train, test or both")
        check_named_once("metrics", self.metrics, "evaluated", "the loss at least, or auto")
        for name in ("examples", "plane_examples"):
            check_count(name, getattr(self, name), "all")
