"""The interface of kinds of pictures: what a fit needs to know of the raster that it is to show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from lossatlas.data import Dataset
from lossatlas.engine import Engine, Metric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.objectives import Objective
from lossatlas.pictures import Raster
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.registry import Registry

if TYPE_CHECKING:
    from lossatlas.recipes.fit import FitRecipe

__all__ = ["PICTURE_KINDS", "PictureKind", "Reals", "find_picture_kind", "list_picture_metrics"]

R = TypeVar("R", bound=Raster)
Reals = npt.NDArray[np.float64]


class PictureKind(ABC, Generic[R]):
    """What a fit does with one class of rasters: an interface.

    Attributes:
        raster: The class of rasters.
        words: What such a raster is called, with its article.
        without_low_cells: What it has in place of low cells, ``shades of grey``; empty where it has low cells.
        has_gap: Whether it has low and high cells, so that there is a gap between their accuracies.
        has_members: Whether its cells are members of an ensemble, which may be decorrelated.
        keeps_best: Whether a fit keeps the chart that scores best on held-out examples, unless it is told not to.
        scored: The metrics of the survey that :meth:`score` is given.
    """

    raster: ClassVar[type[Raster]]
    words: ClassVar[str]
    without_low_cells: ClassVar[str] = ""
    has_gap: ClassVar[bool] = False
    has_members: ClassVar[bool] = False
    keeps_best: ClassVar[bool] = False
    scored: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    def check(self, picture: R, config: FitConfig) -> None:
        """Refuse settings that do not fit such pictures.

        Raises:
            BadInput: the first of them.
        """
        if not self.has_gap and (config.boundary_only or config.boundary_share is not None):
            raise BadInput(
                f"picture {picture.name!r} does not have low and high cells, between which there are boundaries; leave "
                "boundary_only and boundary_share out (--boundary_share none where a file sets it)"
            )
        if config.decorrelation and not self.has_members:
            raise BadInput(
                f"decorrelation is between members of an ensemble, which picture {picture.name!r} does not have; give "
                "--pattern members:K, or leave --decorrelation out"
            )

    def check_loss(self, loss: Loss, config: FitConfig) -> None:
        """Refuse a loss that such pictures cannot be fitted under.

        Raises:
            BadInput: it is refused, or the settings do not fit it.
        """
        if config.target_gap is not None and not loss.classifies:
            raise BadInput("target_gap is a gap of accuracies, which this loss does not have; leave it out")
        if config.target_gap is not None and not self.has_gap:
            raise BadInput(
                f"target_gap is a gap between low and high cells, which {self.words} does not have; leave it out"
            )

    def settle(self, picture: R, data: Dataset) -> R:
        """Return the picture with what it leaves open decided from the data.

        Raises:
            BadInput: the picture does not fit the data.
        """
        return picture

    def list_notes(self, picture: R, data: Dataset) -> Sequence[str]:
        """List what users should know of a settled picture and the data."""
        return ()

    def list_usual(self, picture: R, config: FitConfig, data: Dataset) -> Mapping[str, Any]:
        """List the values that follow from the picture and the data of settings that are left open, by name."""
        return {"augment": ()}

    @abstractmethod
    def build_objective(self, picture: R, config: FitConfig) -> tuple[Objective, npt.NDArray[np.bool_]]:
        """Build the objective, and the mask of the cells that it may sample, shaped like the picture.

        Raises:
            BadInput: a setting does not fit the picture.
        """

    def list_metrics(self, config: FitConfig, data: Dataset) -> Sequence[Metric]:
        """List the metrics that a fit of a picture of this kind adds to its survey; none for other pictures.

        They follow from the configuration and the data, so that a run can be opened where a picture file is gone.
        """
        return ()

    def is_on_plateau(self, running: Mapping[str, float]) -> bool:
        """Return whether a fit has not left the plateau where all cells are alike.

        Args:
            running: running means of what the objective reports.
        """
        return False

    @abstractmethod
    def score(self, picture: R, found: Mapping[str, Reals], sampled: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Score how well the survey of one split shows the picture.

        Args:
            picture: the picture.
            found: those of the metrics :attr:`scored` that were surveyed, of the shape of the cells; those with k
                values at a point have a last axis of length k.
            sampled: the cells that the fit sampled.

        Returns:
            The scores by name, as JSON values.
        """

    def score_together(self, recipe: FitRecipe, engine: Engine) -> dict[str, dict[str, float]]:
        """Score what several cells are together, by split; nothing for most pictures.

        Args:
            recipe: the recipe of the fit, whose chart is fitted.
            engine: the engine of its survey.
        """
        return {}

    def describe_failure(self, together: Mapping[str, Mapping[str, float]]) -> str:
        """Say what :meth:`score_together` found to be wrong, as a line; empty if nothing is."""
        return ""


PICTURE_KINDS: Registry[PictureKind[Any]] = Registry("kind of picture", "lossatlas.recipes.picture_kinds")


def find_picture_kind(picture: Raster) -> PictureKind[Any]:
    """Find the kind of a picture.

    Raises:
        BadInput: no kind has its class.
    """
    found = next(
        (PICTURE_KINDS[name] for name in PICTURE_KINDS if isinstance(picture, PICTURE_KINDS[name].raster)), None
    )
    if found is None:
        raise BadInput(f"a {type(picture).__name__} cannot be fitted; expected one that la.picture makes")
    return found


def list_picture_metrics(config: FitConfig, data: Dataset) -> list[Metric]:
    """List the metrics that the picture of a fit adds to its survey, from the configuration and the data alone."""
    return [metric for name in PICTURE_KINDS for metric in PICTURE_KINDS[name].list_metrics(config, data)]
