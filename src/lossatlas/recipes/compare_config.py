"""The configuration of a comparison of trained networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lossatlas.bounds import Positive
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, require, spell_list
from lossatlas.recipes.shared_config import DirectionConfig, EvaluationConfig, GridConfig

__all__ = ["CompareConfig"]

GUESSING = math.log(10)
"""The cross-entropy of guessing among ten classes."""
POLICIES = (AUTO, "reestimated", "batch")
"""What running statistics may mean: what networks of several runs, and points between them, all have."""


@dataclass(frozen=True, kw_only=True)
class ComparedConfig(GridConfig, DirectionConfig):
    """What a comparison looks at: surfaces and lines between networks, and slices around them."""

    runs: tuple[str, ...] = ()
    """Finished runs of lossatlas train to compare, two or more on the same data; they can be named right after the
    verb."""
    line: int = 41
    """Number of points on the line between two networks, from -0.5 to 1.5."""
    slice_range: Positive = 1.5
    """Extent of slices around a network to either side, in lengths of their directions."""
    slice_points: int = 61
    """Number of points of a slice."""
    level: Positive = GUESSING
    """Loss at which the width of a basin is measured; by default that of guessing among ten classes, in nats."""
    radius: Positive = 0.5
    """Radius of the neighbourhood in which sharpness is measured, in lengths of the directions of slices."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(EvaluationConfig, ComparedConfig):
    """Everything that a comparison depends on; data, models and losses are those of the runs."""

    verb: ClassVar[str] = "compare"
    usual: ClassVar[Mapping[str, Any]] = {
        "splits": ("train",),
        "examples": "2000",
        "grid": (22,),
        "repeats": 3,
        "normalize": "filter",
        "ignore": "biasbn",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffers not in POLICIES:
            raise BadInput(f"buffers is {self.buffers!r}; expected {', '.join(POLICIES[:-1])} or {POLICIES[-1]}")
        grid = require(self.grid)
        if not 1 <= len(grid) <= 2 or min(grid) < 2:
            raise BadInput(
                f"grid is {spell_list(grid)}; expected one number of at least 2 points for both axes, or one for each"
            )
        for name in ("line", "slice_points"):
            if getattr(self, name) < 3:
                raise BadInput(f"{name} is {getattr(self, name)}; expected at least 3 points")
        if self.radius > self.slice_range:
            raise BadInput(
                f"radius is {self.radius:g} and slices end at {self.slice_range:g}; expected a radius within them"
            )
