"""What a file format of surveys is, and reading and writing by a file's suffix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.files.reading import Unreadable, tell_reason
from lossatlas.files.writing import write_atomically
from lossatlas.registry import Registry

__all__ = ["FORMATS", "Format", "list_suffixes", "read_survey", "write_survey"]


class Format(ABC):
    """One file format of surveys; pure interface.

    Attributes:
        suffixes: the ends of its files' names, in lower case (``".csv"``).
        reads: whether files are read as well as written.
    """

    suffixes: ClassVar[tuple[str, ...]]
    reads: ClassVar[bool]

    @abstractmethod
    def read(self, path: Path) -> xr.Dataset:
        """The survey in a file, its axes ascending.

        Raises:
            BadInput: the file is damaged or lacks something, or the format is only written.
        """

    @abstractmethod
    def bytes_of(self, survey: xr.Dataset) -> bytes:
        """The content of a file with this survey.

        Raises:
            BadInput: the survey has more axes than the format, or nothing that could be in such a file.
        """


FORMATS: Registry[type[Format]] = Registry("format", "lossatlas.exchange.formats")


def list_suffixes() -> list[str]:
    """The ends of the names of files that :func:`read_survey` reads."""
    return sorted(suffix for name in FORMATS if FORMATS[name].reads for suffix in FORMATS[name].suffixes)


def read_survey(path: Path | str) -> xr.Dataset:
    """The survey in a file, in the format that its suffix says.

    Raises:
        BadInput: nobody knows the suffix, or the format is only written; there is no such file, or it is damaged.
    """
    path = Path(path)
    form = _format_of(path)
    if not form.reads:
        raise BadInput(
            f"{path} cannot be read, {path.suffix} is only written; files that are read end in "
            f"{', '.join(list_suffixes())}"
        )
    if not path.is_file():
        raise BadInput(f"{path} does not exist or is not a file; give a file that ends in {path.suffix}")
    try:
        return form.read(path)
    except Exception as error:  # what reads a file has many ways to find it damaged
        if isinstance(error, BadInput) and not isinstance(error, Unreadable):
            raise
        reason = tell_reason(error)
        raise BadInput(f"{path} cannot be read, it may be damaged ({reason}); expected {_kind(path)}") from error


def write_survey(survey: xr.Dataset, *paths: Path | str, form: Format | None = None) -> None:
    """Write a survey to files, each in the format that its suffix says; a file appears whole or not at all.

    All contents are made before the first file is written.

    Args:
        survey: variables ``<split>_<metric>`` over the chart's axes.
        paths: the files; folders are made if need be.
        form: a format with options of its own, for all files whatever their suffix.

    Raises:
        BadInput: nobody knows a suffix, or the survey does not fit a format; nothing is written.
        CannotFinish: the disk is full or a file cannot be written.
    """
    chosen = {Path(path): form if form is not None else _format_of(Path(path)) for path in paths}
    contents = {path: each.bytes_of(survey) for path, each in chosen.items()}
    for path, content in contents.items():
        write_atomically(path, content, folders=True)


def _format_of(path: Path) -> Format:
    every = {suffix: name for name in FORMATS for suffix in FORMATS[name].suffixes}
    name = every.get(path.suffix.lower())
    if name is None:
        raise BadInput(
            f"{path}: no format has the suffix {path.suffix!r}; expected a name that ends in {', '.join(sorted(every))}"
        )
    return FORMATS[name]()


def _kind(path: Path) -> str:
    return f"a whole {path.suffix} file"
