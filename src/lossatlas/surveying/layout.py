"""Where in a store lies what says which points are evaluated, now and in stores of earlier versions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.stores import (
    MARKS,
    METADATA,
    VOUCHES,
    ArrayHead,
    GroupHead,
    consolidate,
    holds_marks_of_before,
    list_folders,
    tell_settings,
)
from lossatlas.files.writing import cannot_write, write_atomically
from lossatlas.schema import DONE, record_texts
from lossatlas.surveying.arrays import WHOLE

__all__ = ["bring_to_layout", "count_marked", "has_layout_of_before"]

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
"""What zarr says of a group."""


def bring_to_layout(path: Path) -> None:
    """Make the group of marks of a store where it is lacking, and move marks there that lie among the variables.

    A kill at any moment leaves a store of which each group of metrics is in the one layout or in the other; to be
    called by one who knows that no other process writes.

    Args:
        path: of the store.

    Raises:
        Unreadable: its description is damaged.
        CannotFinish: the disk refuses.
    """
    marks = path / MARKS
    try:
        read_json(marks / METADATA, GroupHead)
    except Unreadable:
        if marks.is_file():
            marks.unlink()
        write_atomically(marks / METADATA, json.dumps(GROUP).encode(), folders=True)
    consolidate(path)
    found = list(_find_marks_of_before(path))
    told = {name: tell_settings(attributes) for _, attributes in found for name in attributes[VOUCHES]}
    for description in path.glob(f"*/{METADATA}") if found else ():
        _tell(description, told.get(description.parent.name))
    for folder, _ in found:
        target = marks / folder.name.removesuffix(DONE)
        try:
            shutil.rmtree(target, ignore_errors=True)
            os.replace(folder, target)
        except OSError as error:
            raise cannot_write(target, error) from error


def has_layout_of_before(path: Path) -> bool:
    """Whether marks lie among the variables of a store."""
    return next(_find_marks_of_before(path), None) is not None


def count_marked(path: Path, name: str) -> int:
    """How many points marks in a store mark, in whatever layout; none where they are lacking or cannot be read.

    Args:
        path: of the store.
        name: of the marks, as :func:`~lossatlas.schema.name_marks` gives it.
    """
    place = path / name
    if not place.is_dir():
        place = path / f"{place.name}{DONE}"
    try:
        return int(np.count_nonzero(np.asarray(zarr.open_array(str(place), mode="r"))))
    except Exception:  # zarr has many ways to say that an array is damaged
        return 0


def _find_marks_of_before(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders of marks that lie among the variables, and their attributes."""
    for folder in list_folders(path):
        try:
            attributes = read_json(folder / METADATA, ArrayHead).attributes
        except Unreadable:  # which is looked at when the store is mended
            continue
        if folder.parent == path and holds_marks_of_before(folder.name, attributes):
            yield folder, attributes


def _tell(description: Path, told: dict[str, Any] | None) -> None:
    """Add attributes to the description of an array, which keeps those it has in a form that all of netCDF holds.

    One that is damaged, and one that a survey does not write, stays as it is.
    """
    try:
        head, own = read_json(description, dict[str, Any]), read_json(description, ArrayHead).attributes
    except Unreadable:
        return
    if told is None and WHOLE not in own:
        return
    plain = {key: int(value) if isinstance(value, bool) else record_texts(value) for key, value in own.items()}
    attributes = {**(told or {}), **{key: value for key, value in plain.items() if value != ""}}
    write_atomically(description, json.dumps({**head, "attributes": attributes}, indent=2).encode())
