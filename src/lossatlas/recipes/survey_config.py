"""The configuration of a survey of slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

from lossatlas.bounds import Count, Positive, is_ordinary
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, ProblemConfig, require, spell_list
from lossatlas.recipes.shared_config import (
    BetweenConfig,
    ChartConfig,
    CheckpointConfig,
    DirectionConfig,
    GridConfig,
    MetricsConfig,
    SamplesConfig,
    TrajectoryConfig,
)
from lossatlas.schema import MOST_TILE_POINTS, TILE_POINTS
from lossatlas.specs import NetworkSpec

__all__ = ["SurveyConfig"]

NOTHING = "none"
"""How a direction is normalised, or which parameters it holds, where neither is asked for."""
GROWING = ("splits", "metrics")
"""What a survey that is finished may get more of; and points."""


@dataclass(frozen=True, kw_only=True)
class SiteConfig(SamplesConfig, TrajectoryConfig, BetweenConfig, CheckpointConfig, ChartConfig, ProblemConfig):
    """Where a survey lies: around a checkpoint, along a trajectory, between networks or on the chart of a run."""

    run: str | None = None
    """Run whose chart is surveyed, such as one of lossatlas fit or survey."""
    posterior: str | None = None
    """Training whose posterior (SWAG) is sampled: its averages or its snapshots."""
    samples: Count = 30
    """Number of samples of the posterior."""


@dataclass(frozen=True, kw_only=True)
class AxesConfig(GridConfig, DirectionConfig):
    """The axes of a survey: their directions, and which points along them are evaluated."""

    directions: tuple[str, ...] | None = None
    """Direction of each axis (see `lossatlas info`), such as random, towards:CHECKPOINT, file:PATH, gradient or
    eigenvector; by default two principal components of the trajectory, or two random directions."""
    orthogonal: bool = False
    """Make each direction orthogonal to those before it, and keep its length."""
    range: tuple[float, ...] | None = None
    """Ends of the axes, one pair for all axes or one for each; by default -1 1 in lengths of the directions, or what
    shows the whole trajectory or all networks."""
    at: tuple[str, ...] = ()
    """Coordinates along each axis, separated by commas, instead of a range and a grid, as in --at=-1,-0.5,0,1."""
    margin: Positive | None = None
    """Margin around the trajectory or the networks, as a fraction of their extent; by default 0.2, and 0.5 on a
    line."""
    tolerance: Positive | None = None
    """Evaluate points only until those between them are interpolated with at most this error of the logarithm of the
    loss (of a loss that is not positive everywhere, as a fraction of its height above its minimum)."""
    budget: Count | None = None
    """Largest number of points to evaluate; the others are interpolated."""
    tile_points: Count = TILE_POINTS
    """Number of points, about, that are evaluated and stored together: what a worker takes at a time, and what a kill
    loses. Fewer where a point takes minutes, or where there are many workers."""


@dataclass(frozen=True, kw_only=True)
class SurveyConfig(MetricsConfig, AxesConfig, SiteConfig):
    """Everything that a survey around a network depends on."""

    verb: ClassVar[str] = "survey"
    usual: ClassVar[Mapping[str, Any]] = {
        "grid": (25,),
        "repeats": 1,
        "splits": ("train", "test"),
        "examples": "2000",
    }

    @property
    def kinds(self) -> tuple[str, ...]:
        """The directions, including those that were left open."""
        return self.directions or ("component" if self.trajectory else "random",) * 2

    @property
    def coordinates(self) -> tuple[tuple[float, ...], ...]:
        """Those that are given, per axis."""
        try:
            return tuple(tuple(float(number) for number in axis.split(",")) for axis in self.at)
        except ValueError:
            raise BadInput(
                f"at is {' '.join(self.at)}; expected numbers with commas between them for each axis, as in 0,0.5,1"
            ) from None

    def grown_from(self, stored: Mapping[str, Any]) -> Self | None:
        both: dict[str, Any] = {
            name: tuple(dict.fromkeys([*stored.get(name, ()), *getattr(self, name)])) for name in GROWING
        }
        joined = replace(self, **both)
        fixed = set(stored) - {*GROWING, "grid", "at", "samples"}
        wanted = joined.flat()
        return joined if all(stored[name] == wanted.get(name) for name in fixed) else None

    @property
    def _is_drawn(self) -> bool:
        """Whether there are random directions."""
        return bool(self.checkpoint or self.trajectory) and "random" in self.kinds

    def _normalise_directions(self) -> None:
        """State what was left open of random directions; it stays open until the site of the survey is stated."""
        if not (self.checkpoint or self.trajectory or self.between or self.run or self.posterior):
            return
        for name, usual in (("normalize", "filter"), ("ignore", "biasbn")):
            if getattr(self, name) == AUTO:
                self._settle(**{name: usual if self._is_drawn else NOTHING})

    def _is_stated(self, name: str) -> bool:
        """Whether a setting differs from its default."""
        default = getattr(type(self), name)
        unstated = (default, self.usual.get(name, default), *([NOTHING] if name in ("normalize", "ignore") else []))
        return getattr(self, name) not in unstated

    def _check_heeded(self) -> None:
        """Refuse options that what is surveyed takes no notice of."""
        slices = {"directions", "orthogonal", "normalize", "ignore", "direction_seed", "repeats"}
        unheeded = {
            "between": slices,
            "run": slices | {"chart", "margin"},
            "checkpoint": {"chart", "margin"},
            "trajectory": {"chart"},
            "posterior": slices | {"chart", "margin", "range", "at", "grid", "tolerance", "budget"},
        }
        for site, names in unheeded.items():
            for name in sorted(names) if getattr(self, site) else ():
                if self._is_stated(name):
                    raise BadInput(f"{name} means nothing with {site}; leave it out")
        if self.checkpoint and not self._is_drawn:
            for name in ("normalize", "ignore", "direction_seed"):
                if self._is_stated(name):
                    raise BadInput(f"{name} means nothing for directions that are not random; leave it out")
        averages = any(NetworkSpec.parse(each).average for each in (self.checkpoint, *self.between) if each)
        for name in ("samples", "sample_seed", "average_from", "average_rank") if not self.posterior else ():
            if self._is_stated(name) and not (averages and name == "average_from"):
                raise BadInput(f"{name} means nothing without a posterior; leave it out, or name one with --posterior")
        if self.at and self._is_stated("grid"):
            raise BadInput("at gives all coordinates of a grid; leave out the grid")

    def __post_init__(self) -> None:
        super().__post_init__()
        sites = [name for name in ("checkpoint", "trajectory", "between", "run", "posterior") if getattr(self, name)]
        if len(sites) > 1:
            raise BadInput(
                f"{' and '.join(sites)} are given; a survey lies around a checkpoint, along a trajectory, between "
                "networks, on the chart of a run or at samples of a posterior: give one of them"
            )
        if len(self.between) == 1:
            raise BadInput("between is one network; expected two, three or four of one architecture")
        ends = self.range or ()
        if len(ends) % 2 or not all(a < b for a, b in zip(ends[::2], ends[1::2], strict=True)):
            numbers = " ".join(f"{end:g}" for end in ends)
            raise BadInput(f"range is {numbers}; expected two rising numbers, or two for each axis")
        if self.tile_points > MOST_TILE_POINTS:
            raise BadInput(f"tile_points is {self.tile_points:,}; expected {MOST_TILE_POINTS:,} at most")
        if len(self.kinds) > 3:
            raise BadInput(
                f"{len(self.kinds)} directions are given; expected one per axis of a line, a plane or a volume, "
                "such as component component"
            )
        grid = require(self.grid)
        if not grid or min(grid) < 2:
            raise BadInput(
                f"grid is {spell_list(grid)}; expected one number of at least 2 points for all axes, or one for each"
            )
        for axis in self.coordinates:
            if len(axis) < 2 or not all(a < b for a, b in pairwise(axis)) or not all(map(is_ordinary, axis)):
                raise BadInput(f"at is {' '.join(self.at)}; expected two or more rising numbers for each axis")
        if self.at and self.range:
            raise BadInput("at gives all coordinates of a grid; leave out the range")
        self._check_heeded()
        self._normalise_directions()
