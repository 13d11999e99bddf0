"""The configuration of a survey of slices."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.errors import BadInput
from lossatlas.recipes.base import ProblemConfig

__all__ = ["SurveyConfig"]


@dataclass(frozen=True, kw_only=True)
class SurveyConfig(ProblemConfig):
    """Everything that a survey around the end of a recorded way depends on."""

    trajectory: str = ""
    """A run of lossatlas train, whose problem is surveyed, or the folder of a trajectory."""
    directions: tuple[str, ...] = ("component", "component")
    """What each axis points along (see `lossatlas info`)."""
    draw: int = 0
    """Seed of random directions."""
    grid: tuple[int, ...] = (25,)
    """Points along each axis, or along all."""
    margin: float = 0.2
    """How far the picture reaches beyond the path, in shares of its extent."""

    buffers: str = "frozen"
    """What running statistics mean at a point: those of the path's end, or see `lossatlas info`."""
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

    def __post_init__(self) -> None:
        if not 1 <= len(self.directions) <= 3:
            raise BadInput(
                f"{len(self.directions)} directions are given; expected one per axis of a line, a plane or a volume, "
                "such as component component"
            )
        if len(self.grid) not in (1, len(self.directions)) or min(self.grid) < 2:
            raise BadInput(
                f"grid is {' '.join(map(str, self.grid))}; expected one number of at least 2 points for all axes, "
                f"or one for each of {len(self.directions)}"
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
