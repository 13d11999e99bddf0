"""The configuration of a survey of slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

from lossatlas.bounds import Count, Positive, Seed, is_ordinary
from lossatlas.errors import BadInput
from lossatlas.recipes.base import Options, ProblemConfig, check_count, check_named_once

__all__ = ["SurveyConfig"]

NOTHING = "none"
"""How a direction is normalised, or which parameters it holds, where neither is asked for."""
GROWING = ("splits", "metrics")
"""What a survey that is finished may get more of; and points."""


@dataclass(frozen=True, kw_only=True)
class SurveyConfig(ProblemConfig):
    """Everything that a survey around a network depends on."""

    verb: ClassVar[str] = "survey"

    older: ClassVar[Mapping[str, Any]] = {"normalize": NOTHING, "ignore": NOTHING}

    checkpoint: str = ""
    """Weights to survey around: a file, one of several networks in it as FILE#KEY, a run of lossatlas train, or a
    snapshot of one as RUN@STEP; or"""
    trajectory: str = ""
    """the trajectory of such a run, or a folder that holds one, whose last snapshot is the centre; or"""
    between: tuple[str, ...] = ()
    """two, three or four networks to survey between, each as a checkpoint; or"""
    run: str = ""
    """a run whose chart is surveyed again, such as a fit's or another survey's."""
    chart: str = "auto"
    """Between networks: barycentric coordinates (simplex), a plane through three in distances (through), a bilinear
    surface between four (quadrilateral), or module:Class, with options as --chart.OPTION; auto goes by their number."""
    chart_options: Options = field(default_factory=dict)
    """Options of a kind of chart; on the command line --chart.OPTION."""
    directions: tuple[str, ...] = ()
    """What each axis points along (see `lossatlas info`), such as random, towards:CHECKPOINT or file:PATH; default two
    components of a trajectory, or two random ones."""
    orthogonal: bool = False
    """Make each direction orthogonal to those before it, as long as it was."""
    normalize: str | None = None
    """Scale of random directions: that of the network per filter (the default), layer or weight, or none (length 1)."""
    ignore: Literal["none", "biasbn"] | None = None
    """Hold parameters of one dimension (biases, scales and shifts of normalisations) on random directions (biasbn, the
    default), or none."""
    direction_seed: Seed = 0
    """Seed of random directions."""
    repeats: Count = 1
    """RepeatedSlice of the random directions, which are shown together."""
    range: tuple[float, ...] = ()
    """Where axes begin and end, one pair for all or one for each; default -1 1 in lengths of the directions, or what
    shows the path or the networks."""
    grid: tuple[int, ...] = (25,)
    """Points along each axis, or along all."""
    at: tuple[str, ...] = ()
    """Coordinates instead of a range and a grid, numbers with commas for each axis: --at=-1,-0.5,0,1."""
    margin: Positive | None = None
    """How far the picture reaches beyond a path or networks, in shares of their extent; default 0.2, on a line 0.5."""
    tolerance: Positive | None = None
    """Evaluate points only until interpolation is this good, in the logarithm of the loss (where it is not positive, in
    shares of its height above its lowest value); and"""
    budget: Count | None = None
    """so many points at most; the others are interpolated."""

    buffers: str = "auto"
    """What running statistics mean at a point (see `lossatlas info`); auto: around a network its own (frozen), between
    networks those that are estimated anew at every point (reestimated), and those of a run that is surveyed again."""
    buffers_batches: Count = 8
    """Groups of training examples that reestimated statistics come from, at each point."""
    splits: tuple[str, ...] = ("train", "test")
    """Splits that are surveyed."""
    metrics: tuple[str, ...] = ("auto",)
    """Metrics that are surveyed (see `lossatlas info`), or module:callable; auto is the loss, and the accuracy where it
    has a meaning."""
    examples: str = "2000"
    """Examples per split, a fixed random subset; or all."""
    eval_batch_size: Count = 500
    """Examples that are evaluated, and under batch statistics normalised, together."""

    plan: str = "auto"
    """Engine plan: auto (measures), a strategy's name, or a plan file."""
    memory: str = "auto"
    """Memory that a chunk of points may take, such as 500MB or 2GiB; auto is a quarter of what is free."""
    precision: str = "fp32"
    """Numbers that networks are evaluated in: fp32, bf16, tf32 (see `lossatlas info`), or auto, which measures."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The directions, those that nobody named too."""
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
        fixed = set(stored) - {*GROWING, "grid", "at"}
        wanted = joined.flat()
        return joined if all(stored[name] == wanted.get(name) for name in fixed) else None

    @property
    def _is_drawn(self) -> bool:
        """Whether there are random directions."""
        return bool(self.checkpoint or self.trajectory) and "random" in self.kinds

    def _normalise_directions(self) -> None:
        """State what was left open of random directions.

        Where there are none, it is what older runs, in which nothing was normalised by default, have recorded; and as
        long as nobody says where a survey lies, it stays open.
        """
        if not (self.checkpoint or self.trajectory or self.between or self.run):
            return
        for name, usual in (("normalize", "filter"), ("ignore", "biasbn")):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual if self._is_drawn else NOTHING)

    def _check_heeded(self) -> None:
        """Refuse options that what is surveyed takes no notice of."""
        slices = {"directions", "orthogonal", "normalize", "ignore", "direction_seed", "repeats"}
        unheeded = {
            "between": slices,
            "run": slices | {"chart", "margin"},
            "checkpoint": {"chart", "margin"},
            "trajectory": {"chart"},
        }
        defaults = {field.name: field.default for field in fields(self)}
        unstated: dict[str, tuple[Any, ...]] = {name: (default,) for name, default in defaults.items()}
        unstated |= dict.fromkeys(("normalize", "ignore"), (None, NOTHING))
        for site, names in unheeded.items():
            for name in sorted(names) if getattr(self, site) else ():
                if getattr(self, name) not in unstated[name]:
                    raise BadInput(f"{name} means nothing with {site}; leave it out")
        if self.checkpoint and not self._is_drawn:
            for name in ("normalize", "ignore", "direction_seed"):
                if getattr(self, name) not in unstated[name]:
                    raise BadInput(f"{name} means nothing for directions that are not random; leave it out")
        if self.at and self.grid != defaults["grid"]:
            raise BadInput("at gives all coordinates of a grid; leave out the grid")

    def __post_init__(self) -> None:
        super().__post_init__()
        sites = [name for name in ("checkpoint", "trajectory", "between", "run") if getattr(self, name)]
        if len(sites) > 1:
            raise BadInput(
                f"{' and '.join(sites)} are given; a survey lies around a checkpoint, along a trajectory, between "
                "networks or on the chart of a run: give one of them"
            )
        if len(self.between) == 1:
            raise BadInput("between is one network; expected two, three or four of one architecture")
        if len(self.range) % 2 or not all(a < b for a, b in zip(self.range[::2], self.range[1::2], strict=True)):
            numbers = " ".join(f"{end:g}" for end in self.range)
            raise BadInput(f"range is {numbers}; expected two rising numbers, or two for each axis")
        if len(self.directions) > 3:
            raise BadInput(
                f"{len(self.directions)} directions are given; expected one per axis of a line, a plane or a volume, "
                "such as component component"
            )
        if not self.grid or min(self.grid) < 2:
            raise BadInput(
                f"grid is {' '.join(map(str, self.grid))}; expected one number of at least 2 points for all axes, "
                "or one for each"
            )
        for axis in self.coordinates:
            if len(axis) < 2 or not all(a < b for a, b in pairwise(axis)) or not all(map(is_ordinary, axis)):
                raise BadInput(f"at is {' '.join(self.at)}; expected two or more rising numbers for each axis")
        if self.chart == "auto" and self.chart_options:
            raise BadInput("chart is auto, and there are options of a chart; name the one that has them")
        if self.at and self.range:
            raise BadInput("at gives all coordinates of a grid; leave out the range")
        check_named_once("splits", self.splits, "surveyed", "train, test or both")
        check_named_once("metrics", self.metrics, "surveyed", "some, or auto")
        self._check_heeded()
        self._normalise_directions()
        check_count("examples", self.examples, "all")
