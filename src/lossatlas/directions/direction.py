"""The interface of kinds of directions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossatlas.directions.normalisation import Normalisation
from lossatlas.directions.normalisations.none import AsDrawn
from lossatlas.errors import BadInput
from lossatlas.registry import Registry
from lossatlas.training.way import MEMORY, Way
from lossatlas.weights import WeightSpace

__all__ = ["DIRECTIONS", "Around", "Direction", "directions"]


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
    way: Way | None = None
    """How the network got there, where somebody recorded it."""
    seed: int = 0
    """Of directions that are drawn."""
    memory: int = MEMORY
    """Bytes that slices of its snapshots may take together."""


class Direction(ABC):
    """A kind of direction."""

    @abstractmethod
    def vectors(self, count: int, around: Around) -> Tensor:
        """As many of them as axes ask for this kind: (count, n).

        Raises:
            BadInput: there are not so many, or what they are made of is missing.
        """

    @abstractmethod
    def label(self, number: int) -> str:
        """What an axis along the direction of this number, from 0 on, is called."""


DIRECTIONS: Registry[type[Direction]] = Registry("direction", "lossatlas.directions.kinds")


def directions(names: Sequence[str], around: Around) -> tuple[Tensor, list[str]]:
    """The directions (d, n) of the kinds that are named, one per axis, and what the axes are called.

    Raises:
        BadInput: an unknown kind, or one that cannot be had here.
    """
    drawn = {name: iter(DIRECTIONS[name]().vectors(count, around)) for name, count in Counter(names).items()}
    numbers: Counter[str] = Counter()
    vectors, labels = [], []
    for name in names:
        vectors.append(next(drawn[name]))
        labels.append(DIRECTIONS[name]().label(numbers[name]))
        numbers[name] += 1
    return torch.stack(vectors), labels


def the_way(around: Around, kind: str) -> Way:
    """The way that a kind of direction is made of.

    Raises:
        BadInput: nobody recorded it.
    """
    if around.way is None:
        raise BadInput(f"direction {kind!r} is made of a trajectory; name one with --trajectory, or choose another")
    return around.way
