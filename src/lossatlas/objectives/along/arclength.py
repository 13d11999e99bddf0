"""The expected loss of a point that is uniform in the arc length of a curve."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lossatlas.charts import Curve
from lossatlas.charts.lengths import measure_speeds, quadrature
from lossatlas.errors import BadInput
from lossatlas.linalg import form_gram
from lossatlas.objectives.on_curve import OnCurve, PointsOnCurve
from lossatlas.types import Outputs

__all__ = ["ArcLength"]

SAME = 1e-4
"""The relative tolerance for Gram matrices of one curve's controls, which may be summed in any order."""


class ArcLength(OnCurve):
    """``int L(phi) ||phi'|| dt / int ||phi'|| dt`` (Garipov et al. 2018, equation 1).

    The estimate from t_1, ..., t_P is ``1/P sum_i L(phi(t_i)) ||phi'(t_i)|| / length``. The length is computed from
    the Gram matrix of the controls by quadrature, not from the sampled points. Estimate and gradient therefore have no
    bias but that of the quadrature: rounding error for gentle curves, and about 1e-6 at the sharpest turns. (Dividing
    by the mean speed of the sampled points, which needs no quadrature, has a bias of order 1/P: minus the covariance
    of ``(L - J) ||phi'||`` and ``||phi'||`` over the squared length, for independent points.)

    Args:
        curve: the curve that is trained.
        points: how many points a step samples, see :class:`~lossatlas.objectives.on_curve.OnCurve`.
        weight_decay: the coefficient of the weight decay on sampled points, likewise.

    Raises:
        BadInput: in a step: another curve is fitted, or one with trained coefficients.

    Example:
        >>> import lossatlas as la
        >>> curve = la.Bezier.between(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
        >>> sampled = la.ArcLength(curve, points=4).sample(seed=0, step=0, progress=0.0, running={})
        >>> sampled.coords.shape
        torch.Size([4, 1])
    """

    def __init__(self, curve: Curve, points: int = 4, *, weight_decay: float = 0.0) -> None:
        super().__init__(points, weight_decay=weight_decay)
        self._curve = curve

    @classmethod
    def of_curve(cls, curve: Curve, points: int, weight_decay: float, temperature: float) -> Self:
        return cls(curve, points, weight_decay=weight_decay)

    def sample_at(self, coords: Tensor) -> PointsOnCurve:
        return _Points(coords, self.weight_decay, self._curve)


class _Points(PointsOnCurve):
    """Losses times weights that depend on the controls, differentiated by the product rule in two parts.

    The engine first differentiates the values of all points with the weights held constant, and then the geometry with
    the losses held constant.
    """

    geometric = True

    def __init__(self, coords: Tensor, weight_decay: float, curve: Curve) -> None:
        super().__init__(coords, weight_decay)
        nodes, self._rule = quadrature(curve)
        self._velocities = curve.velocities(coords)
        if self._velocities.requires_grad:
            raise BadInput("the arc length is not differentiated in trained coefficients; hold them, or choose uniform")
        self._at_nodes = curve.velocities(nodes)
        self._gram = form_gram(curve.controls())
        self._weights = self._of_gram(self._gram)
        self._losses = torch.zeros(len(coords), dtype=torch.float64)

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        means = losses @ shares
        self._losses[points] = means.detach().double().cpu()
        return (self._weights[points].to(means) * means).sum()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        if gram.shape != self._gram.shape or not torch.allclose(gram.detach().cpu(), self._gram, rtol=SAME):
            raise BadInput("this is the arc length of another curve; make the objective of the curve that is fitted")
        on = gram.device
        weights = self._of_gram(gram)
        moved = (self._losses.to(on) * (weights - weights.detach())).sum()
        return moved + super().geometry(coefficients, gram)

    def _of_gram(self, gram: Tensor) -> Tensor:
        """The weights (P,) of the losses, from the Gram matrix (m, m) of the controls."""
        at, nodes, rule = (part.to(gram.device) for part in (self._velocities, self._at_nodes, self._rule))
        return measure_speeds(at, gram) / (len(at) * (rule @ measure_speeds(nodes, gram)))
