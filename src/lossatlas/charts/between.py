"""The base of charts between trained networks: fixed corners, and affine combinations of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lossatlas.charts.chart import CoefficientChart, name_axes
from lossatlas.errors import BadInput
from lossatlas.types import Params
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import collect_state

__all__ = ["Between"]

PREFIX = "statistics/"
"""The prefix of the buffers that hold running statistics; dots, which torch forbids in names, become slashes."""
STATISTICS = ("running_mean", "running_var")
"""The buffers that are interpolated; a module's other buffers are not."""
DEPENDENT = 1e-10
"""A side lies in the span of the others if the rest outside has a smaller share of its squared norm."""


class Between(CoefficientChart):
    """``w(c) = sum_k a_k(c) w_k`` with coefficients that sum to one, inside and outside of the figure of the networks.

    Nothing is trained. The running statistics of the networks are kept, so that they can be interpolated like weights.

    Args:
        corners: the weight vectors of the networks, (m, n).
        statistics: for each buffer its values at the corners (m, *shape).

    Raises:
        BadInput: the figure has another number of corners.
    """

    service = "survey --between"
    refusal = "does not lie between networks"
    joins_networks = True
    least: ClassVar[int]
    """The smallest number of corners."""
    most: ClassVar[int | None] = None
    """The largest number of corners; None where it is not bounded."""
    usual_for: ClassVar[tuple[int, ...]] = ()
    """The numbers of networks between which this is the default chart."""

    def __init__(self, corners: Tensor, statistics: Params | None = None) -> None:
        super().__init__()
        kind = type(self).__name__.lower()
        if corners.ndim != 2 or not self.takes(len(corners)):
            expected = f"{self.least}" if self.most == self.least else f"at least {self.least}"
            raise BadInput(f"a {kind} needs {expected} weight vectors (m, n); got {tuple(corners.shape)}")
        self.corners: Tensor
        self.register_buffer("corners", corners.detach().clone())
        for name, values in (statistics or {}).items():
            self.register_buffer(PREFIX + name.replace(".", "/"), values.detach().clone())
        self.axes = name_axes(self._dimensions(len(corners)))

    @classmethod
    def takes(cls, networks: int) -> bool:
        """Whether the figure can lie between this number of networks."""
        return networks >= cls.least and (cls.most is None or networks <= cls.most)

    @classmethod
    def between(cls, modules: Sequence[nn.Module], space: WeightSpace | None = None) -> Self:
        """Make the figure whose corners are networks of one architecture.

        Args:
            modules: the networks in the order of the corners; the first is at coordinates 0.
            space: the parameters that vary; default all.

        Raises:
            BadInput: as the chart.
        """
        space = space if space is not None else WeightSpace(modules[0])
        return cls.between_states([collect_state(module) for module in modules], space)

    @classmethod
    def between_states(
        cls, states: Sequence[Mapping[str, Tensor]], space: WeightSpace, options: Mapping[str, Any] | None = None
    ) -> Self:
        """Make the figure from state dicts.

        Args:
            states: for each network its parameters and all of its buffers, by name.
            space: the parameters that vary.
            options: the options of the kind of chart.

        Raises:
            BadInput: as the chart; or a parameter is missing or has another shape.
        """
        buffers = [
            name
            for name, value in states[0].items()
            if name.rpartition(".")[2] in STATISTICS and all(name in state for state in states)
        ]
        statistics = {name: torch.stack([state[name] for state in states]) for name in buffers}
        corners = torch.stack([space.flatten(state) for state in states])
        return cls.spanned(corners, statistics, cls.made_options(options))

    @classmethod
    def spanned(cls, corners: Tensor, statistics: Params, options: Any) -> Self:
        """Make the figure from weight vectors; a kind of chart with options overrides this.

        Args:
            corners: (m, n).
            statistics: for each buffer its values at the corners (m, *shape).
            options: an instance of the :attr:`options` of the kind; None where it has none.
        """
        return cls(corners, statistics)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["corners"], _statistics(state))

    @classmethod
    @abstractmethod
    def _dimensions(cls, corners: int) -> int:
        """The number of axes of a figure with so many corners."""

    @abstractmethod
    def corner_coords(self) -> Tensor:
        """The coordinates of the corners, (m, d), float64."""

    @property
    def margin(self) -> float:
        """How far surveys reach beyond the figure by default, as a share of its extent."""
        return 0.2

    def labels(self, names: Sequence[str]) -> dict[str, str]:
        """The label of each axis in plots, for networks of these names."""
        return {axis: axis for axis in self.axes}

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.corners.shape[1]

    @property
    def statistics(self) -> Params:
        return _statistics(dict(self.named_buffers()))

    @property
    def control_count(self) -> int:
        return len(self.corners)

    def controls(self) -> Tensor:
        return self.corners

    def check_spans(self) -> None:
        """Refuse networks that do not span the figure.

        Raises:
            BadInput: a weight is not finite, two networks are equal, or they span fewer dimensions than the figure.
        """
        for number, corner in enumerate(self.corners):
            if not torch.isfinite(corner).all():
                raise BadInput(f"network {number + 1} has weights that are not finite; choose another")
        for one in range(len(self.corners)):
            for other in range(one):
                if torch.equal(self.corners[one], self.corners[other]):
                    raise BadInput(
                        f"networks {other + 1} and {one + 1} are equal, so there is nothing between them; choose others"
                    )
        corners = self.corners.double()
        sides = corners[1:] - corners[0]
        units = sides / sides.norm(dim=1, keepdim=True)
        spanned = int((torch.linalg.eigvalsh(units @ units.T) > DEPENDENT).sum())
        if spanned < len(self.axes):
            raise BadInput(
                f"the {len(corners)} networks of a {type(self).__name__.lower()} lie in "
                f"{spanned} dimension{'s' * (spanned > 1)}; choose others, or fewer"
            )


def _statistics(state: Mapping[str, Tensor]) -> Params:
    kept = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    return {name.replace("/", "."): value for name, value in kept.items()}
