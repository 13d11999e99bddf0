"""Values without an option before them: the runs that a verb is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

__all__ = ["named"]


def named(tokens: list[str], option: str, *parts: type) -> list[str]:
    """Tokens with those that belong to no option put first, as the values of one.

    They may stand before, between and after the options. After an option that takes a list they would be its values.

    Args:
        tokens: after the verb.
        option: whose values they are; values that it is given by name stay with it.
        parts: dataclasses whose fields are the options. One that is not among them, such as ``--model.depth``, takes
            one value.
    """
    taken = set(_taken(tokens, *parts))
    free = [place for place, token in enumerate(tokens) if place not in taken and not token.startswith("-")]
    if not free:
        return tokens
    rest = [token for place, token in enumerate(tokens) if place not in free]
    return [f"--{option}", *(tokens[place] for place in free), *rest]


def _taken(tokens: list[str], *parts: type) -> Iterator[int]:
    """The places of the tokens that are values of the option before them: one, of a list all, of a switch none."""
    kinds = {field.name: str(field.type) for part in parts for field in fields(part)}
    left = 0.0
    for place, token in enumerate(tokens):
        if token.startswith("--"):
            name, equals, _ = token.removeprefix("--").partition("=")
            kind = kinds.get(name, "str" if "." in name and not name.rpartition(".")[2].startswith("no_") else "bool")
            left = 0 if equals or kind == "bool" else float("inf") if kind.startswith("tuple") else 1
        elif left > 0:
            yield place
            left -= 1
