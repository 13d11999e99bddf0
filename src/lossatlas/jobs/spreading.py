"""How the work of a job is spread over workers: how many, with which share of threads and memory, and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.files.reading import resolve_path
from lossatlas.free_memory import share_memory
from lossatlas.jobs.estimate import Pieces
from lossatlas.locks import AUTO, CLAIMS
from lossatlas.pools import NONE, Pool, PoolOptions, open_pool, settle_executor

__all__ = ["NOWHERE", "POLL", "Spreading"]

POLL = 0.1
"""Seconds between questions whether the run is to stop, while workers work."""


@dataclass(frozen=True)
class Spreading:
    """Over which workers a job is spread; none of this changes its result, but for the threads of a new plan."""

    executor: str = NONE
    """The kind of pool (``lossatlas.pools.POOLS``), or ``none`` for this process alone."""
    workers: int | None = None
    """The number of workers; None for one per GPU, or else per core."""
    ray_address: str | None = None
    """The address of the Ray cluster to work on; None starts one on this machine."""
    claims: str = AUTO
    """How processes keep out of each other's way: ``locks`` of the system, ``leases``, or ``auto``, which is what
    others use who write the run, or else what the file system allows."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise BadInput(f"workers is {self.workers}; expected at least 1")
        kind = settle_executor(self.executor, self.workers, self.ray_address)
        object.__setattr__(self, "executor", kind)
        if self.claims not in CLAIMS:
            raise make_unknown_error("way to claim work", self.claims, CLAIMS)

    @property
    def is_alone(self) -> bool:
        """Whether this process works by itself."""
        return self.executor == NONE

    @property
    def by_itself(self) -> Spreading:
        """The spreading of a part that one process carries out, alone."""
        return Spreading(claims=self.claims)

    def count_workers(self, device: torch.device) -> int:
        """The number of workers on a device."""
        if self.workers is not None:
            return self.workers
        if device.index is not None:
            return 1
        return torch.cuda.device_count() if device.type == "cuda" else torch.get_num_threads()

    def limit(self, pieces: Pieces, device: torch.device) -> Spreading:
        """The spreading with no more workers than there is work for, where their number was left open."""
        if self.is_alone or self.workers is not None:
            return self
        return replace(self, workers=max(1, min(pieces.count, self.count_workers(device))))

    def check_pieces(self, pieces: Pieces) -> None:
        """Refuse more workers than there is work for.

        Raises:
            BadInput: some workers would have nothing to do.
        """
        if self.workers is not None and self.workers > pieces.count:
            raise BadInput(
                f"{self.workers} workers are more than the {pieces.count} {pieces.what} that there are; give at most "
                f"--workers {pieces.count}{pieces.advice}"
            )

    def share_threads(self, device: torch.device) -> int:
        """The number of torch's threads that a worker has of those of this process."""
        threads = torch.get_num_threads()
        return threads if self.is_alone else max(1, threads // self.count_workers(device))

    @contextmanager
    def planning(self, device: torch.device) -> Iterator[None]:
        """While entered, this process has a worker's share of threads and memory, so that plans are made for that."""
        threads, sharers = torch.get_num_threads(), share_memory(self.count_sharers(device))
        torch.set_num_threads(self.share_threads(device))
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            share_memory(sharers)

    def count_sharers(self, device: torch.device) -> int:
        """How many workers share the memory of a device, as far as it is known: on a cluster each may have its own."""
        if self.is_alone or self.ray_address is not None:
            return 1
        workers = self.count_workers(device)
        if device.type == "cuda":  # beside the head, which has the network on the first GPU
            return 1 + (workers if device.index is not None else -(-workers // max(1, torch.cuda.device_count())))
        return workers

    @contextmanager
    def open_pool(self, folder: Path, device: torch.device, threads: int | None = None) -> Iterator[Pool | None]:
        """Workers that can do what this process can, while entered; None where it works by itself.

        Args:
            folder: the directory that all workers share; it need not exist yet.
            device: what they compute on.
            threads: of each; default its share of those of this process.

        Raises:
            BadInput: they cannot be started or reached, do not see the folder, or run something else.
        """
        if self.is_alone:
            yield None
            return
        options = PoolOptions(
            workers=self.count_workers(device),
            threads=threads if threads is not None else self.share_threads(device),
            folder=resolve_path(folder),
            device=str(device),
            ray_address=self.ray_address,
        )
        with open_pool(self.executor, options) as pool:
            yield pool


NOWHERE = Spreading()
"""The spreading over nothing but this process."""
