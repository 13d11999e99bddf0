"""Curvature: eigenvalues, trace and spectral density of second-order operators at points of weight space; sharpness.

Everything here is computed from :class:`lossatlas.engine.Derivatives`, so that it holds for any network, strategy and
number of points.
"""

from lossatlas.curvature.settings import CurvatureSettings
from lossatlas.curvature.sharpness import ASCENT_STEPS, NOISE_PAIRS, SHARPNESS_VECTORS, AverageRise, Rises
from lossatlas.curvature.spectrum import (
    check_search,
    count_trace_vectors,
    count_vectors,
    find_density,
    find_spectrum,
    find_trace,
)

__all__ = [
    "ASCENT_STEPS",
    "NOISE_PAIRS",
    "SHARPNESS_VECTORS",
    "AverageRise",
    "CurvatureSettings",
    "Rises",
    "check_search",
    "count_trace_vectors",
    "count_vectors",
    "find_density",
    "find_spectrum",
    "find_trace",
]
