"""Lengths along curves, from the scalar products of their controls alone: no network is evaluated for them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lossatlas.charts.curve import Curve
from lossatlas.linalg import form_gram

__all__ = ["measure_length", "measure_lengths_until", "measure_speeds", "quadrature"]

NODES = 32
"""Of a Gauss-Legendre rule: exact to rounding where the speed is a gentle function of t."""
PARTS = 16
"""Rules on each smooth piece. A curve that turns round on the spot nearly stops there, which no rule across it sees:
the length of the sharpest turns is then good to a millionth or so."""
SLOWEST = 1e-24
"""Squared: a speed below is rounding, and its root has no slope."""


def measure_speeds(velocities: Tensor, gram: Tensor) -> Tensor:
    """``||phi'(t)||`` (P,) from derivatives of coefficients (P, m) and the controls' scalar products (m, m)."""
    return ((velocities @ gram) * velocities).sum(dim=1).clamp(min=SLOWEST).sqrt()


def quadrature(curve: Curve) -> tuple[Tensor, Tensor]:
    """Nodes (Q, 1) in [0, 1] and weights (Q,), float64, of Gauss-Legendre rules on the smooth pieces of a curve."""
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
    """The lengths (P,), float64, from 0 to each t (P,), ascending in [0, 1]."""
    steps = torch.linspace(0, 1, PARTS * (len(curve.breaks) - 1) + 1, dtype=torch.float64)
    ends = torch.unique(torch.cat([torch.tensor(curve.breaks, dtype=torch.float64), steps, t.double().cpu()]))
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    low, high = ends[:-1, None], ends[1:, None]
    at = (low + high) / 2 + (high - low) / 2 * nodes
    rates = measure_speeds(curve.velocities(at.reshape(-1, 1)), form_gram(curve.controls())).view(at.shape)
    until = torch.cat([torch.zeros(1).double(), ((high - low)[:, 0] / 2 * (rates @ weights)).cumsum(dim=0)])
    return until[torch.searchsorted(ends, t.double().cpu())]
