"""The largest eigenvalue of the generalised Gauss-Newton matrix."""

from __future__ import annotations

from lossatlas.metrics.curvature import Eigenvalues

__all__ = ["GGNMax"]


class GGNMax(Eigenvalues):
    """The largest eigenvalue of the generalised Gauss-Newton matrix of the mean loss; it hides negative curvature."""

    operator = "ggn"
