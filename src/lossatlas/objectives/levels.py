"""The objective of grey pictures: each cell has a target loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.objectives.scoring import Scoring, correlate_log_loss, pick_points
from lossatlas.pictures import LOSS_FLOOR, GreyPicture
from lossatlas.streams import make_generator
from lossatlas.types import Outputs

__all__ = ["Levels"]


@final
class Levels(SingleStage):
    """The mean over random cells of the squared difference between log mean loss and log target loss.

    Args:
        picture: the target losses.
        cells: how many cells a step samples, without replacement; all where there are fewer.

    Raises:
        BadInput: another kind of picture, or fewer than one cell a step.
    """

    def __init__(self, picture: GreyPicture, *, cells: int = 50) -> None:
        if not isinstance(picture, GreyPicture):
            raise BadInput(f"Levels shows a GreyPicture; got {picture!r}")
        self.picture = picture
        self.axes = picture.axes
        if cells < 1:
            raise BadInput(f"a step samples {cells} cells; expected at least 1")
        target = torch.from_numpy(picture.target)
        counted = ~target.isnan()
        self.sampled = counted.numpy()
        """The cells that may be sampled, shaped like the picture's: all that are not ignored."""
        self._coords = torch.from_numpy(picture.coords())[counted]
        self._target = target[counted]
        self.most_points = min(cells, len(self._target))

    def _describe(self) -> str:
        return f"{self.picture!r}, {super()._describe()}"

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        order = torch.randperm(len(self._target), generator=make_generator(seed, "cells", step))
        picked = order[: self.most_points]
        return _SampledLevels(self._coords[picked], self._target[picked])

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        picked = pick_points(len(self._target), most, "scored")
        target = self._target[picked].numpy()
        return Scoring(
            "log_loss_correlation",
            self._coords[picked],
            {"loss": metrics["loss"]},
            lambda values: correlate_log_loss(values["loss"], target),
        )


@final
class _SampledLevels(SampledPoints):
    """The cells of one step and the logarithms of their target losses, (P,) float64."""

    coupled = False
    geometric = False

    def __init__(self, coords: Tensor, target: Tensor) -> None:
        self.coords = coords
        self._target = target

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return self._misses(losses @ shares, points).square().sum() / len(self.coords)

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = {f"mean_{name}": float(values.mean()) for name, values in metrics.items()}
        if "loss" in metrics:
            numbers["log_loss_rmse"] = float(self._misses(metrics["loss"], slice(None)).square().mean().sqrt())
        return numbers

    def _misses(self, losses: Tensor, points: slice) -> Tensor:
        """Log loss minus log target of some points, from their mean losses (k,)."""
        return losses.clamp(min=LOSS_FLOOR).log() - self._target[points].to(losses)
