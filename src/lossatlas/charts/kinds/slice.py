"""The affine chart with directions as they are."""

from __future__ import annotations

from torch import Tensor

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import axes_named, checked_coords
from lossatlas.charts.forms import affine, affine_derivatives

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
        self.axes = axes_named(len(directions))

    def coefficients(self, coords: Tensor) -> Tensor:
        return affine(checked_coords(coords, self.axes))

    def derivatives(self, coords: Tensor) -> Tensor:
        return affine_derivatives(checked_coords(coords, self.axes))
