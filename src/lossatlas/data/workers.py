"""Worker processes that read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from lossatlas.errors import BadInput, CannotFinish, format_error

__all__ = ["Workers", "read_ahead"]

T = TypeVar("T")


@dataclass(frozen=True)
class Workers:
    """The worker processes that read items."""

    count: int = 0
    """The number of processes; 0 if this process reads."""
    options: Mapping[str, Any] | None = None
    """The options of the user's loader, as in :class:`torch.utils.data.DataLoader`."""


def read_ahead(read: Callable[[Sequence[int]], T], rows: Sequence[Sequence[int]], workers: Workers) -> Iterator[T]:
    """Read at each of ``rows`` and yield the results in order.

    Args:
        read: reads at some indices, such as :meth:`~lossatlas.data.item_reader.ItemReader.batch`.
        rows: the indices of each read.
        workers: the processes that read.

    Raises:
        BadInput: ``read`` raises it, or the data set cannot be passed to worker processes.
        CannotFinish: a worker process died.
    """
    if not workers.count or len(rows) < 2:
        yield from map(read, rows)
        return
    loader = DataLoader(
        _Reading(read, rows), batch_size=None, num_workers=min(workers.count, len(rows)), collate_fn=_as_it_is,
        generator=torch.Generator().manual_seed(0), **(workers.options or {}),
    )  # fmt: skip
    try:
        found = iter(loader)
    except Exception as error:  # they may be impossible to pickle in any way
        raise BadInput(
            f"the data set cannot be handed to worker processes: {format_error(error)}; give workers=0"
        ) from error
    _notice_deaths_when_reading(found)
    for _ in rows:
        try:
            made = next(found)
        except Exception as error:  # it is torch that speaks here, of its processes
            raise CannotFinish(
                f"a worker process that reads the data set failed: {format_error(error)}; give fewer workers=, or 0"
            ) from error
        if isinstance(made, _Failed):
            raise BadInput(made.message)
        yield made


@dataclass(frozen=True)
class _Failed:
    """The failure of a worker, returned instead of a batch: an exception would arrive with its whole traceback."""

    message: str


class _Reading(Dataset[Any]):
    def __init__(self, read: Callable[[Sequence[int]], Any], rows: Sequence[Sequence[int]]) -> None:
        self._read = read
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Any:
        try:
            return self._read(self._rows[place])
        except BadInput as error:
            return _Failed(str(error))


def _as_it_is(made: Any) -> Any:
    return made


def _notice_deaths_when_reading(iterator: Any) -> None:
    """Have the death of a worker raised where its results are awaited, and not at an arbitrary point of this process.

    torch raises it from a signal handler, during whatever is being computed. Without the handler it is noticed seconds
    later. (This uses internals of torch; where they differ, the handler stays.)
    """
    with suppress(KeyError, ValueError):
        vars(signal_handling)["_remove_worker_pids"](id(iterator))
        iterator._worker_pids_set = False
