"""The part of a functional that depends on how a chart stretches weight space, and its gradient by the controls."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lossatlas.engine.contracts import Functional
from lossatlas.errors import BadInput
from lossatlas.linalg import form_gram
from lossatlas.weights.mixing import SparseShares

__all__ = ["add_stretching"]

ENTRIES = 2**24
"""How many numbers of the controls, or of the vectors along the axes, are worked on at a time."""


def add_stretching(functional: Functional, tangents: Tensor, controls: Tensor, into_controls: Tensor) -> float:
    """Add the gradient of :meth:`Functional.stretching` by the controls (m, n); returns its value.

    The Gram matrices of the vectors along the axes, ``T_q = tangents[q].T @ controls`` (d, n), are those of the
    controls, mixed, where these are fewer than the Q d vectors, and are formed from the vectors themselves where there
    are more controls than vectors. The first takes of the order of m^2 n operations; the second Q d m n, or Q d n times
    the controls that a point depends on where these are few, so that neither takes much more than forming the points.

    Args:
        functional: whose :meth:`~Functional.stretching` is differentiated.
        tangents: (Q, m, d), its :attr:`~Functional.tangents`.
        controls: (m, n), without a gradient.
        into_controls: (m, n), to which the gradient is added.

    Raises:
        BadInput: the derivatives are not those of a chart with these controls.
    """
    count, mixed, axes = tangents.shape
    if mixed != len(controls):
        raise BadInput(
            f"the derivatives are of a chart with {mixed} controls, and the one that is fitted has {len(controls)}; "
            "make the objective of the chart that is fitted"
        )
    tangents = tangents.to(controls.device, torch.float64)
    if mixed <= count * axes:
        return _by_controls(functional, tangents, controls, into_controls)
    return _by_vectors(functional, tangents, controls, into_controls)


def _by_controls(functional: Functional, tangents: Tensor, controls: Tensor, into_controls: Tensor) -> float:
    """Gram matrices from the scalar products of the controls."""
    gram = form_gram(controls).to(controls.device).requires_grad_()
    mixed = (tangents.mT.flatten(0, 1) @ gram).view_as(tangents.mT)
    value = functional.stretching(mixed @ tangents)
    (by_gram,) = torch.autograd.grad(value, gram)
    both = by_gram + by_gram.T
    for columns in _slices(controls, len(controls)):
        into_controls[:, columns] += (both @ controls[:, columns].double()).to(into_controls)
    return float(value.detach())


def _by_vectors(functional: Functional, tangents: Tensor, controls: Tensor, into_controls: Tensor) -> float:
    """Gram matrices from the vectors along the axes, formed slice by slice in the numbers of the controls."""
    count, _, axes = tangents.shape
    rows = tangents.mT.flatten(0, 1).to(controls)
    sparse = SparseShares.of(rows, controls, into_controls)

    def mix(columns: slice) -> Tensor:
        part = controls[:, columns]
        return (rows @ part if sparse is None else sparse.mix(part)).view(count, axes, -1)

    grams = torch.zeros(count, axes, axes, dtype=torch.float64, device=controls.device)
    for columns in _slices(controls, len(rows)):
        vectors = mix(columns)
        grams += (vectors @ vectors.mT).double()
    value = functional.stretching(grams.requires_grad_())
    (by_grams,) = torch.autograd.grad(value, grams)
    both = (by_grams + by_grams.mT).to(controls)
    for columns in _slices(controls, len(rows)):
        by_vectors = (both @ mix(columns)).flatten(0, 1)
        if sparse is None:
            into_controls[:, columns].addmm_(rows.T, by_vectors)
        else:
            sparse.fold(by_vectors, into_controls[:, columns])
    return float(value.detach())


def _slices(controls: Tensor, rows: int) -> Iterator[slice]:
    """Cut the columns of the controls so that so many rows of a slice stay small."""
    columns = controls.shape[1]
    step = max(1, ENTRIES // max(1, rows))
    return (slice(start, min(start + step, columns)) for start in range(0, columns, step))
