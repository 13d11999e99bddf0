"""The interface of survey sites: what a survey lies around, along, between or on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lossatlas.charts import CoefficientChart
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.registry import Registry
from lossatlas.training.weight_trajectory import Projection, WeightTrajectory

__all__ = ["SITES", "Box", "Network", "SiteKind", "SurveySite", "SurveyedTrajectory"]

Box = tuple[float, float]
"""Where an axis begins and ends."""


@dataclass(frozen=True)
class SurveyedTrajectory:
    """A trajectory and where it runs."""

    trajectory: WeightTrajectory
    here: Projection
    """In the survey's own plane."""
    explained: Tensor
    """(S,): shares of the trajectory's variance along all its principal components."""
    elsewhere: dict[str, Projection]
    """In other planes, by what these are."""


@dataclass(frozen=True)
class Network:
    """A network that a survey shows."""

    name: str
    coords: tuple[float, ...]
    weights: Tensor
    """(n,), on the processor."""


@dataclass(frozen=True)
class SurveySite:
    """What a survey lies on: a chart, what pictures of it show, and the networks there."""

    chart: CoefficientChart
    boxes: Mapping[str, Box]
    """What the picture shows where nobody says otherwise, by axis."""
    networks: tuple[Network, ...] = ()
    trajectory: SurveyedTrajectory | None = None
    buffers: str | None = None
    """The policy of running statistics that the site takes from a run; None: what is usual for its chart."""
    notes: tuple[str, ...] = ()
    """What somebody should know who looks at the picture."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what the configuration names and does not hold."""


class SiteKind(ABC):
    """Where a survey lies."""

    @abstractmethod
    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        """The chart there; brings the problem's module to a network of the site, as far as there is one.

        Raises:
            BadInput: what the configuration names is missing or does not fit.
        """


SITES: Registry[type[SiteKind]] = Registry("survey site", "lossatlas.recipes.sites")
"""By the field of a configuration that names one."""
