"""The errors that lossatlas raises on purpose, and the exit code that each one means.

Every message is one line that says what was wrong, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BadInput",
    "CannotFinish",
    "Caution",
    "Interrupted",
    "LossatlasError",
    "ModelFailure",
    "first_line",
    "unknown",
]


class LossatlasError(Exception):
    """Base of all errors that carry a message for the user; ``exit_code`` is the command line's."""

    exit_code = 1


class BadInput(LossatlasError, ValueError):
    """Input that was refused before anything was computed (exit code 2)."""

    exit_code = 2


class ModelFailure(BadInput):
    """A user's module or loss that fails on the data; found before a run is begun, or in the middle of it."""


class CannotFinish(LossatlasError, RuntimeError):
    """A run that had started and could not be finished (exit code 3); its last checkpoint is kept."""

    exit_code = 3


class Interrupted(LossatlasError):
    """A run that was asked to stop and wrote a checkpoint first (exit code 130)."""

    exit_code = 130


class Caution(UserWarning):
    """What has to be known to read a result rightly; the command line prints it once, in one line."""


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line; with its kind where it says no more than a word."""
    said, kind = next(iter(str(error).splitlines()), ""), type(error).__name__
    return said if " " in said else f"{kind}: {said}" if said else kind


def unknown(kind: str, name: str, choices: Iterable[str], hint: str = "") -> BadInput:
    """The error for a name that nobody knows: the nearest match and all choices.

    >>> str(unknown("picture", "hart", ["heart", "star"]))
    "unknown picture 'hart'; did you mean 'heart'? Choices: heart, star"
    """
    listed = sorted(choices)
    near = get_close_matches(name, listed, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return BadInput(f"unknown {kind} {name!r}; {guess}Choices: {', '.join(listed)}{hint}")
