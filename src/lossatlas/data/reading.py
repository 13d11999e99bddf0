"""Tables of images with labels, by way of Hugging Face ``datasets``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput, format_error
from lossatlas.files.images import decode_image
from lossatlas.files.reading import open_file

__all__ = ["Part", "Request", "fetch_tables", "find_parts", "list_fingerprints", "read_tables"]

TEST_SPLITS = ("test", "validation", "val")
BANDS = {"L": 1, "RGB": 3}
SAME_VALUES = {"1": "L", "P": "RGB"}
"""Image modes that are converted to another one without loss."""
CHUNK = 512
"""How many images are decoded at a time."""


@dataclass(frozen=True)
class Request:
    """What is requested of a data set; None for columns and splits that are to be recognised."""

    name: str
    config: str | None
    train: str | None
    test: str | None
    image: str | None
    label: str | None


def read_tables(request: Request, folder: Path, scratch: Path) -> Any:
    """Read the splits of a folder in the hub's layout, a ``datasets.DatasetDict``.

    ``datasets`` recognises changes of a folder by its time stamps alone. Its own cache is therefore put into
    ``scratch``, which is deleted, and lossatlas caches decoded images under a key of its own.

    Raises:
        BadInput: the folder is not a data set.
    """
    try:
        return _load(str(folder.resolve()), request.config, str(scratch))
    except Exception as error:  # whatever is in the folder
        raise BadInput(
            f"{folder} cannot be read as a data set ({_reason(error)}); expected files in the hub's layout, such as "
            "train-*.parquet and test-*.parquet, or train/CLASS/*.png"
        ) from error


def fetch_tables(request: Request, name: str) -> Any:
    """Fetch the splits of a data set from the hub, or from the copy that ``datasets`` keeps.

    Raises:
        BadInput: there is no such data set, or neither a network connection nor a copy.
    """
    try:
        return _load(name, request.config, None)
    except FileNotFoundError as error:
        raise BadInput(f"the hub has no data set {name} that can be read ({_reason(error)}); check its name") from error
    except ValueError as error:
        raise BadInput(f"{name} cannot be read from the hub ({_reason(error)}); try --data.config") from error
    except Exception as error:  # whatever a network does
        raise BadInput(
            f"{name} cannot be read from the hub ({_reason(error)}) and is not cached; give a folder with its files: "
            + ("--data FOLDER" if request.name.startswith("hub:") else "--data.folder FOLDER")
        ) from error


def list_fingerprints(tables: Any) -> dict[str, str]:
    """List the fingerprints by which ``datasets`` distinguishes splits and revisions, with the commit on the hub."""
    return {name: table._fingerprint for name, table in tables.items()}


def _load(path: str, config: str | None, cache: str | None) -> Any:
    import datasets  # slow to import, and only needed here

    with _quiet():
        return datasets.load_dataset(path, config, cache_dir=cache)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and messages of ``datasets`` while entered; its settings are restored."""
    import datasets
    import huggingface_hub.utils as hub

    with ExitStack() as stack, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot (dis|en)able progress bars")  # the user's own setting has priority
        for library in (datasets, hub):
            stack.callback(library.logging.set_verbosity, library.logging.get_verbosity())
            library.logging.set_verbosity_error()
            if not library.are_progress_bars_disabled():
                library.disable_progress_bars()
                stack.callback(library.enable_progress_bars)
        yield


def _reason(error: BaseException) -> str:
    """The first line of an error, or of its cause where the error itself only says that something failed."""
    while error.__cause__ is not None and type(error).__name__ == "DatasetGenerationError":
        error = error.__cause__
    return format_error(error).rstrip(".")


