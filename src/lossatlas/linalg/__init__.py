"""Linear algebra on plain tensors: weight vectors, and the spectra of matrices that are given as products."""

from lossatlas.linalg.extremes import count_least_steps, find_extremes
from lossatlas.linalg.krylov import Numbered, Product, find_precision_limit
from lossatlas.linalg.quadrature import Quadrature, find_quadrature
from lossatlas.linalg.search import Extremes, Search
from lossatlas.linalg.trace import Trace, estimate_trace, find_half_width
from lossatlas.linalg.vectors import combine, form_gram, gram_schmidt

__all__ = [
    "Extremes",
    "Numbered",
    "Product",
    "Quadrature",
    "Search",
    "Trace",
    "combine",
    "count_least_steps",
    "estimate_trace",
    "find_extremes",
    "find_half_width",
    "find_precision_limit",
    "find_quadrature",
    "form_gram",
    "gram_schmidt",
]
