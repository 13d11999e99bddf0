"""What cyclopts refuses, in the words of all other errors: what is wrong, what is expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from lossatlas.cli.app import HELP_ALL, NONE, VERBS

__all__ = ["explain_refusal"]

RENAMED = {
    "draw": ("direction_seed", "repeats"),
    "draws": ("repeats", "direction_seed"),
    "group": ("eval_batch_size",),
    "way": ("trajectory",),
    "path": ("trajectory",),
}
"""By names that options had, or that one may look for, what they are called."""
SPREAD = ("executor", "workers", "ray_address", "claims")
"""Options of verbs whose work can be spread over workers."""
TYPES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
}
"""What an option takes, by its type."""


def explain_refusal(error: CycloptsError) -> str:
    """What is wrong with a command line, in one line."""
    match error:
        case UnusedCliTokensError():
            left = " ".join(error.unused_tokens or ())
            return (
                f"{left!r} is not the value of an option; flags take none (write --name or --no_name), others as many "
                "as --help shows"
            )
        case UnknownOptionError():
            return _explain_unknown_option(error)
        case UnknownCommandError():
            word = (error.unused_tokens or ["?"])[0]
            return f"{word!r} is not a verb; {_guess(word, VERBS)}expected {_list(VERBS)}"
        case MissingArgumentError() if error.argument is not None:
            return _explain_missing(error.argument)
        case RepeatArgumentError():
            return f"{error.token.keyword} is given more than once; give it once"
        case CoercionError() if error.token is not None:
            return _explain_value(error) if error.msg is None else f"{_name(error)}: {error.msg}"
    return " ".join(str(error).split())


def _explain_unknown_option(error: UnknownOptionError) -> str:
    """An option that the verb does not have: the nearest that it has, or what it is called now."""
    word = (error.token.keyword or error.token.value).partition("=")[0]
    verb = " ".join(["lossatlas", *(error.command_chain or ())])
    names = [name for argument in error.argument_collection if argument.parse for name in argument.names]
    whole = word.removeprefix("--")
    renamed = [f"--{name}" for name in RENAMED.get(whole, ()) if f"--{name}" in names]
    head, dot, last = whole.rpartition(".")
    positive = f"--{head}{dot}{last.removeprefix('no_')}"
    if whole in SPREAD:
        hint = "its work is one piece; lossatlas survey, compare and reproduce have tiles or runs for workers"
    elif renamed:
        hint = f"expected {' or '.join(renamed)}"
    elif last.startswith("no_") and positive in names:
        hint = f"expected {positive}, with {NONE} for an empty list"
    elif near := get_close_matches(word, [*names, HELP_ALL], n=1):
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"see {verb} {HELP_ALL}"
    return f"{word} is not an option of {verb}; {hint}"


def _explain_missing(argument: Any) -> str:
    """An option without a value, or with too few, or a value that the verb cannot do without."""
    if not argument.name.startswith("--"):
        return f"{argument.name} is missing; expected it after the verb"
    count, _ = argument.token_count()
    parts = set(_parts(argument.hint))
    kind = next((told for each, told in TYPES.items() if each in parts), "a value")
    pairs = [part for part in (argument.hint, *get_args(argument.hint)) if get_origin(part) is tuple]
    if count > 1 and any(Ellipsis not in get_args(part) for part in pairs):
        return f"{argument.name} has too few values; expected {count} of them"
    if parts & {tuple, list}:
        return f"{argument.name} has no value; expected one or more, or {NONE} for an empty list"
    return f"{argument.name} has no value; expected {kind}"


def _explain_value(error: CoercionError) -> str:
    """A value of another type than that of its option."""
    value = error.token.value if error.token is not None else ""
    if get_origin(error.target_type) is Literal:
        choices = [str(choice) for choice in get_args(error.target_type)]
        return f"{_name(error)} is {value!r}; {_guess(value, choices)}expected {_list(choices)}"
    parts = _parts(error.target_type)
    expected = next((told for each, told in TYPES.items() if each in parts), "another value")
    return f"{_name(error)} is {value!r}; expected {expected}"


def _name(error: CoercionError) -> str:
    """The name of the option, or of the value without one, whose value is refused."""
    if error.token is not None and error.token.keyword:
        return error.token.keyword
    return error.argument.name if error.argument is not None else "a value"


def _parts(hint: Any) -> list[Any]:
    """A type and those that it is made of, generic ones by their origin."""
    return [get_origin(hint) or hint, *(part for each in get_args(hint) for part in _parts(each))]


def _guess(word: str, choices: Iterable[str]) -> str:
    near = get_close_matches(word, list(choices), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _list(choices: Iterable[str]) -> str:
    """``a, b or c``."""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last
