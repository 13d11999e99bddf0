"""The configuration of a fit: one frozen dataclass is the command line, the YAML file and the record in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from lossatlas.bounds import Count, Decay, Fraction, NotNegative, Positive, Share
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.recipes.base import AUTO, Options, ProblemConfig, spell_list
from lossatlas.recipes.shared_config import ChartConfig, CheckpointConfig, FittedConfig, MetricsConfig, OptimizerConfig
from lossatlas.registry import Registry

__all__ = ["FEWEST", "PRESETS", "FitConfig"]

PRESETS: Registry[dict[str, Any]] = Registry("preset", "lossatlas.recipes.presets", dashes=True)

DECIDED = (
    "examples",
    "augment",
    "optimizer",
    "cells",
    "batch_size",
    "lr",
    "scale_lr",
    "boundary_share",
    "boundary_only",
    "coarse",
    "shares",
    "keep_best",
    "isometry",
)
"""The settings that a run decides where they are left open."""

OPTIMIZERS = ("adam", "muon")
"""The optimisers of charts by name."""

FEWEST = 200
"""Examples of each split that are surveyed at least, where their number is left open."""


@dataclass(frozen=True, kw_only=True)
class PictureConfig(CheckpointConfig, ChartConfig, ProblemConfig):
    """What is fitted: a picture, and the chart that it is to be the loss of."""

    pattern: str = "heart"
    """Picture to fit: a name, or a prefix with its argument such as image:FILE (see `lossatlas info`). Ink is low
    loss."""
    pattern_options: Options = field(default_factory=dict)
    """Options of a picture with a prefix; on the command line --pattern.OPTION."""
    size: str | None = None
    """Number of cells along the longer side, or height x width as in 30x40; by default 40, or the size of an array."""
    invert: bool = False
    """Swap ink and paper, so that ink is high loss."""
    axes: Count | None = None
    """Number of axes of the chart; by default that of the picture."""

    train_origin: bool | None = None
    """Train the origin of the chart, too; by default only where it was initialised at random."""
    init: str = "xavier"
    """Initialiser of the directions, and of the origin where no checkpoint is given (see `lossatlas info`)."""
    origin_at: Literal["centre", "corner"] = "centre"
    """Position of the chart's origin in the picture: its centre, or the cell in its lower left corner."""
    scale: Positive = 2.0
    """Initial value of the trained scale, in lengths of the directions per --scale_unit."""
    scale_unit: Literal["half", "cell"] = "half"
    """Unit of the scale and of its learning rate: half the longer side of the picture, or a cell."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(FittedConfig, OptimizerConfig):
    """The steps of a fit: which cells are sampled, of which picture, and how their losses count."""

    target_gap: Fraction | None = None
    """Running accuracy gap between sampled low and high cells at which the fit stops; a run that ends on a plateau
    below it fails."""
    cells: Count | None = None
    """Number of low cells and number of high cells sampled per step, or of members; by default 32, and 16 for networks
    with convolutions."""
    clip: str = "log"
    """What is to be large in high cells, up to --threshold: the logarithm of the loss of each example (log), the loss
    itself (example), or its mean over the batch (cell)."""
    threshold: Positive = 2.5
    """Loss at which high cells are clipped."""
    decorrelation: NotNegative = 0.0
    """Weight of the mean product of the errors of two members of an ensemble (--pattern members:K), which makes them
    err differently; 0 trains each on its loss alone."""
    isometry: NotNegative | None = None
    """Weight of a term that keeps a curved chart (spline, bezier_surface) near isometric, so that the picture does
    not lie on a folded or stretched one; 0 leaves it out, and 0.1 is the default for them."""
    boundary_share: Share | None = None
    """Fraction of the sampled cells that have another class in their 3x3 neighbourhood; by default the fraction of the
    picture's low cells that have one, or of its high cells where that is larger."""
    boundary_only: bool | None = None
    """Sample only cells that have another class in their 3x3 neighbourhood, a --boundary_share of 1; if this is denied,
    all cells are sampled alike."""
    coarse: tuple[float, ...] | None = None
    """Coarser sizes that are fitted first, as fractions of the size; with none the fit begins at full size. By default
    0.3 and 0.6, and 0.25 and 0.5 for networks with convolutions."""
    shares: tuple[float, ...] | None = None
    """Fraction of the budget for each size, the full size last; by default 0.2, 0.3 and 0.5 for three sizes."""
    there: Fraction = 0.9
    """Running accuracy gap at which a coarser picture counts as fitted."""
    scale_lr: Positive | None = None
    """Learning rate of the scale, in its unit; by default that of all other parameters, and for networks with
    convolutions 1.6 times that with muon and 4 times with adam."""
    betas: tuple[Decay, Decay] = (0.8, 0.95)
    """Decay rates of the moment estimates of Adam."""
    keep_best: bool | None = None
    """Keep the chart that scored best on held-out training examples (--holdout, or else a tenth, at most 1000) instead
    of that of the last step; by default where each cell has a loss of its own, such as grey:FILE."""
    average_last: Share = 0.0
    """Last share of the budget, over whose steps the chart's parameters are averaged; 0 for none."""


