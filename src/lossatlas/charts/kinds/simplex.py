"""The chart between networks: a segment, a triangle, a simplex of trained weights."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.between import Between
from lossatlas.charts.chart import checked_coords

__all__ = ["Simplex"]


class Simplex(Between):
    """``w(c) = (1 - sum_k c_k) w_0 + sum_k c_k w_k``: barycentric coordinates (Im, Tao & Branson 2016).

    With two networks the line through both, with the first at 0 and the second at 1 (Goodfellow et al. 2015).
    """

    least = 2

    @classmethod
    def _dimensions(cls, corners: int) -> int:
        return corners - 1

    def corner_coords(self) -> Tensor:
        m = len(self.corners)
        return torch.cat([torch.zeros(1, m - 1), torch.eye(m - 1)]).double()

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = checked_coords(coords, self.axes)
        return torch.cat([1 - coords.sum(dim=1, keepdim=True), coords], dim=1)
