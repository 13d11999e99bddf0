"""The interface of batch sources: where a split's batches come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossatlas.types import Batch

__all__ = ["FULL_HASH", "READ_BYTES", "SAMPLED", "BatchSource", "cut_pieces", "spread"]

READ_BYTES = 2**26
"""About how many bytes are read at a time."""
FULL_HASH = 2**30
"""Up to how many bytes all examples are hashed if they are read from a data set. A constant, and nothing
that depends on how much memory is free today: a run is resumed by its fingerprints."""
SAMPLED = 16
"""How many examples are hashed where there are more bytes, and how many a data set is checked on."""


class BatchSource(ABC):
    """Examples in a fixed order, read by their indices."""

    held: bool
    """Whether all examples are in memory, or in a memory-mapped file."""
    device: torch.device
    """The device of the batches."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples, N."""

    @property
    @abstractmethod
    def form(self) -> str:
        """The structure of a batch, in words."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """How many examples to read at a time."""

    @abstractmethod
    def read(self, rows: Tensor) -> Batch:
        """Read the batch of the examples at rows (B,).

        Raises:
            CannotFinish: the user's data set or collation failed on them.
        """

    @abstractmethod
    def parts(self, parts: Sequence[slice], rows: Tensor | None = None) -> Iterator[Batch]:
        """Read batches of consecutive examples.

        Args:
            parts: slices of the examples, or of ``rows``.
            rows: indices (n,) on the CPU; None for all examples in order.

        Raises:
            CannotFinish: as :meth:`read`; or a worker process died.
        """

    @abstractmethod
    def bytes_of(self, count: int) -> int:
        """About how many bytes a number of examples takes."""

    @abstractmethod
    def kept(self, rows: Tensor | None, device: torch.device) -> BatchSource:
        """Make a source of the examples at rows (n,) alone, held in memory, on the device if they are tensors.

        Args:
            rows: indices of the examples; None for all.
            device: where tensors are held.

        Raises:
            BadInput: an example cannot be read or collated.
            CannotFinish: a worker process died.
        """

    @abstractmethod
    def fingerprint(self, rows: Tensor | None, kind: str) -> str:
        """Hash the examples at rows (n,), held or not, together with ``kind``.

        Args:
            rows: indices of the examples; None for all.
            kind: a further text that the hash depends on.

        Raises:
            BadInput: as :meth:`kept`.
            CannotFinish: as :meth:`kept`.
        """


def spread(count: int, most: int = SAMPLED) -> Tensor:
    """Choose at most ``most`` of ``count`` indices, evenly spaced, with the first and the last among them.

    >>> spread(7, 3)
    tensor([0, 3, 6])
    """
    return torch.arange(count) if count <= most else torch.linspace(0, count - 1, most).round().long()


def cut_pieces(index: Tensor, size: int) -> list[Tensor]:
    """Cut indices (n,) into pieces of at most ``size``."""
    return [index[start : start + size] for start in range(0, len(index), size)]
