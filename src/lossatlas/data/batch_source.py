"""The interface of batch sources: where a split's batches come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossatlas.types import Batch

__all__ = ["FULL_HASH", "READ_BYTES", "SAMPLED", "BatchSource", "cut_pieces", "spread"]

READ_BYTES = 2**26
"""About how many bytes are read in one go."""
FULL_HASH = 2**30
"""Bytes of examples up to which all of them are hashed where they are read from a data set. A constant, and nothing
that depends on how much memory is free today: a run is resumed by its fingerprints."""
SAMPLED = 16
"""How many examples are hashed where they are more, and how many a data set is tried on."""


class BatchSource(ABC):
    """Examples that are read by their indices, in an order of their own."""

    held: bool
    """Whether all of them are in memory, or in a file that is mapped into it."""
    device: torch.device
    """Where batches are when they are read."""

    @abstractmethod
    def __len__(self) -> int:
        """How many examples there are, N."""

    @property
    @abstractmethod
    def form(self) -> str:
        """What a batch is made of, in words."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """How many examples are sensibly read in one go."""

    @abstractmethod
    def read(self, rows: Tensor) -> Batch:
        """The batch of the examples at rows (B,).

        Raises:
            CannotFinish: the user's data set or collation fails on them.
        """

    @abstractmethod
    def parts(self, parts: Sequence[slice], rows: Tensor | None = None) -> Iterator[Batch]:
        """Batches of consecutive examples.

        Args:
            parts: of the examples, or of ``rows``.
            rows: indices (n,) on the processor; None: all, in order.

        Raises:
            CannotFinish: as :meth:`read`, or a worker process died.
        """

    @abstractmethod
    def bytes_of(self, count: int) -> int:
        """About how many bytes so many examples take."""

    @abstractmethod
    def kept(self, rows: Tensor | None, device: torch.device) -> BatchSource:
        """The examples at rows (n,) alone, held: on the device where they are tensors.

        Raises:
            BadInput: one cannot be read or collated.
            CannotFinish: a worker process died.
        """

    @abstractmethod
    def fingerprint(self, rows: Tensor | None, kind: str) -> str:
        """A hash of the examples at rows (n,), whether they are held or not, and of ``kind``.

        Raises:
            BadInput: as :meth:`kept`.
            CannotFinish: likewise.
        """


def spread(count: int, most: int = SAMPLED) -> Tensor:
    """At most so many of ``count`` indices, evenly spaced, the first and the last among them.

    >>> spread(7, 3)
    tensor([0, 3, 6])
    """
    return torch.arange(count) if count <= most else torch.linspace(0, count - 1, most).round().long()


def cut_pieces(index: Tensor, size: int) -> list[Tensor]:
    """Indices (n,), at most so many at a time."""
    return [index[start : start + size] for start in range(0, len(index), size)]
