"""Which numbers options take: their bounds stand in their annotations, and one function checks all of them.

A number whose annotation says nothing else has to be representable in 32 bits, since that is what it becomes: finite,
and not so small that it would round to zero. An integer has to fit into 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from msgspec import Meta

from lossatlas.errors import BadInput

__all__ = [
    "INFINITE",
    "MOST_STEPS",
    "YEAR",
    "Bounded",
    "Count",
    "Decay",
    "Depth",
    "Elapsed",
    "Fraction",
    "NamedOptions",
    "NotNegative",
    "Positive",
    "Seed",
    "Share",
    "StepCount",
    "Tally",
    "ToInfinity",
    "check_numbers",
    "is_ordinary",
    "written",
]

INFINITE = {"infinite": True}
"""Marks a bound that infinity satisfies."""
LARGEST, SMALLEST = 3.4028234663852886e38, 1.1754943508222875e-38
"""The largest and the smallest positive normal number of 32 bits."""
YEAR = 31_557_600
"""A year in seconds, the upper bound of every time."""
DEEPEST = 10_000
"""The most layers that a network may have: each is a Python object, whatever its width."""
STEP_SECONDS = 5e-5
"""The shortest time in seconds that a step of an optimiser takes; one linear layer took 300 us on two cores."""
MOST_STEPS = int(YEAR / STEP_SECONDS)
"""The most steps of a fit or a training: those of a year."""

Positive: TypeAlias = Annotated[float, Meta(gt=0, description="a positive number")]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0, description="0 or a positive number")]
ToInfinity: TypeAlias = Annotated[float, Meta(gt=0, description="a positive number, or inf", extra=INFINITE)]
Decay: TypeAlias = Annotated[float, Meta(ge=0, lt=1, description="a number in [0, 1)")]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="a number in [0, 1]")]
Fraction: TypeAlias = Annotated[float, Meta(gt=0, le=1, description="a number in (0, 1]")]
StepCount: TypeAlias = Annotated[
    int,
    Meta(
        ge=1,
        le=MOST_STEPS,
        description=f"a positive number, {MOST_STEPS:,} at most: a year of steps of {1e6 * STEP_SECONDS:.0f} us",
    ),
]
Count: TypeAlias = Annotated[int, Meta(ge=1, description="a positive number")]
Depth: TypeAlias = Annotated[int, Meta(le=DEEPEST, description=f"{DEEPEST:,} at most")]
Tally: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="a number of steps or bytes")]
Elapsed: TypeAlias = Annotated[float, Meta(ge=0, description="a number of seconds")]
Seed: TypeAlias = Annotated[int, Meta(ge=0, description="a seed of 0 or more")]


class Bounded:
    """Base class of dataclasses whose numbers are checked on construction.

    Raises:
        BadInput: a number is out of its bounds.
    """

    def __post_init__(self) -> None:
        check_numbers(self)


class NamedOptions:
    """Base class of the options of a named component; its name is that of the module, and stands in messages.

    Raises:
        BadInput: a number is out of its bounds.
    """

    def __post_init__(self) -> None:
        check_numbers(self, f"{type(self).__module__.rpartition('.')[2]}'s ")


def check_numbers(options: object, whose: str = "") -> None:
    """Refuse a dataclass if one of its numbers, or one in its tuples, violates the bounds of its annotation.

    Args:
        options: the dataclass.
        whose: put before the name of the field in a message.

    Raises:
        BadInput: a number is out of its bounds; the message names the field.
    """
    kind: Any = type(options)
    for name, bounds in _bounds(kind).items():
        value = getattr(options, name)
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            expected = next((str(bound.description) for bound in bounds if not _within(number, bound)), None)
            if expected is None and not is_ordinary(number, bounds):
                what = next((str(bound.description) for bound in bounds), "a number")
                size = f"{SMALLEST:.2g} to {LARGEST:.2g}" if isinstance(number, float) else "below 2^63"
                expected = f"{what} of ordinary size ({size})"
            if expected is not None:
                raise BadInput(f"{whose}{name} is {written(number)}; expected {expected}")


def written(number: float) -> str:
    """Write a number for a message; one of very many digits as a power of ten.

    >>> written(0.5), written(10**400)
    ('0.5', 'about 1e400')
    """
    if not isinstance(number, int) or abs(number) < 10**20:
        return str(number)
    return f"about {'-' if number < 0 else ''}1e{math.log10(abs(number)):.0f}"


@cache
def _bounds(kind: type) -> dict[str, tuple[Meta, ...]]:
    """The bounds of each field of a dataclass; those of a tuple hold for each of its elements."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: tuple(_bounds_in(hints[field.name])) for field in fields(kind)}


def _bounds_in(hint: Any) -> Iterator[Meta]:
    if get_origin(hint) is Annotated:
        yield from (each for each in hint.__metadata__ if isinstance(each, Meta))
    for part in get_args(hint):
        yield from _bounds_in(part)


def _within(number: float, bound: Meta) -> bool:
    """Whether a number lies in an interval; NaN lies in none."""
    return (
        (bound.gt is None or number > bound.gt)
        and (bound.ge is None or number >= bound.ge)
        and (bound.lt is None or number < bound.lt)
        and (bound.le is None or number <= bound.le)
    )


def is_ordinary(number: float, bounds: Iterable[Meta] = ()) -> bool:
    """Whether 32 bits hold a number, or 64 bits an integer; infinity counts only where a bound allows it."""
    if isinstance(number, int):
        return -(2**63) <= number < 2**63
    if math.isinf(number) and any((bound.extra or {}).get("infinite") for bound in bounds):
        return True
    return number == 0 or SMALLEST <= abs(number) <= LARGEST
