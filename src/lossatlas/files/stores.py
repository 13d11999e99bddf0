"""Zarr stores of unknown origin: what their metadata may ask for is checked before zarr and xarray see it.

A description of a hundred bytes can ask for arrays that no memory holds, for more chunks than can be counted, or for
codecs that do more than decode; and a chunk of a kilobyte can unpack to gigabytes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from lossatlas.errors import LossatlasError, format_error
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, convert, open_file, read_json
from lossatlas.files.room import free_room
from lossatlas.files.writing import write_atomically

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CHUNKS",
    "MARKS",
    "METADATA",
    "VOUCHES",
    "ArrayHead",
    "GroupHead",
    "check_arrays_fit",
    "check_store",
    "consolidate",
    "find_dangerous_chunks",
    "holds_marks_of_before",
    "list_folders",
    "open_arrays",
    "open_store",
    "read_head",
    "tell_settings",
]

METADATA = "zarr.json"
"""The file in which zarr describes a group or an array."""
CHUNKS = "c"
"""Where the chunks of an array are, in its folder."""
MARKS = "done"
"""The group in a store whose arrays say which points are evaluated: xarray does not take them for variables."""
VOUCHES = "variables"
"""The attribute of such an array that lists the variables that are written before it."""
MARKS_OF_BEFORE = "_done"
"""How such arrays were called while they lay among the variables."""
MOST_BYTES = 2**36
"""Of all arrays of a store together; and never more than is free."""
MOST_CHUNKS = 2**20
"""Of all arrays of a store together: each is looked for when it is read."""
MOST_ARRAYS = 2**12
MOST_DIMENSIONS = 16
MOST_UNPACKED = 2**26
"""Bytes of a chunk that are harmless whatever its array's description says."""
MOST_TEXT = 2**16
"""Bytes of one text of fixed length."""

SIZES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4,
    "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
"""Bytes of the numbers that surveys are made of."""
TEXT, FIXED_TEXT = "string", "fixed_length_utf32"
"""Of the names of classes, which others may add; the first is as long as it is."""
TEXT_SIZE = 64
"""Bytes that a short text takes in memory."""
SERIALIZERS, PACKERS = ("bytes", "vlen-utf8"), ("zstd", "crc32c")
"""What zarr itself makes bytes of values with, and what it packs these with."""
FRAME = b"\x28\xb5\x2f\xfd"
"""How packed chunks begin: RFC 8878, section 3.1.1."""
FRAME_HEAD, BLOCK_HEAD, CHECK_SUM = 18, 3, 4
"""Bytes of the longest head of a frame, of the head of each block in it, and of a sum at the end; section 3.1.1."""
SKIPPED, SKIPPED_MASK = 0x184D2A50, 0xFFFFFFF0
"""How frames begin that decoders pass over, but for their last four bits: section 3.1.2."""
MOST_BLOCKS = 2**16
"""Of a frame; one of 128 KiB each unpacks to 8 GiB."""


@dataclass(frozen=True)
class Named:
    """Something that metadata name, with its settings."""

    name: str
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Regular:
    chunk_shape: list[int]


