"""Polygonal chains."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.curve import Curve

__all__ = ["Chain"]

ROUNDING = 2
"""How close to a knot a point counts as being on it, in units in the last place of the number of segments."""


class Chain(Curve):
    """A polygonal chain through all of its controls, ``phi(t) = sum_i max(0, 1 - |t m - i|) w_i``.

    Each of the m straight segments takes an equal interval of t. With one bend it is the chain of Garipov et al. 2018,
    section 3.2. If controls between the ends are held fixed, too, the chain passes through several networks. Beyond
    [0, 1] the outer segments are extended. Arguments and errors are those of :class:`Curve`.

    Example:
        >>> import lossatlas as la
        >>> chain = la.Chain(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]))
        >>> chain.points(torch.tensor([[0.25], [0.5], [0.75]])).tolist()
        [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """

    usual_lr = 0.03  # with 0.1 a chain of convolutional networks on FashionMNIST diverged, to a norm of 500

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
        """The index (P, 1) of the segment of each point; the outer segments extend beyond the ends."""
        return at.floor().clamp(0, self.degree - 1).long()

    def _pieces(self, coords: Tensor) -> Tensor:
        """The coordinate t m (P, 1) in units of segments, rounded to knots: 2/7 has no exact binary representation."""
        at = self._t(coords) * self.degree
        knots = at.round()
        return torch.where((at - knots).abs() <= ROUNDING * torch.finfo(at.dtype).eps * self.degree, knots, at)

    @property
    def breaks(self) -> tuple[float, ...]:
        return tuple(self.control_coords().tolist())
