"""Linear algebra on plain tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossatlas.errors import BadInput

__all__ = ["combine", "form_gram", "gram_schmidt"]

_DEPENDENT = 1e-12
"""A direction whose part outside the others' span is smaller than this share of it counts as dependent."""


SLICE = 2**22
"""Numbers of a vector that are widened at once: weight vectors are long, and a copy in float64 is twice one."""


def form_gram(*vectors: Tensor) -> Tensor:
    """The scalar products (m, m) of the rows of matrices (m_1, n), (m_2, n), ..., m of them in all.

    Formed in float64, slice by slice; on the processor.
    """
    count = sum(len(part) for part in vectors)
    found = torch.zeros(count, count, dtype=torch.float64)
    for columns in _slices(vectors[0].shape[1]):
        wide = torch.cat([part[:, columns].detach().double() for part in vectors])
        found += (wide @ wide.T).cpu()
    return found


def combine(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """``coefficients @ vectors`` for (P, m) in float64 and (m, n), formed in float64 slice by slice, in their dtype."""
    found = torch.empty(len(coefficients), vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    shares = coefficients.to(vectors.device)
    for columns in _slices(vectors.shape[1]):
        found[:, columns] = (shares @ vectors[:, columns].detach().double()).to(vectors.dtype)
    return found


def _slices(length: int) -> Iterator[slice]:
    return (slice(start, start + SLICE) for start in range(0, length, SLICE))


def gram_schmidt(vectors: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """Orthogonal vectors of equal length that span what ``vectors`` span.

    The first vector in ``order`` stays as it is; every other one loses its components along its predecessors and is
    rescaled to the length of the first (Skorokhodov & Burtsev 2019, Eq. 2, for any number of vectors). Projection
    runs twice in float64, which keeps nearly parallel vectors orthogonal to rounding (Giraud et al. 2005).
    Differentiable.

    Args:
        vectors: (d, n), d <= n.
        order: a permutation of ``range(d)``; the first leads. Default: 0, 1, ..., d-1.

    Returns:
        (d, n), row i made from row i of ``vectors``, in their dtype.

    Raises:
        BadInput: a vector is zero, or lies in the span of its predecessors.
    """
    d = vectors.shape[0]
    order = range(d) if order is None else order
    if sorted(order) != list(range(d)):
        raise BadInput(f"Gram-Schmidt order {tuple(order)} is not a permutation of 0..{d - 1}")
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
            raise BadInput(f"direction {i} is zero or lies in the span of the others; draw or choose another one")
        units.append(rest / norm)
        result[i] = units[-1] * length
    return torch.stack([row for row in result if row is not None]).to(vectors.dtype)
