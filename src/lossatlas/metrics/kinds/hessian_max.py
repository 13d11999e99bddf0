"""The largest eigenvalue of the Hessian."""

from __future__ import annotations

from lossatlas.metrics.curvature import Eigenvalues

__all__ = ["HessianMax"]


class HessianMax(Eigenvalues):
    """The largest eigenvalue of the Hessian of the mean loss, the curvature of the steepest direction."""
