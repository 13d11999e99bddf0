"""The objective of colour pictures: each cell has a target loss of each of three groups of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss, check_grouping, find_group_losses, share_examples
from lossatlas.objectives.cells import CellTargets
from lossatlas.objectives.objective import SampledPoints
from lossatlas.objectives.scoring import Scoring, correlate_log_loss
from lossatlas.pictures import LOSS_FLOOR, ColourPicture, settle_groups, write_groups
from lossatlas.schema import CHANNELS, GROUP_LOSS
from lossatlas.types import Outputs

__all__ = ["ColourLevels"]

Groups = tuple[tuple[int, ...], ...]


@final
class ColourLevels(CellTargets):
    """The mean over random cells and three channels of the squared difference between log mean loss and log target.

    The mean loss of a channel is that of the examples of its group of classes in the minibatch. A channel whose group
    has no example there counts nothing in that step, so that it neither adds to the mean nor changes the weight of
    the others.

    Args:
        picture: the target losses, and the groups of classes; groups that are left open follow from the number of
            logits.
        cells: how many cells a step samples, without replacement; all where there are fewer.

    Raises:
        BadInput: another kind of picture, or fewer than one cell a step.

    Example:
        >>> import numpy as np, lossatlas as la
        >>> colours = np.geomspace(0.05, 2.0, 90).reshape(3, 5, 6).transpose(1, 2, 0)
        >>> objective = la.ColourLevels(la.ColourPicture(colours, "ramps"), cells=8)
        >>> objective.sample(seed=0, step=0, progress=0.0, running={}).coords.shape
        torch.Size([8, 2])
    """

    per_example = True

    def __init__(self, picture: ColourPicture, *, cells: int = 50) -> None:
        if not isinstance(picture, ColourPicture):
            raise BadInput(f"ColourLevels shows a ColourPicture; got {picture!r}")
        super().__init__(picture, picture.log_losses, cells)
        self._groups = picture.groups
        self.scored_by = () if self._groups is None else (f"{GROUP_LOSS}:{write_groups(self._groups)}",)

    def sample_at(self, coords: Tensor, targets: Tensor) -> SampledPoints:
        return _SampledColours(coords, targets, self._groups)

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        """Make the mean, over the channels whose target varies, of the correlation of log loss and log target.

        None where the groups are left open, since they follow from outputs, which a fit sees later, and where no
        channel varies.
        """
        coords, target = self._pick_scored(most)
        varied = [k for k in range(len(CHANNELS)) if np.ptp(target[:, k]) > 0]
        if not self.scored_by or not varied:
            return None

        def compute(values: Mapping[str, Tensor]) -> float:
            found = values[GROUP_LOSS]
            each = [correlate_log_loss(found[:, k], target[:, k]) for k in varied]
            return sum(each) / len(each)

        return Scoring("colour_correlation", coords, {GROUP_LOSS: metrics[GROUP_LOSS]}, compute)


@final
class _SampledColours(SampledPoints):
    """The cells of one step and the logarithms of their target losses, (P, 3) float64."""

    coupled = False
    geometric = False

    def __init__(self, coords: Tensor, target: Tensor, groups: Groups | None) -> None:
        self.coords = coords
        self._target = target
        self._groups = groups
        self._seen: tuple[Loss, Any] | None = None
        self._means: dict[int, Tensor] = {}
        """The mean losses (k, 3) of points, NaN where a group has no example, by the number of the first of them."""

    def see(self, loss: Loss, targets: Any) -> None:
        check_grouping(loss, targets)
        self._seen = loss, targets

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        assert self._seen is not None
        loss, targets = self._seen
        groups = settle_groups(self._groups, loss.labelled(outputs, targets).logits.shape[-1])
        found = find_group_losses(loss, outputs, losses, targets, groups)
        means = torch.stack([one.losses @ share_examples(one.weights, one.losses) for one in found], dim=1)
        there = torch.stack([one.weights.sum() > 0 for one in found])
        self._means[points.start] = torch.where(there, means.detach(), torch.nan)
        misses = torch.where(there, self._miss(means, points), 0)
        return misses.square().sum() / self._target.numel()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = {f"mean_{name}": float(values.mean()) for name, values in metrics.items()}
        if not self._means:
            return numbers
        means = torch.cat([self._means[start] for start in sorted(self._means)]).cpu()
        there = ~means.isnan().all(dim=0)
        numbers |= {f"mean_{CHANNELS[k]}_loss": float(means[:, k].mean()) for k in there.nonzero().flatten().tolist()}
        if there.any():
            misses = self._miss(means, slice(None))[:, there]
            numbers["log_loss_rmse"] = float(misses.square().mean().sqrt())
        return numbers

    def _miss(self, means: Tensor, points: slice) -> Tensor:
        """Log loss minus log target of some points, from the mean losses (k, 3) of their groups."""
        return means.clamp(min=LOSS_FLOOR).log() - self._target[points].to(means)
