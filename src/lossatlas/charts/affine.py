"""What affine charts have in common: an origin and directions, however those are trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart, checked_coords
from lossatlas.errors import BadInput
from lossatlas.schema import AXES
from lossatlas.streams import make_generator
from lossatlas.types import Params
from lossatlas.weights import Initialiser, Role, WeightSpace

__all__ = ["AffineChart"]


class AffineChart(CoefficientChart):
    """``w(c) = origin + sum_k (c_k - anchor_k) * f_k``: a line, a plane, a solid; any number of axes.

    ``controls()`` are the origin and the frame f, (d + 1, n). ``anchor`` (d,) are the coordinates of the origin: zero
    where it lies in the middle of a picture.
    """

    scale: nn.Parameter
    anchor: Tensor
    _centred: Tensor

    def __init__(self, d: int, n: int, anchor: Sequence[float] | None, centred: bool) -> None:
        super().__init__()
        if not 1 <= d <= n:
            raise BadInput(f"a plane in R^{n} has between 1 and {n} axes; got {d}")
        anchor = [0.0] * d if anchor is None else [float(a) for a in anchor]
        if len(anchor) != d:
            raise BadInput(f"the origin of a chart with {d} axes has {d} coordinates; got {len(anchor)}")
        self.axes = tuple(AXES[k] if k < len(AXES) else f"x{k}" for k in range(d))
        self.register_buffer("anchor", torch.tensor(anchor, dtype=torch.float64))
        self.register_buffer("_centred", torch.tensor(centred))

    @classmethod
    def random(
        cls,
        module: nn.Module,
        axes: int = 2,
        *,
        initialiser: Initialiser,
        scale: float = 1.0,
        seed: int = 0,
        space: WeightSpace | None = None,
        origin: Tensor | None = None,
        train_origin: bool = True,
        anchor: Sequence[float] | None = None,
    ) -> Self:
        """A chart through random weights, or around a given ``origin`` (n,), along random directions.

        On the device and in the precision of the module's parameters. The same seed gives the same first directions
        whatever the number of axes.
        """
        space = space if space is not None else WeightSpace(module)
        like = space.vector_of(module)

        def draw(role: Role, stream: str, index: int = 0) -> Tensor:
            return initialiser.draw(module, space, role, make_generator(seed, f"chart/{stream}", index)).to(like)

        centred = origin is not None
        if origin is None:
            origin = draw(Role.ORIGIN, "origin")
        directions = [draw(Role.DIRECTION, "direction", k) for k in range(axes)]
        stacked = torch.stack(directions) if directions else like.new_zeros(0, space.size)
        return cls._started(
            origin,
            stacked,
            lambda: draw(Role.ORIGIN, "corner"),
            scale=scale,
            train_origin=train_origin,
            centred=centred,
            anchor=anchor,
        )

    @classmethod
    @abstractmethod
    def _started(
        cls,
        origin: Tensor,
        directions: Tensor,
        place: Callable[[], Tensor],
        *,
        scale: float,
        train_origin: bool,
        centred: bool,
        anchor: Sequence[float] | None,
    ) -> Self:
        """The chart that begins with what was drawn.

        Args:
            origin: (n,).
            directions: (d, n).
            place: draws another place (n,), as the origin was.
            scale: the factor of all coordinates.
            train_origin: whether a fit may move the origin.
            centred: whether the origin was trained before.
            anchor: (d,), the origin's coordinates.
        """

    @property
    def centred(self) -> bool:
        return bool(self._centred)

    @property
    def statistics(self) -> Params:
        return {}

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = checked_coords(coords, self.axes)
        return torch.cat([coords.new_ones(len(coords), 1), coords - self.anchor.to(coords)], dim=1)

    def coords_of(self, points: Tensor) -> Tensor:
        """Coordinates (P, d) of the orthogonal projections of points (P, n) onto the chart, in float64."""
        controls = self.controls().detach().double()
        frame = controls[1:]
        return (points.double() - controls[0]) @ frame.T / frame.square().sum(dim=1) + self.anchor
