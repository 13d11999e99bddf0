"""The configuration of a fit: one frozen dataclass is the command line, the YAML file and the record in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from lossatlas.bounds import Count, Decay, Fraction, Positive
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, Options, ProblemConfig
from lossatlas.recipes.shared_config import ChartConfig, CheckpointConfig, FittedConfig, MetricsConfig
from lossatlas.registry import Registry

__all__ = ["FEWEST", "PRESETS", "FitConfig"]

PRESETS: Registry[dict[str, Any]] = Registry("preset", "lossatlas.recipes.presets", dashes=True)

FEWEST = 200
"""Examples of each split that are surveyed at least, where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class PictureConfig(CheckpointConfig, ChartConfig, ProblemConfig):
    """What is fitted: a picture, and the chart that it is to be the loss of."""

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

    train_origin: bool | None = None
    """Let the fit move the chart's origin; default only where it started at random."""
    init: str = "xavier"
    """Initialiser of directions, and of the origin where no checkpoint is given (see `lossatlas info`)."""
    origin_at: Literal["centre", "corner"] = "centre"
    """Where in the picture the chart's origin lies: in its centre, or in its lower left cell."""
    scale: Positive = 2.0
    """Start of the trained scale, in direction lengths per unit."""
    scale_unit: Literal["half", "cell"] = "half"
    """Unit of the scale and of its learning rate: half the picture's longer side, or a cell."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(FittedConfig):
    """The steps of a fit: which cells are drawn, of which picture, and how their losses count."""

    target_gap: Fraction | None = None
    """Stop once the running accuracy gap of drawn cells reaches this; a run that ends on a plateau then fails."""
    cells: Count = 32
    """Low cells and high cells drawn per step."""
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
    scale_lr: Positive | None = None
    """Learning rate of the scale, in its unit; default that of all."""
    betas: tuple[Decay, Decay] = (0.8, 0.95)
    """Adam's decay rates."""


@dataclass(frozen=True, kw_only=True)
class FitConfig(MetricsConfig, SamplingConfig, PictureConfig):
    """Everything that a fit of a picture and the survey of its chart depend on."""

    verb: ClassVar[str] = "fit"
    usual: ClassVar[Mapping[str, Any]] = {
        "chart": "plane",
        "batch_size": 32,
        "lr": 5e-3,
        "schedule": "linear",
        "buffers": "batch",
        "splits": ("train", "test"),
    }
    usual_seconds: ClassVar[float] = 45.0

    padding: int = 4
    """Cells surveyed around the picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding < 0:
            raise BadInput(f"padding is {self.padding}; expected 0 or more cells")
        if len(self.shares) != len(self.coarse) + 1 or not all(share > 0 for share in self.shares):
            raise BadInput(
                f"{len(self.coarse)} coarser sizes need {len(self.coarse) + 1} positive shares of the budget; "
                f"got {self.shares}"
            )
        if not all(0 < fraction < 1 for fraction in self.coarse):
            raise BadInput(f"coarse sizes are fractions of the size between 0 and 1; got {self.coarse}")

    def settled(self, stored: Mapping[str, Any]) -> Self:
        # How many examples there is time for was decided once, by the clock.
        return replace(self, examples=stored["examples"]) if self.examples == AUTO else self
