"""The affine chart with directions as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.chart import CoefficientChart
from lossatlas.errors import BadInput
from lossatlas.schema import AXES
from lossatlas.types import Params

__all__ = ["Slice"]


class Slice(CoefficientChart):
    """``w(c) = origin + sum_k c_k d_k``: around a trained network, along directions of any length and angle.

    Nothing is trained (Li et al. 2018, arXiv 1712.09913, section 3).

    Args:
        origin: (n,).
        directions: (d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__()
        if origin.ndim != 1 or directions.ndim != 2 or directions.shape[1:] != origin.shape or not len(directions):
            raise BadInput(
                f"a slice needs an origin (n,) and directions (d, n); got {tuple(origin.shape)} and "
                f"{tuple(directions.shape)}"
            )
        if not (directions.norm(dim=1) > 0).all():
            raise BadInput("a direction of a slice is zero; choose another")
        self.origin: Tensor
        self.directions: Tensor
        self.register_buffer("origin", origin.detach().clone())
        self.register_buffer("directions", directions.detach().clone())
        self.axes = tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(len(directions)))

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Slice:
        return cls(state["origin"], state["directions"])

    @property
    def centred(self) -> bool:
        return True

    @property
    def dimension(self) -> int:
        return self.origin.shape[0]

    @property
    def statistics(self) -> Params:
        return {}

    def coefficients(self, coords: Tensor) -> Tensor:
        return torch.cat([coords.new_ones(len(coords), 1), coords], dim=1)

    def controls(self) -> Tensor:
        return torch.cat([self.origin[None], self.directions])
