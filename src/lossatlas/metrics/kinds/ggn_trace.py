"""The trace of the generalised Gauss-Newton matrix."""

from __future__ import annotations

from lossatlas.metrics.curvature import SpectrumTrace

__all__ = ["GGNTrace"]


class GGNTrace(SpectrumTrace):
    """The trace of the generalised Gauss-Newton matrix of the mean loss, by Hutch++ (Meyer et al. 2021)."""

    operator = "ggn"
