"""As many networks at once as there are threads, each with one: the strategy for small convolutions on a CPU."""

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
    """Points are spread over threads; within one, operations run on one core and wait for no other.

    Small convolutions gain little from a second core, two networks side by side gain all of it.
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

        # Of the libraries below torch one keeps its number of threads for the whole process.
        torch.set_num_threads(1)
        try:
            return list(self._pool.map(in_thread, range(count)))
        finally:
            torch.set_num_threads(threads)

    def _replica(self, network: Network) -> Network:
        """This thread's own copy: a functional call swaps the module's parameters while it runs."""
        if getattr(self._own, "of", None) is not network:
            self._own.of, self._own.replica = network, network.replica()
        replica: Network = self._own.replica
        return replica
