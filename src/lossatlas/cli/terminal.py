"""What reaches the terminal: lines without anything that steers it, and streams that may have no reader."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from lossatlas.errors import escape_unprintable

__all__ = ["Stream", "guard_streams", "note", "say"]

LONGEST = 4000
"""Characters of a line on standard error."""


def say(text: str, keep: str = "") -> None:
    """Print to standard output; whatever has no glyph is escaped, except the characters to ``keep``."""
    print(escape_unprintable(text, keep))


def note(text: str) -> None:
    """Print one line to standard error, under the program's name; whatever has no glyph is escaped."""
    line = escape_unprintable(" ".join(text.split()))
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    print(f"lossatlas: {line}", file=sys.stderr)


class Stream:
    """A stream to which writing never fails: once it cannot be written, it takes everything and keeps nothing.

    A run goes on whether or not its messages are read.

    Args:
        inner: the stream; None where the process was started without it.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self._inner = inner
        self.failure: Exception | None = None
        """What the system said when it could not be written."""

    def write(self, text: str) -> int:
        """Write a text, unless the stream has failed; returns its length in any case."""
        try:
            if self._inner is not None and self.failure is None:
                self._inner.write(text)
        except UnicodeEncodeError:
            encoding = getattr(self._inner, "encoding", None) or "ascii"
            self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # a closed file is a ValueError
            self._give_up(error)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write lines, unless the stream has failed."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream, unless it has failed."""
        try:
            if self._inner is not None and self.failure is None:
                self._inner.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return self._inner is not None and self._inner.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner if self._inner is not None else io.StringIO(), name)

    def _give_up(self, error: Exception) -> None:
        self.failure = error
        with suppress(OSError, ValueError):
            # What is left in the buffer would fail once more when Python ends, with a traceback.
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self.fileno())
            os.close(sink)
            self._inner.flush()  # type: ignore[union-attr]


@contextmanager
def guard_streams() -> Iterator[Stream]:
    """While entered, standard output and standard error are such streams; gives that of the output."""
    _occupy()
    before = sys.stdout, sys.stderr
    out, errors = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, errors)
    try:
        yield out
    finally:
        out.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """Open what was closed of the three standard files: a file of a run would take its number, and C code's words."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
