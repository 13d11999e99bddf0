"""Tensors in safetensors files of unknown origin."""

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
    """An open safetensors file; tensors are read when they are asked for.

    Args:
        file: as safetensors opened it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.names: tuple[str, ...] = tuple(file.keys())
        """Of its tensors."""
        self.metadata: dict[str, str] = dict(file.metadata() or {})
        """What was written beside them."""

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def part(self, name: str) -> Any:
        """A tensor of which only what is indexed is read."""
        return self._file.get_slice(name)


@contextmanager
def open_tensors(path: Path | str) -> Iterator[TensorFile]:
    """A safetensors file to read from.

    Raises:
        Unreadable: it is missing, not a regular file, truncated or damaged; also where a tensor is asked for.
    """
    with open_file(path):  # which refuses pipes, that would be waited for
        pass
    try:
        with safe_open(str(path), framework="pt") as file:
            yield TensorFile(file)
    except LossatlasError:
        raise
    except Exception as error:  # names of numbers that torch lacks, shapes that overflow: each its own kind of error
        raise Unreadable(path, tell_reason(error)) from error


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file by name, and what was written beside them.

    Raises:
        Unreadable: it is missing, not a regular file, truncated or damaged.
    """
    with open_tensors(path) as file:
        # Copies: what is mapped changes with the file, and a file that is cut while it is mapped kills the process.
        return {name: file[name].clone() for name in file.names}, file.metadata


def check_alike(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or numbers than those that they are to stand in for.

    Raises:
        ValueError: some are; names the first.
    """
    for name in expected:
        if name not in found:
            raise ValueError(f"{name!r} is missing")
    for name, value in found.items():
        if name not in expected:
            raise ValueError(f"{name!r} belongs to nothing here")
        wanted = expected[name]
        if (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{name!r} is {value.dtype} of shape {tuple(value.shape)}; expected {wanted.dtype} of shape "
                f"{tuple(wanted.shape)}"
            )
