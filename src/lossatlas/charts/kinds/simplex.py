"""The chart between networks: a segment, a triangle, a simplex of trained weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lossatlas.charts.between import Between
from lossatlas.charts.chart import check_coords
from lossatlas.charts.forms import barycentric, barycentric_corners, barycentric_derivatives

__all__ = ["Simplex"]


class Simplex(Between):
    """``w(c) = (1 - sum_k c_k) w_0 + sum_k c_k w_k``, in barycentric coordinates (Im, Tao & Branson 2016).

    With two networks it is the line through both, with the first at 0 and the second at 1 (Goodfellow et al. 2015).
    Arguments and errors are those of :class:`~lossatlas.charts.Between`; :meth:`between` makes it of modules.

    Example:
        >>> import torch, lossatlas as la
        >>> line = la.Simplex.between([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
        >>> line.axes, line.dimension, line.coefficients(torch.tensor([[0.25]])).tolist()
        (('u',), 3, [[0.75, 0.25]])
    """

    least = 2
    usual_for = (2,)
    interpolation = "barycentric"

    @classmethod
    def _dimensions(cls, corners: int) -> int:
        return corners - 1

    def corner_coords(self) -> Tensor:
        return barycentric_corners(len(self.axes))

    @property
    def margin(self) -> float:
        """0.5 for a line, which is shown from -0.5 to 1.5 as in Li et al. 2018."""
        return 0.5 if len(self.corners) == 2 else super().margin

    def labels(self, names: Sequence[str]) -> dict[str, str]:
        return {"u": f"from {names[0]} (0) to {names[1]} (1)"} if len(names) == 2 else super().labels(names)

    def coefficients(self, coords: Tensor) -> Tensor:
        return barycentric(check_coords(coords, self.axes))

    def derivatives(self, coords: Tensor) -> Tensor:
        return barycentric_derivatives(check_coords(coords, self.axes))