@dataclass(frozen=True)
class Part:
    """One split of a table: its labels, and its images, which are decoded on demand."""

    split: str
    labels: npt.NDArray[np.int64]
    """The labels, (N,)."""
    names: tuple[str, ...]
    """The names of the classes; empty where labels are plain integers."""
    shape: tuple[int, int, int]
    """The shape (C, H, W) of the first image."""
    _table: Any
    _column: str

    def images(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Decode all images in order, in batches (n, C, H, W).

        Raises:
            BadInput: an image cannot be decoded, or differs from the first in size or mode.
        """
        for start in range(0, len(self.labels), CHUNK):
            chunk = []
            for pixels in _decoded(self._table, self._column, start, CHUNK):
                _same(self.shape, pixels.shape)
                chunk.append(pixels)
            yield np.ascontiguousarray(np.stack(chunk))


def find_parts(request: Request, tables: Any) -> tuple[Part, Part]:
    """Find the training and the test part of a ``datasets.DatasetDict``.

    Raises:
        BadInput: a split, the column of images or that of labels is missing or ambiguous, labels are missing, or the
            images of the parts have different shapes.
    """
    train = _split(request, tables, "train", ("train",), request.train)
    test = _split(request, tables, "test", TEST_SPLITS, request.test)
    first, second = _part(request, tables[train], train), _part(request, tables[test], test)
    _same(first.shape, second.shape)
    return first, second


def _split(request: Request, tables: Any, option: str, usual: tuple[str, ...], given: str | None) -> str:
    wanted = usual if given is None else (given,)
    for name in wanted:
        if name in tables:
            return name
    raise BadInput(
        f"{request.name} has no split {' or '.join(map(repr, wanted))}; it has {', '.join(tables)}: choose one with "
        f"--data.{option}"
    )


def _part(request: Request, table: Any, split: str) -> Part:
    if not len(table):
        raise BadInput(f"split {split!r} of {request.name} is empty; choose another with --data.train or --data.test")
    table, image = _with_images(request, table)
    labels, names = _labels(request, table, split)
    (first,) = _decoded(table, image, 0, 1)
    return Part(split, labels, names, first.shape, table, image)


def _with_images(request: Request, table: Any) -> tuple[Any, str]:
    """The table with its images as they are stored, and the name of their column, which may be of another type."""
    from datasets import Image

    found = [name for name, feature in table.features.items() if isinstance(feature, Image)]
    column = _column(request, table, "image", found, request.image)
    try:
        # They are decoded here: among the decoders of ``datasets`` are some that call programs.
        return table.cast_column(column, Image(decode=False)), column
    except Exception as error:
        raise BadInput(f"column {column!r} of {request.name} holds no images: {_kinds(table)}") from error


def _labels(request: Request, table: Any, split: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    from datasets import ClassLabel, Value

    classes = [name for name, feature in table.features.items() if isinstance(feature, ClassLabel)]
    integers = [
        name
        for name, feature in table.features.items()
        if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint"))
    ]
    column = _column(request, table, "label", classes or integers, request.label)
    if column not in classes + integers:
        raise BadInput(
            f"column {column!r} of {request.name} holds no labels (classes or integers): {_kinds(table)}; choose "
            "another with --data.label"
        )
    values = table.select_columns([column]).with_format("arrow")[:].column(0)
    if values.null_count or values.to_numpy().min() < 0:
        raise BadInput(
            f"labels are missing in split {split!r} of {request.name} (column {column!r}); choose another split with "
            "--data.train or --data.test"
        )
    names = tuple(table.features[column].names) if column in classes else ()
    return values.to_numpy().astype(np.int64), names


def _column(request: Request, table: Any, kind: str, found: list[str], given: str | None) -> str:
    """The column that was given, or the only one found.

    Raises:
        BadInput: there is no such column, or not exactly one was found.
    """
    if given is not None:
        if given not in table.features:
            raise BadInput(f"{request.name} has no column {given!r}; choose with --data.{kind} from {_kinds(table)}")
        return given
    if len(found) != 1:
        several = f"several columns of {kind}s" if found else f"no column that is clearly of {kind}s"
        raise BadInput(f"{request.name} has {several}; choose one with --data.{kind} from {_kinds(table)}")
    return found[0]


def _kinds(table: Any) -> str:
    """All columns with their types."""
    return ", ".join(
        f"{name} ({getattr(feature, 'dtype', None) if type(feature).__name__ == 'Value' else type(feature).__name__})"
        for name, feature in table.features.items()
    )


def _decoded(table: Any, column: str, start: int, count: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Images (C, H, W), one after the other.

    Raises:
        BadInput: one is missing, cannot be decoded, or is of a mode that is not taken.
    """
    for row, stored in enumerate(table.select_columns([column])[start : start + count][column], start=start):
        if stored is None:
            raise BadInput("an image is missing; remove its row from the data")
        try:
            with open_file(stored["path"]) if stored["bytes"] is None else io.BytesIO(stored["bytes"]) as file:
                image = decode_image(file)
        except ValueError as error:
            raise BadInput(
                f"column {column!r} has something in row {row} that cannot be decoded as an image ({_reason(error)})"
            ) from error
        yield _pixels(image)


def _pixels(image: Any) -> npt.NDArray[np.uint8]:
    """An image (C, H, W)."""
    mode = SAME_VALUES.get(image.mode, image.mode)
    if mode not in BANDS:
        raise BadInput(f"an image has mode {image.mode}; expected grey (L) or colour (RGB) of 8 bits: convert it")
    pixels = np.asarray(image if mode == image.mode else image.convert(mode))
    return pixels[None] if BANDS[mode] == 1 else pixels.transpose(2, 0, 1)


def _same(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    if shape != other:
        one, two = (f"{height}x{width} with {channels} channels" for channels, height, width in (shape, other))
        raise BadInput(f"images must have one size and mode; got {one} and {two}: convert them beforehand")
