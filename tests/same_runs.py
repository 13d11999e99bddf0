"""Whether two runs came to the same: the same files, with the same in them but for times and memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr
from safetensors import safe_open

__all__ = ["Differences", "differences"]

MEASURED = re.compile(r"seconds|timings|_bytes$|log_length")
"""The names of numbers that no two runs have in common."""
UNEQUAL = {"report.html", ".writers", ".workers"}
"""Files with such numbers, or with those of processes, in them."""


class Differences(NamedTuple):
    """What a run, and all beside it, has unlike another."""

    unequal: list[str]
    """Files with something else in them, or which it lacks."""
    debris: list[str]
    """Files that the other has not."""


def differences(one: Path, other: Path) -> Differences:
    """What is not the same in a folder with a run and in another one."""
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (one, other)]
    found = sorted(names[1] - names[0])
    for name in sorted(names[0] & names[1]):
        paths = one / name, other / name
        if paths[0].is_dir() and not name.endswith(".zarr"):
            continue
        if any(part.endswith((".zarr", ".locks")) for part in Path(name).parts[:-1]) or paths[0].name in UNEQUAL:
            continue
        content = READERS.get(paths[0].suffix, Path.read_bytes)
        if not _equal(*map(content, paths)):
            found.append(name)
    return Differences(found, sorted(names[0] - names[1]))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, xr.Dataset):
        return bool(one.identical(other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


def _unmeasured(value: Any) -> Any:
    """Without what is measured."""
    if isinstance(value, dict):
        return {key: _unmeasured(item) for key, item in value.items() if not MEASURED.search(key)}
    return [_unmeasured(item) for item in value] if isinstance(value, list) else value


def _json(path: Path) -> Any:
    return _unmeasured(json.loads(path.read_text()))


def _lines(path: Path) -> Any:
    return [_unmeasured(json.loads(line)) for line in path.read_text().splitlines()]


def _tensors(path: Path) -> Any:
    with safe_open(path, "pt") as file:
        told = {
            name: _unmeasured(json.loads(text)) if text[:1] == "{" else text
            for name, text in (file.metadata() or {}).items()
        }
        return {"": told, **{name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118 (not a dict)


def _store(path: Path) -> xr.Dataset:
    return xr.open_zarr(str(path), consolidated=False, chunks=None).load()


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json, ".jsonl": _lines, ".safetensors": _tensors, ".zarr": _store, ".nc": xr.load_dataset,
    ".pt": torch.load,
}  # fmt: skip
"""By suffix; of all other files the bytes are compared."""
