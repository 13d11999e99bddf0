"""The trace of the Hessian."""

from __future__ import annotations

from lossatlas.metrics.curvature import SpectrumTrace

__all__ = ["HessianTrace"]


class HessianTrace(SpectrumTrace):
    """The trace of the Hessian of the mean loss, by Hutch++ (Meyer et al. 2021)."""