@dataclass(frozen=True, kw_only=True)
class FitConfig(MetricsConfig, SamplingConfig, PictureConfig):
    """Everything that a fit of a picture and the survey of its chart depend on."""

    verb: ClassVar[str] = "fit"
    usual: ClassVar[Mapping[str, Any]] = {
        "chart": "plane",
        "schedule": "linear",
        "buffers": "batch",
        "splits": ("train", "test"),
    }
    usual_seconds: ClassVar[float] = 45.0

    padding: int = 4
    """Number of cells surveyed around the picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer not in (AUTO, *OPTIMIZERS):
            raise make_unknown_error("optimizer of a fit", self.optimizer, OPTIMIZERS)
        if self.padding < 0:
            raise BadInput(f"padding is {self.padding}; expected 0 or more cells")
        if self.boundary_share not in (None, 1.0) and self.boundary_only is not None:
            only = "is a boundary_share of 1" if self.boundary_only else "leaves it to chance"
            raise BadInput(f"boundary_only {only} and boundary_share is {self.boundary_share:g}; give one of the two")
        if self.shares is not None and not all(share > 0 for share in self.shares):
            raise BadInput(f"shares is {spell_list(self.shares)}; expected positive shares of the budget")
        if self.shares is not None and self.coarse is not None and len(self.shares) != len(self.coarse) + 1:
            raise BadInput(
                f"shares is {spell_list(self.shares)}; expected {len(self.coarse) + 1} positive shares "
                "of the budget, one for each coarser size and one for the full size"
            )
        if not all(0 < fraction < 1 for fraction in self.coarse or ()):
            raise BadInput(f"coarse is {spell_list(self.coarse or ())}; expected fractions of the size between 0 and 1")

    @classmethod
    def complete_record(cls, flat: Mapping[str, Any]) -> dict[str, Any]:
        if "optimizer" in flat:
            return dict(flat)
        # Before the optimiser could be chosen it was Adam, with one rate for all if none was given for the scale, and
        # cells were sampled alike or at boundaries alone.
        rate = flat.get("lr") if flat.get("scale_lr") is None else flat["scale_lr"]
        share = 1.0 if flat.get("boundary_only") else None
        usual = {"optimizer": "adam", "scale_lr": rate, "keep_best": False, "boundary_share": share, "isometry": 0.0}
        return {**flat, **usual}

    def settled(self, stored: Mapping[str, Any]) -> Self:
        # What follows from network, data and picture, and how many examples there is time for, was decided once.
        left_open = {name for name in DECIDED if getattr(self, name) in (None, AUTO)}
        settled = replace(self, **{name: _as_field(stored[name]) for name in left_open if name in stored})
        held_out = settled.keep_best and not settled.holdout
        return replace(settled, holdout=stored["holdout"]) if held_out else settled


def _as_field(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
