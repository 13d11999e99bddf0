"""Stochastic Lanczos quadrature: the spectral density of a matrix from the start of a few Krylov spaces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.linalg.krylov import Basis, Numbered, Product, find_precision_limit

__all__ = ["Quadrature", "find_quadrature"]


@dataclass(frozen=True)
class Quadrature:
    """For each of several probes a spectrum of few eigenvalues, which has the moments of that of the matrix.

    The density of eigenvalues is the mean over probes of ``sum_i weights_i * delta(nodes_i)``, and the dimension times
    its k-th moment estimates ``tr A^k``. It is not smoothed: the width is chosen when it is drawn.

    Attributes:
        nodes: The eigenvalues (probes, steps), ascending, float64; NaN beyond those of a probe whose space ended.
        weights: Their weights (probes, steps), which sum to 1 for each probe; 0 where there is no node.
    """

    nodes: Tensor
    weights: Tensor

    def find_moment(self, power: int) -> tuple[float, float]:
        """Estimate the mean of a power of the eigenvalues, with its standard error over the probes."""
        of_probes = (self.weights * self.nodes.nan_to_num() ** power).sum(dim=1)
        error = float(of_probes.std() / len(of_probes) ** 0.5) if len(of_probes) > 1 else float("nan")
        return float(of_probes.mean()), error


def find_quadrature(product: Product, numbered: Numbered, like: Tensor, probes: int, steps: int) -> Quadrature:
    """Find the quadrature of a symmetric matrix (Lin, Saad & Yang 2016; Ghorbani et al. 2019).

    The weight of a node is the squared *first* component of an eigenvector of the tridiagonal matrix. Vectors are
    orthogonalised against all earlier ones, without which nodes appear several times with shares of their weight.

    Args:
        product: multiplies the matrix, whose number is 0, with a vector.
        numbered: random vectors, one per probe.
        like: a tensor of its dtype and device, whose last axis has its dimension n.
        probes: the number of random starts.
        steps: the number of products for each, at most n.

    Returns:
        Nodes and weights; all NaN where a product is not finite.

    >>> matrix = torch.diag(torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64))
    >>> found = find_quadrature(lambda v, _: v @ matrix, lambda k: torch.tensor([1.0, 1.0, 1.0]), matrix, 1, 3)
    >>> found.nodes.round(decimals=6).tolist(), found.weights.sum().round(decimals=6).item()
    ([[-1.0, 1.0, 2.0]], 1.0)
    """
    steps = min(steps, like.shape[-1])
    nodes = torch.full((probes, steps), float("nan"), dtype=torch.float64)
    weights = torch.zeros(probes, steps, dtype=torch.float64)
    number = torch.zeros(1, dtype=torch.long)
    for probe in range(probes):
        start = numbered(probe).to(like)[None]
        basis = Basis(start, steps, None, numbered, find_precision_limit(like.dtype))
        for _ in range(steps):
            image = product(basis.newest, number)
            if not bool(image.isfinite().all()):
                return Quadrature(torch.full_like(nodes, float("nan")), torch.full_like(weights, float("nan")))
            basis.extend(image)
            if basis.is_closed:  # what a fresh vector would add has no weight
                break
        ritz = basis.find_ritz()
        nodes[probe, : ritz.count] = ritz.values[0]
        weights[probe, : ritz.count] = ritz.shares[0, 0].square()
    return Quadrature(nodes, weights)
