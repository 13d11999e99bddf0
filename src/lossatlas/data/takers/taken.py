"""How a source of examples is read, and the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lossatlas.data.batch_source import BatchSource

__all__ = ["GIB", "How", "Taken", "list_notes"]

GIB = 2**30


@dataclass(frozen=True)
class How:
    """How a source is to be read: the arguments of :meth:`lossatlas.Split.of`."""

    collate: Callable[[list[Any]], Any] | None
    first: int | None
    limit: float
    """The most bytes that may be held in memory."""
    workers: int | None
    allow_random: bool
    options: Mapping[str, Any] | None = None
    """The options of worker processes, as in :class:`torch.utils.data.DataLoader`."""


@dataclass(frozen=True)
class Taken:
    """The batch source that was made of a source, with remarks."""

    source: BatchSource
    notes: tuple[str, ...] = ()
    """Remarks on how the source was read."""
    batch_size: int | None = None
    """The batch size of the source, where it has one."""

    def noted(self, notes: tuple[str, ...], batch_size: int | None = None) -> Taken:
        """Return a copy with further remarks in front."""
        return Taken(self.source, (*notes, *self.notes), batch_size)


def list_notes(left_out: set[str]) -> tuple[str, ...]:
    """List the remarks on entries that are left out."""
    return (f"entries without numbers are left out: {', '.join(sorted(left_out))}",) if left_out else ()
