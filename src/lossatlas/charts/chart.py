"""The interface of charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.registry import Registry
from lossatlas.types import Params

__all__ = ["CHARTS", "Chart", "CoefficientChart", "checked_coords"]

CHARTS: Registry[type[Chart]] = Registry("chart", "lossatlas.charts.kinds")


class Chart(nn.Module, ABC):
    """A map from coordinates to weight space; strictly, a local parametrisation of a surface in it.

    A chart is a module: its parameters are what a fit trains, its state is what is written to disk.
    """

    axes: tuple[str, ...]
    """The name of each coordinate."""
    joins_networks: ClassVar[bool] = False
    """Whether the chart lies between several networks, whose own statistics fit at none of its other points."""
    fitted_under: str = ""
    """The buffers policy of the fit that trained the chart; empty where none did."""

    @property
    @abstractmethod
    def centred(self) -> bool:
        """Whether the chart lies around weights that somebody trained; buffers that are kept from there then fit."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The dimension n of the weight space."""

    @abstractmethod
    def points(self, coords: Tensor) -> Tensor:
        """The weight vectors (P, n) at coordinates (P, d) of any dtype, differentiable in the chart's parameters."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Tensor]) -> Chart:
        """The chart whose ``state_dict`` this is."""

    def fingerprint(self) -> str:
        """A hash of the chart's kind, axes and tensors: surveys of equal charts have equal ones."""
        return fingerprint(sorted(self.state_dict().items()), kind=f"{type(self).__name__} {self.axes}")


class CoefficientChart(Chart):
    """A chart of the form ``points(coords) = coefficients(coords) @ controls()``.

    The gradients at any number of points fold into those of the m controls, which is why the engine takes these
    charts apart instead of asking for points.
    """

    @property
    @abstractmethod
    def statistics(self) -> Params:
        """Running statistics at the controls, (m, *shape) by buffer name; empty where controls are no networks."""

    @abstractmethod
    def coefficients(self, coords: Tensor) -> Tensor:
        """The coefficients (P, m) at coordinates (P, d)."""

    @abstractmethod
    def controls(self) -> Tensor:
        """The control vectors (m, n), differentiable in the chart's parameters."""

    def points(self, coords: Tensor) -> Tensor:
        controls = self.controls()
        return self.mixture(coords, controls) @ controls

    def mixture(self, coords: Tensor, controls: Tensor) -> Tensor:
        """The coefficients (P, m) that controls (m, n) are multiplied with, in their dtype and on their device.

        They are computed as precisely as coordinates and controls are, in 32 bits at least: among numbers of 16 bits
        the nearest to 0.1 lies elsewhere.

        Args:
            coords: (P, d), of any dtype and on any device.
            controls: what :meth:`controls` returned.
        """
        dtype = torch.promote_types(torch.promote_types(coords.dtype, controls.dtype), torch.float32)
        return self.coefficients(coords.to(controls.device, dtype)).to(controls)


def checked_coords(coords: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Coordinates (P, d) as real numbers.

    Raises:
        BadInput: they have another shape.
    """
    if coords.ndim != 2 or coords.shape[1] != len(axes):
        raise BadInput(
            f"coordinates of shape {tuple(coords.shape)}; this chart's are (P, {len(axes)}), along {', '.join(axes)}"
        )
    return coords if coords.is_floating_point() else coords.to(torch.get_default_dtype())
