"""Grey pictures, whose cells have target losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.data import Dataset
from lossatlas.objectives import Levels, Objective
from lossatlas.pictures import GreyPicture, score_loss
from lossatlas.recipes.base import require
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.picture_kind import PictureKind, Reals
from lossatlas.recipes.picture_kinds._losses import list_usual_noise

__all__ = ["GREY"]


@final
class _Grey(PictureKind[GreyPicture]):
    raster = GreyPicture
    words = "a grey picture"
    keeps_best = True
    without_low_cells = "shades of grey"

    def list_usual(self, picture: GreyPicture, config: FitConfig, data: Dataset) -> Mapping[str, Any]:
        return list_usual_noise(data)

    def build_objective(self, picture: GreyPicture, config: FitConfig) -> tuple[Objective, npt.NDArray[np.bool_]]:
        made = Levels(picture, cells=require(config.cells))
        return made, made.sampled

    def score(self, picture: GreyPicture, found: Mapping[str, Reals], sampled: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return score_loss(picture, found["loss"]) if "loss" in found else {}


GREY = _Grey()
