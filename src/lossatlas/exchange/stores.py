"""Reading a survey's zarr store of which a part is damaged: what is whole is read, what is not is named."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from lossatlas.errors import BadInput
from lossatlas.files.chunks import DamagedChunk, find_damaged_chunks
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, read_json, tell_reason
from lossatlas.files.stores import (
    CHUNKS,
    MARKS,
    METADATA,
    GroupHead,
    check_arrays_fit,
    find_dangerous_chunks,
    open_store,
    read_head,
)
from lossatlas.schema import TARGET

__all__ = ["is_store", "read_undamaged"]

MOST_COPIED = 2**30
"""Bytes of a file; chunks have some thousands, and a file that is mostly a hole can say any number."""


@dataclass(frozen=True)
class _Damage:
    """A chunk of a variable that cannot be read."""

    variable: str
    chunk: DamagedChunk


def is_store(path: Path) -> bool:
    """Whether a path is a zarr store, whole or with its own or some variables' metadata lost."""
    return path.is_dir() and ((path / METADATA).is_file() or any(path.glob(f"*/{METADATA}")))


def read_undamaged(path: Path | str) -> tuple[xr.Dataset, list[str]]:
    """What can be read of a survey's store, in memory, and what cannot.

    A store is not written to. Chunks with what zarr cannot decode are NaN (False in marks, 0 in a target; other
    integers become floats), variables without their description are left out, and where coordinates are lost, points
    are numbered from 0. A chunk that is not there holds nothing, which is not damage: zarr leaves out chunks that
    consist of the fill value. Numbers that changed and can be decoded are noticed by their check sums, as far as the
    store has any: lossatlas writes them.

    Args:
        path: the ``survey.zarr`` directory.

    Returns:
        The survey and, for each part that is damaged, a line that begins with its name: ``test_loss/c/0/1``.

    Raises:
        BadInput: the path is not a store, nothing in it can be read, a link leads out of it, or it does not fit the
            memory.
    """
    path = Path(path)
    if not is_store(path):
        raise BadInput(f"{path} is not a zarr store; expected a directory survey.zarr")
    check_inside(path)
    try:
        survey = open_store(path).load()
        if _described(path) <= set(survey.variables):
            return survey, []
    except Exception:  # zarr has many ways to find a store damaged; its parts are tried below
        pass
    with tempfile.TemporaryDirectory(prefix="lossatlas.") as folder:
        copy = Path(folder) / "survey.zarr"
        lost = _copy(path, copy)
        lost += _repair_metadata(copy, path)
        damages = [
            _Damage(part.name, chunk)
            for part in sorted(each for each in copy.iterdir() if each.is_dir())
            for chunk in find_damaged_chunks(zarr.open_array(str(part), mode="r"))
        ]
        for damage in damages:
            (copy / damage.variable / damage.chunk.key).unlink(missing_ok=True)
        try:
            survey = open_store(copy).load()
        except Exception as error:  # such as dimensions that contradict each other
            reason = tell_reason(error)
            raise BadInput(f"{path} cannot be read ({reason}); survey again") from error
    for damage in damages:
        survey = _emptied(survey, damage)
    entries = lost + [_entry(survey, damage) for damage in damages]
    whole = {str(name) for name in survey.data_vars if survey[name].dtype.kind in "iuf"}
    if not any(_anything_left(survey[name], [d for d in damages if d.variable == name]) for name in whole):
        because = f" ({entries[0]})" if entries else ""
        raise BadInput(f"{path} cannot be read: no variable has a chunk that is whole{because}; survey again")
    return survey, entries


def _described(path: Path) -> set[str]:
    """The variables that a store has, or had before their description was lost."""
    parts = [part for part in path.iterdir() if part.name != MARKS]
    return {part.name for part in parts if (part / METADATA).is_file() or (part / CHUNKS).exists()}


def _copy(path: Path, copy: Path) -> list[str]:
    """Copy all files that can be copied, marks aside; returns a line for each that cannot."""
    lost = []
    for source in sorted(path.rglob("*")):
        if source.is_file() and (inner := source.relative_to(path)).parts[0] != MARKS:
            target = copy / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if (size := source.stat().st_size) > MOST_COPIED:
                    lost.append(f"{inner.as_posix()}: it has {size:,} bytes")
                else:
                    shutil.copyfile(source, target)
            except OSError as error:
                lost.append(f"{inner.as_posix()}: {error.strerror}")
    return lost


def _repair_metadata(copy: Path, path: Path) -> list[str]:
    """Make a copy of the store ``path`` one that can be opened, without what cannot be read or asks for too much.

    Raises:
        BadInput: it asks for too much altogether.
    """
    lost, attributes = [], {}
    try:
        attributes = read_json(copy / METADATA, GroupHead).attributes
    except Unreadable as error:  # whatever is wrong with it, only the survey's attributes are in it
        lost.append(f"{METADATA}: the survey's own attributes are lost ({error.reason})")
    own = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (copy / METADATA).write_text(json.dumps(own))  # without copies of the variables' descriptions
    heads = []
    for part in sorted(each for each in copy.iterdir() if each.is_dir()):
        try:
            head = read_head(part)
            zarr.open_array(str(part), mode="r")
        except Exception as error:  # a description can be cut off, or say what is not so
            reason = tell_reason(error)
            if (part / METADATA).exists() or (part / CHUNKS).exists():
                lost.append(f"{part.name}/{METADATA}: the variable is left out ({reason})")
            shutil.rmtree(part)
            continue
        heads.append(head)
        for chunk, reason in list(find_dangerous_chunks(part, head)):
            lost.append(f"{chunk.relative_to(copy).as_posix()}: {reason}")
            chunk.unlink()
    check_arrays_fit(path, heads)
    return lost


def _emptied(survey: xr.Dataset, damage: _Damage) -> xr.Dataset:
    """The survey with nothing where a chunk was; a chunk that was taken away has been read as the fill value."""
    if damage.variable not in survey.variables:
        return survey
    array = survey[damage.variable]
    if damage.variable in survey.coords:
        return survey.assign_coords({damage.variable: (array.dims, np.arange(array.size).reshape(array.shape))})
    values: np.ndarray[Any, Any] = array.values.copy()
    if values.dtype.kind in "iu" and damage.variable != TARGET:
        values = values.astype(np.float64)
    values[damage.chunk.region] = np.nan if values.dtype.kind == "f" else np.zeros((), dtype=values.dtype)
    return survey.assign({damage.variable: (array.dims, values, array.attrs)})


def _entry(survey: xr.Dataset, damage: _Damage) -> str:
    dims = survey[damage.variable].dims if damage.variable in survey.variables else ()
    where = damage.chunk.where(dims)
    numbered = "; its points are numbered instead" if damage.variable in survey.coords else ""
    return f"{damage.variable}/{damage.chunk.key} ({where}): {damage.chunk.reason}{numbered}"


def _anything_left(array: xr.DataArray, damages: list[_Damage]) -> bool:
    lost = sum(int(np.prod([part.stop - part.start for part in damage.chunk.region])) for damage in damages)
    return lost < array.size
