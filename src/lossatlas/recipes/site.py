"""The interface of survey sites: a checkpoint, networks, a trajectory or the chart of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.registry import Registry
from lossatlas.training.weight_trajectory import Projection, WeightTrajectory

__all__ = ["SITES", "Box", "Network", "SiteKind", "SurveySite", "SurveyedTrajectory"]

Box = tuple[float, float]
"""The first and the last coordinate of an axis."""


@dataclass(frozen=True)
class SurveyedTrajectory:
    """A trajectory and its projections."""

    trajectory: WeightTrajectory
    here: Projection
    """The projection onto the plane of the survey."""
    explained: Tensor
    """The shares of the trajectory's variance along all its principal components, (S,)."""
    elsewhere: dict[str, Projection]
    """The projections onto other planes, by the names of these."""


@dataclass(frozen=True)
class Network:
    """A network that pictures of a survey mark."""

    name: str
    coords: tuple[float, ...]
    weights: Tensor
    """The weights, (n,), on the CPU."""


@dataclass(frozen=True)
class SurveySite:
    """The site of a survey: a chart, the extent of its pictures, and the networks on it."""

    chart: Chart
    boxes: Mapping[str, Box]
    """The default range of each axis."""
    networks: tuple[Network, ...] = ()
    trajectory: SurveyedTrajectory | None = None
    buffers: str | None = None
    """The buffers policy that the site takes from a run; None for the default of its chart."""
    notes: tuple[str, ...] = ()
    """Notes for the reader of the picture."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """The hashes of the inputs that the configuration names."""


class SiteKind(ABC):
    """A kind of survey site.

    Args:
        held: the chart of the run that is resumed, where it may not be computed again; None makes the chart.
    """

    def __init__(self, held: Chart | None = None) -> None:
        self.held = held

    @abstractmethod
    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        """Build the site; loads a network of the site into the problem's module, if the site has one.

        Raises:
            BadInput: an input that the configuration names is missing or does not fit.
        """


SITES: Registry[type[SiteKind]] = Registry("survey site", "lossatlas.recipes.sites")
"""The kinds of survey sites, by the field of the configuration that names the site."""
