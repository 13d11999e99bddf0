"""Members of ensembles: points of charts, with what it cost to make them and takes to keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossatlas.charts import Chart, CoefficientChart
from lossatlas.charts.chart import check_coords
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.schema import SAMPLE_DIMENSIONS
from lossatlas.types import Params

__all__ = ["Cost", "Effort", "Listed", "Members"]

MEMBER_AXIS = "member"


@dataclass(frozen=True)
class Effort:
    """How far a training had gone when a member was taken from it.

    Attributes:
        steps: Optimiser steps until then.
        passes: Examples that went through a network forward and backward until then, counted once for each network.
    """

    steps: int
    passes: int


@dataclass(frozen=True)
class Cost:
    """What it cost to make a member.

    Attributes:
        efforts: By training, of those that led to the member, how far each had gone; a training that several members
            share counts once, as far as it went for the last of them. None where it is not known.
    """

    efforts: Mapping[str, Effort] | None = None

    @classmethod
    def join(cls, costs: Iterable[Cost]) -> Cost:
        """Join the costs of several members; unknown where one is.

        A training that they share counts once, as far as it went for the last of them.
        """
        furthest: dict[str, Effort] = {}
        for cost in costs:
            if cost.efforts is None:
                return cls()
            for training, effort in cost.efforts.items():
                before = furthest.get(training, Effort(0, 0))
                furthest[training] = Effort(max(before.steps, effort.steps), max(before.passes, effort.passes))
        return cls(furthest)

    def add_up(self) -> Effort | None:
        """Add up the efforts of all trainings; None where they are not known."""
        if self.efforts is None:
            return None
        efforts = self.efforts.values()
        return Effort(sum(effort.steps for effort in efforts), sum(effort.passes for effort in efforts))


@dataclass(frozen=True, eq=False, kw_only=True)
class Members:
    """Points of one chart that are members of an ensemble.

    Args:
        chart: where they lie.
        coords: their coordinates (K, d).
        names: their names; default their coordinates or numbers.
        buffers: which running statistics they have, by the name of a policy; None for the default of the chart.
        state: parameters and buffers, by name, of the network that has what the points do not determine, such as
            parameters that are held fixed and running statistics; None for the module of the problem.
        costs: what each cost to make; empty where that is not known.
        own_bytes: the bytes that each member adds to what is kept.
        shared_bytes: the bytes that all of them share, such as the chart's controls.
        notes: remarks for the user.

    Raises:
        BadInput: coordinates, names and costs are of different numbers, or do not fit the chart.

    Example:
        Nine points of a line between two networks:

        >>> import torch, lossatlas as la
        >>> line = la.Simplex.between([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
        >>> la.Members(chart=line, coords=torch.linspace(0, 1, 9)[:, None])
        Members(9 members on chart 'simplex')
    """

    chart: Chart
    coords: Tensor
    names: tuple[str, ...] = ()
    buffers: str | None = None
    state: Params | None = None
    costs: tuple[Cost, ...] = ()
    own_bytes: int = 0
    shared_bytes: int | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.chart, Chart):
            raise BadInput(f"members lie on a {type(self.chart).__name__}; expected a chart, such as la.Simplex")
        coords = check_coords(torch.as_tensor(self.coords, dtype=torch.float64), self.chart.axes)
        settled: dict[str, Any] = {
            "coords": coords,
            "names": tuple(self.names) or tuple(_name_point(self.chart.axes, point) for point in coords.tolist()),
            "costs": tuple(self.costs) or (Cost(),) * len(coords),
        }
        if self.shared_bytes is None:
            settled["shared_bytes"] = count_bytes(self.chart.state_dict())
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        if not len(coords):
            raise BadInput("members of a chart have no coordinates; expected those of one at least, (K, d)")
        if not all(settled["names"]) or len(set(settled["names"])) < len(settled["names"]):
            raise BadInput("names of members are empty or equal; expected a different name for each")
        if not len(coords) == len(self.names) == len(self.costs):
            raise BadInput(
                f"{count_things(len(coords), 'member')} of a chart have {count_things(len(self.names), 'name')} and "
                f"{count_things(len(self.costs), 'cost')}; expected one each"
            )

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{count_things(len(self), 'member')} on chart {self.chart.kind()!r}")

    def __len__(self) -> int:
        """The number K of members."""
        return len(self.coords)


class Listed(CoefficientChart):
    """Networks that have nothing to do with one another: the k-th is at coordinate k, with statistics of its own.

    Args:
        networks: their weight vectors (K, n).
        statistics: for each buffer of running statistics its values (K, *shape).

    Raises:
        BadInput: there are no networks.

    Example:
        The mean of a training's weights (SWA) as a member:

        >>> import torch, lossatlas as la
        >>> moments = la.Moments.of(torch.randn(5, 8))
        >>> mean = la.Listed(moments.mean.float()[None])
        >>> la.Members(chart=mean, coords=torch.zeros(1, 1), names=("SWA",))
        Members(1 member on chart 'listed')
    """

    axes = (MEMBER_AXIS,)
    joins_networks = True

    def __init__(self, networks: Tensor, statistics: Params | None = None) -> None:
        super().__init__()
        if networks.ndim != 2 or not len(networks):
            raise BadInput(f"networks are {tuple(networks.shape)}; expected weight vectors (K, n), K at least 1")
        self.networks: Tensor
        self.register_buffer("networks", networks.detach())
        self._statistics = dict(statistics or {})

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.networks.shape[1]

    @property
    def statistics(self) -> Params:
        return {name: values.to(self.networks.device) for name, values in self._statistics.items()}

    @property
    def control_count(self) -> int:
        return len(self.networks)

    def controls(self) -> Tensor:
        return self.networks

    def coefficients(self, coords: Tensor) -> Tensor:
        """One for the network of a coordinate, zero for all others.

        Raises:
            BadInput: a coordinate is not the number of a network.
        """
        places = check_coords(coords, self.axes)[:, 0]
        there = (places == places.round()) & (places >= 0) & (places < len(self.networks))
        if not bool(there.all()):
            raise BadInput(
                f"{places[~there][0].item():g} is not the number of a network; expected 0 to {len(self.networks) - 1}"
            )
        return torch.nn.functional.one_hot(places.long(), len(self.networks)).to(coords)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Listed:
        return cls(state["networks"])


def count_bytes(state: Mapping[str, Tensor]) -> int:
    """Count the bytes of tensors."""
    return sum(value.numel() * value.element_size() for value in state.values())


def _name_point(axes: Sequence[str], coords: Sequence[float]) -> str:
    """Name a point by its coordinates, ``(0.5, -1)``, or by its number, ``sample 3``."""
    if len(axes) == 1 and axes[0] in SAMPLE_DIMENSIONS:
        return f"{axes[0]} {coords[0]:g}"
    return f"({', '.join(f'{value:.4g}' for value in coords)})"
