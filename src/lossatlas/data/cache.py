"""Decoded images on disk, in memory-mapped files.

Images are decoded once and stored as bytes; they are normalised batch by batch, on the device. A split that is too
large for a device is streamed from the file, with equal results.

A cache file is a safetensors file with labels and images of both splits, and the mean and standard deviation of each
channel. It is written under another name and renamed, holds a checksum, and is made again if that does not agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.data.reading import Part
from lossatlas.errors import BadInput
from lossatlas.files.reading import expand_home, parse_json
from lossatlas.files.tensors import open_tensors

__all__ = ["Stored", "locate_cache", "make_scratch", "read_cache", "write_cache"]

FORMAT = "lossatlas images 1"
CHUNK = 2**24
"""How many bytes are summed at a time."""
SIZES = {"I64": 8, "F64": 8, "U8": 1}
PARTIAL = ".partial-"
PARTS = ("train", "test")
LAYOUT = {
    "checksum": (torch.int64, 0),
    **dict.fromkeys(("mean", "std"), (torch.float64, 1)),
    **{f"{part}.labels": (torch.int64, 1) for part in PARTS},
    **{f"{part}.images": (torch.uint8, 4) for part in PARTS},
}
"""The dtypes and numbers of dimensions of the tensors in a cache file."""


@dataclass(frozen=True)
class Stored:
    """Images with labels, as stored in a cache file."""

    train: tuple[Tensor, Tensor]
    """The training images (N, C, H, W) of uint8 and labels (N,) of int64, memory-mapped."""
    test: tuple[Tensor, Tensor]
    """The test images and labels, as above."""
    names: tuple[str, ...]
    """The names of the classes; empty where they have none."""
    mean: tuple[float, ...]
    """The mean of each channel of the training images, in [0, 1]."""
    std: tuple[float, ...]
    """The standard deviation of each channel of the training images; 1 for a constant channel."""


def locate_cache(name: str, key: str) -> Path:
    """Find the path of the cache file of a key.

    Cache files are in the folder LOSSATLAS_CACHE, or else in ``lossatlas`` under XDG_CACHE_HOME or ``~/.cache``.

    Args:
        name: a readable part of the file name.
        key: a description of everything that the content depends on.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get("LOSSATLAS_CACHE") or Path(home) / "lossatlas"
    digest = hashlib.blake2b(f"{FORMAT}\n{key}".encode(), digest_size=12).hexdigest()
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[-40:].strip("-")
    return expand_home(folder) / f"{plain}-{digest}.safetensors"


@contextmanager
def make_scratch(path: Path) -> Iterator[Path]:
    """Make a temporary folder beside a cache file, which is removed on leaving.

    Raises:
        BadInput: the folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=PARTIAL, dir=path.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise _refused(path, error) from error
    with folder as name:
        yield Path(name)


def read_cache(path: Path) -> Stored | None:
    """Read a cache file; None where it is missing or damaged."""
    try:
        with open_tensors(path) as file:
            tensors, names = {name: file[name] for name in file.names}, file.metadata.get("names", "")
        classes = parse_json(names, list[str])
    except ValueError:
        return None
    if {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()} != LAYOUT:
        return None
    sums = {name: _sum(tensor.numpy()) for name, tensor in tensors.items() if name != "checksum"}
    if int(tensors["checksum"]) != _checksum(names, sums):
        return None
    train, test = ((tensors[f"{part}.images"], tensors[f"{part}.labels"]) for part in PARTS)
    if any(len(images) != len(labels) or not len(labels) for images, labels in (train, test)):
        return None
    mean, std = (tuple(tensors[name].tolist()) for name in ("mean", "std"))
    return Stored(train, test, tuple(classes), mean, std)


def write_cache(path: Path, train: Part, test: Part) -> None:
    """Decode both parts into a cache file, a few images at a time.

    Raises:
        BadInput: an image cannot be used, or the file cannot be written.
    """
    names = json.dumps(train.names)
    layout: dict[str, tuple[str, tuple[int, ...]]] = {"checksum": ("I64", ())}  # eight bytes each first: all aligned
    layout |= dict.fromkeys(("mean", "std"), ("F64", train.shape[:1]))
    layout |= {f"{name}.labels": ("I64", part.labels.shape) for name, part in (("train", train), ("test", test))}
    layout |= {
        f"{name}.images": ("U8", (len(part.labels), *part.shape)) for name, part in (("train", train), ("test", test))
    }
    with _replacing(path) as file:
        places = _write_header(file, names, layout)
        counts = np.zeros((train.shape[0], 256), np.int64)
        sums = {}
        for name, part in (("train", train), ("test", test)):
            file.seek(places[f"{name}.images"])
            total = 0
            for chunk in part.images():
                total = zlib.crc32(chunk.data, total)
                file.write(chunk.data)
                if part is train:
                    counts += _counts(chunk)
            sums[f"{name}.images"] = total
        mean, std = _statistics(counts)
        small = {"mean": mean, "std": std, "train.labels": train.labels, "test.labels": test.labels}
        sums |= {name: _sum(array) for name, array in small.items()}
        small["checksum"] = np.array(_checksum(names, sums), np.int64)
        for name, array in small.items():
            file.seek(places[name])
            file.write(array.tobytes())


def _write_header(file: BinaryIO, names: str, layout: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, int]:
    """Write the header of a safetensors file; returns the offset of each tensor."""
    entries: dict[str, object] = {"__metadata__": {"names": names}}
    ends = [0]
    for name, (kind, shape) in layout.items():
        ends.append(ends[-1] + SIZES[kind] * math.prod(shape))
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": ends[-2:]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    return {name: 8 + len(header) + end for name, end in zip(layout, ends, strict=False)}


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that replaces ``path`` on success and is removed on failure.

    Raises:
        BadInput: it cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"cannot write decoded images to {path.parent} ({error.strerror}); name another folder by LOSSATLAS_CACHE"
    )


def _sum(array: npt.NDArray[Any]) -> int:
    """The checksum of an array's bytes."""
    flat = array.reshape(-1).view(np.uint8)
    total = 0
    for start in range(0, len(flat), CHUNK):
        total = zlib.crc32(flat[start : start + CHUNK].data, total)
    return total


def _checksum(names: str, sums: dict[str, int]) -> int:
    return zlib.crc32(json.dumps([names, sorted(sums.items())]).encode())


def _counts(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """A histogram of the values of each channel (C, 256) in images (n, C, H, W)."""
    return np.stack([np.bincount(images[:, c].reshape(-1), minlength=256) for c in range(images.shape[1])])


def _statistics(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean and standard deviation (C,) of values in [0, 1] from their histogram (C, 256).

    Histograms are exact, so that the result does not depend on the order of the images.
    """
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = (shares * values).sum(axis=1)
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where((counts > 0).sum(axis=1) > 1, std, 1.0)
