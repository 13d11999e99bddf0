"""Values without an option before them: the runs that a verb is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

__all__ = ["put_names_first"]


def put_names_first(tokens: list[str], option: str, *parts: type, nested: Mapping[str, type]) -> list[str]:
    """Tokens with those that belong to no option put first, as the values of one.

    They may stand before, between and after the options. After an option that takes a list they would be its values.

    Args:
        tokens: after the verb.
        option: whose values they are; values that it is given by name stay with it.
        parts: dataclasses whose fields are the options.
        nested: by the name of a thing a dataclass whose fields are options of it, such as ``--model.depth``. Of others
            like it nothing is known: they take all that follows.
    """
    kinds = {field.name: str(field.type) for part in parts for field in fields(part)}
    kinds |= {f"{thing}.{field.name}": str(field.type) for thing, part in nested.items() for field in fields(part)}
    taken = set(_taken(tokens, kinds))
    free = [place for place, token in enumerate(tokens) if place not in taken and not token.startswith("-")]
    if not free:
        return tokens
    rest = [token for place, token in enumerate(tokens) if place not in free]
    return [f"--{option}", *(tokens[place] for place in free), *rest]


def _taken(tokens: list[str], kinds: Mapping[str, str]) -> Iterator[int]:
    """The places of the tokens that are values of the option before them: one, of a list all, of a switch none."""
    left = 0.0
    for place, token in enumerate(tokens):
        if token.startswith("--"):
            name, equals, _ = token.removeprefix("--").partition("=")
            thing, dot, last = name.rpartition(".")
            kind = kinds.get(name, "tuple" if dot and f"{thing}.{last.removeprefix('no_')}" not in kinds else "bool")
            left = 0 if equals or "bool" in kind else float("inf") if "tuple" in kind else 1
        elif left > 0:
            yield place
            left -= 1
