"""Lengths along curves in weight space, computed from the Gram matrix of the controls alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lossatlas.charts.curve import Curve
from lossatlas.linalg import form_gram

__all__ = ["measure_length", "measure_lengths_until", "measure_speeds", "quadrature"]

NODES = 32
"""The nodes of a Gauss-Legendre rule, which is exact to rounding error where the speed varies slowly with t."""
PARTS = 16
"""The number of rules on each smooth piece. At a sharp turn the speed of a curve nearly vanishes, which limits a rule:
the length of the sharpest turns is then good to a millionth or so."""
SLOWEST = 1e-24
"""The square of a speed below which it counts as zero, since the square root has no derivative there."""


def measure_speeds(velocities: Tensor, gram: Tensor) -> Tensor:
    """The speeds ``||phi'(t)||`` (P,) from derivatives of coefficients (P, m) and the controls' Gram matrix (m, m)."""
    return ((velocities @ gram) * velocities).sum(dim=1).clamp(min=SLOWEST).sqrt()


def quadrature(curve: Curve) -> tuple[Tensor, Tensor]:
    """The nodes (Q, 1) in [0, 1] and weights (Q,), float64, of Gauss-Legendre rules on a curve's smooth pieces."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    ends = [np.linspace(low, high, PARTS + 1) for low, high in pairwise(curve.breaks)]
    pieces = [pair for piece in ends for pair in pairwise(piece.tolist())]
    at = torch.cat([(low + high) / 2 + (high - low) / 2 * nodes for low, high in pieces])
    return at[:, None], torch.cat([(high - low) / 2 * weights for low, high in pieces])


def measure_length(curve: Curve) -> float:
    """The length of a curve in weight space."""
    nodes, weights = quadrature(curve)
    return float(weights @ measure_speeds(curve.velocities(nodes), form_gram(curve.controls())))


def measure_lengths_until(curve: Curve, t: Tensor) -> Tensor:
    """The lengths (P,), float64, of a curve from 0 to each t (P,), ascending in [0, 1]."""
    steps = torch.linspace(0, 1, PARTS * (len(curve.breaks) - 1) + 1, dtype=torch.float64)
    ends = torch.unique(torch.cat([torch.tensor(curve.breaks, dtype=torch.float64), steps, t.double().cpu()]))
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    low, high = ends[:-1, None], ends[1:, None]
    at = (low + high) / 2 + (high - low) / 2 * nodes
    rates = measure_speeds(curve.velocities(at.reshape(-1, 1)), form_gram(curve.controls())).view(at.shape)
    until = torch.cat([torch.zeros(1).double(), ((high - low)[:, 0] / 2 * (rates @ weights)).cumsum(dim=0)])
    return until[torch.searchsorted(ends, t.double().cpu())]
