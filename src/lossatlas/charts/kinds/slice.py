"""The affine chart with directions as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import checked_coords
from lossatlas.schema import AXES

__all__ = ["Slice"]


class Slice(HeldDirections):
    """``w(c) = origin + sum_k c_k d_k``: around a trained network, along directions of any length and angle.

    Nothing is trained (Li et al. 2018, arXiv 1712.09913, section 3).

    Args:
        origin: (n,).
        directions: (d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__(origin, directions, "d, n")
        self.axes = tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(len(directions)))

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = checked_coords(coords, self.axes)
        return torch.cat([coords.new_ones(len(coords), 1), coords], dim=1)
