"""Errors on their way from a worker to the process that waits for it, as JSON."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from lossatlas.errors import LossatlasError, format_error, trace_causes
from lossatlas.pools.pool import WorkerFailure

__all__ = ["make_error", "write_error"]

MOST_CAUSES = 5
"""How many errors of a chain are handed on."""
PLAIN = str | int | float | bool | None
"""The types of attributes that are handed on."""


def write_error(error: BaseException) -> list[dict[str, Any]]:
    """Write an error and those that led to it, the last one first, as JSON types."""
    return [_write(each) for each in islice(trace_causes(error), MOST_CAUSES)]


def make_error(written: Sequence[Mapping[str, Any]], who: str) -> Exception:
    """Make an error again, with its causes.

    An OSError and a MemoryError are made again, too, since what to do about a full disk or memory is said by those
    who see them.

    Args:
        written: by :func:`write_error`.
        who: the worker, in words.
    """
    made = [_make(each, who) for each in written]
    for error, cause in pairwise(made):
        error.__cause__ = cause
    return made[0]


def _write(error: BaseException) -> dict[str, Any]:
    written: dict[str, Any] = {"said": format_error(error, kind=True)}
    kind = next((each for each in type(error).__mro__ if _is_own(each)), None)
    if kind is not None:
        state = {name: value for name, value in vars(error).items() if isinstance(value, PLAIN)}
        return written | {"class": f"{kind.__module__}:{kind.__qualname__}", "message": str(error), "state": state}
    if isinstance(error, OSError) and isinstance(error.errno, int):
        names = [str(each) for each in (error.filename, error.filename2) if isinstance(each, str)]
        return written | {"errno": error.errno, "strerror": str(error.strerror), "names": names}
    if isinstance(error, MemoryError) or any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__):
        return written | {"memory": str(error)}  # that of a device, too
    return written | {"trace": "".join(traceback.format_exception(error, chain=False))}


def _is_own(kind: type) -> bool:
    """Whether this is a class of this package, which the other process has, too."""
    return issubclass(kind, LossatlasError) and kind.__module__.partition(".")[0] == __package__.partition(".")[0]


def _make(written: Mapping[str, Any], who: str) -> Exception:
    if "class" in written:
        module, _, name = written["class"].partition(":")
        kind = getattr(importlib.import_module(module), name, LossatlasError)
        error: Exception = kind.__new__(kind, written["message"])  # not called: its arguments are not known any more
        vars(error).update(written["state"])
        return error
    if "errno" in written:
        first, second = [*written["names"], None, None][:2]
        return OSError(written["errno"], written["strerror"], first, None, second)
    if "memory" in written:
        return MemoryError(written["memory"])
    return WorkerFailure(f"{who}: {written['said']}\n\n{written['trace']}")
