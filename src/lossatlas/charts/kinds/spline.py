"""Uniform B-splines of any number of axes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from msgspec import Meta
from torch import Tensor

from lossatlas.bounds import NamedOptions
from lossatlas.charts.control_net import ControlNet
from lossatlas.charts.startable import ChartStart
from lossatlas.errors import BadInput

__all__ = ["Spline"]

Degree = Annotated[int, Meta(ge=1, le=3, description="1, 2 or 3")]


@dataclass(frozen=True)
class _Options(NamedOptions):
    controls: str = "5"
    """Number of control vectors along each axis: one number for all, or height x width as in 5x8, depth first for a
    volume."""
    degree: tuple[Degree, ...] = (2,)
    """Degree along each axis, 1 to 3, u first, or one number for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch("[0-9]{1,6}(x[0-9]{1,6})*", self.controls):
            raise BadInput(f"spline's controls is {self.controls!r}; expected a number (5), or height x width (5x8)")


class Spline(ControlNet):
    """Uniform B-splines over a grid of control vectors: locally polynomial, and smooth where the degree is 2 or more.

    Along each axis with N controls and degree p the domain is cut into N - p equal spans, and a point depends on the
    p + 1 controls of its own span (de Boor 1978, A Practical Guide to Splines, chapter IX, with equally spaced knots).
    Coefficients are therefore sparse. The outermost controls lie (p - 1) / 2 spans outside of the domain. Arguments and
    errors are those of :class:`ControlNet`.

    Example:
        Of four controls along a line a point of the first of two spans depends on three:

        >>> import torch, lossatlas as la
        >>> line = la.Spline(torch.eye(4), net=(4,), degree=(2,))
        >>> line.coefficients(torch.tensor([[-1.0], [0.0]])).tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]
    """

    options = _Options

    @classmethod
    def started(cls, start: ChartStart, options: _Options) -> Self:
        return cls.on_plane(start, [int(side) for side in reversed(options.controls.split("x"))], options.degree)

    @staticmethod
    def list_greville(count: int, degree: int) -> Tensor:
        return (torch.arange(count, dtype=torch.float64) - (degree - 1) / 2) / (count - degree)

    @staticmethod
    def basis(x: Tensor, count: int, degree: int) -> Tensor:
        span, t = _find_span(x, count - degree)
        return _spread(_local(t, degree), span, count)

    @staticmethod
    def basis_derivatives(x: Tensor, count: int, degree: int) -> Tensor:
        span, t = _find_span(x, count - degree)
        lower = _local(t, degree - 1)
        none = torch.zeros_like(t)
        slopes = torch.cat([none, lower], dim=1) - torch.cat([lower, none], dim=1)
        return _spread((count - degree) * slopes, span, count)


def _find_span(x: Tensor, spans: int) -> tuple[Tensor, Tensor]:
    """The number (P, 1) of the span that x (P, 1) lies in, of the nearest one beyond [0, 1], and where in it x lies."""
    at = x * spans
    span = at.detach().floor().clamp(0, spans - 1)
    return span.long(), at - span


def _local(t: Tensor, degree: int) -> Tensor:
    """The uniform B-splines (P, p + 1) of degree p that are not zero on a span, at t (P, 1) in it from 0 to 1.

    By the recurrence of Cox and de Boor, whose denominators are k for equally spaced knots.
    """
    found = [torch.ones_like(t)]
    for k in range(1, degree + 1):
        ahead = torch.zeros_like(t)
        raised = []
        for r, lower in enumerate(found):
            share = lower / k
            raised.append(ahead + (r + 1 - t) * share)
            ahead = (t + k - r - 1) * share
        found = [*raised, ahead]
    return torch.cat(found, dim=1)


def _spread(values: Tensor, span: Tensor, count: int) -> Tensor:
    """Values (P, p + 1) at the controls of a span as rows (P, count), zero elsewhere."""
    places = span + torch.arange(values.shape[1], device=values.device)
    return values.new_zeros(len(values), count).scatter(1, places, values)
