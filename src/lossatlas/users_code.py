"""Calls of a user's own code: it may fail in any way, and it does not end Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["Exited", "called", "reason"]

P = ParamSpec("P")
R = TypeVar("R")

LONGEST = 400
"""Characters of a reason."""


class Exited(RuntimeError):
    """A user's code asked Python to end, as ``sys.exit`` does; to those who called it, it has failed."""


def called(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What a user's function returns.

    An interrupt passes: nobody can tell whether the code or the person at the keyboard meant it.

    Raises:
        Exited: it asked Python to end.
        Exception: whatever else it raises.
    """
    try:
        return function(*args, **kwargs)
    except SystemExit as error:
        raise Exited(f"it called sys.exit({error.code!r})") from error


def reason(error: BaseException, *, kind: bool = False) -> str:
    r"""Why something failed: all that an error says, in one line.

    Args:
        error: that was raised.
        kind: say of what kind it is, too; where it says no more than a word, that is said anyhow.

    >>> reason(ValueError("expected 3 numbers,\n  got 4")), reason(KeyError("label"))
    ('expected 3 numbers, got 4', "KeyError: 'label'")
    """
    name = type(error).__name__
    try:
        said: Any = " ".join(str(error).split())
    except Exception:  # it is the user's own
        said = ""
    if len(said) > LONGEST:
        said = f"{said[:LONGEST]} ..."
    if not said:
        return name
    return said if " " in said and not kind else f"{name}: {said}"
