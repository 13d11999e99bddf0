"""The base of curved charts: tensor products of polynomials over a grid of control vectors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import inf, isfinite, prod
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import check_coords, name_axes
from lossatlas.charts.forms import affine
from lossatlas.charts.kinds.plane import Plane
from lossatlas.charts.startable import ChartStart, Startable
from lossatlas.describing import count_things, format_bytes
from lossatlas.errors import BadInput
from lossatlas.free_memory import free_memory
from lossatlas.types import Params

__all__ = ["ControlNet", "spread_over_axes"]

COPIES = 4
"""How many numbers a fit holds for each trained one: itself, its gradient and the two moments of Adam."""


class ControlNet(Startable):
    """``w(c) = sum_i B_i(c) W_i`` for a grid of control vectors W_i, with tensor products B_i of polynomials per axis.

    The polynomials of an axis sum to one and reproduce its coordinate where controls are at their Greville coordinates
    (Farin 2002, Curves and Surfaces for CAGD, chapter 8), so that a chart whose controls lie there on a plane *is* that
    plane; a fit starts so. The domain of an axis is ``[-extent, extent]``; beyond it the polynomials at its ends go on.

    Around a network w* that is held the chart is ``w* + sum_i (B_i(c) - B_i(anchor)) W_i``, with steps W_i away from it
    instead of weights, so that it passes through w* whatever is trained. Coefficients sum to one there, too, w*'s being
    one and those of the steps summing to zero.

    Args:
        vectors: (m, n), the control vectors, the last axis of the grid running fastest.
        net: how many controls there are along each axis, u first; their product is m.
        degree: the degrees of the polynomials along each axis.
        extent: half the length of the domain along each axis; default 1.
        origin: (n,), the network that is held; default none.
        anchor: (d,), the coordinates of that network, or of the origin that the chart started at; default 0.
        centred: whether the chart starts around a trained network, and not at random weights; default where it is held.

    Raises:
        BadInput: shapes do not fit, vectors are not floating-point numbers, or there are fewer controls along an axis
            than its degree needs (or others, where the degree says how many).
    """

    counts = MappingProxyType({"net": torch.int64, "degree": torch.int64, "_centred": torch.bool})
    interpolation = "curved"
    curved = True
    net: Tensor
    degree: Tensor
    extent: Tensor
    anchor: Tensor
    origin: Tensor | None
    _centred: Tensor

    def __init__(
        self,
        vectors: Tensor,
        net: Sequence[int],
        degree: Sequence[int],
        *,
        extent: Sequence[float] | None = None,
        origin: Tensor | None = None,
        anchor: Sequence[float] | None = None,
        centred: bool | None = None,
    ) -> None:
        super().__init__()
        net, degree = tuple(map(int, net)), tuple(map(int, degree))
        d = len(net)
        extent = [1.0] * d if extent is None else [float(one) for one in extent]
        anchor = [0.0] * d if anchor is None else [float(one) for one in anchor]
        if not d or not len(degree) == len(extent) == len(anchor) == d:
            raise BadInput(
                f"a control net along {d} axes has {len(degree)} degrees, {len(extent)} extents and {len(anchor)} "
                "coordinates of its origin; expected one each for every axis"
            )
        self._check_net(net, degree)
        if not isinstance(vectors, Tensor) or not vectors.is_floating_point():
            kind = vectors.dtype if isinstance(vectors, Tensor) else type(vectors).__name__
            raise BadInput(f"the vectors of a control net are {kind}; expected a tensor of floating-point numbers")
        if vectors.ndim != 2 or len(vectors) != prod(net):
            raise BadInput(f"a control net of {_spell(net)} has {prod(net)} vectors (m, n); got {tuple(vectors.shape)}")
        if origin is not None and origin.shape != vectors.shape[1:]:
            raise BadInput(f"the origin of a control net in R^{vectors.shape[1]} has shape {tuple(origin.shape)}")
        if not all(0 < one < inf for one in extent):
            raise BadInput(f"the domain of a control net extends {extent} from its middle; expected positive lengths")
        if not all(map(isfinite, anchor)):
            raise BadInput(f"the origin of a control net is at {anchor}; expected finite coordinates")
        self.axes = name_axes(d)
        self.vectors = nn.Parameter(vectors.detach().clone())
        self.register_buffer("net", torch.tensor(net))
        self.register_buffer("degree", torch.tensor(degree))
        self.register_buffer("extent", torch.tensor(extent, dtype=torch.float64))
        self.register_buffer("anchor", torch.tensor(anchor, dtype=torch.float64))
        self.register_buffer("origin", origin.detach().clone() if origin is not None else None)
        self.register_buffer("_centred", torch.tensor(origin is not None if centred is None else centred))

    @classmethod
    def on_plane(cls, start: ChartStart, net: Sequence[int], degree: Sequence[int]) -> Self:
        """Make the chart that is a random plane, its controls at their Greville coordinates.

        Args:
            start: the origin and the directions of the plane; its origin is held where it is not trained.
            net: how many controls there are along each axis, or one number for all.
            degree: the degrees of the polynomials, likewise.

        Raises:
            BadInput: the numbers do not fit the axes or one another, or the controls do not fit the memory.
        """
        net = spread_over_axes(net, start.axes, "controls")
        degree = spread_over_axes(degree, start.axes, "degree")
        cls._check_net(net, degree)
        plane = Plane.from_start(start)
        _check_room(prod(net), plane.origin, start.axes)
        controls = plane.controls().detach()
        shares = affine(cls._lay_net(net, degree, start.extent) - plane.anchor).to(controls)
        vectors = shares @ controls if start.train_origin else shares[:, 1:] @ controls[1:]
        return cls(
            vectors,
            net,
            degree,
            extent=start.extent,
            origin=None if start.train_origin else plane.origin,
            anchor=plane.anchor.tolist(),
            centred=start.centred,
        )

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(
            state["vectors"],
            state["net"].tolist(),
            state["degree"].tolist(),
            extent=state["extent"].tolist(),
            origin=state.get("origin"),
            anchor=state["anchor"].tolist(),
            centred=bool(state["_centred"]),
        )

    @staticmethod
    @abstractmethod
    def list_greville(count: int, degree: int) -> Tensor:
        """The coordinates (count,), float64, of controls at which the polynomials reproduce x in [0, 1]."""

    @staticmethod
    @abstractmethod
    def basis(x: Tensor, count: int, degree: int) -> Tensor:
        """The polynomials (P, count) at x (P, 1), whose domain is [0, 1]; they go on beyond it, and sum to one."""

    @staticmethod
    @abstractmethod
    def basis_derivatives(x: Tensor, count: int, degree: int) -> Tensor:
        """The derivatives (P, count) of :meth:`basis`; at a kink the right-hand ones."""

    @property
    def centred(self) -> bool:
        return bool(self._centred)

    @property
    def dimension(self) -> int:
        return self.vectors.shape[1]

    @property
    def statistics(self) -> Params:
        return {}

    @property
    def control_count(self) -> int:
        return len(self.vectors) + (self.origin is not None)

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        shares = self._tensor_products(coords)
        if self.origin is None:
            return shares
        away = shares - self._tensor_products(self.anchor.to(coords)[None])
        return torch.cat([coords.new_ones(len(coords), 1), away], dim=1)

    def derivatives(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        found = torch.stack([self._tensor_products(coords, along=k) for k in range(len(self.axes))], dim=2)
        if self.origin is None:
            return found
        return torch.cat([found.new_zeros(len(found), 1, found.shape[2]), found], dim=1)

    def is_within(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        return (coords.abs() <= self.extent.to(coords)).all(dim=1)

    def controls(self) -> Tensor:
        return self.vectors if self.origin is None else torch.cat([self.origin[None], self.vectors])

    def control_coords(self) -> Tensor:
        """The Greville coordinates (m, d), float64, of the control vectors."""
        return self._lay_net(self.net.tolist(), self.degree.tolist(), self.extent.tolist())

    def corner_coords(self) -> Tensor:
        return self.anchor[None].cpu()

    def numbers(self) -> dict[str, float]:
        return {"controls": len(self.vectors)}

    def _tensor_products(self, coords: Tensor, along: int | None = None) -> Tensor:
        """The products (P, m) of the polynomials of all axes, or their derivatives along one of them."""
        found = coords.new_ones(len(coords), 1)
        for k, (count, degree) in enumerate(zip(self.net.tolist(), self.degree.tolist(), strict=True)):
            extent = self.extent[k].to(coords)
            x = (coords[:, k : k + 1] / extent + 1) / 2
            if k == along:
                own = self.basis_derivatives(x, count, degree) / (2 * extent)
            else:
                own = self.basis(x, count, degree)
            found = (found[:, :, None] * own[:, None, :]).flatten(1)
        return found

    @classmethod
    def _lay_net(cls, net: Sequence[int], degree: Sequence[int], extent: Sequence[float]) -> Tensor:
        """The Greville coordinates (m, d), float64, of a grid of controls."""
        sides = zip(net, degree, extent, strict=True)
        along = [reach * (2 * cls.list_greville(count, p) - 1) for count, p, reach in sides]
        return torch.cartesian_prod(*along).view(-1, len(along))

    @classmethod
    def _check_net(cls, net: Sequence[int], degree: Sequence[int]) -> None:
        for axis, count, p in zip(name_axes(len(net)), net, degree, strict=True):
            if p < 1:
                raise BadInput(f"the degree along {axis} is {p}; expected 1 or more, since 0 would not vary")
            if count <= p:
                raise BadInput(
                    f"{count_things(count, 'control')} along {axis} cannot have degree {p}; give {p + 1} controls or "
                    "more, or a lower degree"
                )


def spread_over_axes(given: Sequence[int], axes: int, what: str) -> tuple[int, ...]:
    """One number for each axis, of as many or of one for all.

    Raises:
        BadInput: there are others.
    """
    if len(given) == 1:
        return tuple(given) * axes
    if len(given) != axes:
        raise BadInput(
            f"chart.{what} has {len(given)} numbers and the chart {axes} {'axes' if axes > 1 else 'axis'}; give one "
            "number for all axes, or one for each"
        )
    return tuple(given)


def _check_room(count: int, one: Tensor, axes: int) -> None:
    """Refuse more controls, each like ``one`` (n,), than a fit can hold.

    Raises:
        BadInput: there are; the message says how many fit.
    """
    each, free = one.numel() * one.element_size() * COPIES, free_memory(one.device)
    if count * each > free:
        side = int((free / each) ** (1 / axes) + 1e-9)
        such = f", such as {_spell([side] * axes)}" if side > 1 else ""
        raise BadInput(
            f"{count:,} controls of {one.numel():,} weights take {format_bytes(count * each)} with gradients and "
            f"moments, and {format_bytes(free)} are free: at most {free // each:,} fit{such}"
        )


def _spell(net: Sequence[int]) -> str:
    return " x ".join(map(str, net))
