"""Several slices around one network as one chart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import checked_coords
from lossatlas.errors import BadInput
from lossatlas.schema import AXES, REPEAT

__all__ = ["RepeatedSlice"]


class RepeatedSlice(HeldDirections):
    """``w(c, k) = origin + sum_i c_i d_ki``: slices along other directions d_k each, numbered by the last coordinate.

    Args:
        origin: (n,).
        directions: (D, d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__(origin, directions, "D, d, n")
        d = directions.shape[1]
        self.axes = (*(AXES[k] if k < len(AXES) else f"x{k}" for k in range(d)), REPEAT)

    @property
    def repeats(self) -> int:
        """How many there are."""
        return len(self.directions)

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = checked_coords(coords, self.axes)
        numbers = coords[:, -1]
        if not torch.equal(numbers, numbers.round()) or not ((numbers >= 0) & (numbers < self.repeats)).all():
            raise BadInput(f"repeats are numbered 0 to {self.repeats - 1}; got {sorted(set(numbers.tolist()))}")
        which = one_hot(numbers.long(), self.repeats).to(coords)
        along = which[:, :, None] * coords[:, None, :-1]
        return torch.cat([coords.new_ones(len(coords), 1), along.flatten(1)], dim=1)
