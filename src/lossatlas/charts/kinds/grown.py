"""A simplex of low loss that grows vertex by vertex."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart, check_coords, name_axes
from lossatlas.charts.forms import barycentric, barycentric_corners, barycentric_derivatives
from lossatlas.errors import BadInput
from lossatlas.types import Params

__all__ = ["Grown"]


class Grown(CoefficientChart):
    """``w(c) = (1 - sum_k c_k) w_0 + sum_k c_k w_k``, with the last vertex trained and the others held.

    Fit each new vertex with the objective :class:`~lossatlas.InSimplex`, which keeps the loss in the interior low and
    the vertex away from the others, then add the next (Benton et al. 2021, arXiv 2102.13042, section 4).

    Args:
        vertices: (m, n), m >= 2; the last one is trained.

    Raises:
        BadInput: fewer than two vertices.
    """

    joins_networks = True
    interpolation = "barycentric"

    def __init__(self, vertices: Tensor) -> None:
        super().__init__()
        if vertices.ndim != 2 or len(vertices) < 2:
            raise BadInput(f"a simplex needs two vertices (m, n) at least; got {tuple(vertices.shape)}")
        self.fixed: Tensor
        self.register_buffer("fixed", vertices[:-1].detach().clone())
        self.vertex = nn.Parameter(vertices[-1:].detach().clone())
        self.axes = name_axes(len(vertices) - 1)

    @classmethod
    def from_network(cls, weights: Tensor, generator: torch.Generator, spread: float = 0.1) -> Self:
        """Make the first edge: from a trained network (n,) to a vertex near it, see :meth:`grown`."""
        return cls(_with_vertex(weights[None], generator, spread))

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(torch.cat([state["fixed"], state["vertex"]]))

    def grown(self, generator: torch.Generator, spread: float = 0.1) -> Grown:
        """Make the simplex with one more vertex, initialised near the barycentre of the present ones.

        Args:
            generator: source of the random direction from the barycentre.
            spread: the distance from the barycentre, as a share of its norm.
        """
        return Grown(_with_vertex(self.controls().detach(), generator, spread))

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.fixed.shape[1]

    @property
    def statistics(self) -> Params:
        return {}

    def coefficients(self, coords: Tensor) -> Tensor:
        return barycentric(check_coords(coords, self.axes))

    def derivatives(self, coords: Tensor) -> Tensor:
        return barycentric_derivatives(check_coords(coords, self.axes))

    def corner_coords(self) -> Tensor:
        return barycentric_corners(len(self.axes))

    @property
    def control_count(self) -> int:
        return len(self.fixed) + 1

    def controls(self) -> Tensor:
        return torch.cat([self.fixed, self.vertex])

    def volume(self) -> float:
        """The d-dimensional volume of the simplex, for d axes."""
        sides = (self.controls()[1:] - self.controls()[0]).detach().double()
        d = len(sides)
        return float(torch.linalg.slogdet(sides @ sides.T).logabsdet.div(2).exp()) / math.factorial(d)


def _with_vertex(vertices: Tensor, generator: torch.Generator, spread: float) -> Tensor:
    middle = vertices.mean(dim=0)
    aside = torch.randn(middle.shape, generator=generator).to(middle)
    return torch.cat([vertices, (middle + spread * middle.norm() * aside / aside.norm())[None]])
