"""The configuration of a curve between networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lossatlas.bounds import Count, Positive
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.recipes.base import ProblemConfig, check_count, require, spell_list
from lossatlas.recipes.shared_config import BetweenConfig, DecayConfig, FittedConfig, GridConfig, MetricsConfig

__all__ = ["ConnectConfig"]

OPTIMIZERS = ("momentum", "adam")


@dataclass(frozen=True, kw_only=True)
class CurveConfig(BetweenConfig, ProblemConfig):
    """A curve between networks, and what is minimised along it."""

    curve: str = "bezier"
    """Kind of curve: bezier (between two networks), chain (polygonal, through two or more networks), or module:Class.
    For chain the default learning rate is 0.03, as each bend moves more of it."""
    bends: Count = 1
    """Number of trained control points between each two networks."""
    start: tuple[str, ...] = ()
    """Networks that the bends start at; by default they start on the straight segments."""
    train_ends: bool = False
    """Train the ends of the curve like its bends, so that they only start at the networks."""
    objective: str = "uniform"
    """What is minimised: the expected loss over t (uniform) or over the length of the curve (arclength), or its maximum
    (max); plus half of --weight_decay times the mean squared norm of the sampled weights."""
    points: Count | None = None
    """Number of points of the curve sampled per step; by default 1, and 4 for the objective max. They share the
    examples of a step, by default 128 divided by their number."""
    temperature: Positive = 0.01
    """Temperature of the soft maximum, in the unit of the loss: far below the losses it gives their maximum, far above
    them their mean."""


@dataclass(frozen=True, kw_only=True)
class ConnectConfig(MetricsConfig, GridConfig, FittedConfig, DecayConfig, CurveConfig):
    """Everything that a curve between networks and its evaluation depend on."""

    verb: ClassVar[str] = "connect"
    usual: ClassVar[Mapping[str, Any]] = {
        "lr": 0.1,  # of the default curve
        "optimizer": "momentum",
        "augment": (),
        "schedule": "linear",
        "weight_decay": 0.0,
        "buffers": "batch",
        "survey_buffers": "reestimated",
        "grid": (61,),
        "splits": ("train", "test"),
        "examples": "2000",
    }
    usual_seconds: ClassVar[float] = 120.0

    plane: int = 21
    """Number of points along each side of the plane of the curve; 0 leaves the plane out."""
    plane_examples: str = "1000"
    """Number of examples per split to evaluate on in the plane; or all."""
    ensembles: bool = True
    """Evaluate ensembles of the ends and a point of the curve."""

    def __post_init__(self) -> None:
        stated = self.lr is not None
        super().__post_init__()
        if self.optimizer not in OPTIMIZERS:
            raise make_unknown_error("optimizer of a curve", self.optimizer, OPTIMIZERS)
        if not stated and self.curve != type(self).curve:
            from lossatlas.charts import Curve  # with torch, which help does without

            self._settle(lr=Curve.named(self.curve, "curve").usual_lr)
        if self.points is None:
            self._settle(points=4 if self.objective == "max" else 1)
        if self.batch_size is None:
            self._settle(batch_size=max(1, 128 // require(self.points)))
        grid = require(self.grid)
        if len(grid) != 1 or grid[0] < 3:
            raise BadInput(f"grid is {spell_list(grid)}; expected 3 or more values of t, as one number")
        if self.plane < 0 or self.plane == 1:
            raise BadInput(f"plane is {self.plane}; expected 2 or more points along each side, or 0 for no plane")
        check_count("plane_examples", self.plane_examples, "all")

    @property
    def times(self) -> int:
        """Values of t that paths are evaluated at, at least."""
        return require(self.grid)[0]
