"""The base of charts that a fit can start with."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart
from lossatlas.streams import make_generator
from lossatlas.weights import Initialiser, Role, WeightSpace

__all__ = ["ChartStart", "Startable"]


@dataclass(frozen=True)
class ChartStart:
    """The start of a fit: random weights or a network, and random directions.

    Each vector has its own random stream, so that it does not depend on how many others are sampled.
    """

    module: nn.Module
    space: WeightSpace
    initialiser: Initialiser
    seed: int
    axes: int
    """The number of axes of the chart."""
    scale: float
    """The factor on all coordinates."""
    network: Tensor | None
    """The network (n,) around which the chart starts; None where it starts at random weights."""
    train_origin: bool
    """Whether a fit trains the origin."""
    anchor: tuple[float, ...] | None
    """The coordinates of the origin; None for zero."""
    extent: tuple[float, ...]
    """How far the fitted picture reaches from the middle along each axis."""

    @property
    def centred(self) -> bool:
        """Whether the origin is a trained network."""
        return self.network is not None

    def origin(self) -> Tensor:
        """Return the network (n,), or random weights where there is none."""
        return self.network if self.network is not None else self._sample(Role.ORIGIN, "origin")

    def direction(self, k: int) -> Tensor:
        """Sample the k-th random direction (n,), k from 0; a chart may use more of them than it has axes."""
        return self._sample(Role.DIRECTION, "direction", k)

    def directions(self) -> Tensor:
        """Sample a random direction for each axis, (axes, n)."""
        found = [self.direction(k) for k in range(self.axes)]
        return torch.stack(found) if found else self.space.vector_of(self.module).new_zeros(0, self.space.size)

    def corner(self) -> Tensor:
        """Sample random weights (n,) independent of the origin."""
        return self._sample(Role.ORIGIN, "corner")

    def _sample(self, role: Role, stream: str, index: int = 0) -> Tensor:
        sampled = self.initialiser.sample(
            self.module, self.space, role, make_generator(self.seed, f"chart/{stream}", index)
        )
        return sampled.to(self.space.vector_of(self.module))


class Startable(CoefficientChart):
    """A chart that a fit can start with, at random weights or around a network."""

    service = "fit"
    refusal = "cannot be fitted"

    @classmethod
    @abstractmethod
    def started(cls, start: ChartStart, options: Any) -> Self:
        """Make the chart as it is before the first step.

        Args:
            start: its origin and directions.
            options: an instance of the :attr:`options` of the kind; None where it has none.

        Raises:
            BadInput: the options do not fit the start.
        """

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
        extent: Sequence[float] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a chart along random directions, through random weights or around a given network.

        On the device and in the dtype of the module's parameters. The first directions of a seed do not depend on the
        number of axes.

        Args:
            module: the network, which is read, never changed.
            axes: the number of axes.
            initialiser: the distribution of random weights and directions.
            scale: the factor on all coordinates.
            seed: the seed of the random vectors.
            space: the parameters that the chart spans; default all.
            origin: the weights (n,) of a trained network in the centre; default random weights.
            train_origin: whether a fit trains the origin.
            anchor: the coordinates of the origin; default zero.
            extent: how far the picture that will be fitted reaches from the middle along each axis, the domain of
                curved charts; default 1.
            options: the options of the kind by name.
        """
        start = ChartStart(
            module=module,
            space=space if space is not None else WeightSpace(module),
            initialiser=initialiser,
            seed=seed,
            axes=axes,
            scale=scale,
            network=origin,
            train_origin=train_origin,
            anchor=tuple(map(float, anchor)) if anchor is not None else None,
            extent=tuple(map(float, extent)) if extent is not None else (1.0,) * axes,
        )
        return cls.started(start, cls.made_options(options))

    def numbers(self) -> dict[str, float]:
        """Summarise the chart as numbers by name, for the summary of a fit."""
        return {}
