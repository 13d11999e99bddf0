"""Polygonal chains."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.curve import Curve

__all__ = ["Chain"]

ROUNDING = 2
"""Within so many units in the last place of the number of all pieces a point is at a knot."""


class Chain(Curve):
    """``phi(t) = sum_i max(0, 1 - |t m - i|) w_i``: straight pieces that take equal times, through all controls.

    With one bend the chain of Garipov et al. 2018, section 3.2. Controls between the ends that stay make a chain
    through several networks; one of which all stay is the straight way through them. Beyond [0, 1] the outer pieces go
    on.
    """

    usual_lr = 0.03  # with 0.1 a chain of convolutional networks on FashionMNIST left for good, to a norm of 500

    def coefficients(self, coords: Tensor) -> Tensor:
        at = self._pieces(coords)
        piece = self._piece(at)
        shares = at.new_zeros(len(at), self.degree + 1)
        shares = shares.scatter(1, piece, 1 - (at - piece))
        return shares.scatter(1, piece + 1, at - piece)

    def derivatives(self, coords: Tensor) -> Tensor:
        at = self._pieces(coords)
        piece = self._piece(at)
        ends = at.new_zeros(len(at), self.degree + 1)
        ends.scatter_(1, piece, -float(self.degree))
        return ends.scatter_(1, piece + 1, float(self.degree))[:, :, None]

    def _piece(self, at: Tensor) -> Tensor:
        """The number (P, 1) of the piece that a point is on; the outer ones go on beyond the ends."""
        return at.floor().clamp(0, self.degree - 1).long()

    def _pieces(self, coords: Tensor) -> Tensor:
        """How many pieces (P, 1) lie behind a point. Knots are met: 2/7 is not a binary number, what is nearest is."""
        at = self._t(coords) * self.degree
        knots = at.round()
        return torch.where((at - knots).abs() <= ROUNDING * torch.finfo(at.dtype).eps * self.degree, knots, at)

    @property
    def breaks(self) -> tuple[float, ...]:
        return tuple(self.control_coords().tolist())
