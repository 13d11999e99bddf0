"""The affine chart in the code of Skorokhodov & Burtsev 2019: its first direction leads to a trained corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.startable import ChartStart
from lossatlas.errors import BadInput
from lossatlas.linalg import gram_schmidt

__all__ = ["Corners"]


class Corners(AffineChart):
    """``w(c) = origin + scale * sum_k (c_k - anchor_k) * e_k``, with e = Gram-Schmidt of (corner - origin, others).

    The code of Skorokhodov & Burtsev 2019 trains a weight vector at the right instead of a direction, and
    orthogonalises ``up`` against ``right = corner - origin``; the paper (see :class:`Plane`) does it the other way
    round. The gradient at the corner thus reaches the origin, too.

    Args:
        origin: (n,).
        corner: (n,), the weight vector one unit along ``u`` at scale 1.
        others: (d - 1, n), raw directions of the further axes.
        scale: the factor on all coordinates.
        train_origin: whether a fit trains the origin.
        centred: whether the origin is a trained network, and not random weights.
        anchor: (d,), the coordinates of the origin; default 0.

    Raises:
        BadInput: shapes do not fit.
    """

    def __init__(
        self,
        origin: Tensor,
        corner: Tensor,
        others: Tensor,
        scale: float = 1.0,
        *,
        train_origin: bool = True,
        centred: bool = True,
        anchor: Sequence[float] | None = None,
    ) -> None:
        if origin.ndim != 1 or corner.shape != origin.shape or others.ndim != 2 or others.shape[1:] != origin.shape:
            raise BadInput(
                f"a chart by its corner needs an origin (n,), a corner (n,) and directions (d - 1, n); got "
                f"{tuple(origin.shape)}, {tuple(corner.shape)} and {tuple(others.shape)}"
            )
        super().__init__(1 + len(others), origin.shape[0], anchor, centred)
        self.origin = nn.Parameter(origin.detach().clone(), requires_grad=train_origin)
        self.corner = nn.Parameter(corner.detach().clone())
        self.others = nn.Parameter(others.detach().clone())
        self.scale = nn.Parameter(torch.tensor(float(scale), dtype=origin.dtype, device=origin.device))

    @classmethod
    def started(cls, start: ChartStart, options: None) -> Self:
        return cls(
            start.origin(),
            start.corner(),
            start.directions()[1:],
            start.scale,
            train_origin=start.train_origin,
            centred=start.centred,
            anchor=start.anchor,
        )

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Corners:
        return cls(
            state["origin"],
            state["corner"],
            state["others"],
            float(state["scale"]),
            centred=bool(state["_centred"]),
            anchor=state["anchor"].tolist(),
        )

    @property
    def dimension(self) -> int:
        return self.origin.shape[0]

    def controls(self) -> Tensor:
        frame = gram_schmidt(torch.cat([(self.corner - self.origin)[None], self.others]))
        return torch.cat([self.origin[None], self.scale * frame])
