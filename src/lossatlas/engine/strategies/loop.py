"""One network after the other, each with all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lossatlas.engine.network import Network
from lossatlas.engine.pointwise import Pointwise

__all__ = ["Loop"]

T = TypeVar("T")


class Loop(Pointwise):
    """The plainest strategy, and the one for large networks on a CPU."""

    def over(self, count: int, network: Network, call: Callable[[int, Network], T]) -> Sequence[T]:
        return [call(i, network) for i in range(count)]
