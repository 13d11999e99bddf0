"""The choice of the steps of a training that are kept as snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossatlas.bounds import is_ordinary
from lossatlas.errors import BadInput

__all__ = ["Thinning", "parse_thinning"]


@dataclass(frozen=True)
class Thinning:
    """A rule that keeps a snapshot once the training is far enough from the last one; the first is always kept.

    Exactly one of the three distances is given, or the steps themselves.

    Args:
        steps: optimiser steps between snapshots.
        epochs: epochs between snapshots, which may be a fraction; needs ``epoch=`` with every recorded step.
        distance: Euclidean distance in weight space between snapshots.
        at: the numbers of the steps after which snapshots are kept, such as ``Schedule.list_members(total_steps)``.

    Raises:
        BadInput: none or several are given, or the given one is not positive.
    """

    steps: int | None = None
    epochs: float | None = None
    distance: float | None = None
    at: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.at is not None:
            if not self.at or min(self.at) < 0 or (self.steps, self.epochs, self.distance) != (None, None, None):
                raise BadInput("this is not a thinning; expected the numbers of one or more steps, and nothing else")
            return
        given = [value for value in (self.steps, self.epochs, self.distance) if value is not None]
        if len(given) != 1 or not given[0] > 0 or not is_ordinary(given[0]):
            raise BadInput("this is not a thinning; expected one of steps, epochs and distance, as a positive number")

    @property
    def looks_at_weights(self) -> bool:
        """Return whether the rule needs distances in weight space."""
        return self.distance is not None

    def count(self, steps: int, epochs: float) -> int:
        """Estimate the number of snapshots of a training; those by distance are not known before and count as none."""
        if self.at is not None:
            return len({0, steps, *self.at})
        if self.steps is not None:
            return steps // self.steps + 2
        return (min(steps, int(epochs / self.epochs)) if self.epochs is not None else 0) + 2

    def due(self, step: int, steps: int, epochs: float | None, distance: float | None) -> bool:
        """Return whether a step is kept.

        Args:
            step: the number of the step.
            steps: steps since the last snapshot.
            epochs: epochs since the last snapshot; None where they are not recorded.
            distance: Euclidean distance from the last snapshot; None where it is not needed.

        Raises:
            BadInput: the rule is by epochs, and these are not recorded.
        """
        if self.at is not None:
            return step in self.at
        # Epochs are sums of fractions, whose rounding may leave them just below the threshold.
        if self.steps is not None:
            return steps >= self.steps
        if self.distance is not None:
            return distance is not None and distance >= self.distance
        if epochs is None:
            raise BadInput(
                "the epoch of a step is missing, which a trajectory thinned by epochs needs; record every step with "
                "epoch=..."
            )
        return self.epochs is not None and epochs >= self.epochs - 1e-9


def parse_thinning(spec: str, members: Sequence[int] = ()) -> Thinning | None:
    """Parse ``epoch``, ``epoch:N``, ``step:N``, ``distance:D``, ``members`` or ``none`` as a thinning.

    Args:
        spec: the text.
        members: the steps after which the learning rate is lowest; empty where the schedule keeps no members.

    Raises:
        BadInput: the text has another form, or there are no members.

    >>> parse_thinning("step:100")
    Thinning(steps=100, epochs=None, distance=None, at=None)
    """
    if spec == "none":
        return None
    if spec == "members":
        if not members:
            raise BadInput(
                "snapshots are to be members, and the learning rate has no cycles; choose a schedule with cycles: fge"
            )
        return Thinning(at=tuple(members))
    kind, _, number = spec.partition(":")
    try:
        if kind == "epoch":
            return Thinning(epochs=float(number or 1))
        if kind == "step":
            return Thinning(steps=int(number or 1))
        if kind == "distance" and number:
            return Thinning(distance=float(number))
    except ValueError:
        pass
    raise BadInput(
        f"snapshots {spec!r} is not a choice of steps; expected epoch, epoch:N, step:N, distance:D, members or none"
    )
