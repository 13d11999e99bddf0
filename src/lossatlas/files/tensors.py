"""Reading of tensors from safetensors files of unknown origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from lossatlas.errors import LossatlasError
from lossatlas.files.reading import Unreadable, open_file, tell_reason

__all__ = ["TensorFile", "check_alike", "open_tensors", "read_tensors"]


class TensorFile:
    """An open safetensors file, whose tensors are read when they are accessed.

    Args:
        file: the file as safetensors opened it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.names: tuple[str, ...] = tuple(file.keys())
        """The names of the tensors."""
        self.metadata: dict[str, str] = dict(file.metadata() or {})
        """The metadata of the file."""

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def part(self, name: str) -> Any:
        """Return a lazy tensor, of which only indexed parts are read."""
        return self._file.get_slice(name)


@contextmanager
def open_tensors(path: Path | str) -> Iterator[TensorFile]:
    """Open a safetensors file, within a context.

    Raises:
        Unreadable: the file is missing, not a regular file, truncated or damaged; this is also raised when a tensor is
            read.
    """
    with open_file(path):  # refuses pipes, which would block
        pass
    try:
        with safe_open(str(path), framework="pt") as file:
            yield TensorFile(file)
    except LossatlasError:
        raise
    except Exception as error:  # names of numbers that torch lacks, shapes that overflow: each its own kind of error
        raise Unreadable(path, tell_reason(error)) from error


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a safetensors file by name, and its metadata.

    Raises:
        Unreadable: the file is missing, not a regular file, truncated or damaged.
    """
    with open_tensors(path) as file:
        # Copies, since mapped tensors change with the file, and truncating a mapped file kills the process.
        return {name: file[name].clone() for name in file.names}, file.metadata


def check_alike(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names, shapes or dtypes differ from those expected.

    Raises:
        ValueError: they differ; the message names the first such tensor.
    """
    for name in expected:
        if name not in found:
            raise ValueError(f"{name!r} is missing")
    for name, value in found.items():
        if name not in expected:
            raise ValueError(f"{name!r} is unknown")
        wanted = expected[name]
        if (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{name!r} is {value.dtype} of shape {tuple(value.shape)}; expected {wanted.dtype} of shape "
                f"{tuple(wanted.shape)}"
            )
