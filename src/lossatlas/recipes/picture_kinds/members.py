"""Grids of members, which are an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.engine import Engine
from lossatlas.losses import Loss
from lossatlas.objectives import Decorrelated, Objective
from lossatlas.objectives.residuals import check_residuals
from lossatlas.pictures import MemberGrid, score_members
from lossatlas.recipes.base import require
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.picture_kind import PictureKind, Reals
from lossatlas.recipes.picture_kinds._together import coincide, score_together

if TYPE_CHECKING:
    from lossatlas.recipes.fit import FitRecipe

__all__ = ["MEMBERS"]

ONE_NETWORK = (
    "have become one network: nothing keeps the trained scale from 0; give --decorrelation, or a --scale_lr so small "
    "that the scale stays"
)


@final
class _Members(PictureKind[MemberGrid]):
    raster = MemberGrid
    has_members = True
    words = "a grid of members"

    def check_loss(self, loss: Loss, config: FitConfig) -> None:
        super().check_loss(loss, config)
        if config.decorrelation:
            check_residuals(loss)

    def build_objective(self, picture: MemberGrid, config: FitConfig) -> tuple[Objective, npt.NDArray[np.bool_]]:
        made = Decorrelated(picture, weight=config.decorrelation, cells=require(config.cells))
        return made, made.sampled

    def score(self, picture: MemberGrid, found: Mapping[str, Reals], sampled: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {key: value for name in found for key, value in score_members(picture, name, found[name]).items()}

    def score_together(self, recipe: FitRecipe, engine: Engine) -> dict[str, dict[str, float]]:
        return score_together(recipe, engine)

    def describe_failure(self, together: Mapping[str, Mapping[str, float]]) -> str:
        return f"the members {ONE_NETWORK}" if together and coincide(together.values()) else ""


MEMBERS = _Members()
