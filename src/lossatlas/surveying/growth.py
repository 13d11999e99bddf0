"""How a survey's store gets its grid: it is put in place whole, and so is a finer one with all that was known."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from lossatlas.errors import BadInput
from lossatlas.files.reading import Unreadable, read_json, tell_reason
from lossatlas.files.stores import METADATA, ArrayHead, GroupHead, find_dangerous_chunks, read_head
from lossatlas.files.writing import PARTIAL, cannot_write
from lossatlas.surveying.arrays import Grid, GridArrays
from lossatlas.surveying.region import count_whole, read_whole_grid

__all__ = ["merge_grid", "put_in_place", "read_grid", "recover"]

SAME = 1e-9
"""Coordinates that differ by less than this share of their axis are the same point."""


def merge_grid(path: Path, grid: Grid) -> dict[str, npt.NDArray[np.float64]]:
    """The grid that is wanted, with the coordinates of a survey that is there in place of their equals.

    Raises:
        BadInput: the survey has other axes, or points that are not wanted; or a coordinate is damaged.
    """
    there = read_grid(path, grid)
    whole = read_whole_grid(_read_attributes(path), there)
    return {axis: _merge(path, axis, stored, grid[axis], whole[axis]) for axis, stored in there.items()}


def read_grid(path: Path, wanted: Grid) -> dict[str, npt.NDArray[np.float64]]:
    """The coordinates of a survey that is there, in the order of the axes that are wanted.

    Raises:
        BadInput: it has other axes; or a coordinate is damaged.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir())
    axes = [each.name for each in folders if each.name in wanted or _is_axis(each)]
    if set(axes) != set(wanted):
        raise BadInput(f"the survey in {path} has another grid, along {', '.join(axes)}; choose another path")
    return {axis: _read_coordinate(path, axis) for axis in wanted}


def _is_axis(folder: Path) -> bool:
    """Whether an array in a folder lies along a dimension of its own name."""
    try:
        return read_json(folder / METADATA, ArrayHead).dimension_names == [folder.name]
    except Unreadable:  # which is looked at when the store is mended
        return False


def _read_coordinate(path: Path, axis: str) -> npt.NDArray[np.float64]:
    try:
        for _, reason in find_dangerous_chunks(path / axis, read_head(path / axis)):
            raise ValueError(reason)
        found = np.asarray(zarr.open_array(str(path / axis), mode="r")[...], dtype=np.float64)
        if found.ndim == 1 and np.isfinite(found).all() and (np.diff(found) > 0).all():
            return found
        reason = "its numbers do not rise"
    except Exception as error:  # zarr has many ways to find an array damaged
        reason = tell_reason(error)
    raise BadInput(
        f"{path} is damaged: the coordinates along {axis} cannot be read ({reason}); look at the rest with lossatlas "
        "view, and survey again with --overwrite"
    )


def _read_attributes(path: Path) -> dict[str, Any]:
    """Those of a survey; none where its description is damaged, which is looked at when it is mended."""
    try:
        return read_json(path / METADATA, GroupHead).attributes
    except Unreadable:
        return {}


def _merge(
    path: Path,
    axis: str,
    stored: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    whole: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The wanted coordinates with those that are stored in place of their equals.

    Raises:
        BadInput: some that are stored are not wanted.
    """
    if np.array_equal(stored, wanted):
        return stored
    nearest = np.searchsorted((wanted[1:] + wanted[:-1]) / 2, stored)
    reach = SAME * max(float(np.ptp(stored)), float(np.ptp(wanted)))
    far = len(stored) > len(wanted) or (np.abs(wanted[nearest] - stored) > reach).any()
    if far or len(np.unique(nearest)) < len(stored):
        finer = len(stored) > len(whole)
        enough = count_whole(whole, stored) if finer else 2 * len(stored) - 1
        raise BadInput(
            f"the survey in {path} has another grid: {len(stored)} points along {axis}{' (a region is finer)' * finer} "
            f"that the {len(wanted)} wanted do not hold; choose a number that does, such as {enough}, or another path"
        )
    merged = wanted.astype(np.float64).copy()
    merged[nearest] = stored
    return merged


def put_in_place(
    path: Path,
    grid: Grid,
    attributes: Mapping[Any, Any],
    labels: Mapping[str, str],
    known: GridArrays | None = None,
    complete: Callable[[GridArrays, GridArrays], None] | None = None,
) -> None:
    """A store with all its coordinates, made beside its place and moved there whole; what is known comes with it.

    Args:
        path: of the store.
        grid: per axis its coordinates.
        attributes: of the data set.
        labels: what plots call the axes.
        known: the arrays of the store that it replaces.
        complete: called with the new arrays and those of before, to give the new points values before it is in place.
    """
    try:
        arrays = GridArrays.started(str(_fresh(path).absolute()), grid, attributes, labels)
        if known is not None:
            arrays.take_over(known)
            if complete is not None:
                complete(arrays, known)
            os.replace(path, _replaced(path))
        os.replace(_fresh(path), path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        recover(path)


def _fresh(path: Path) -> Path:
    """Where a store is made that is to take the place of another, or of none."""
    return path.with_name(f".{path.name}{PARTIAL}")


def _replaced(path: Path) -> Path:
    """Where a store is for the moment in which another takes its place."""
    return path.with_name(f".{path.name}.replaced")


def recover(path: Path) -> None:
    """Undo a replacement that was cut off, or clear up after one."""
    shutil.rmtree(_fresh(path), ignore_errors=True)
    if path.exists():
        shutil.rmtree(_replaced(path), ignore_errors=True)
    elif _replaced(path).exists():
        os.replace(_replaced(path), path)
