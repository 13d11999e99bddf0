"""The plane through three networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossatlas.charts.between import Between
from lossatlas.charts.chart import check_coords
from lossatlas.charts.forms import barycentric, barycentric_derivatives
from lossatlas.types import Params

__all__ = ["Through"]


class Through(Between):
    """The plane through three networks in orthonormal coordinates: distances in the plane are those in weight space.

    The first network is at (0, 0), the second on the positive u axis, and the third at positive v (Garipov et al. 2018,
    arXiv 1802.10026, appendix A.2, where the third has the role of the second).

    Raises:
        BadInput: there are not three networks, or they lie on one line.
    """

    least = most = 3
    usual_for = (3,)
    interpolation = "affine"

    def __init__(self, corners: Tensor, statistics: Params | None = None) -> None:
        super().__init__(corners, statistics)
        self.check_spans()  # there are no coordinates otherwise
        self._triangle = self._coords_of(self.corners)

    @classmethod
    def _dimensions(cls, corners: int) -> int:
        return 2

    def corner_coords(self) -> Tensor:
        return self._triangle

    def labels(self, names: Sequence[str]) -> dict[str, str]:
        line = f"{names[0]} to {names[1]}"
        return {"u": f"distance from {line}", "v": f"distance from that line towards {names[2]}"}

    @staticmethod
    def _coords_of(corners: Tensor) -> Tensor:
        """The coordinates of the corners, on the CPU; computed once, since it reads whole weight vectors."""
        corners = corners.double().cpu()
        right, other = corners[1] - corners[0], corners[2] - corners[0]
        along = other @ right / right.norm()
        height = (other - along * right / right.norm()).norm()
        zero = torch.zeros_like(height)
        return torch.stack([torch.stack([zero, zero]), torch.stack([right.norm(), zero]), torch.stack([along, height])])

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        return barycentric(self._shares(coords))

    def derivatives(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        slopes = self._shares(torch.eye(2).to(coords))  # rows: the axes
        return barycentric_derivatives(coords) @ slopes.T

    def _shares(self, coords: Tensor) -> Tensor:
        """The barycentric coordinates (P, 2) of the second and the third network."""
        triangle = self.corner_coords()[1:].to(coords.device)  # rows: the second and the third network
        shares: Tensor = torch.linalg.solve(triangle.T, coords.double().T).T
        return shares.to(coords.dtype)
