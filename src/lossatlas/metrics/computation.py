"""Computations on derivatives, whose results operator metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from lossatlas.data import Split
from lossatlas.engine import Derivatives, Network
from lossatlas.weights import WeightSpace

__all__ = ["Computation"]


@dataclass(frozen=True)
class Computation(ABC):
    """A computation on the derivatives at the points of a chunk: a frozen dataclass of options.

    Metrics with equal computations are evaluated together, with one call per chunk of points, and form one group of a
    survey. The survey records the ``repr`` of the computation; nothing else may influence its result.
    """

    name: ClassVar[str]
    """The name of the group of metrics in a survey, as in ``<split>_<name>_done``."""

    keeps_graphs: ClassVar[bool] = True
    """Whether graphs of first derivatives are kept from one product with an operator to the next."""

    def check(self, network: Network, split: Split, dtype: torch.dtype) -> None:
        """Refuse, before anything is computed, a network that the computation would refuse at every point.

        Args:
            network: the network that is differentiated.
            split: examples of the kind that will be evaluated.
            dtype: in which derivatives are taken.

        Raises:
            BadInput: the losses have no gradient, or the computation is not defined for the network.
        """
        network.check_gradient()

    def choose_space(self, space: WeightSpace) -> WeightSpace:
        """Choose the part of a weight space that vectors which are kept lie in."""
        return space

    def count_vectors(self) -> tuple[int, int]:
        """Count the vectors of length n that are kept at each point, at least and usually; the engine makes room."""
        return 0, 0

    def join(self, others: Sequence[Self]) -> Self:
        """Make the computation that serves the metrics of several, which are equal; fields without ``compare`` may
        differ.
        """
        return self

    def count_unresolved(self, found: Any) -> int:
        """Count the points of a chunk whose results are less exact than was asked for, and say so."""
        return 0

    def describe_unresolved(self, counts: str) -> str:
        """Write in one line what such points are, and what to do.

        Args:
            counts: how many they are, such as ``12 of 81 points``.
        """
        return f"{counts} are less exact than was asked for"

    @abstractmethod
    def __call__(self, derivatives: Derivatives) -> Any:
        """Compute what the metrics of the group derive their values from, at the p points of a chunk."""
