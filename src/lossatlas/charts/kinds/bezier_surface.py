"""Bézier surfaces and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from msgspec import Meta
from torch import Tensor

from lossatlas.bounds import NamedOptions
from lossatlas.charts.chart import name_axes
from lossatlas.charts.control_net import ControlNet, spread_over_axes
from lossatlas.charts.forms import bernstein, bernstein_derivatives
from lossatlas.charts.startable import ChartStart
from lossatlas.describing import count_things
from lossatlas.errors import BadInput

__all__ = ["BezierSurface"]

HIGHEST = 30
Degree = Annotated[int, Meta(ge=1, le=HIGHEST, description=f"1 to {HIGHEST}")]


@dataclass(frozen=True)
class _Options(NamedOptions):
    degree: tuple[Degree, ...] = (3,)
    """Degree along each axis, u first, or one number for all; there is one control more than that along an axis."""


class BezierSurface(ControlNet):
    """A Bézier surface or volume: tensor products of Bernstein polynomials, one degree for each axis.

    ``w(u, v) = sum_ij B_i(u) B_j(v) W_ij`` with ``B_i(x) = C(p, i) x^i (1 - x)^(p - i)`` for x in [0, 1], the domain of
    the axis (Farin 2002, Curves and Surfaces for CAGD, chapter 14). Every point depends on all controls. Arguments and
    errors are those of :class:`ControlNet`.

    Example:
        A surface of degree 1, which is bilinear, through four points of R^2:

        >>> import torch, lossatlas as la
        >>> corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> surface = la.BezierSurface(corners, net=(2, 2), degree=(1, 1))
        >>> surface.points(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.75, 0.75]]
    """

    options = _Options

    @classmethod
    def started(cls, start: ChartStart, options: _Options) -> Self:
        degree = spread_over_axes(options.degree, start.axes, "degree")
        return cls.on_plane(start, [each + 1 for each in degree], degree)

    @classmethod
    def _check_net(cls, net: Sequence[int], degree: Sequence[int]) -> None:
        super()._check_net(net, degree)
        for axis, count, p in zip(name_axes(len(net)), net, degree, strict=True):
            if count != p + 1:
                raise BadInput(
                    f"{count_things(count, 'control')} along {axis} are not those of degree {p}; a Bézier surface has "
                    f"{p + 1} there, or give degree {count - 1}"
                )

    @staticmethod
    def list_greville(count: int, degree: int) -> Tensor:  # noqa: ARG004  # it is one less
        return torch.linspace(0, 1, count, dtype=torch.float64)

    @staticmethod
    def basis(x: Tensor, count: int, degree: int) -> Tensor:  # noqa: ARG004
        return bernstein(x, degree)

    @staticmethod
    def basis_derivatives(x: Tensor, count: int, degree: int) -> Tensor:  # noqa: ARG004
        return bernstein_derivatives(x, degree)
