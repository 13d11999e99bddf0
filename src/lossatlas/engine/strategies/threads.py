"""One network per thread: the strategy for small convolutions on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from lossatlas.engine.network import Network
from lossatlas.engine.pointwise import Pointwise

__all__ = ["Threads"]

T = TypeVar("T")


class Threads(Pointwise):
    """Points are distributed over threads, and the operations of each network run on one core.

    Small convolutions gain little from a second core, whereas two networks in parallel use it completely.
    """

    rank = 2

    def __init__(self) -> None:
        super().__init__()
        self._pool: ThreadPoolExecutor | None = None
        self._own = threading.local()

    @classmethod
    def at_once(cls) -> int | None:
        return torch.get_num_threads()

    def over(self, count: int, network: Network, call: Callable[[int, Network], T]) -> Sequence[T]:
        threads = torch.get_num_threads()
        if threads == 1:
            return [call(i, network) for i in range(count)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads, "points", initializer=torch.set_num_threads, initargs=(1,))

        def in_thread(i: int) -> T:
            return call(i, self._replica(network))

        # One of the libraries below torch has a number of threads for the whole process.
        torch.set_num_threads(1)
        try:
            return list(self._pool.map(in_thread, range(count)))
        finally:
            torch.set_num_threads(threads)

    def _replica(self, network: Network) -> Network:
        """The copy of this thread, since a functional call replaces the module's parameters while it runs."""
        if getattr(self._own, "of", None) is not network:
            self._own.of, self._own.replica = network, network.replica()
        replica: Network = self._own.replica
        return replica
