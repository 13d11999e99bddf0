"""Linear algebra on plain tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossatlas.errors import BadInput

__all__ = ["gram_schmidt"]

_DEPENDENT = 1e-12
"""A direction whose part outside the others' span is smaller than this share of it counts as dependent."""


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
