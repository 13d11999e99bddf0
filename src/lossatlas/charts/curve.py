"""The base of curves: affine combinations of control points, of which some are held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart, check_coords
from lossatlas.errors import BadInput
from lossatlas.schema import CURVE
from lossatlas.types import Params

__all__ = ["Curve"]


class Curve(CoefficientChart):
    """``phi(t) = sum_i a_i(t) w_i`` for t in [0, 1], with a_i that sum to one (Garipov et al. 2018, arXiv 1802.10026).

    The first control is exactly at t = 0 and the last at t = 1. Controls that are held fixed are not parameters, so
    that optimisers cannot move them at all.

    Args:
        controls: (m + 1, n), m >= 1, in their order along the curve.
        held: for each control whether it is held fixed; default the first and the last. All may be.

    Raises:
        BadInput: fewer than two controls, shapes that do not fit, or equal neighbours that are held fixed.
    """

    service = "connect"
    refusal = "does not join networks by a curve"
    joins_networks = True
    axes: tuple[str, ...] = (CURVE,)
    counts = MappingProxyType({"held": torch.bool})
    interpolation = "curve"
    most_networks: ClassVar[int | None] = None
    """The largest number of networks that such a curve can pass through; None where it is not bounded."""
    usual_lr: ClassVar[float] = 0.1
    """The default learning rate of the bends."""

    def __init__(self, controls: Tensor, held: Sequence[bool] | None = None) -> None:
        super().__init__()
        kind = type(self).__name__.lower()
        if controls.ndim != 2 or len(controls) < 2:
            raise BadInput(f"a {kind} curve needs two control points (m + 1, n) at least; got {tuple(controls.shape)}")
        mask = [True, *[False] * (len(controls) - 2), True] if held is None else [bool(one) for one in held]
        if len(mask) != len(controls):
            raise BadInput(f"a curve with {len(controls)} control points holds some of them; got {len(mask)} marks")
        stays = torch.tensor(mask)
        self.held: Tensor
        self.fixed: Tensor
        self._order: Tensor
        self.register_buffer("held", stays)
        self.register_buffer("fixed", controls[stays.to(controls.device)].detach().clone())
        self.bends = nn.Parameter(
            controls[~stays.to(controls.device)].detach().clone(), requires_grad=not bool(stays.all())
        )
        # The index of each control in the concatenation of held and trained ones.
        places = torch.cat([torch.nonzero(stays)[:, 0], torch.nonzero(~stays)[:, 0]])
        self.register_buffer("_order", places.argsort(), persistent=False)

    @classmethod
    def between(
        cls, networks: Tensor, bends: int = 1, start: Tensor | None = None, *, train_ends: bool = False
    ) -> Self:
        """Make a curve through networks, its bends on the straight segments between them or at given points.

        Args:
            networks: (k, n), k >= 2, in their order along the curve; they are held fixed.
            bends: the number of control points between two neighbours.
            start: the initial bends, (bends * (k - 1), n); default equally spaced on the segments.
            train_ends: whether the networks are trained, too.

        Raises:
            BadInput: no bends, equal neighbours, more networks than such a curve can pass through, or bends of another
                shape.
        """
        kind = cls.__name__.lower()
        if networks.ndim != 2 or len(networks) < 2:
            raise BadInput(f"a {kind} curve joins two networks at least (k, n); got {tuple(networks.shape)}")
        if cls.most_networks is not None and len(networks) > cls.most_networks:
            raise BadInput(
                f"a {kind} curve passes through {cls.most_networks} networks and {len(networks)} are given; choose "
                f"{' or '.join(cls._through(len(networks)))}"
            )
        if bends < 1:
            raise BadInput(f"a {kind} curve with {bends} bends has nothing to train; give it one bend or more")
        for k, (one, other) in enumerate(pairwise(networks)):
            if torch.equal(one, other):
                raise BadInput(
                    f"networks {k + 1} and {k + 2} are equal, so there is nothing between them; choose others"
                )
        legs = len(networks) - 1
        if start is not None and start.shape != (bends * legs, networks.shape[1]):
            raise BadInput(
                f"{bends * legs} bends in R^{networks.shape[1]} begin at points of shape "
                f"{(bends * legs, networks.shape[1])}; got {tuple(start.shape)}"
            )
        parts = []
        for leg in range(legs):
            ends = networks[leg], networks[leg + 1]
            shares = [(k + 1) / (bends + 1) for k in range(bends)]
            own = torch.stack([torch.lerp(*ends, share) for share in shares])
            parts += [ends[0][None], own if start is None else start[leg * bends : (leg + 1) * bends].to(own)]
        held = ([not train_ends] + [False] * bends) * legs + [not train_ends]
        return cls(torch.cat([*parts, networks[-1:]]), held)

    @staticmethod
    def _through(networks: int) -> list[str]:
        """The kinds of curves that can pass through this number of networks."""
        return [name for name in Curve.names() if (Curve.named(name).most_networks or networks) >= networks]

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        held = state["held"].bool()
        controls = torch.cat([state["fixed"], state["bends"]])
        places = torch.cat([torch.nonzero(held)[:, 0], torch.nonzero(~held)[:, 0]])
        return cls(controls[places.argsort()], held.tolist())

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.bends.shape[1]

    @property
    def statistics(self) -> Params:
        return {}

    @property
    def degree(self) -> int:
        """The degree m, one less than the number of controls."""
        return len(self.held) - 1

    @property
    def control_count(self) -> int:
        return len(self.held)

    def controls(self) -> Tensor:
        return torch.cat([self.fixed, self.bends])[self._order]

    @property
    def breaks(self) -> tuple[float, ...]:
        """The ends and kinks of the curve: ascending t from 0 to 1, between which it is smooth."""
        return (0.0, 1.0)

    def velocities(self, coords: Tensor) -> Tensor:
        """The derivatives (P, m + 1) of the coefficients with respect to t at coordinates (P, 1).

        ``velocities @ controls()`` are the derivatives of the points; at a kink, the right-hand ones.
        """
        return self.derivatives(coords)[:, :, 0]

    def corner_coords(self) -> Tensor:
        return torch.tensor(self.breaks, dtype=torch.float64)[:, None]

    def control_coords(self) -> Tensor:
        """The t (m + 1,), float64, of the controls on a straight curve of constant speed."""
        return torch.linspace(0, 1, self.degree + 1, dtype=torch.float64)

    def _t(self, coords: Tensor) -> Tensor:
        """The t (P, 1) of coordinates, checked."""
        return check_coords(coords, self.axes)
