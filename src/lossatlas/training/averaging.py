"""What is averaged of a network in training, and the words that choose it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from lossatlas.errors import BadInput
from lossatlas.schema import AVERAGE_RANK, AVERAGED_FROM
from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.thinning import Thinning
from lossatlas.weights import WeightSpace

__all__ = ["Averaging", "parse_averaging"]

MEMBERS = "members"
"""The choice of the steps with the lowest learning rates."""


@dataclass(frozen=True)
class Averaging:
    """What is averaged of a training.

    Args:
        thinning: by which steps the weights enter the moments, counted from the start; None takes them wherever the
            learning rate is lowest, as members of a cyclic schedule.
        begin: from where on they count: below 1 a share of the training, otherwise a whole number of steps; by default
            0.75, and 0 for members, of which the schedule chooses the first.
        rank: how many deviations from the running mean are held.
        decay: of the exponential average, per step; None makes none.

    Raises:
        BadInput: a number is outside its range, or the thinning is by distance.
    """

    thinning: Thinning | None = Thinning(epochs=1)  # noqa: RUF009
    begin: float | None = None
    rank: int = AVERAGE_RANK
    decay: float | None = None

    def __post_init__(self) -> None:
        AverageRecorder(None, self.thinning, begin=self.first, total_steps=1, rank=self.rank, decay=self.decay)

    @property
    def first(self) -> float:
        """Return from where on vectors count: a share of the training below 1, otherwise a number of steps."""
        usual = AVERAGED_FROM if self.thinning is not None else 0.0
        return self.begin if self.begin is not None else usual

    def count(self, total_steps: int, epochs: float, members: Collection[int]) -> int:
        """Count the vectors that a training will average, about."""
        first = self.first * total_steps if self.first < 1 else self.first
        if self.thinning is None or self.thinning.at is not None:
            chosen = members if self.thinning is None else set(self.thinning.at or ())
            return sum(first <= step <= total_steps for step in chosen)
        every = self.thinning.steps or (self.thinning.epochs or 1.0) * total_steps / epochs
        return max(0, math.floor(total_steps / every + 1e-9) - math.ceil(first / every - 1e-9) + 1)

    def make_recorder(
        self, path: Path | str | None, space: WeightSpace, total_steps: int, members: Collection[int]
    ) -> AverageRecorder:
        """Make the recorder of a training.

        Args:
            path: the folder in which it writes; None keeps averages in memory.
            space: the parameters that are averaged.
            total_steps: of the training.
            members: the numbers of steps after which the learning rate is lowest.
        """
        return AverageRecorder(
            path, self.thinning, begin=self.first, total_steps=total_steps, rank=self.rank, decay=self.decay,
            steps=members if self.thinning is None else None, space=space,
        )  # fmt: skip


def parse_averaging(spec: str, averaging: Averaging | None = None) -> Averaging | None:
    """Parse ``epoch``, ``epoch:N``, ``step:N``, ``members`` or ``none`` as what is averaged.

    Args:
        spec: the text.
        averaging: everything else; default that of :class:`Averaging`.

    Raises:
        BadInput: the text has another form.

    >>> parse_averaging("step:100").thinning
    Thinning(steps=100, epochs=None, distance=None, at=None)
    """
    averaging = averaging if averaging is not None else Averaging()
    if spec == "none":
        return None
    if spec == MEMBERS:
        return replace(averaging, thinning=None)
    kind, _, number = spec.partition(":")
    try:
        if kind == "epoch":
            return replace(averaging, thinning=Thinning(epochs=float(number or 1)))
        if kind == "step":
            return replace(averaging, thinning=Thinning(steps=int(number or 1)))
    except ValueError:
        pass
    raise BadInput(f"average {spec!r} is not a choice of steps; expected epoch, epoch:N, step:N, members or none")
