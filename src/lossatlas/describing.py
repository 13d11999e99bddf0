"""How objects say in a line what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

__all__ = ["BYTE_UNITS", "count_things", "describe_numbers", "format_bytes", "join_words", "write_repr"]

BYTE_UNITS = {unit: 1000**power for power, unit in enumerate(("bytes", "kB", "MB", "GB", "TB", "PB", "EB"))}
"""How many bytes each unit has, the smallest first."""


def write_repr(thing: object, describe: Callable[[], str]) -> str:
    """The ``repr`` of an object: its class, and what it says of itself in parentheses.

    Args:
        thing: the object, which may lack anything: a debugger shows what is not made yet.
        describe: says what it is; looks at nothing but what is in memory, and evaluates nothing.
    """
    try:
        said = describe()
    except Exception:  # whatever it is that the object lacks
        said = "incomplete"
    return f"{type(thing).__name__}({said})"


def count_things(count: int, thing: str) -> str:
    """A number of things in words.

    >>> count_things(12842, "weight"), count_things(1, "point")
    ('12,842 weights', '1 point')
    """
    return f"{count:,} {thing}{'s' * (count != 1)}"


def join_words(words: Sequence[str]) -> str:
    """Words as a sentence has them.

    >>> join_words(["u"]), join_words(["u", "v"]), join_words(["u", "v", "w"])
    ('u', 'u and v', 'u, v and w')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def describe_numbers(numbers: Mapping[str, float]) -> str:
    """How things stand, in a few words.

    >>> describe_numbers({"loss": 0.51234, "accuracy": 0.75, "lr": 0.1})
    'loss 0.512, accuracy 0.75'
    """
    shown = [name for name in ("loss", "accuracy") if {f"low_{name}", f"high_{name}"} <= numbers.keys()]
    if shown:
        pairs = [f"{name} {numbers[f'low_{name}']:.2f}/{numbers[f'high_{name}']:.2f}" for name in shown]
        return "low/high " + ", ".join(pairs)
    return ", ".join(f"{name} {numbers[name]:.3g}" for name in ("loss", "accuracy") if name in numbers)


def format_bytes(count: float) -> str:
    """Write a number of bytes in a readable unit.

    >>> format_bytes(1536), format_bytes(5e15)
    ('1.54 kB', '5 PB')
    """
    unit = next((unit for unit in BYTE_UNITS if count < 1000 * BYTE_UNITS[unit]), "EB")
    return f"{count / BYTE_UNITS[unit]:,.3g} {unit}"
