"""What a source is taken with, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lossatlas.data.batch_source import BatchSource

__all__ = ["GIB", "How", "Taken", "list_notes"]

GIB = 2**30


@dataclass(frozen=True)
class How:
    """How a source is to be taken, as :meth:`lossatlas.Split.of` has it."""

    collate: Callable[[list[Any]], Any] | None
    first: int | None
    limit: float
    """Bytes that may be held."""
    workers: int | None
    allow_random: bool
    options: Mapping[str, Any] | None = None
    """Of worker processes, as :class:`torch.utils.data.DataLoader` has them."""


@dataclass(frozen=True)
class Taken:
    """What became of a source."""

    source: BatchSource
    notes: tuple[str, ...] = ()
    """Sentences about it."""
    batch_size: int | None = None
    """Examples per step that it asks for."""

    def noted(self, notes: tuple[str, ...], batch_size: int | None = None) -> Taken:
        """With these sentences before those that there are."""
        return Taken(self.source, (*notes, *self.notes), batch_size)


def list_notes(left_out: set[str]) -> tuple[str, ...]:
    """What is said of entries that are left out."""
    return (f"entries without numbers are left out: {', '.join(sorted(left_out))}",) if left_out else ()
