"""What charts have in common that a fit can begin with."""

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
    """What a fit begins with: random weights, or a network, and random directions.

    Each vector has a random stream of its own: none changes with how many others are drawn.
    """

    module: nn.Module
    space: WeightSpace
    initialiser: Initialiser
    seed: int
    axes: int
    """How many the chart shall have."""
    scale: float
    """The factor of all coordinates."""
    network: Tensor | None
    """(n,): what the chart is laid around; None where it starts at random."""
    train_origin: bool
    """Whether a fit may move the origin."""
    anchor: tuple[float, ...] | None
    """The coordinates of the origin; None: zero."""

    @property
    def centred(self) -> bool:
        """Whether the origin was trained before."""
        return self.network is not None

    def origin(self) -> Tensor:
        """The network (n,), or random weights."""
        return self.network if self.network is not None else self._drawn(Role.ORIGIN, "origin")

    def direction(self, k: int) -> Tensor:
        """The k-th random direction (n,), k from 0; a chart may take more of them than it has axes."""
        return self._drawn(Role.DIRECTION, "direction", k)

    def directions(self) -> Tensor:
        """One for each axis, (axes, n)."""
        found = [self.direction(k) for k in range(self.axes)]
        return torch.stack(found) if found else self.space.vector_of(self.module).new_zeros(0, self.space.size)

    def corner(self) -> Tensor:
        """Random weights (n,) elsewhere."""
        return self._drawn(Role.ORIGIN, "corner")

    def _drawn(self, role: Role, stream: str, index: int = 0) -> Tensor:
        drawn = self.initialiser.draw(
            self.module, self.space, role, make_generator(self.seed, f"chart/{stream}", index)
        )
        return drawn.to(self.space.vector_of(self.module))


class Startable(CoefficientChart):
    """A chart that a fit can begin with, at random weights or around a network."""

    service = "fit"
    refusal = "cannot be fitted"

    @classmethod
    @abstractmethod
    def started(cls, start: ChartStart, options: Any) -> Self:
        """The chart as it is before the first step.

        Args:
            start: what it is made of.
            options: an instance of the kind's own :attr:`options`; None where it has none.

        Raises:
            BadInput: the options do not go with the start.
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
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A chart through random weights, or around a given ``origin`` (n,), along random directions.

        On the device and in the precision of the module's parameters. The same seed gives the same first directions
        whatever the number of axes. ``options`` are the kind's own.
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
        )
        return cls.started(start, cls.made_options(options))

    def numbers(self) -> dict[str, float]:
        """What the summary of a fit says of the chart."""
        return {}
