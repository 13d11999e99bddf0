"""Forms of coefficients that several kinds of charts share, and their derivatives."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["affine", "affine_derivatives", "barycentric", "barycentric_corners", "barycentric_derivatives"]


def affine(coords: Tensor) -> Tensor:
    """``(1, c_1, ..., c_d)``: (P, 1 + d) at (P, d)."""
    return torch.cat([coords.new_ones(len(coords), 1), coords], dim=1)


def affine_derivatives(coords: Tensor) -> Tensor:
    """(P, 1 + d, d), the same everywhere."""
    return _everywhere(coords, 0.0)


def barycentric(coords: Tensor) -> Tensor:
    """``(1 - sum_k c_k, c_1, ..., c_d)``: (P, 1 + d) at (P, d)."""
    return torch.cat([1 - coords.sum(dim=1, keepdim=True), coords], dim=1)


def barycentric_derivatives(coords: Tensor) -> Tensor:
    """(P, 1 + d, d), the same everywhere."""
    return _everywhere(coords, -1.0)


def barycentric_corners(d: int) -> Tensor:
    """Where only one coefficient is not zero: (1 + d, d), float64."""
    return torch.cat([torch.zeros(1, d), torch.eye(d)]).double()


def _everywhere(coords: Tensor, first: float) -> Tensor:
    """The derivatives of the first coefficient, above those of the coordinates themselves."""
    d = coords.shape[1]
    return torch.cat([coords.new_full((1, d), first), torch.eye(d).to(coords)]).expand(len(coords), -1, -1)
