"""Coefficients that several kinds of charts share, and their derivatives."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

__all__ = [
    "affine",
    "affine_derivatives",
    "barycentric",
    "barycentric_corners",
    "barycentric_derivatives",
    "bernstein",
    "bernstein_derivatives",
    "sample_barycentric",
]


def affine(coords: Tensor) -> Tensor:
    """The coefficients ``(1, c_1, ..., c_d)``: (P, 1 + d) at coordinates (P, d)."""
    return torch.cat([coords.new_ones(len(coords), 1), coords], dim=1)


def affine_derivatives(coords: Tensor) -> Tensor:
    """The derivatives (P, 1 + d, d) of :func:`affine`, which are constant."""
    return _everywhere(coords, 0.0)


def barycentric(coords: Tensor) -> Tensor:
    """The coefficients ``(1 - sum_k c_k, c_1, ..., c_d)``: (P, 1 + d) at coordinates (P, d)."""
    return torch.cat([1 - coords.sum(dim=1, keepdim=True), coords], dim=1)


def barycentric_derivatives(coords: Tensor) -> Tensor:
    """The derivatives (P, 1 + d, d) of :func:`barycentric`, which are constant."""
    return _everywhere(coords, -1.0)


def barycentric_corners(d: int) -> Tensor:
    """The coordinates (1 + d, d), float64, of the vertices of a simplex with d axes."""
    return torch.cat([torch.zeros(1, d), torch.eye(d)]).double()


def _everywhere(coords: Tensor, first: float) -> Tensor:
    """Constant derivatives: ``first`` for the first coefficient, the identity for the others."""
    d = coords.shape[1]
    return torch.cat([coords.new_full((1, d), first), torch.eye(d).to(coords)]).expand(len(coords), -1, -1)


def sample_barycentric(count: int, axes: int, generator: torch.Generator) -> Tensor:
    """Sample barycentric coordinates (count, axes), float64, uniformly inside of a simplex.

    Spacings of exponentials are uniform barycentric coordinates (Devroye 1986, chapter V).
    """
    waits = -torch.rand(count, axes + 1, generator=generator, dtype=torch.float64).clamp(1e-300).log()
    return (waits / waits.sum(dim=1, keepdim=True))[:, 1:]


def bernstein(t: Tensor, degree: int) -> Tensor:
    """The Bernstein polynomials ``C(p, i) t^i (1 - t)^(p - i)`` of degree p: (P, p + 1) at t (P, 1)."""
    powers = torch.arange(degree + 1, dtype=t.dtype, device=t.device)
    counts = torch.tensor([float(comb(degree, i)) for i in range(degree + 1)], dtype=t.dtype, device=t.device)
    return counts * t**powers * (1 - t) ** (degree - powers)


def bernstein_derivatives(t: Tensor, degree: int) -> Tensor:
    """The derivatives (P, p + 1) of the Bernstein polynomials of degree p >= 1 at t (P, 1)."""
    lower = bernstein(t, degree - 1)
    none = lower.new_zeros(len(lower), 1)
    return degree * (torch.cat([none, lower], dim=1) - torch.cat([lower, none], dim=1))