@dataclass(frozen=True)
class ArrayHead:
    """What ``zarr.json`` says of an array, as far as memory and time depend on it."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: list[int]
    data_type: str | Named
    chunk_grid: Named
    chunk_key_encoding: Named
    codecs: list[Named]
    attributes: dict[str, Any] = field(default_factory=dict)
    dimension_names: list[str | None] | None = None
    storage_transformers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        sides = convert(self.chunk_grid.configuration, _Regular).chunk_shape
        names = [codec.name for codec in self.codecs]
        separator = self.chunk_key_encoding.configuration.get("separator", "/")
        if self.itemsize is None:
            raise ValueError(f"its values are of type {self.data_type}; expected {', '.join(SIZES)} or {TEXT}")
        if len(self.shape) > MOST_DIMENSIONS or min(self.shape, default=0) < 0:
            raise ValueError(f"its shape is {self.shape}")
        if self.chunk_grid.name != "regular" or len(sides) != len(self.shape) or min(sides, default=1) < 1:
            raise ValueError(f"its chunks are {self.chunk_grid.name} of shape {sides}")
        if self.dimension_names is not None and len(self.dimension_names) != len(self.shape):
            raise ValueError(f"it has {len(self.dimension_names)} names of {len(self.shape)} dimensions")
        if self.chunk_key_encoding.name not in ("default", "v2") or separator not in ("/", "."):
            raise ValueError(f"its chunks are found by {self.chunk_key_encoding.name!r} with {separator!r}")
        packed = names[:1] and names[0] in SERIALIZERS and set(names[1:]) <= set(PACKERS)
        if not packed or len(set(names)) < len(names) or self.storage_transformers:
            raise ValueError(
                f"its codecs are {', '.join(map(repr, names)) or 'none'}; expected one of {', '.join(SERIALIZERS)}, "
                f"then {' or '.join(PACKERS)}"
            )

    @property
    def itemsize(self) -> int | None:
        """Bytes of a value in memory; None where it is of a type that surveys are not made of."""
        if isinstance(self.data_type, str):
            return TEXT_SIZE if self.data_type == TEXT else SIZES.get(self.data_type)
        length = self.data_type.configuration.get("length_bytes")
        fixed = self.data_type.name == FIXED_TEXT and isinstance(length, int) and 0 < length <= MOST_TEXT
        return length if fixed else None

    @property
    def chunk_shape(self) -> list[int]:
        """The sides of its chunks."""
        sides: list[int] = self.chunk_grid.configuration["chunk_shape"]
        return sides

    @property
    def form(self) -> ArrayHead:
        """Itself without its attributes."""
        return replace(self, attributes={})

    @property
    def chunks(self) -> int:
        """How many there are."""
        return prod(ceil(length / side) for length, side in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk in memory."""
        return prod(self.chunk_shape) * (self.itemsize or 0)

    @property
    def memory(self) -> int:
        """Bytes in memory of the array, or of one of its chunks if that is larger."""
        return max(prod(self.shape) * (self.itemsize or 0), self.chunk_bytes)


@dataclass(frozen=True)
class Consolidated:
    """What a group says of its arrays in their stead."""

    metadata: dict[str, ArrayHead]


@dataclass(frozen=True)
class GroupHead:
    """What ``zarr.json`` says of a group."""

    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: dict[str, Any] = field(default_factory=dict)
    consolidated_metadata: Consolidated | None = None


def open_arrays(where: Any) -> xr.Dataset:
    """The data set in a zarr group that is known to be sound, not read yet; folders of others in it are passed over.

    Args:
        where: as zarr takes it; as a path an absolute one, for xarray takes ``~`` for a home directory.

    Raises:
        Exception: of many kinds, zarr's and xarray's, where it is damaged all the same.
    """
    import xarray as xr  # slow to import

    with warnings.catch_warnings():  # zarr's, of what others are writing, or left there; a name may have several lines
        warnings.filterwarnings("ignore", message=r"(?s)Object at .* is not recognized")
        found: xr.Dataset = xr.open_zarr(where, consolidated=False, chunks=None)
    return _without_marks_of_before(found)


def _without_marks_of_before(found: xr.Dataset) -> xr.Dataset:
    """A survey whose marks lie among its variables as it would be read had they been moved; see :data:`MARKS`."""
    for name, marks in found.data_vars.items():
        if holds_marks_of_before(str(name), marks.attrs):
            told = tell_settings(marks.attrs)
            found = found.drop_vars(str(name))
            for variable in marks.attrs[VOUCHES]:
                if variable in found:
                    found[variable].attrs = {**told, **found[variable].attrs}
    return found


def holds_marks_of_before(name: str, attributes: Mapping[Any, Any]) -> bool:
    """Whether an array that lies among the variables says which points are evaluated, by its name and attributes."""
    names = attributes.get(VOUCHES)
    return name.endswith(MARKS_OF_BEFORE) and isinstance(names, list) and all(isinstance(each, str) for each in names)


