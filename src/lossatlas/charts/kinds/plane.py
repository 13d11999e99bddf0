"""The affine chart with trained directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor, nn

from lossatlas.bounds import NamedOptions
from lossatlas.charts.affine import AffineChart
from lossatlas.charts.startable import ChartStart
from lossatlas.errors import BadInput
from lossatlas.linalg import gram_schmidt

__all__ = ["Plane"]


@dataclass(frozen=True)
class _Options(NamedOptions):
    order: tuple[int, ...] = ()
    """Numbers of the axes, from 0, in the order in which their directions are made orthogonal; the first direction
    stays as it is. By default the last axis comes first."""


class Plane(AffineChart):
    """``w(c) = origin + scale * sum_k (c_k - anchor_k) * e_k`` with e = Gram-Schmidt of the directions.

    Equations 1 and 2 of Skorokhodov & Burtsev 2019 (arXiv 1910.03867) for any number d >= 1 of axes: the e_k are
    orthogonal and as long as the leading direction; the scale is trained with them. As in the paper, the last axis
    leads (``v``, up) and the others follow in reverse order (``u``, right), unless ``order`` is given.

    Args:
        origin: (n,).
        directions: (d, n), not orthogonalised; :meth:`controls` does that.
        scale: the factor on all coordinates. With coordinates in units of half the longer side of a picture, the
            picture reaches ``scale`` lengths of a direction from its centre.
        train_origin: whether a fit trains the origin.
        order: the order of orthogonalisation, a permutation of the indices of the axes.
        centred: whether the origin is a trained network, and not random weights.
        anchor: (d,), the coordinates of the origin; default 0.

    Raises:
        BadInput: shapes do not fit, there are more directions than dimensions, or the order is not a permutation.

    Example:
        >>> import lossatlas as la
        >>> plane = la.Plane(torch.zeros(3), torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]]), scale=0.5)
        >>> plane.points(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    options = _Options
    counts = MappingProxyType({**AffineChart.counts, "order": torch.int64})

    def __init__(
        self,
        origin: Tensor,
        directions: Tensor,
        scale: float = 1.0,
        *,
        train_origin: bool = True,
        order: Sequence[int] | None = None,
        centred: bool = True,
        anchor: Sequence[float] | None = None,
    ) -> None:
        if origin.ndim != 1 or directions.ndim != 2 or directions.shape[1] != origin.shape[0]:
            raise BadInput(
                f"a plane needs an origin (n,) and directions (d, n); got {tuple(origin.shape)} and "
                f"{tuple(directions.shape)}"
            )
        d, n = directions.shape
        super().__init__(d, n, anchor, centred)
        order = tuple(order) if order is not None else tuple(reversed(range(d)))
        if sorted(order) != list(range(d)):
            raise BadInput(
                f"the order of orthogonalisation {order} is not a permutation of 0..{d - 1}; name each axis once"
            )
        self.order: Tensor
        self.register_buffer("order", torch.tensor(order))
        self.origin = nn.Parameter(origin.detach().clone(), requires_grad=train_origin)
        self.directions = nn.Parameter(directions.detach().clone())
        self.scale = nn.Parameter(torch.tensor(float(scale), dtype=origin.dtype, device=origin.device))

    @classmethod
    def started(cls, start: ChartStart, options: _Options) -> Self:
        return cls(
            start.origin(),
            start.directions(),
            start.scale,
            train_origin=start.train_origin,
            order=options.order or None,
            centred=start.centred,
            anchor=start.anchor,
        )

    @classmethod
    def from_start(cls, start: ChartStart) -> Self:
        """Make the plane as it is before the first step, with the default order of orthogonalisation."""
        return cls.started(start, _Options())

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Plane:
        return cls(
            state["origin"],
            state["directions"],
            float(state["scale"]),
            order=state["order"].tolist(),
            centred=bool(state["_centred"]),
            anchor=state["anchor"].tolist(),
        )

    @property
    def dimension(self) -> int:
        return self.origin.shape[0]

    def controls(self) -> Tensor:
        frame = gram_schmidt(self.directions, self.order.tolist())
        return torch.cat([self.origin[None], self.scale * frame])
