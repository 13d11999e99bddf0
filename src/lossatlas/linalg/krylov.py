"""Krylov bases of several symmetric matrices at once, which are known by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Basis", "Numbered", "Product", "Ritz", "find_precision_limit"]

Product: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Multiplies each of k matrices with a vector of its own: (k, n) from the vectors (k, n) and the matrices' numbers
(k,), ascending, on the CPU. A matrix whose product is not finite is given up; the others go on."""
Numbered: TypeAlias = Callable[[int], Tensor]
"""The random vector (n,) with a number, from 0, the same whenever it is asked for; entries have mean 0, variance 1."""

ROUNDING, SHORT_ROUNDING = 50, 10
"""The smallest residual that counts, in units of the rounding error of the largest eigenvalue: the numbers of a
recurrence go on falling where those of the products no longer do. Sums of 32 and 64 bits add up the errors of their
terms; those of 16 bits are made in 32, and rounded once."""
SLICE = 2**20
"""How many columns of a basis are replaced at a time, since a second basis would not fit the memory."""


def find_precision_limit(dtype: torch.dtype) -> float:
    """Find the smallest residual, relative to the norm of a matrix, that products in a dtype can establish.

    >>> find_precision_limit(torch.float64) < 2e-14 < find_precision_limit(torch.float32) < 1e-5
    True
    """
    info = torch.finfo(dtype)
    return (SHORT_ROUNDING if info.bits < 32 else ROUNDING) * info.eps


class Ritz:
    """The eigenpairs of p projected matrices, ascending: approximations of those of the matrices themselves.

    Attributes:
        values: The approximate eigenvalues (p, j), float64.
        residuals: The norms (p, j) of ``A y - value * y`` for each approximate eigenvector y of length 1.
        own: The part (p, j) of the residuals that further steps lessen.
        shares: The eigenvectors (p, j, j) of the projected matrices; column i holds those of value i.
        scale: The largest magnitude of the values, (p,), a lower bound of the matrices' norms.
    """

    def __init__(self, projected: Tensor, betas: Tensor, across: Tensor | None, limit: float, known: Tensor) -> None:
        self.values, self.shares = torch.linalg.eigh(projected)
        self.scale = self.values.abs().amax(dim=1)
        floor = limit * torch.maximum(self.scale, known)
        self.own = (betas[:, None] * self.shares[:, -1].abs()).maximum(floor[:, None])
        self.residuals = self.own
        if across is not None:
            self.residuals = torch.hypot(self.own, torch.bmm(across, self.shares).norm(dim=1))

    @property
    def count(self) -> int:
        """The number j of pairs."""
        return int(self.values.shape[1])


