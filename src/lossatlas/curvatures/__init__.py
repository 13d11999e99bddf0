"""Curvature: eigenvalues, trace and spectral density of second-order operators at points of weight space; sharpness.

Everything here is computed from :class:`lossatlas.engine.Derivatives`, so that it holds for any network, strategy and
number of points.
"""

from lossatlas.curvatures.settings import CurvatureSettings
from lossatlas.curvatures.sharpness import ASCENT_STEPS, NOISE_PAIRS, SHARPNESS_VECTORS, AverageRise, Rises
from lossatlas.curvatures.spectrum import (
    TRACE_PROBES,
    check_count,
    check_search,
    count_density_vectors,
    count_trace_vectors,
    count_vectors,
    find_density,
    find_spectrum,
    find_trace,
    looks_again,
)
from lossatlas.curvatures.verdict import Verdict, judge_point

__all__ = [
    "ASCENT_STEPS",
    "NOISE_PAIRS",
    "SHARPNESS_VECTORS",
    "TRACE_PROBES",
    "AverageRise",
    "CurvatureSettings",
    "Rises",
    "Verdict",
    "check_count",
    "check_search",
    "count_density_vectors",
    "count_trace_vectors",
    "count_vectors",
    "find_density",
    "find_spectrum",
    "find_trace",
    "judge_point",
    "looks_again",
]
