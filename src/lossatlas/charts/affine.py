"""The base of affine charts: an origin and directions, trained or not."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import check_coords, name_axes
from lossatlas.charts.forms import affine, affine_derivatives
from lossatlas.charts.startable import Startable
from lossatlas.errors import BadInput
from lossatlas.types import Params

__all__ = ["AffineChart"]


class AffineChart(Startable):
    """``w(c) = origin + sum_k (c_k - anchor_k) * f_k``: a line, a plane or an affine subspace with d axes.

    ``controls()`` are the origin and the frame f, (d + 1, n). ``anchor`` (d,) are the coordinates of the origin, zero
    where it lies in the middle of a picture.
    """

    counts = MappingProxyType({"_centred": torch.bool})
    interpolation = "affine"
    scale: nn.Parameter
    anchor: Tensor
    _centred: Tensor

    def __init__(self, d: int, n: int, anchor: Sequence[float] | None, centred: bool) -> None:
        super().__init__()
        if not 1 <= d <= n:
            raise BadInput(f"a plane in R^{n} has {d} axes; expected between 1 and {n}")
        anchor = [0.0] * d if anchor is None else [float(a) for a in anchor]
        if len(anchor) != d:
            raise BadInput(f"the origin of a chart with {d} axes has {len(anchor)} coordinates; expected {d}")
        self.axes = name_axes(d)
        self.register_buffer("anchor", torch.tensor(anchor, dtype=torch.float64))
        self.register_buffer("_centred", torch.tensor(centred))

    @property
    def centred(self) -> bool:
        return bool(self._centred)

    @property
    def statistics(self) -> Params:
        return {}

    @property
    def control_count(self) -> int:
        return 1 + len(self.axes)

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        return affine(coords - self.anchor.to(coords))

    def derivatives(self, coords: Tensor) -> Tensor:
        return affine_derivatives(check_coords(coords, self.axes))

    def corner_coords(self) -> Tensor:
        return self.anchor[None].cpu()

    def numbers(self) -> dict[str, float]:
        return {"scale": float(self.scale.detach())}

    def coords_of(self, points: Tensor) -> Tensor:
        """Coordinates (P, d) of the orthogonal projections of points (P, n) onto the chart, in float64."""
        controls = self.controls().detach().double()
        frame = controls[1:]
        return (points.double() - controls[0]) @ frame.T / frame.square().sum(dim=1) + self.anchor
