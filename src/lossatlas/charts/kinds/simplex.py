"""The chart between networks: a segment, a triangle, a simplex of trained weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart
from lossatlas.errors import BadInput
from lossatlas.schema import AXES
from lossatlas.types import Params
from lossatlas.weights import WeightSpace

__all__ = ["Simplex"]

PREFIX = "statistics/"
"""Of the names under which statistics are kept; dots, which torch does not take, become strokes."""


class Simplex(CoefficientChart):
    """``w(c) = (1 - sum_k c_k) * w_0 + sum_k c_k * w_k``: weights that sum to one, on and off the simplex itself.

    Nothing is trained. Running statistics of the networks are kept, so that they can be interpolated likewise.

    Args:
        corners: (m, n), m >= 2 weight vectors.
        statistics: per buffer its values at the corners (m, *shape).

    Raises:
        BadInput: fewer than two corners.
    """

    def __init__(self, corners: Tensor, statistics: Params | None = None) -> None:
        super().__init__()
        if corners.ndim != 2 or len(corners) < 2:
            raise BadInput(f"a simplex needs at least two weight vectors (m, n); got {tuple(corners.shape)}")
        self.corners: Tensor
        self.register_buffer("corners", corners.detach().clone())
        for name, values in (statistics or {}).items():
            self.register_buffer(PREFIX + name.replace(".", "/"), values.detach().clone())
        self.axes = tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(len(corners) - 1))

    @classmethod
    def between(cls, modules: Sequence[nn.Module], space: WeightSpace | None = None) -> Simplex:
        """The simplex whose corners are networks of one architecture, in their order.

        Args:
            modules: the networks; the first is at coordinates 0.
            space: which parameters vary; default all.
        """
        space = space if space is not None else WeightSpace(modules[0])
        states = [dict(module.named_buffers()) for module in modules]
        names = [name for name, buffer in states[0].items() if buffer.is_floating_point()]
        statistics = {name: torch.stack([state[name] for state in states]) for name in names}
        return cls(torch.stack([space.vector_of(module) for module in modules]), statistics)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Simplex:
        return cls(state["corners"], _statistics(state))

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.corners.shape[1]

    @property
    def statistics(self) -> Params:
        return _statistics(dict(self.named_buffers()))

    def coefficients(self, coords: Tensor) -> Tensor:
        if coords.ndim != 2 or coords.shape[1] != len(self.axes):
            raise BadInput(f"coordinates of shape {tuple(coords.shape)}; this chart's are (P, {len(self.axes)})")
        return torch.cat([1 - coords.sum(dim=1, keepdim=True), coords], dim=1)

    def controls(self) -> Tensor:
        return self.corners


def _statistics(state: dict[str, Tensor]) -> Params:
    kept = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    return {name.replace("/", "."): value for name, value in kept.items()}
