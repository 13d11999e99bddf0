"""How many points of a run's stores are evaluated, by what their marks say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lossatlas.errors import LossatlasError
from lossatlas.files.chunks import list_chunks
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.stores import (
    MARKS,
    METADATA,
    VOUCHES,
    ArrayHead,
    GroupHead,
    find_dangerous_chunks,
    list_folders,
    read_head,
)
from lossatlas.presence.records import is_folder, shorten
from lossatlas.schema import WHOLE_GRID

__all__ = ["Counted", "count_stores"]


@dataclass(frozen=True)
class Counted:
    """How many points of a store one group of metrics is evaluated at, on one split."""

    store: str
    """The name of the store in the run directory."""
    split: str
    group: str
    metrics: tuple[str, ...]
    """The names of the metrics of the group."""
    done: int
    """The number of points that are marked."""
    wanted: int
    """The number of points that are to be; the most that may be, if ``exact`` is false."""
    exact: bool = True
    """Whether ``wanted`` is known: a survey that is refined decides as it goes."""


def count_stores(run: Path, config: dict[str, Any]) -> Iterator[Counted]:
    """Yield how far the stores of a run are, by split and group of metrics."""
    for store in sorted(run.glob("*.zarr")):
        if is_folder(store) and is_folder(store / MARKS):
            variables = _read_variables(store)
            for folder in list_folders(store):
                if folder.parent != store:
                    with suppress(LossatlasError, OSError):
                        head = read_head(folder)
                        if head.data_type == "bool" and VOUCHES in head.attributes:  # others lie beside marks
                            yield _count(folder, head, variables, config)


def _count(folder: Path, head: ArrayHead, variables: dict[str, dict[str, Any]], config: dict[str, Any]) -> Counted:
    """Return how far one group of metrics is on one split.

    Args:
        folder: of the marks.
        head: their description.
        variables: the attributes of the store's variables, by name.
        config: of the run.

    Raises:
        OSError: the marks are gone again.
    """
    names = head.attributes.get(VOUCHES)
    told = [variables[name] for name in names if name in variables] if isinstance(names, list) else []
    split = next((one["split"] for one in told if isinstance(one.get("split"), str)), "")
    metrics = dict.fromkeys(shorten(one["metric"]) for one in told if isinstance(one.get("metric"), str))
    points, done, budget = prod(head.shape), _count_marked(folder, head), config.get("budget")
    finer = _has_regions(folder.parent.parent)
    refined = done < points and (finer or config.get("tolerance") is not None or budget is not None)
    return Counted(
        store=folder.parent.parent.name,
        split=shorten(split),
        group=shorten(folder.name.removeprefix(f"{split}_")),
        metrics=tuple(metrics),
        done=done,
        wanted=max(done, min(points, budget)) if refined and not finer and isinstance(budget, int) else points,
        exact=not refined,
    )


def _has_regions(store: Path) -> bool:
    """Return whether regions of a store are finer than the rest, so that other points are not to be evaluated."""
    with suppress(Unreadable):
        return WHOLE_GRID in read_json(store / METADATA, GroupHead).attributes
    return False


def _read_variables(store: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of a store's variables, by name."""
    found = {}
    for folder in list_folders(store):
        with suppress(Unreadable):
            found[folder.name] = read_json(folder / METADATA, ArrayHead).attributes
    return found


def _count_marked(folder: Path, head: ArrayHead) -> int:
    """Return how many points the marks in a folder mark; chunks that are damaged, or being replaced, mark nothing."""
    import numpy as np
    import zarr

    if next(find_dangerous_chunks(folder, head), None) is not None:
        return 0
    try:
        array = zarr.open_array(str(folder.absolute()), mode="r")
    except Exception:  # zarr has many ways to say that an array is damaged
        return 0
    assert isinstance(array, zarr.Array)
    with suppress(Exception):
        return int(np.count_nonzero(np.asarray(array[...])))
    count = 0
    for row in list_chunks(array):
        for chunk in row:
            with suppress(Exception):
                count += int(np.count_nonzero(np.asarray(array[chunk.region])))
    return count
