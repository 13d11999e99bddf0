"""The chart between networks: a segment, a triangle, a simplex of trained weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lossatlas.charts.between import Between
from lossatlas.charts.chart import checked_coords
from lossatlas.charts.forms import barycentric, barycentric_corners, barycentric_derivatives

__all__ = ["Simplex"]


class Simplex(Between):
    """``w(c) = (1 - sum_k c_k) w_0 + sum_k c_k w_k``: barycentric coordinates (Im, Tao & Branson 2016).

    With two networks the line through both, with the first at 0 and the second at 1 (Goodfellow et al. 2015).
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
        """Of a line: from -0.5 to 1.5, as Li et al. 2018 show it."""
        return 0.5 if len(self.corners) == 2 else super().margin

    def labels(self, names: Sequence[str]) -> dict[str, str]:
        return {"u": f"from {names[0]} (0) to {names[1]} (1)"} if len(names) == 2 else super().labels(names)

    def coefficients(self, coords: Tensor) -> Tensor:
        return barycentric(checked_coords(coords, self.axes))

    def derivatives(self, coords: Tensor) -> Tensor:
        return barycentric_derivatives(checked_coords(coords, self.axes))
