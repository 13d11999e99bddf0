"""Several slices around one network as one chart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import check_coords, name_axes
from lossatlas.errors import BadInput
from lossatlas.schema import REPEAT

__all__ = ["RepeatedSlice"]


class RepeatedSlice(HeldDirections):
    """``w(c, k) = origin + sum_i c_i d_ki``: D slices along different directions, numbered by the last coordinate k.

    Args:
        origin: the network in the centre, (n,).
        directions: (D, d, n), d directions for each of D slices.

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__(origin, directions, "D, d, n")
        self.axes = (*name_axes(directions.shape[1]), REPEAT)

    @property
    def repeats(self) -> int:
        """The number of slices, D."""
        return len(self.directions)

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        along = self._which(coords)[:, :, None] * coords[:, None, :-1]
        return torch.cat([coords.new_ones(len(coords), 1), along.flatten(1)], dim=1)

    def derivatives(self, coords: Tensor) -> Tensor:
        """The derivatives along the axes of the point's slice; NaN along the last axis, which numbers the slices."""
        coords = check_coords(coords, self.axes)
        d = coords.shape[1] - 1
        own = torch.einsum("pr,ij->prij", self._which(coords), torch.eye(d).to(coords)).flatten(1, 2)
        slopes = torch.cat([coords.new_zeros(len(coords), 1, d), own], dim=1)
        return torch.cat([slopes, torch.full_like(slopes[:, :, :1], torch.nan)], dim=2)

    def _which(self, coords: Tensor) -> Tensor:
        """The one-hot slice of each point, (P, D).

        Raises:
            BadInput: the last coordinate is not the number of a slice.
        """
        numbers = coords[:, -1]
        if not torch.equal(numbers, numbers.round()) or not ((numbers >= 0) & (numbers < self.repeats)).all():
            found = sorted(set(numbers.tolist()))
            raise BadInput(f"{found} are not numbers of repeats; expected whole numbers from 0 to {self.repeats - 1}")
        return one_hot(numbers.long(), self.repeats).to(coords)
