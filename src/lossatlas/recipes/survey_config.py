"""The configuration of a survey of slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lossatlas.errors import BadInput
from lossatlas.recipes.base import ProblemConfig

__all__ = ["SurveyConfig"]


@dataclass(frozen=True, kw_only=True)
class SurveyConfig(ProblemConfig):
    """Everything that a survey around a network depends on."""

    checkpoint: str = ""
    """Weights to survey around: a file, a run of lossatlas train, or a snapshot of one as RUN@STEP; or"""
    trajectory: str = ""
    """the way there: such a run, or the folder of a trajectory, whose last snapshot is the centre."""
    directions: tuple[str, ...] = ()
    """What each axis points along (see `lossatlas info`); default two components of a way, or two random ones."""
    normalize: str = "none"
    """Scale of random directions: that of the network per filter, layer or weight, or none (length 1)."""
    ignore: Literal["none", "biasbn"] = "none"
    """Hold parameters of one dimension (biases, scales and shifts of normalisations) on random directions: biasbn."""
    draw: int = 0
    """Seed of random directions."""
    range: tuple[float, float] = (-1.0, 1.0)
    """Where each axis begins and ends, in lengths of its direction; a path has its own range."""
    grid: tuple[int, ...] = (25,)
    """Points along each axis, or along all."""
    margin: float = 0.2
    """How far the picture reaches beyond a path, in shares of its extent."""

    buffers: str = "frozen"
    """What running statistics mean at a point: those of the centre, or see `lossatlas info`."""
    buffers_batches: int = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    splits: tuple[str, ...] = ("train", "test")
    """Splits that are surveyed."""
    metrics: tuple[str, ...] = ()
    """Metrics that are surveyed; default the loss, and the accuracy where it has a meaning."""
    examples: str = "2000"
    """Examples per split, a fixed random subset; or all."""
    group: int = 500
    """Examples that are evaluated, and under batch statistics normalised, together."""

    plan: str = "auto"
    """Engine plan: auto (measures), a strategy's name, or a plan file."""
    memory: str = "auto"
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of what is free."""
    precision: str = "fp32"
    """Numbers that networks are evaluated in: fp32, bf16 or tf32 (see `lossatlas info`)."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The directions, those that nobody named too."""
        return self.directions or ("component" if self.trajectory else "random",) * 2

    def __post_init__(self) -> None:
        if self.checkpoint and self.trajectory:
            raise BadInput("a survey lies around a checkpoint or along a trajectory; give one of the two")
        if not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise BadInput(f"range is {self.range[0]:g} to {self.range[1]:g}; expected two rising numbers")
        if len(self.directions) > 3:
            raise BadInput(
                f"{len(self.directions)} directions are given; expected one per axis of a line, a plane or a volume, "
                "such as component component"
            )
        if len(self.grid) not in (1, len(self.kinds)) or min(self.grid) < 2:
            raise BadInput(
                f"grid is {' '.join(map(str, self.grid))}; expected one number of at least 2 points for all axes, "
                f"or one for each of {len(self.kinds)}"
            )
        if not self.margin > 0:
            raise BadInput(f"margin is {self.margin}; expected a positive share of the path's extent")
        for name in ("group", "buffers_batches"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; expected a positive number")
        if not self.splits:
            raise BadInput("no splits are surveyed; expected train, test or both")
        if self.examples != "all" and not (self.examples.isdecimal() and int(self.examples) > 0):
            raise BadInput(f"examples is {self.examples!r}; expected a positive number or all")
