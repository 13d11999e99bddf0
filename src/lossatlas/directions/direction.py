"""The interface of kinds of directions, such as random ones or one towards another network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from lossatlas.directions.centre import Centre
from lossatlas.directions.normalisations import Normalisation, Unnormalised
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
    "require_centre",
    "require_trajectory",
]


@dataclass(frozen=True)
class Around:
    """The centre of a slice, and what directions from it may depend on."""

    space: WeightSpace
    origin: Tensor
    """The weights of the centre, (n,), on the CPU."""
    normalisation: Normalisation = field(default_factory=Unnormalised)
    """The normalisation of random directions."""
    without_vectors: bool = False
    """Whether random directions are zero in parameters of one dimension, such as biases."""
    trajectory: WeightTrajectory | None = None
    """The trajectory of the training that led to the network; None where it was not recorded."""
    seed: int = 0
    """The seed of random directions."""
    memory: int = MEMORY
    """The bytes that parts of all snapshots may take in memory together."""
    notes: list[str] = field(default_factory=list)
    """Notes of directions on the files that they were read from and on how they were computed; directions append to
    it."""
    centre: Centre | None = None
    """Derivatives of the loss at the centre; None where the loss is not known."""
    names: tuple[str, ...] = ()
    """The names of the directions of all axes, since some are computed together."""


class Direction(ABC):
    """A kind of direction.

    Args:
        argument: the text after the colon in the name of a direction, as in ``towards:CHECKPOINT``.

    Raises:
        BadInput: the kind takes an argument and none is given, or the other way round.
    """

    takes: ClassVar[str] = ""
    """The name of the argument of this kind; empty if it takes none."""
    needs_argument: ClassVar[bool] = True
    """Whether a kind that takes an argument needs it."""
    is_random: ClassVar[bool] = False
    """Whether the directions depend on the seed."""
    is_derived: ClassVar[bool] = False
    """Whether the directions are computed from derivatives at the centre."""

    def __init__(self, argument: str = "") -> None:
        kind = type(self).__module__.rpartition(".")[2]
        if self.takes and self.needs_argument and not argument:
            raise BadInput(f"direction {kind!r} lacks its {self.takes}; expected {kind}:{self.takes.upper()}")
        if argument and not self.takes:
            raise BadInput(f"direction {kind!r} takes no argument; leave out ':{argument}'")
        self.argument = argument

    @property
    def end(self) -> str | None:
        """Return the name of the network at coordinate 1 along the direction; None where there is none."""
        return None

    @abstractmethod
    def make_vectors(self, count: int, around: Around) -> Tensor:
        """Return ``count`` directions of this kind, (count, n).

        Raises:
            BadInput: fewer directions exist, or what they are computed from is missing.
        """

    @abstractmethod
    def label(self, number: int) -> str:
        """Return the label of an axis along the direction with this number, counted from 0."""


DIRECTIONS: Registry[type[Direction]] = Registry("direction", "lossatlas.directions.kinds")


def make_direction(spec: str) -> Direction:
    """Make the kind of direction that a name such as ``random`` or ``towards:CHECKPOINT`` stands for.

    Raises:
        BadInput: the kind is unknown, or it does not take such an argument.
    """
    kind, colon, argument = spec.partition(":")
    found = DIRECTIONS[kind]
    if colon and not argument and not (found.takes and found.needs_argument):
        raise BadInput(f"nothing follows the colon of direction {spec!r}; leave it out, as in {kind}")
    return found(argument)


def make_directions(names: Sequence[str], around: Around) -> tuple[Tensor, list[str]]:
    """Return one direction per name, (d, n), and the labels of the axes along them.

    Raises:
        BadInput: a kind is unknown, or what it is computed from is missing.
    """
    kinds = {name: make_direction(name) for name in names}
    around = replace(around, names=tuple(names))
    found = {name: iter(kinds[name].make_vectors(count, around)) for name, count in Counter(names).items()}
    numbers: Counter[str] = Counter()
    vectors, labels = [], []
    for name in names:
        vectors.append(next(found[name]))
        labels.append(kinds[name].label(numbers[name]))
        numbers[name] += 1
    return torch.stack(vectors), labels


def orthogonalise(vectors: Tensor) -> Tensor:
    """Make each direction of (d, n) orthogonal to those before it, by Gram–Schmidt, and keep its length.

    Raises:
        BadInput: a direction lies in the span of those before it.
    """
    lengths = vectors.double().norm(dim=1, keepdim=True)
    units = gram_schmidt(vectors.double())
    scaled: Tensor = units / units.norm(dim=1, keepdim=True) * lengths
    return scaled.to(vectors)


def require_centre(around: Around, kind: str) -> Centre:
    """Return the derivatives that a kind of direction is computed from.

    Raises:
        BadInput: the loss is not known.
    """
    if around.centre is None:
        raise BadInput(
            f"direction {kind!r} is computed from derivatives of the loss; pass problem= and split=, or choose another "
            "direction"
        )
    return around.centre


def require_trajectory(around: Around, kind: str) -> WeightTrajectory:
    """Return the trajectory that a kind of direction is computed from.

    Raises:
        BadInput: a trajectory is not given.
    """
    if around.trajectory is None:
        raise BadInput(
            f"direction {kind!r} is computed from a trajectory; name one with --trajectory, or choose another direction"
        )
    return around.trajectory