def open_store(path: Path) -> xr.Dataset:
    """The data set in a zarr store, not read yet.

    Raises:
        BadInput: the store is damaged, or asks for what it may not; see :func:`check_store`.
    """
    check_store(path)
    try:
        return open_arrays(str(path.absolute()))
    except Exception as error:  # zarr and xarray have many ways to find a store damaged
        raise Unreadable(path, format_error(error)) from error


def tell_settings(marks: Mapping[Any, Any]) -> dict[Any, Any]:
    """What variables say of their data and settings, by the attributes of the marks that vouch for them.

    A hash called ``data`` is ``data_hash`` there: an attribute of that name is the values themselves to scipy's netCDF.
    """
    return {"data_hash" if key == "data" else key: value for key, value in marks.items() if key != VOUCHES}


def check_store(path: Path) -> None:
    """Refuse a store that leads out of its folder, or that would take more memory or time than it may.

    A chunk that is merely damaged is found when it is read.

    Raises:
        BadInput: it does, or the description of the store or of one of its arrays cannot be read.
    """
    check_inside(path)
    group = read_json(path / METADATA, GroupHead)
    if (path / MARKS / METADATA).exists():
        read_json(path / MARKS / METADATA, GroupHead)
    parts = [part for part in list_folders(path) if (part / METADATA).exists()]
    if len(parts) > MOST_ARRAYS:
        raise Unreadable(path, f"it holds {len(parts):,} arrays, more than {MOST_ARRAYS:,}")
    heads = {part: read_json(part / METADATA, ArrayHead) for part in parts}
    told = group.consolidated_metadata.metadata if group.consolidated_metadata is not None else {}
    own = {part.relative_to(path).as_posix(): head.form for part, head in heads.items()}
    if odd := next((name for name, head in told.items() if own.get(name) != head.form), None):
        raise Unreadable(path / METADATA, f"it says of {odd!r} what its own description does not say")
    check_arrays_fit(path, list(heads.values()))
    for part, head in heads.items():
        for chunk, reason in find_dangerous_chunks(part, head):
            raise Unreadable(chunk, reason)


def list_folders(path: Path) -> list[Path]:
    """The folders in a store that may hold an array: variables first, then marks; see :data:`MARKS`."""
    variables = sorted(each for each in path.iterdir() if each.is_dir() and each.name != MARKS)
    marks = sorted(each for each in (path / MARKS).iterdir() if each.is_dir()) if (path / MARKS).is_dir() else []
    return [*variables, *marks]


def consolidate(path: Path, without: str | None = None) -> None:
    """Repeat what the variables of a store say of themselves in the store's own description, where xarray looks first.

    Without this :func:`xarray.open_zarr` warns. Whoever takes a variable away, or makes another one in its place, does
    this first without it and then again, so that the description is right whenever it is read.

    Args:
        path: of the store.
        without: the name of a variable that is left out.

    Raises:
        Unreadable: the store's own description is damaged.
        CannotFinish: the disk refuses.
    """
    own, variables = read_json(path / METADATA, dict[str, Any]), {}
    for folder in list_folders(path):
        if folder.name == without or folder.parent != path:
            continue
        try:
            head = read_json(folder / METADATA, ArrayHead)
        except Unreadable:  # which whoever reads it will say
            continue
        if not holds_marks_of_before(folder.name, head.attributes):
            variables[folder.name] = read_json(folder / METADATA, dict[str, Any])
    told = {"kind": "inline", "must_understand": False, "metadata": variables}
    if own.get("consolidated_metadata") != told:
        write_atomically(path / METADATA, json.dumps({**own, "consolidated_metadata": told}, indent=2).encode())


def read_head(array: Path) -> ArrayHead:
    """The description of an array in its folder.

    Raises:
        Unreadable: it cannot be read, or asks for what it may not.
    """
    head = read_json(array / METADATA, ArrayHead)
    check_arrays_fit(array / METADATA, [head])
    return head


