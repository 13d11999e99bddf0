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

from lossatlas.files.inside import is_plain_name
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
from lossatlas.schema import DONE

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
    for folder, attributes in _find_marks_of_before(path):
        for variable in filter(is_plain_name, attributes[VOUCHES]):
            _tell(path / variable / METADATA, tell_settings(attributes))
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


def _tell(description: Path, told: dict[str, Any]) -> None:
    """Add attributes to the description of an array, which keeps those it has; one that is damaged stays so."""
    try:
        head = read_json(description, dict[str, Any])
        attributes = {**told, **read_json(description, ArrayHead).attributes}
    except Unreadable:
        return
    write_atomically(description, json.dumps({**head, "attributes": attributes}, indent=2).encode())
