"""The objective of grey pictures: each cell has a target loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.objectives.cells import CellTargets
from lossatlas.objectives.objective import SampledPoints
from lossatlas.objectives.scoring import Scoring, correlate_log_loss
from lossatlas.pictures import LOSS_FLOOR, GreyPicture
from lossatlas.types import Outputs

__all__ = ["Levels"]


@final
class Levels(CellTargets):
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
        super().__init__(picture, picture.target, cells)

    def sample_at(self, coords: Tensor, targets: Tensor) -> SampledPoints:
        return _SampledLevels(coords, targets)

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        coords, target = self._pick_scored(most)
        return Scoring(
            "log_loss_correlation",
            coords,
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
