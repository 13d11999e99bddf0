"""The bilinear chart between four networks."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.between import Between
from lossatlas.charts.chart import check_coords

__all__ = ["Quadrilateral"]


class Quadrilateral(Between):
    """``(1-u)(1-v) w_0 + u(1-v) w_1 + u v w_2 + (1-u) v w_3``, bilinear (Im, Tao & Branson 2016).

    The networks are in anticlockwise order: the second is to the right of the first, the third above the second.
    """

    least = most = 4
    usual_for = (4,)
    interpolation = "bilinear"

    @classmethod
    def _dimensions(cls, corners: int) -> int:
        return 2

    def corner_coords(self) -> Tensor:
        return torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).double()

    def coefficients(self, coords: Tensor) -> Tensor:
        u, v = check_coords(coords, self.axes).unbind(dim=1)
        return torch.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], dim=1)

    def derivatives(self, coords: Tensor) -> Tensor:
        u, v = check_coords(coords, self.axes).unbind(dim=1)
        along_u, along_v = torch.stack([v - 1, 1 - v, v, -v], dim=1), torch.stack([u - 1, -u, u, 1 - u], dim=1)
        return torch.stack([along_u, along_v], dim=2)
