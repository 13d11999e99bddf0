"""Linear algebra on plain tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossatlas.errors import BadInput

__all__ = ["combine", "form_gram", "gram_schmidt"]

_DEPENDENT = 1e-12
"""A direction counts as dependent if its part outside the span of the others is a smaller share of its norm."""


SLICE = 2**22
"""How many entries of a vector are converted to float64 at a time: weight vectors are long."""
ENTRIES = 2**24
"""How many entries of all vectors together are, where there are many."""


def form_gram(*vectors: Tensor, centred: bool = False) -> Tensor:
    """Compute the Gram matrix (m, m) of the rows of matrices (m_1, n), (m_2, n), ..., m rows in all.

    In float64, slice by slice. The result is on the CPU.

    Args:
        vectors: the matrices.
        centred: whether the mean of all rows is subtracted first, which keeps the accuracy of small differences
            between long vectors.
    """
    count = sum(len(part) for part in vectors)
    found = torch.zeros(count, count, dtype=torch.float64)
    for columns in _slices(vectors[0].shape[1], min(SLICE, max(1, ENTRIES // max(1, count)))):
        wide = torch.cat([part[:, columns].detach().double() for part in vectors])
        if centred:
            wide -= wide.mean(dim=0)
        found += (wide @ wide.T).cpu()
    return found


def combine(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Compute ``coefficients @ vectors`` of (P, m) and (m, n) in float64, slice by slice.

    Returns:
        (P, n), in the dtype of the vectors.
    """
    found = torch.empty(len(coefficients), vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    shares = coefficients.to(vectors.device)
    for columns in _slices(vectors.shape[1]):
        found[:, columns] = (shares @ vectors[:, columns].detach().double()).to(vectors.dtype)
    return found


def _slices(length: int, step: int = SLICE) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def gram_schmidt(vectors: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """Make vectors orthogonal and of equal length, with the same span.

    The first vector in ``order`` is left as it is; each of the others loses its components along its predecessors and
    is rescaled to the length of the first (Skorokhodov & Burtsev 2019, Eq. 2, for any number of vectors). The
    projection is done twice in float64, which keeps nearly parallel vectors orthogonal to rounding error (Giraud et
    al. 2005). Differentiable.

    Args:
        vectors: (d, n), d <= n.
        order: a permutation of ``range(d)``. Default: 0, 1, ..., d-1.

    Returns:
        (d, n), in the dtype of the vectors; row i is made from row i.

    Raises:
        BadInput: a vector is zero, or lies in the span of its predecessors.
    """
    d = vectors.shape[0]
    order = range(d) if order is None else order
    if sorted(order) != list(range(d)):
        raise BadInput(f"Gram-Schmidt order {tuple(order)} is not a permutation of 0..{d - 1}; name each vector once")
    exact = vectors.double()
    units: list[Tensor] = []
    result: list[Tensor | None] = [None] * d
    length = exact[order[0]].norm()
    for i in order:
        rest = exact[i]
        for _ in range(2):
            for unit in units:
                rest = rest - (rest @ unit) * unit
        norm = rest.norm()
        if not norm > _DEPENDENT * exact[i].norm():
            raise BadInput(f"direction {i} is zero or lies in the span of the others; choose another one")
        units.append(rest / norm)
        result[i] = units[-1] * length
    return torch.stack([row for row in result if row is not None]).to(vectors.dtype)
