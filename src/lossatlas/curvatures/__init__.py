"""Curvature: the eigenvalues, the trace and the spectral density of second-order operators at points of weight space.

Everything here is computed from :class:`lossatlas.engine.Derivatives`, so that it holds for any network, strategy and
number of points.
"""

from lossatlas.curvatures.settings import CurvatureSettings
from lossatlas.curvatures.spectrum import (
    TRACE_PROBES,
    check_search,
    count_density_vectors,
    count_trace_vectors,
    count_vectors,
    find_density,
    find_spectrum,
    find_trace,
)
from lossatlas.curvatures.verdict import Verdict, judge_point

__all__ = [
    "TRACE_PROBES",
    "CurvatureSettings",
    "Verdict",
    "check_search",
    "count_density_vectors",
    "count_trace_vectors",
    "count_vectors",
    "find_density",
    "find_spectrum",
    "find_trace",
    "judge_point",
]
