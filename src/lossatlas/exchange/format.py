"""The interface of file formats of surveys, and reading and writing by the suffix of a file."""

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
    """A file format of surveys; pure interface.

    Attributes:
        suffixes: The suffixes of its files, in lower case (``".csv"``).
        reads: Whether files are read as well as written.
    """

    suffixes: ClassVar[tuple[str, ...]]
    reads: ClassVar[bool]

    @abstractmethod
    def read(self, path: Path) -> xr.Dataset:
        """Read the survey in a file, with ascending axes.

        Raises:
            BadInput: the file is damaged or incomplete, or the format cannot be read.
        """

    @abstractmethod
    def bytes_of(self, survey: xr.Dataset) -> bytes:
        """Return the content of a file with a survey.

        Raises:
            BadInput: the survey has more axes than the format, or no variables that the format can hold.
        """


FORMATS: Registry[type[Format]] = Registry("format", "lossatlas.exchange.formats")


def list_suffixes() -> list[str]:
    """List the suffixes of files that :func:`read_survey` reads."""
    return sorted(suffix for name in FORMATS if FORMATS[name].reads for suffix in FORMATS[name].suffixes)


def read_survey(path: Path | str) -> xr.Dataset:
    """Read the survey in a file, in the format of its suffix.

    Raises:
        BadInput: the suffix is unknown, the format cannot be read, or the file is missing or damaged.
    """
    path = Path(path)
    form = _format_of(path)
    if not form.reads:
        raise BadInput(
            f"{path} is not in a format that can be read, as {path.suffix} can only be written; expected a file that "
            f"ends in {', '.join(list_suffixes())}"
        )
    if not path.is_file():
        raise BadInput(f"{path} does not exist or is not a file; give a file that ends in {path.suffix}")
    try:
        return form.read(path)
    except Exception as error:  # readers raise many kinds of errors on damaged files
        if isinstance(error, BadInput) and not isinstance(error, Unreadable):
            raise
        reason = tell_reason(error)
        raise BadInput(f"{path} cannot be read, it may be damaged ({reason}); expected {_kind(path)}") from error


def write_survey(survey: xr.Dataset, *paths: Path | str, form: Format | None = None) -> None:
    """Write a survey to files, each in the format of its suffix, atomically.

    All contents are computed before the first file is written.

    Args:
        survey: variables ``<split>_<metric>`` over the chart's axes.
        paths: the files; missing folders are created.
        form: a format with its options, used for all files whatever their suffix.

    Raises:
        BadInput: a suffix is unknown, or the survey does not fit a format; no file is written.
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
            f"{path}: {path.suffix!r} is not the suffix of a known format; expected {', '.join(sorted(every))}"
        )
    return FORMATS[name]()


def _kind(path: Path) -> str:
    return f"a whole {path.suffix} file"
