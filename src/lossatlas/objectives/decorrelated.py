"""The objective of ensembles on one chart: members of low loss, whose errors differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.objectives.residuals import check_residuals, find_residuals, multiply_residuals
from lossatlas.objectives.scoring import Scoring, pick_points
from lossatlas.pictures import MemberGrid
from lossatlas.streams import make_generator
from lossatlas.types import Outputs

__all__ = ["Decorrelated"]


@final
class Decorrelated(SingleStage):
    """The mean loss of members, plus a multiple of the mean product of the residuals of two members.

    Rosen 1996 (Ensemble learning using decorrelated neural networks), with all members on one minibatch: the residual
    of a member on an example is its prediction minus the target, and the product of those of members i and j is
    averaged over examples and over all pairs ``i != j``. For K members that is ``(K^2 ||e||^2 - sum of ||e_i||^2) /
    (K (K - 1))`` with the mean residual ``e``, so that no pair is formed.

    Args:
        picture: where the members are.
        weight: the factor of the mean product, 0 or more. With 0 a step takes one pass over the members, and two else.
        cells: how many members a step samples, without replacement; all where there are fewer.

    Raises:
        BadInput: a negative weight, fewer than one member a step, or one member where products are needed.

    Example:
        >>> import lossatlas as la
        >>> objective = la.Decorrelated(la.MemberGrid(16), weight=0.3)
        >>> objective.sample(seed=0, step=0, progress=0.0, running={}).coords.shape
        torch.Size([16, 2])
    """

    def __init__(self, picture: MemberGrid, *, weight: float = 0.0, cells: int = 32) -> None:
        if not 0 <= weight < float("inf"):
            raise BadInput(f"the weight of decorrelation is {weight}; expected 0 or a positive number")
        if cells < 1 + (weight > 0):
            raise BadInput(
                f"a step samples {cells} members; expected at least {'two, whose errors differ' if weight else 'one'}"
            )
        self.picture = picture
        self.weight = weight
        self.axes = picture.axes
        self.sampled = picture.low
        """The cells that may be sampled, shaped like the picture's: those of the members."""
        self._coords = torch.from_numpy(picture.member_coords())
        self.most_points = min(cells, len(self._coords))

    def _describe(self) -> str:
        return f"{self.picture!r}, weight {self.weight:g}, {super()._describe()}"

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        order = torch.randperm(len(self._coords), generator=make_generator(seed, "members", step))
        return _SampledMembers(self._coords[order[: self.most_points]], self.weight)

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        """The mean loss of members, with the other sign."""
        coords = self._coords[pick_points(len(self._coords), most, "scored")]
        return Scoring(
            "negative_member_loss", coords, {"loss": metrics["loss"]}, lambda values: -float(values["loss"].mean())
        )


@final
class _SampledMembers(SampledPoints):
    """The members of one step."""

    geometric = False

    def __init__(self, coords: Tensor, weight: float) -> None:
        self.coords = coords
        self.coupled = weight > 0
        self._weight = weight
        self._seen: tuple[Loss, Any] | None = None
        self._product: Tensor | None = None

    def see(self, loss: Loss, targets: Any) -> None:
        if self.coupled:
            check_residuals(loss)
        self._seen = loss, targets

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        mean = (losses @ shares).sum() / len(self.coords)
        if not self.coupled:
            return mean
        assert self._seen is not None
        residuals = find_residuals(self._seen[0], outputs, self._seen[1])
        products = multiply_residuals(residuals.sum(dim=0), residuals.square().sum(dim=(0, 2)), len(residuals))
        product = products @ shares.to(products)
        self._product = product.detach()
        return mean + self._weight * product

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = {f"mean_{name}": float(values.mean()) for name, values in metrics.items()}
        return numbers if self._product is None else {**numbers, "error_product": float(self._product)}
