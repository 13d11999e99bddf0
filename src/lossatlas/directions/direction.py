"""The interface of kinds of directions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from lossatlas.directions.normalisations import AsDrawn, Normalisation
from lossatlas.errors import BadInput
from lossatlas.linalg import gram_schmidt
from lossatlas.registry import Registry
from lossatlas.training.weight_trajectory import MEMORY, WeightTrajectory
from lossatlas.weights import WeightSpace

__all__ = [
    "DIRECTIONS",
    "Around",
    "Direction",
    "make_direction",
    "make_directions",
    "orthogonalise",
    "require_trajectory",
]


@dataclass(frozen=True)
class Around:
    """What a slice lies around."""

    space: WeightSpace
    origin: Tensor
    """(n,), on the processor."""
    normalisation: Normalisation = field(default_factory=AsDrawn)
    """Of directions that are drawn."""
    without_vectors: bool = False
    """Whether drawn directions hold parameters of one dimension."""
    trajectory: WeightTrajectory | None = None
    """How the network got there, where somebody recorded it."""
    seed: int = 0
    """Of directions that are drawn."""
    memory: int = MEMORY
    """Bytes that slices of its snapshots may take together."""
    notes: list[str] = field(default_factory=list)
    """Where directions say what somebody should know of the files that they are made of."""


class Direction(ABC):
    """A kind of direction.

    Args:
        argument: what stands after the colon of its name.

    Raises:
        BadInput: the kind takes none and one is given, or the other way round.
    """

    takes: ClassVar[str] = ""
    """What a kind that takes an argument calls it; empty for one that does not."""
    drawn: ClassVar[bool] = False
    """Whether another seed makes another direction."""

    def __init__(self, argument: str = "") -> None:
        kind = type(self).__module__.rpartition(".")[2]
        if self.takes and not argument:
            raise BadInput(f"direction {kind!r} needs its {self.takes}; write {kind}:{self.takes.upper()}")
        if argument and not self.takes:
            raise BadInput(f"direction {kind!r} takes no argument; leave out ':{argument}'")
        self.argument = argument

    @property
    def end(self) -> str | None:
        """What is called the network that lies one length along it; None where there is none."""
        return None

    @abstractmethod
    def make_vectors(self, count: int, around: Around) -> Tensor:
        """As many of them as axes ask for this kind: (count, n).

        Raises:
            BadInput: there are not so many, or what they are made of is missing.
        """

    @abstractmethod
    def label(self, number: int) -> str:
        """What an axis along the direction of this number, from 0 on, is called."""


DIRECTIONS: Registry[type[Direction]] = Registry("direction", "lossatlas.directions.kinds")


def make_direction(spec: str) -> Direction:
    """The kind that a name stands for, with what follows its colon.

    Raises:
        BadInput: an unknown kind, or an argument that it does not take.
    """
    kind, _, argument = spec.partition(":")
    return DIRECTIONS[kind](argument)


def make_directions(names: Sequence[str], around: Around) -> tuple[Tensor, list[str]]:
    """The directions (d, n) of the kinds that are named, one per axis, and what the axes are called.

    Raises:
        BadInput: an unknown kind, or one that cannot be had here.
    """
    kinds = {name: make_direction(name) for name in names}
    found = {name: iter(kinds[name].make_vectors(count, around)) for name, count in Counter(names).items()}
    numbers: Counter[str] = Counter()
    vectors, labels = [], []
    for name in names:
        vectors.append(next(found[name]))
        labels.append(kinds[name].label(numbers[name]))
        numbers[name] += 1
    return torch.stack(vectors), labels


def orthogonalise(vectors: Tensor) -> Tensor:
    """Directions (d, n) orthogonal to those before them, as long as they were.

    Raises:
        BadInput: one lies in the span of those before it.
    """
    lengths = vectors.double().norm(dim=1, keepdim=True)
    units = gram_schmidt(vectors.double())
    scaled: Tensor = units / units.norm(dim=1, keepdim=True) * lengths
    return scaled.to(vectors)


def require_trajectory(around: Around, kind: str) -> WeightTrajectory:
    """The trajectory that a kind of direction is made of.

    Raises:
        BadInput: nobody recorded it.
    """
    if around.trajectory is None:
        raise BadInput(f"direction {kind!r} is made of a trajectory; name one with --trajectory, or choose another")
    return around.trajectory
