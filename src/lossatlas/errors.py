"""The errors that lossatlas raises on purpose, their exit codes, and how errors are written in one line.

Every message is one line that says what is wrong, what was expected and what to do.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

__all__ = [
    "BadInput",
    "CannotFinish",
    "Caution",
    "Interrupted",
    "LossatlasError",
    "ModelFailure",
    "escape_unprintable",
    "format_error",
    "locate_error",
    "make_unknown_error",
    "note_cautions",
    "tell_raised",
    "trace_causes",
]

MOST = 300
"""The most characters of another library's error that are shown: some print the tensors that they were given."""
BYTES = range(0xDC80, 0xDD00)
"""Code points that Python substitutes for bytes that are not UTF-8, in file names and on command lines."""


class LossatlasError(Exception):
    """Base class of all errors that carry a message for the user.

    Attributes:
        exit_code: The exit status of the command line.
    """

    exit_code = 1


class BadInput(LossatlasError, ValueError):
    """Input that was refused before anything was computed (exit code 2)."""

    exit_code = 2


class ModelFailure(BadInput):
    """A user's module or loss failed on the data, before a run was started or during it."""


class CannotFinish(LossatlasError, RuntimeError):
    """A run that was started and could not be finished (exit code 3); its last checkpoint is kept."""

    exit_code = 3


class Interrupted(LossatlasError):
    """A run that was asked to stop and wrote a checkpoint first (exit code 130)."""

    exit_code = 130


class Caution(UserWarning):
    """A warning that matters for the interpretation of a result; the command line prints it once, in one line."""


def locate_error(error: Exception, place: str) -> Exception:
    """Make an error like one of lossatlas's own that also says where it was raised; others are returned as they are.

    >>> locate_error(BadInput("it is empty"), "in survey a")
    BadInput('it is empty (in survey a)')
    """
    if not isinstance(error, LossatlasError):
        return error
    located = type(error).__new__(type(error), f"{error} ({place})")  # whatever the arguments of its class are
    vars(located).update(vars(error))
    located.__cause__ = error
    return located


def trace_causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it, the last one first."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def format_error(error: BaseException, *, kind: bool = False) -> str:
    r"""Write what an error says in one line of bounded length.

    Args:
        error: the error that was raised.
        kind: whether to prefix the type of the error. A message of one word, or none, always has the type.

    >>> format_error(ValueError("expected 3 numbers,\n  got 4")), format_error(KeyError("label"))
    ('expected 3 numbers, got 4', "KeyError: 'label'")
    """
    name = type(error).__name__
    try:
        said = " ".join(str(error).split())
    except Exception:  # the class of the error is other people's code, which may itself fail
        said = ""
    if not said:
        return name
    said = said if len(said) <= MOST else f"{said[: MOST - 1]}\N{HORIZONTAL ELLIPSIS}"
    return said if " " in said and not kind else f"{name}: {said}"


def tell_raised(error: BaseException) -> str:
    """Describe an exception that ends a process, such as SystemExit, raised where an error was due; with its place."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace is not None else ""
    return f"{format_error(error)} was raised{place}; raise an error there, as nothing else says what is wrong"


def escape_unprintable(text: str, keep: str = "") -> str:
    r"""Escape whatever has no glyph in a text: control sequences, invisible characters, bytes that are not UTF-8.

    Args:
        text: any text, of unknown origin.
        keep: characters that are left as they are, such as line breaks.

    >>> print(escape_unprintable("a\x1b[2J\nb"), escape_unprintable("a\nb", keep="\n"))
    a\x1b[2J\nb a
    b
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if code in BYTES else character.encode("unicode_escape").decode()


def make_unknown_error(kind: str, name: str, choices: Iterable[str], hint: str = "") -> BadInput:
    """Make the error for an unknown name, with the nearest match and all choices.

    Args:
        kind: what the name is of, in words.
        name: the unknown name.
        choices: the known names.
        hint: appended to the message.

    >>> str(make_unknown_error("picture", "hart", ["heart", "star"]))
    "'hart' is not a picture; did you mean 'heart'? expected heart, star"
    """
    listed = sorted(choices)
    near = get_close_matches(name, listed, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    article = "an" if kind[:1] in "aeiou" else "a"
    return BadInput(f"{name!r} is not {article} {kind}; {guess}expected {', '.join(listed)}{hint}")


@contextmanager
def note_cautions() -> Iterator[list[str]]:
    """While entered, the text of each :class:`Caution` of this thread is noted once instead of being shown.

    What shows warnings is one for all threads. Where another thread leaves ``warnings.catch_warnings`` later than this
    one, having entered it meanwhile, it puts back what noted cautions here; from then on that only hands them on.
    """
    noted: list[str] = []
    own, ended = threading.get_ident(), False
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if ended or threading.get_ident() != own or not issubclass(category, Caution):
                show(message, category, *where, **how)
            elif (line := str(message)) not in noted:
                noted.append(line)

        warnings.showwarning = note
        try:
            yield noted
        finally:
            ended = True
