"""Which steps of a training are kept."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.bounds import is_ordinary
from lossatlas.errors import BadInput

__all__ = ["Thinning", "parse_thinning"]


@dataclass(frozen=True)
class Thinning:
    """Keep a snapshot when so much has happened since the last one; the first is always kept.

    Args:
        steps: of the optimiser; or
        epochs: (in parts, too), told with every step; or
        distance: Euclidean, in weight space. One of the three.

    Raises:
        BadInput: none or several are given, or one that is not positive.
    """

    steps: int | None = None
    epochs: float | None = None
    distance: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.epochs, self.distance) if value is not None]
        if len(given) != 1 or not given[0] > 0 or not is_ordinary(given[0]):
            raise BadInput("a trajectory is thinned by steps, epochs or distance; give one of them, a positive number")

    @property
    def looks_at_weights(self) -> bool:
        """Whether distances have to be computed."""
        return self.distance is not None

    def count(self, steps: int, epochs: float) -> int:
        """About how many snapshots a training of so many steps and epochs keeps; distances are not known before."""
        if self.steps is not None:
            return steps // self.steps + 2
        return (min(steps, int(epochs / self.epochs)) if self.epochs is not None else 0) + 2

    def due(self, steps: int, epochs: float | None, distance: float | None) -> bool:
        """Whether a step is kept.

        Args:
            steps: since the last snapshot.
            epochs: likewise; None where nobody tells.
            distance: likewise; None where it is not needed.

        Raises:
            BadInput: thinned by epochs, and nobody tells them.
        """
        # Epochs are sums of shares, which may come out a little short.
        if self.steps is not None:
            return steps >= self.steps
        if self.distance is not None:
            return distance is not None and distance >= self.distance
        if epochs is None:
            raise BadInput("a trajectory that is thinned by epochs needs epoch= with every step")
        return self.epochs is not None and epochs >= self.epochs - 1e-9


def parse_thinning(spec: str) -> Thinning | None:
    """The thinning that ``epoch``, ``epoch:N``, ``step:N``, ``distance:D`` or ``none`` stands for.

    Raises:
        BadInput: it is none of these.

    >>> parse_thinning("step:100")
    Thinning(steps=100, epochs=None, distance=None)
    """
    if spec == "none":
        return None
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
    raise BadInput(f"snapshots are {spec!r}; expected epoch, epoch:N, step:N, distance:D or none")
