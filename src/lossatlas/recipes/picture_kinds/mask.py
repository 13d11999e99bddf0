"""Masks of low and high cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.data import Dataset
from lossatlas.objectives import CLIPS, Objective, Pattern
from lossatlas.pictures import Picture, score_accuracy, score_loss
from lossatlas.recipes.base import require
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.picture_kind import PictureKind, Reals

__all__ = ["MASK"]

PLATEAU = 0.1
"""The gap, of accuracies or else of log losses, below which a fit has not left the plateau where all cells are
alike."""


@final
class _Mask(PictureKind[Picture]):
    raster = Picture
    words = "a mask"
    has_gap = True

    def list_usual(self, picture: Picture, config: FitConfig, data: Dataset) -> Mapping[str, Any]:
        shares = {None: picture.boundary_share, True: 1.0, False: None}
        return {**super().list_usual(picture, config, data), "boundary_share": shares[config.boundary_only]}

    def build_objective(self, picture: Picture, config: FitConfig) -> tuple[Objective, npt.NDArray[np.bool_]]:
        clip = CLIPS[config.clip](config.threshold)
        made = Pattern(picture, cells=require(config.cells), clip=clip, boundary_share=config.boundary_share)
        return made, made.sampled

    def is_on_plateau(self, running: Mapping[str, float]) -> bool:
        if "gap" in running:
            return running["gap"] < PLATEAU
        low, high = running.get("low_loss", 0.0), running.get("high_loss", 0.0)
        return high < low * math.exp(PLATEAU)

    def score(self, picture: Picture, found: Mapping[str, Reals], sampled: npt.NDArray[np.bool_]) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        if "accuracy" in found:
            scores |= score_accuracy(picture, found["accuracy"], sampled)
        if "loss" in found:
            scores |= score_loss(picture, found["loss"])
        return scores


MASK = _Mask()
