"""Several slices around one network as one chart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lossatlas.charts.chart import CoefficientChart
from lossatlas.errors import BadInput
from lossatlas.schema import AXES, DRAW
from lossatlas.types import Params

__all__ = ["Draws"]


class Draws(CoefficientChart):
    """``w(c, k) = origin + sum_i c_i d_ki``: slices along other directions d_k each, numbered by the last coordinate.

    Args:
        origin: (n,).
        directions: (D, d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__()
        if origin.ndim != 1 or directions.ndim != 3 or directions.shape[2:] != origin.shape or not directions.numel():
            raise BadInput(
                f"draws of a slice need an origin (n,) and directions (D, d, n); got {tuple(origin.shape)} and "
                f"{tuple(directions.shape)}"
            )
        if not (directions.norm(dim=2) > 0).all():
            raise BadInput("a direction of a slice is zero; choose another")
        self.origin: Tensor
        self.directions: Tensor
        self.register_buffer("origin", origin.detach().clone())
        self.register_buffer("directions", directions.detach().clone())
        d = directions.shape[1]
        self.axes = (*(AXES[k] if k < len(AXES) else f"x{k}" for k in range(d)), DRAW)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Draws:
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

    @property
    def draws(self) -> int:
        """How many there are."""
        return len(self.directions)

    def coefficients(self, coords: Tensor) -> Tensor:
        if coords.ndim != 2 or coords.shape[1] != len(self.axes):
            raise BadInput(f"coordinates of shape {tuple(coords.shape)}; this chart's are (P, {len(self.axes)})")
        drawn = coords[:, -1]
        if not torch.equal(drawn, drawn.round()) or not ((drawn >= 0) & (drawn < self.draws)).all():
            raise BadInput(f"draws are numbered 0 to {self.draws - 1}; got {sorted(set(drawn.tolist()))}")
        which = one_hot(drawn.long(), self.draws).to(coords)
        along = which[:, :, None] * coords[:, None, :-1]
        return torch.cat([coords.new_ones(len(coords), 1), along.flatten(1)], dim=1)

    def controls(self) -> Tensor:
        return torch.cat([self.origin[None], self.directions.flatten(0, 1)])
