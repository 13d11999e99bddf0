"""One network after the other, each with all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lossatlas.engine.network import Network
from lossatlas.engine.pointwise import Pointwise

__all__ = ["Loop"]

T = TypeVar("T")


class Loop(Pointwise):
    """One network after the other, images with channels last: the strategy for large networks on a CPU."""

    rank = 1

    def over(self, count: int, network: Network, call: Callable[[int, Network], T]) -> Sequence[T]:
        return [call(i, network) for i in range(count)]
