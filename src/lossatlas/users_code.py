"""Calls of a user's own code: it may fail in any way, and it does not end Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["Exited", "call_user_code"]

P = ParamSpec("P")
R = TypeVar("R")


class Exited(RuntimeError):
    """A user's code asked Python to end, as ``sys.exit`` does; to those who called it, it has failed."""


def call_user_code(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
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
