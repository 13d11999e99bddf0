"""The configuration of a comparison of trained networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from lossatlas.bounds import Count, Positive, Seed
from lossatlas.errors import BadInput
from lossatlas.recipes.base import Config, check_count, check_device, check_named_once

__all__ = ["CompareConfig"]

GUESSING = math.log(10)
"""The cross-entropy of guessing among ten classes."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Config):
    """Everything that a comparison depends on; data, models and losses are those of the runs."""

    verb: ClassVar[str] = "compare"

    runs: tuple[str, ...] = ()
    """Two or more finished runs of lossatlas train, on the same data; name them first."""

    splits: tuple[str, ...] = ("train",)
    """Splits whose loss is surveyed; barriers, widths and pictures are of the first."""
    examples: str = "2000"
    """Examples per surveyed split, a fixed random subset; or all. Outputs are compared on all test examples."""
    grid: tuple[int, ...] = (22,)
    """Points along each axis of the surfaces, or along both; with 1 more than a multiple of 7 all networks are among
    them."""
    line: int = 41
    """Points on the line between two networks, which goes from -0.5 to 1.5."""

    slice_range: Positive = 1.5
    """How far slices around a network reach either way, in lengths of their directions."""
    slice_points: int = 61
    """Points of a slice."""
    repeats: Count = 3
    """Random directions that each network is sliced along."""
    direction_seed: Seed = 0
    """Seed of the random directions."""
    normalize: str = "filter"
    """Scale of random directions: that of the network per filter, layer or weight, or none (length 1)."""
    ignore: Literal["none", "biasbn"] = "biasbn"
    """Hold parameters of one dimension on random directions (biasbn), or none."""
    level: Positive = GUESSING
    """Loss up to which a basin is as wide as it is; default the cross-entropy of guessing among ten classes."""
    radius: Positive = 0.5
    """How far from a network its sharpness looks, in the slices' unit."""

    buffers: Literal["auto", "reestimated", "batch"] = "auto"
    """What running statistics mean at a point (see `lossatlas info`); auto: on slices around a network its own
    (frozen), on lines and surfaces between networks those that are estimated anew at every point (reestimated)."""
    buffers_batches: Count = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    eval_batch_size: Count = 500
    """Examples that are evaluated together."""
    plan: str = "auto"
    """Engine plan: auto (measured once for each architecture), a strategy's name, or a plan file."""
    memory: str = "auto"
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of what is free."""
    precision: str = "fp32"
    """Numbers that networks are evaluated in: fp32, bf16, tf32 (see `lossatlas info`), or auto, which measures."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1, ..."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_device(self.device)
        if not 1 <= len(self.grid) <= 2 or min(self.grid) < 2:
            raise BadInput(
                f"grid is {' '.join(map(str, self.grid))}; expected one number of at least 2 points for both axes, or "
                "one for each"
            )
        for name in ("line", "slice_points"):
            if getattr(self, name) < 3:
                raise BadInput(f"{name} is {getattr(self, name)}; expected at least 3 points")
        if self.radius > self.slice_range:
            raise BadInput(
                f"radius is {self.radius:g} and slices end at {self.slice_range:g}; expected a radius within them"
            )
        check_named_once("splits", self.splits, "surveyed", "train, test or both")
        check_count("examples", self.examples, "all")
