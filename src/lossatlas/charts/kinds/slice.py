"""The affine chart with fixed directions."""

from __future__ import annotations

from torch import Tensor

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import check_coords, name_axes
from lossatlas.charts.forms import affine, affine_derivatives

__all__ = ["Slice"]


class Slice(HeldDirections):
    """``w(c) = origin + sum_k c_k d_k``: around a trained network, along directions of any lengths and angles.

    Nothing is trained (Li et al. 2018, arXiv 1712.09913, section 3). :func:`lossatlas.slice_around` makes one along
    filter-normalised random directions.

    Args:
        origin: the weights of the network, (n,).
        directions: (d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.

    Example:
        >>> import torch, lossatlas as la
        >>> chart = la.Slice(torch.ones(3), torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 2.0]]))
        >>> chart.points(torch.tensor([[0.5, -1.0]])).tolist()
        [[1.5, -1.0, -1.0]]
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__(origin, directions, "d, n")
        self.axes = name_axes(len(directions))

    def coefficients(self, coords: Tensor) -> Tensor:
        return affine(check_coords(coords, self.axes))

    def derivatives(self, coords: Tensor) -> Tensor:
        return affine_derivatives(check_coords(coords, self.axes))
