"""The smallest eigenvalue of the Hessian."""

from __future__ import annotations

from lossatlas.metrics.curvature import Eigenvalues

__all__ = ["HessianMin"]


class HessianMin(Eigenvalues):
    """The smallest eigenvalue of the Hessian of the mean loss; a negative one shows that the loss is not convex."""

    top = False