class Basis:
    """Orthonormal bases of Krylov spaces of p symmetric matrices A, grown in step, with their projections.

    ``A Q_j = Q_j T_j + beta_j q_{j+1} e_j'`` holds at every size j; T is tridiagonal until :meth:`compress` puts Ritz
    values in its place (thick restart, Wu & Simon 2000). New vectors are made orthogonal to all others twice (Giraud et
    al. 2005), without which the largest eigenvalues appear again and again. Vectors have the dtype of the products, T
    is in float64.

    Args:
        starts: the first vectors (p, n), of any length.
        most: the largest size.
        against: vectors (p, d, n) that the bases stay orthogonal to, orthonormal or zero; None for none. They may be
            eigenvectors but for a residual, which adds to those found beside them.
        numbered: makes the vector that continues a basis whose Krylov space ends.
        limit: the relative rounding error, see :func:`find_precision_limit`.
        scale: what is known of the norms of the matrices, (p,): products have the rounding error of these, even where
            what is left beside ``against`` is small.
    """

    def __init__(
        self,
        starts: Tensor,
        most: int,
        against: Tensor | None,
        numbered: Numbered,
        limit: float,
        scale: Tensor | None = None,
    ) -> None:
        points, n = starts.shape
        self.most = most
        self._vectors = starts.new_empty(points, most + 1, n)
        self._projected = torch.zeros(points, most, most, dtype=torch.float64)
        self._betas = torch.zeros(points, dtype=torch.float64)
        self._against = against
        self._across = None
        """The products (p, d, most) of ``against`` with the images of the bases, float64: 0 for exact eigenvectors."""
        if against is not None:
            self._across = torch.zeros(points, against.shape[1], most, dtype=torch.float64)
        self._numbered = numbered
        self._limit = limit
        self._scale = torch.zeros(points, dtype=torch.float64) if scale is None else scale
        """The largest entry of each projection, or what is known, (p,): at most the norm."""
        self._fresh = torch.zeros(points, dtype=torch.long)
        """The number of fresh vectors that each has taken, which is not to depend on the others."""
        self.size = 0
        """The size j of the bases."""
        self._vectors[:, 0] = self._find_outside(starts)

    @property
    def newest(self) -> Tensor:
        """The vectors (p, n) to be multiplied next."""
        return self._vectors[:, self.size]

    @property
    def is_closed(self) -> bool:
        """Whether each of the bases, as they are, spans an invariant space of its matrix."""
        return not bool(self._betas.any())

    def extend(self, images: Tensor) -> None:
        """Take the products (p, n) of the matrices with :attr:`newest`; all have to be finite.

        A basis that spans an invariant space is continued with a fresh random vector, to which it is not coupled.
        """
        j = self.size
        rest, along = images, torch.zeros(len(images), dtype=torch.float64)
        inside = self._vectors[:, : j + 1]
        for _ in range(2):
            rest, across = self._avoid_others(rest)
            if self._across is not None and across is not None:
                self._across[:, :, j] += across.double().cpu()
            shares = torch.bmm(inside, rest[:, :, None])
            rest = rest - torch.bmm(inside.transpose(1, 2), shares)[:, :, 0]
            along = along + shares[:, j, 0].double().cpu()
        self._projected[:, j, j] = along
        betas = rest.double().norm(dim=1)
        self._betas = betas.cpu()
        self._scale = torch.stack([self._scale, along.abs(), self._betas]).amax(dim=0)
        closed = ~(self._betas > self._limit * self._scale)
        self._betas[closed] = 0.0
        self._vectors[:, j + 1] = rest / betas.clamp_min(torch.finfo(torch.float64).tiny)[:, None].to(rest)
        self.size = j + 1
        if closed.any():
            self._continue(closed)
        if self.size < self.most:
            self._projected[:, j, j + 1] = self._projected[:, j + 1, j] = self._betas

    def find_ritz(self) -> Ritz:
        """Diagonalise the projections."""
        across = None if self._across is None else self._across[:, :, : self.size]
        projected = self._projected[:, : self.size, : self.size]
        return Ritz(projected, self._betas, across, self._limit, self._scale)

    def combine(self, shares: Tensor, row: int) -> Tensor:
        """Combine the vectors of one basis: (k, n) from shares (j, k), float64."""
        return shares.T.to(self._vectors) @ self._vectors[row, : self.size]

    def compress(self, ritz: Ritz, low: int, high: int) -> None:
        """Replace the bases by the Ritz vectors of the ``low`` lowest and ``high`` highest values, and go on there.

        Each is coupled with the newest vector, which stays, by what the projection of that vector on it was.
        """
        chosen = [*range(low), *range(ritz.count - high, ritz.count)]
        shares = ritz.shares[:, :, chosen]
        kept, weights = len(chosen), shares.transpose(1, 2).to(self._vectors)
        newest = self._vectors[:, self.size].clone()
        for start in range(0, self._vectors.shape[2], SLICE):
            columns = slice(start, start + SLICE)
            self._vectors[:, :kept, columns] = torch.bmm(weights, self._vectors[:, : self.size, columns])
        self._vectors[:, kept] = newest
        coupling = self._betas[:, None] * shares[:, -1]
        if self._across is not None:
            turned = torch.bmm(self._across[:, :, : self.size], shares)
            self._across.zero_()
            self._across[:, :, :kept] = turned
        self._projected.zero_()
        diagonal = torch.arange(kept)
        self._projected[:, diagonal, diagonal] = ritz.values[:, chosen]
        self._projected[:, kept, :kept] = self._projected[:, :kept, kept] = coupling
        self.size = kept

    def keep(self, rows: Tensor) -> None:
        """Leave all matrices but some, by their indices (k,)."""
        self._vectors = _move_up(self._vectors, rows)
        self._against = None if self._against is None else _move_up(self._against, rows)
        self._across = None if self._across is None else self._across[rows]
        self._projected, self._betas, self._scale = self._projected[rows], self._betas[rows], self._scale[rows]
        self._fresh = self._fresh[rows]

    def _continue(self, closed: Tensor) -> None:
        """Go on with fresh vectors where the space has ended, as far as it has room for one."""
        self._fresh += closed
        for number in sorted(set(self._fresh[closed].tolist())):
            rows = (closed & (self._fresh == number)).nonzero()[:, 0].to(self._vectors.device)
            fresh = self._numbered(number).to(self._vectors).expand(len(self._vectors), -1)
            self._vectors[rows, self.size] = self._find_outside(fresh)[rows]

    def _find_outside(self, vectors: Tensor) -> Tensor:
        """The parts (p, n) of vectors outside of the bases and of what these avoid, of length 1."""
        inside = self._vectors[:, : self.size]
        for _ in range(3):  # what is left of a vector that lies inside but for a little is then still orthogonal
            vectors, _ = self._avoid_others(vectors)
            vectors = vectors - torch.bmm(inside.transpose(1, 2), torch.bmm(inside, vectors[:, :, None]))[:, :, 0]
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(torch.finfo(vectors.dtype).tiny)
        return vectors

    def _avoid_others(self, vectors: Tensor) -> tuple[Tensor, Tensor | None]:
        """The parts (p, n) of vectors outside of what the bases avoid, and what they lose, (p, d)."""
        if self._against is None:
            return vectors, None
        shares = torch.bmm(self._against, vectors[:, :, None])
        return vectors - torch.bmm(self._against.transpose(1, 2), shares)[:, :, 0], shares[:, :, 0]


def _move_up(tensor: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a tensor, ascending, in the memory of its first ones: a second basis would not fit."""
    for new, old in enumerate(rows.tolist()):
        if new != old:
            tensor[new].copy_(tensor[old])
    return tensor[: len(rows)]
