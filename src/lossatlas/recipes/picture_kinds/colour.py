"""Colour pictures, whose cells have target losses of three groups of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from lossatlas.data import Dataset
from lossatlas.describing import join_words
from lossatlas.engine import Metric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss, has_groups
from lossatlas.metrics.kinds.group_loss import GroupLoss
from lossatlas.objectives import ColourLevels, Objective
from lossatlas.pictures import (
    ColourImage,
    ColourPicture,
    find_left_out,
    find_picture_options,
    score_colours,
    settle_groups,
)
from lossatlas.recipes.base import require
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.options import check_options
from lossatlas.recipes.picture_kind import PictureKind, Reals
from lossatlas.recipes.picture_kinds._losses import list_usual_noise
from lossatlas.schema import CHANNELS, GROUP_LOSS

__all__ = ["COLOUR"]


@final
class _Colour(PictureKind[ColourPicture]):
    raster = ColourPicture
    words = "a colour picture"
    keeps_best = True
    without_low_cells = "colours"
    scored = ("accuracy", "loss", GROUP_LOSS)

    def check_loss(self, loss: Loss, config: FitConfig) -> None:
        super().check_loss(loss, config)
        if not has_groups(loss):
            raise BadInput(
                f"a colour picture is made of the losses of groups of classes, which {loss.record} does not have; "
                "expected a loss per example that classifies, such as cross_entropy"
            )

    def settle(self, picture: ColourPicture, data: Dataset) -> ColourPicture:
        settled = picture.settle(_count_classes(data))
        _check_examples(settled, data)
        return settled

    def list_notes(self, picture: ColourPicture, data: Dataset) -> Sequence[str]:
        groups = picture.groups or ()
        named = [f"{name} of classes {each}" for name, each in zip(CHANNELS, picture.list_groups(), strict=True)]
        notes = [f"colours are mean losses, {', '.join(named)}"]
        if out := find_left_out(groups, _count_classes(data)):
            one = len(out) == 1
            notes.append(
                f"{'class' if one else 'classes'} {join_words([str(number) for number in out])} "
                f"{'belongs' if one else 'belong'} to no colour"
            )
        return notes

    def list_usual(self, picture: ColourPicture, config: FitConfig, data: Dataset) -> Mapping[str, Any]:
        return list_usual_noise(data)

    def build_objective(self, picture: ColourPicture, config: FitConfig) -> tuple[Objective, npt.NDArray[np.bool_]]:
        made = ColourLevels(picture, cells=require(config.cells))
        return made, made.sampled

    def list_metrics(self, config: FitConfig, data: Dataset) -> Sequence[Metric]:
        if find_picture_options(config.pattern) is not ColourImage:
            return ()
        options = ColourImage(**check_options("pattern", config.pattern, config.pattern_options))
        return [GroupLoss(settle_groups(options.parse_groups(), _count_classes(data)))]

    def score(
        self, picture: ColourPicture, found: Mapping[str, Reals], sampled: npt.NDArray[np.bool_]
    ) -> dict[str, Any]:
        return score_colours(picture, found[GROUP_LOSS]) if GROUP_LOSS in found else {}


COLOUR = _Colour()


def _check_examples(picture: ColourPicture, data: Dataset) -> None:
    """Refuse a channel that nothing can be fitted to.

    Raises:
        BadInput: no training example belongs to its group of classes.
    """
    trained = data.find_trained_classes()
    for channel, group, classes in zip(CHANNELS, picture.groups or (), picture.list_groups(), strict=True):
        if trained is not None and trained.isdisjoint(group):
            named = f"{'class' if len(group) == 1 else 'classes'} {classes}"
            raise BadInput(
                f"no training example of {data.name} is of {named}, whose mean loss is to be {channel}; give three "
                "groups that have examples, --pattern.groups"
            )


def _count_classes(data: Dataset) -> int:
    """Count the classes.

    Raises:
        BadInput: the targets are not labels.
    """
    if (classes := data.count_classes()) is None:
        raise BadInput(
            "a colour picture is made of the losses of groups of classes, and the targets of these data are not "
            "labels; expected integer labels, one per example or position"
        )
    return classes
