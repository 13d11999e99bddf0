"""Eigenvalues, trace and spectral density of an operator at points, within the memory that a chunk of points has."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.curvatures.settings import CurvatureSettings
from lossatlas.engine import Derivatives
from lossatlas.errors import BadInput
from lossatlas.linalg import (
    Extremes,
    Numbered,
    Quadrature,
    Search,
    Trace,
    estimate_trace,
    find_extremes,
    find_precision_limit,
    find_quadrature,
)
from lossatlas.streams import make_generator

__all__ = [
    "TRACE_PROBES",
    "check_count",
    "check_search",
    "count_density_vectors",
    "count_trace_vectors",
    "count_vectors",
    "find_density",
    "find_spectrum",
    "find_trace",
    "looks_again",
    "make_numbered",
]

BASIS = 64
"""The usual number of vectors of a Krylov basis: most spectra of networks have converged by then, and the steps that
weak ends take, 56 for a billion weights, need no compression."""
UNSEEN_NEARBY = 0.1
"""The share of the width of a spectrum by which an eigenvalue may lie beyond what is found from vectors that were found
nearby, at one chance in 100: more than from a random start, since what was found there is some warrant."""
LEAST_BASIS = 4
"""The fewest vectors of a basis beside those that it is compressed to."""
SPARE = 4
"""Vectors that are needed beside a basis: a product, its remainder, and copies."""
SKETCHES = 3
"""The sketch, the space that it spans, and a copy while that is found."""
SKETCH, LEAST_SKETCH, TRACE_PROBES = 10, 2, 20
"""The products with a sketch, twice, and with probes beside it, of a trace."""


def count_vectors(wanted: int, keeps: bool) -> tuple[int, int]:
    """Count the vectors of length n that finding eigenvalues takes at each point, at least and usually.

    Args:
        wanted: the number of eigenvalues, of both ends together.
        keeps: whether eigenvectors are kept, as for further starts.
    """
    beside = SPARE + (3 * wanted if keeps else 0)
    return wanted + LEAST_BASIS + beside, max(BASIS, 2 * wanted + 16) + beside


def count_trace_vectors() -> tuple[int, int]:
    """Count the vectors of length n that estimating a trace takes at each point, at least and usually."""
    return SKETCHES * LEAST_SKETCH + SPARE, SKETCHES * SKETCH + SPARE


def count_density_vectors(steps: int) -> int:
    """Count the vectors of length n that a spectral density of so many steps takes, all of which are needed."""
    return steps + 1 + SPARE


def find_spectrum(
    derivatives: Derivatives,
    settings: CurvatureSettings,
    operator: str = "hessian",
    *,
    top: int = 1,
    bottom: int = 1,
    vectors: bool = False,
    starts: Tensor | None = None,
) -> Extremes:
    """Find the largest and the smallest eigenvalues of an operator at p points, with their residuals.

    Several eigenvalues of one end are searched for with their multiplicities, by further starts; of a single one a
    second start is made only if the settings ask for it.

    Args:
        derivatives: of the points.
        settings: parameters, tolerance, and the most products.
        operator: ``hessian`` or ``ggn``.
        top: the number of largest eigenvalues.
        bottom: the number of smallest eigenvalues.
        vectors: whether the eigenvectors are returned, in the operator's parameters.
        starts: starts (p, n) of their own, such as eigenvectors that were found nearby, with some noise; the search
            then goes half as many steps at least, at both ends.

    Raises:
        BadInput: more eigenvalues than dimensions, a tolerance that the precision of the network cannot give, or
            whatever :meth:`Derivatives.operator` refuses.
    """
    matrix = derivatives.operator(operator, settings.parameters)
    like, n = matrix.like, matrix.space.size
    check_search(max(top, bottom), settings, n, like.dtype)
    again = looks_again(settings, top, bottom)
    least, usual = count_vectors(top + bottom, keeps=again or vectors)
    beside = least - (top + bottom + LEAST_BASIS)
    search = Search(
        top=top,
        bottom=bottom,
        tolerance=settings.tolerance,
        most_products=settings.products,
        basis=max(least, min(usual, derivatives.room.vectors)) - beside,
        again=again,
        unseen=Search.unseen if starts is None else UNSEEN_NEARBY,
    )
    numbered = make_numbered(settings.seed, "lanczos", n)
    return find_extremes(
        matrix, numbered, matrix.count, like, search, starts=starts, vectors=vectors, error=matrix.error
    )


def looks_again(settings: CurvatureSettings, top: int, bottom: int) -> bool:
    """Whether further starts look for eigenvalues that a first one missed: for copies, or because it is asked for."""
    return settings.second_start or max(top, bottom) > 1


def find_trace(
    derivatives: Derivatives,
    settings: CurvatureSettings,
    operator: str = "hessian",
    *,
    probes: int = TRACE_PROBES,
) -> Trace:
    """Estimate the trace of an operator at p points, with its standard error over the probes.

    Raises:
        BadInput: whatever :meth:`Derivatives.operator` refuses.
    """
    matrix = derivatives.operator(operator, settings.parameters)
    numbered = make_numbered(settings.seed, "trace", matrix.space.size)
    sketch = min(SKETCH, max(LEAST_SKETCH, (derivatives.room.vectors - SPARE) // SKETCHES))
    return estimate_trace(matrix, numbered, matrix.count, matrix.like, sketch, probes)


def find_density(
    derivatives: Derivatives,
    settings: CurvatureSettings,
    operator: str = "hessian",
    *,
    probes: int = 10,
    steps: int = 80,
) -> Quadrature:
    """Find the spectral density of an operator at one point by stochastic Lanczos quadrature.

    Raises:
        BadInput: there are several points, or whatever :meth:`Derivatives.operator` refuses.
    """
    if derivatives.count != 1:
        raise BadInput(f"a spectral density is that of one point, and there are {derivatives.count}; take one of them")
    matrix = derivatives.operator(operator, settings.parameters)
    numbered = make_numbered(settings.seed, "density", matrix.space.size)
    return find_quadrature(matrix, numbered, matrix.like, probes, steps)


def check_count(count: int, size: int) -> None:
    """Refuse a search for more eigenvalues of one end than there are dimensions.

    Raises:
        BadInput: there are fewer.
    """
    if count > size:
        raise BadInput(
            f"{count:,} eigenvalues are asked for, and curvature is taken in {size:,} dimensions; ask for fewer, or "
            "take it in more parameters (--curvature_parameters)"
        )


def check_search(count: int, settings: CurvatureSettings, size: int, dtype: torch.dtype) -> None:
    """Refuse a search for eigenvalues that cannot find them.

    Args:
        count: how many are wanted of one end.
        settings: the tolerance.
        size: the number of dimensions.
        dtype: of the products.

    Raises:
        BadInput: there are fewer dimensions, or products in this dtype cannot give the tolerance.
    """
    check_count(count, size)
    tolerance = settings.tolerance
    limit = find_precision_limit(dtype)
    if tolerance < limit:
        bits = torch.finfo(dtype).bits
        raise BadInput(
            f"the tolerance of curvature is {tolerance:g}, and weights of {bits} bits give {limit:.0e} at best; "
            f"expected more{', or a network in 64 bits (module.double())' if bits < 64 else ''}"
        )


def make_numbered(seed: int, stream: str, n: int) -> Numbered:
    """Make the numbered random vectors (n,) of a stream: standard normal, the same for all points and devices.

    They are float32 whatever torch's default dtype is, on which a stream depends otherwise.
    """

    def numbered(number: int) -> Tensor:
        generator = make_generator(seed, f"curvature/{stream}", number)
        return torch.randn(n, generator=generator, dtype=torch.float32)

    return numbered
