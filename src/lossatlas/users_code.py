"""Calls of user code, which may fail in any way, and must not end the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["Exited", "call_user_code"]

P = ParamSpec("P")
R = TypeVar("R")


class Exited(RuntimeError):
    """User code tried to end Python, as ``sys.exit`` does; it counts as a failure of that code."""


def call_user_code(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a user's function and return its result.

    A KeyboardInterrupt passes, since it may have come from the keyboard.

    Raises:
        Exited: the function tried to end Python.
        Exception: any other exception that the function raises.
    """
    try:
        return function(*args, **kwargs)
    except SystemExit as error:
        raise Exited(f"it called sys.exit({error.code!r})") from error
