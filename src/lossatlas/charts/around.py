"""The base of charts around one network: a fixed origin and fixed directions."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lossatlas.charts.chart import CoefficientChart
from lossatlas.errors import BadInput
from lossatlas.types import Params

__all__ = ["HeldDirections"]


class HeldDirections(CoefficientChart):
    """A network in the centre, and directions of any lengths and angles; nothing is trained.

    Args:
        origin: the weights of the network, (n,).
        directions: (..., n), with as many dimensions as the kind of chart has.
        shape: the expected shape of the directions in letters, for messages.

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    interpolation = "affine"

    def __init__(self, origin: Tensor, directions: Tensor, shape: str) -> None:
        super().__init__()
        dimensions = shape.count(",") + 1
        fits = origin.ndim == 1 and directions.ndim == dimensions and directions.shape[-1:] == origin.shape
        if not fits or not directions.numel():
            raise BadInput(
                f"a {type(self).__name__.lower()} needs an origin (n,) and directions ({shape}); got "
                f"{tuple(origin.shape)} and {tuple(directions.shape)}"
            )
        if not (directions.norm(dim=-1) > 0).all():
            raise BadInput("a direction of a slice is zero; choose another")
        self.origin: Tensor
        self.directions: Tensor
        self.register_buffer("origin", origin.detach().clone())
        self.register_buffer("directions", directions.detach().clone())

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["origin"], state["directions"])  # type: ignore[call-arg]

    @property
    def centred(self) -> bool:
        return True

    @property
    def control_count(self) -> int:
        return 1 + self.directions[..., 0].numel()

    def corner_coords(self) -> Tensor:
        return torch.zeros(1, self.directions.shape[-2], dtype=torch.float64)

    @property
    def dimension(self) -> int:
        return self.origin.shape[0]

    @property
    def statistics(self) -> Params:
        return {}

    def controls(self) -> Tensor:
        return torch.cat([self.origin[None], self.directions.flatten(0, -2)])
