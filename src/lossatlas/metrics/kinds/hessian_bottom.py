"""The smallest eigenvalues of the Hessian."""

from __future__ import annotations

from lossatlas.metrics.kinds.hessian_top import HessianTop

__all__ = ["HessianBottom"]


class HessianBottom(HessianTop):
    """The K smallest eigenvalues of the Hessian of the mean loss, ascending, each as often as it occurs."""

    top = False
