"""Which kind of device evaluated each point of a survey: numbers beside the marks, and the kinds they stand for."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress

import numpy as np

from lossatlas.files.reading import parse_json
from lossatlas.surveying.arrays import GridArrays, Mask, Tile

__all__ = ["add_device", "create_devices", "find_devices", "has_device", "write_device"]

DEVICE = ".device"
"""What is added to the name of marks for the array of numbers."""
KINDS = "kinds"
"""The attribute of that array with the kinds of devices by their numbers, as JSON."""


def create_devices(arrays: GridArrays, marks: str) -> None:
    """Make the array of numbers beside marks, which is 0 where nothing is recorded."""
    arrays.create(f"{marks}{DEVICE}", np.uint32, {KINDS: "{}"})


def write_device(arrays: GridArrays, marks: str, tile: Tile, where: Mask, device: str) -> None:
    """Record the kind of device of some points of a tile; nothing in surveys that were begun without such records.

    Args:
        arrays: of the survey.
        marks: the name of the marks.
        tile: where it lies.
        where: (tile's shape) which of its points.
        device: the kind of device; empty where it is not known.
    """
    if f"{marks}{DEVICE}" in arrays:
        numbers = np.full(int(where.sum()), _number(device), dtype=np.uint32)
        arrays.write_points(f"{marks}{DEVICE}", tile, where, numbers)


def find_devices(arrays: GridArrays, marks: str, tile: Tile | None = None) -> set[str]:
    """The kinds of devices that evaluated the marked points of a tile, or of all tiles, as far as it is recorded."""
    if (name := f"{marks}{DEVICE}") not in arrays:
        return set()
    found: set[int] = set()
    for each in arrays.tiles() if tile is None else [tile]:
        if (marked := arrays.read(marks, each)).any():
            found |= set(map(int, arrays.read(name, each)[marked]))
    kinds = _read_kinds(arrays, name)
    return {kinds.get(str(number), f"device {number}") for number in found - {0}}


def has_device(arrays: GridArrays, marks: str, device: str) -> bool:
    """Whether it is recorded which kind of device a number stands for; also where nothing is to be recorded."""
    name = f"{marks}{DEVICE}"
    return name not in arrays or str(_number(device)) in _read_kinds(arrays, name)


def add_device(arrays: GridArrays, marks: str, device: str) -> None:
    """Record which kind of device a number stands for.

    Raises:
        CannotFinish: the disk refuses, or the survey was removed.
    """
    name = f"{marks}{DEVICE}"
    with arrays.writing():
        kinds = {**_read_kinds(arrays, name), str(_number(device)): device}
        arrays[name].update_attributes({KINDS: json.dumps(kinds)})


def _number(device: str) -> int:
    return zlib.crc32(device.encode()) if device else 0


def _read_kinds(arrays: GridArrays, name: str) -> dict[str, str]:
    with suppress(ValueError):
        return parse_json(str(arrays[name].attrs.get(KINDS, "{}")), dict[str, str])
    return {}