def check_arrays_fit(path: Path, heads: list[ArrayHead]) -> None:
    """Refuse arrays that together take more than there is.

    Raises:
        Unreadable: they do.
    """
    needed, room = sum(head.memory for head in heads), min(MOST_BYTES, free_room())
    if needed > room:
        raise Unreadable(path, f"it asks for {needed:,} bytes of memory, and {room:,} are there for it")
    if (count := sum(head.chunks for head in heads)) > MOST_CHUNKS:
        raise Unreadable(
            path,
            f"it has {count:,} chunks, more than the {MOST_CHUNKS:,} that are looked through; survey fewer points, "
            "or read it part by part with xarray.open_zarr",
        )


def find_dangerous_chunks(array: Path, head: ArrayHead) -> Iterator[tuple[Path, str]]:
    """The chunks in an array's folder that may unpack to far more than they should, and what is wrong with each.

    Those that are merely damaged are not among them: decoding them fails, and takes no more than a whole one.
    """
    names = [codec.name for codec in head.codecs]
    around = CHECK_SUM if names[-1] == "crc32c" else 0
    for chunk in sorted(array.rglob("*")):
        if chunk.name == METADATA or not chunk.is_file():
            continue
        try:
            reason = _excess(size := chunk.stat().st_size, head)
            if reason is None and "zstd" in names:
                with open_file(chunk) as file:
                    reason = _danger(file, size - around, head)
        except (OSError, LossatlasError):  # gone again, or whoever reads it will say so
            continue
        if reason is not None:
            yield chunk, reason


def _excess(size: int, head: ArrayHead) -> str | None:
    """Why a chunk that unpacks to so many bytes cannot be one of its array; None where it may be."""
    if size <= max(2 * head.chunk_bytes, MOST_UNPACKED):
        return None
    return f"it unpacks to {size:,} bytes, and a chunk of its array has {head.chunk_bytes:,}"


def _danger(file: BinaryIO, end: int, head: ArrayHead) -> str | None:
    """Why a packed chunk may unpack to more than it should; None where it does not, or fails when it is read.

    What follows a frame up to the end is unpacked with it, where it is another frame; and so is what follows a frame
    that is to be skipped. Chunks are not packed like that.
    """
    frame = file.read(FRAME_HEAD)
    if not frame.startswith(FRAME):
        return _strange(frame)
    if len(frame) < 6:
        return None
    descriptor = frame[4]
    single = descriptor >> 5 & 1
    start = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    length = (single, 2, 4, 8)[descriptor >> 6]
    if not length:
        return "it does not say to how many bytes it unpacks"  # as frames of zarr do
    size = int.from_bytes(frame[start : start + length], "little") + (256 if length == 2 else 0)
    if (reason := _excess(size, head)) is not None:
        return reason
    place, last = start + length, False
    for _ in range(MOST_BLOCKS):
        file.seek(place)
        if len(header := file.read(BLOCK_HEAD)) < BLOCK_HEAD:
            return None
        block = int.from_bytes(header, "little")
        last, repeated = bool(block & 1), block >> 1 & 3 == 1
        place += BLOCK_HEAD + (1 if repeated else block >> 3)
        if last or place >= end:
            break
    else:
        return f"it has more than {MOST_BLOCKS:,} blocks"
    place += CHECK_SUM if descriptor >> 2 & 1 else 0
    file.seek(place)
    return _strange(file.read(min(len(FRAME), end - place))) if place < end else None


def _strange(start: bytes) -> str | None:
    """Why something that begins so, and not where a chunk does or not as it does, may unpack to anything."""
    if len(start) < len(FRAME):
        return None
    if int.from_bytes(start[:4], "little") & SKIPPED_MASK == SKIPPED:
        return "it has a part that is to be skipped"
    # The last three bytes are also those of the format's first versions.
    return "it is not a single frame of Zstandard" if start[1:4] == FRAME[1:] else None
