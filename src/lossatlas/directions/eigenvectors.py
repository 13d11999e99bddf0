"""Eigenvectors as directions: their length and sign, and what axes along them are called."""

from __future__ import annotations

from torch import Tensor

from lossatlas.schema import OPERATORS

__all__ = ["label_eigenvector", "orient"]


def orient(vectors: Tensor) -> Tensor:
    """Give vectors (k, n) length 1, and the signs that make their entries of largest magnitude positive."""
    units = vectors / vectors.norm(dim=1, keepdim=True)
    largest = units.gather(1, units.abs().argmax(dim=1, keepdim=True))
    oriented: Tensor = units.where(largest >= 0, -units)
    return oriented


def label_eigenvector(
    number: int, below: bool = False, found: tuple[float, float] | None = None, operator: str = "hessian"
) -> str:
    """The label of an axis along an eigenvector.

    Args:
        number: of the eigenvector, counted from 0.
        below: whether they are counted from the smallest eigenvalue.
        found: the eigenvalue and its residual; None where they are not known.
        operator: ``hessian`` or ``ggn``.

    >>> label_eigenvector(0, found=(4.1, 0.0021))
    'eigenvector 1 (eigenvalue 4.1 ± 0.0021)'
    """
    told = "" if found is None else f" (eigenvalue {found[0]:.4g} ± {found[1]:.2g})"
    # The Hessian is meant where no operator is named.
    after = "" if operator == "hessian" else f"{OPERATORS[operator].words.removesuffix(' matrix')} "
    return f"{after}eigenvector {number + 1}{' from below' * below}{told}"
