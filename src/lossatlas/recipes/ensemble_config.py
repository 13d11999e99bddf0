"""The configuration of an ensemble: its members, and how the average of what they predict is judged."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from lossatlas.bounds import Count, Seed
from lossatlas.errors import BadInput
from lossatlas.recipes.base import ProblemConfig, spell_list
from lossatlas.recipes.shared_config import EvaluationConfig, SamplesConfig
from lossatlas.schema import Scoring

__all__ = ["EnsembleConfig"]

Halvings: TypeAlias = Annotated[
    int, Meta(ge=0, le=Scoring.MOST_HALVINGS, description=f"a number from 0 to {Scoring.MOST_HALVINGS}")
]
Bins: TypeAlias = Annotated[
    int, Meta(ge=1, le=Scoring.MOST_BINS, description=f"a number from 1 to {Scoring.MOST_BINS}")
]
Samples: TypeAlias = Annotated[
    int,
    Meta(
        ge=Scoring.FEWEST_SAMPLES,
        le=Scoring.MOST_SAMPLES,
        description=f"a number from {Scoring.FEWEST_SAMPLES} to {Scoring.MOST_SAMPLES:,}",
    ),
]


@dataclass(frozen=True, kw_only=True)
class MembersConfig(SamplesConfig, ProblemConfig):
    """Which networks are the members of an ensemble."""

    members: tuple[str, ...] = ()
    """Members in their order: files of weights, FILE#KEY, runs of lossatlas train, snapshots RUN@STEP; or several at
    once as RUN@KIND or RUN@KIND:ARGUMENT, such as RUN@snapshots:5, RUN@members (of a cyclic schedule), RUN@swa,
    RUN@swag:30, RUN@low:20 (low cells of a fitted picture), RUN@points:11 (of a curve); see `lossatlas info`. They can
    be named right after the verb."""


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(EvaluationConfig, MembersConfig):
    """Everything that the scores of an ensemble depend on."""

    verb: ClassVar[str] = "ensemble"
    usual: ClassVar[Mapping[str, Any]] = {"splits": ("test",), "examples": "all"}

    greedy: bool = True
    """Add members in a greedy order, too: each time the one that lowers the negative log-likelihood most on one half of
    the examples, scored on the other half."""
    pairs: bool = True
    """Measure how much every two members disagree."""
    sizes: tuple[Count, ...] = ()
    """Numbers of members at which the ensemble is scored; with none all up to 12, and about 12 more spread evenly in
    their logarithms."""
    halvings: Halvings = Scoring.HALVINGS
    """Number of random divisions of the examples into halves, stratified by class; temperatures and greedy orders are
    chosen on one half and scored on the other, both ways; 0 leaves these out."""
    halving_seed: Seed = 0
    """Seed of the divisions into halves, and of bootstraps."""
    bins: Bins = Scoring.BINS
    """Number of equal bins of confidence in the expected calibration error."""
    bootstrap: Samples = Scoring.BOOTSTRAP
    """Number of bootstrap samples of standard errors for which there is no formula."""
    predictions: Literal["auto", "classes", "values"] = "auto"
    """What is averaged: probabilities of classes, or values, such as those of a regression; auto follows from the
    loss."""
    against: tuple[str, ...] = ()
    """Finished runs of lossatlas ensemble on the same examples, from which the differences are stated with paired
    standard errors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.splits) > 1:
            raise BadInput(f"splits is {spell_list(self.splits)}; expected one, such as test")
        if self.greedy and not self.halvings:
            self._settle(greedy=False)  # an order is chosen on one half and scored on the other
        if list(self.sizes) != sorted(set(self.sizes)):
            raise BadInput(f"sizes is {spell_list(self.sizes)}; expected rising numbers of members")
