"""Settings of how an ensemble is scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.schema import InEnsemble, Scoring

__all__ = ["ScoringSettings"]

ORDERS = (InEnsemble.GIVEN, InEnsemble.GREEDY)
EACH, SPREAD = 12, 12
"""Up to how many members every number of them is scored, and about how many numbers of more."""
MEMORY = 2**30


@dataclass(frozen=True)
class ScoringSettings:
    """How an ensemble is scored.

    Attributes:
        orders: in which orders members are added: ``given``, and ``greedy`` where it is wanted.
        pairs: whether differences between every two members are computed.
        sizes: the numbers of members that are averaged; empty for all up to 12 members, and about 12 of more, equal
            ratios apart. The number of all members is always one of them.
        halvings: how often the examples are halved, to fit temperatures and to choose greedy orders on one half and
            to score on the other; 0 for none of these.
        seed: the seed of halves and of samples of examples.
        bins: the number of bins of confidence.
        bootstrap: the number of samples of examples for standard errors that have no formula.
        memory: the bytes that averages may take; those that take more are made again whenever they are needed.
    """

    orders: tuple[str, ...] = ORDERS
    pairs: bool = True
    sizes: tuple[int, ...] = ()
    halvings: int = Scoring.HALVINGS
    seed: int = 0
    bins: int = Scoring.BINS
    bootstrap: int = Scoring.BOOTSTRAP
    memory: int = MEMORY

    def __post_init__(self) -> None:
        if InEnsemble.GIVEN not in self.orders or not set(self.orders) <= set(ORDERS):
            raise BadInput(f"orders of members are {self.orders}; expected 'given', or 'given' and 'greedy'")
        for name, least, most in (
            ("halvings", 0, Scoring.MOST_HALVINGS),
            ("bins", 1, Scoring.MOST_BINS),
            ("bootstrap", Scoring.FEWEST_SAMPLES, Scoring.MOST_SAMPLES),
            ("memory", 0, 2**60),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise BadInput(f"{name} of an ensemble's scores are {value!r}; expected from {least} to {most:,}")

    def list_sizes(self, members: int) -> list[int]:
        """The numbers of members that are averaged, ascending, of an ensemble of K.

        Raises:
            BadInput: a number is not one from 1 to K.

        >>> ScoringSettings().list_sizes(3), ScoringSettings().list_sizes(50), ScoringSettings(sizes=(2,)).list_sizes(3)
        ([1, 2, 3], [1, 2, 3, 4, 6, 8, 12, 17, 25, 35, 50], [2, 3])
        """
        if wrong := [size for size in self.sizes if isinstance(size, bool) or not 1 <= size <= members]:
            raise BadInput(f"{wrong[0]} members cannot be averaged; expected numbers from 1 to {members}, all of them")
        spread = np.geomspace(1, members, SPREAD).round().astype(int).tolist()
        usual = range(1, members + 1) if members <= EACH else spread
        return sorted({*(self.sizes or usual), members})
