"""Bezier curves."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from lossatlas.charts.curve import Curve

__all__ = ["Bezier"]


class Bezier(Curve):
    """``phi(t) = sum_i C(m, i) t^i (1 - t)^(m - i) w_i``: smooth, drawn towards its bends, through its ends only.

    With one bend ``(1 - t)^2 w_0 + 2 t (1 - t) w_1 + t^2 w_2`` (Garipov et al. 2018, section 3.2).
    """

    most_networks = 2

    def coefficients(self, coords: Tensor) -> Tensor:
        return _bernstein(self._t(coords), self.degree)

    def derivatives(self, coords: Tensor) -> Tensor:
        lower = _bernstein(self._t(coords), self.degree - 1)
        none = lower.new_zeros(len(lower), 1)
        return (self.degree * (torch.cat([none, lower], dim=1) - torch.cat([lower, none], dim=1)))[:, :, None]


def _bernstein(t: Tensor, m: int) -> Tensor:
    """The Bernstein polynomials (P, m + 1) of degree m at t (P, 1)."""
    powers = torch.arange(m + 1, dtype=t.dtype, device=t.device)
    counts = torch.tensor([float(comb(m, i)) for i in range(m + 1)], dtype=t.dtype, device=t.device)
    return counts * t**powers * (1 - t) ** (m - powers)
