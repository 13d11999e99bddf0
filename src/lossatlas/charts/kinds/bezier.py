"""Bézier curves."""

from __future__ import annotations

from torch import Tensor

from lossatlas.charts.curve import Curve
from lossatlas.charts.forms import bernstein, bernstein_derivatives

__all__ = ["Bezier"]


class Bezier(Curve):
    """A Bézier curve, ``phi(t) = sum_i C(m, i) t^i (1 - t)^(m - i) w_i``: smooth, through its ends but not its bends.

    With one bend it is ``(1 - t)^2 w_0 + 2 t (1 - t) w_1 + t^2 w_2`` (Garipov et al. 2018, section 3.2). Arguments and
    errors are those of :class:`Curve`; :meth:`between` makes a curve between trained networks.

    Example:
        A curve between two networks in R^3, whose bend starts in the middle of the segment:

        >>> import torch, lossatlas as la
        >>> curve = la.Bezier.between(torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]]))
        >>> curve.points(torch.tensor([[0.0], [0.5], [1.0]])).tolist()
        [[0.0, 0.0, 0.0], [0.5, 1.0, 2.0], [1.0, 2.0, 4.0]]
    """

    most_networks = 2

    def coefficients(self, coords: Tensor) -> Tensor:
        return bernstein(self._t(coords), self.degree)

    def derivatives(self, coords: Tensor) -> Tensor:
        return bernstein_derivatives(self._t(coords), self.degree)[:, :, None]
