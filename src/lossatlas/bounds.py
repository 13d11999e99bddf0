"""What options may be: types and bounds stand in their annotations, and one function checks all of them.

A number whose annotation says nothing else has to be representable in 32 bits, since that is what it becomes: finite,
and not so small that it would round to zero. An integer has to fit into 64 bits.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache, reduce, wraps
from operator import or_
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import Meta

from lossatlas.errors import BadInput

__all__ = [
    "INFINITE",
    "MOST_STEPS",
    "YEAR",
    "BelowOne",
    "Bounded",
    "Count",
    "CountOrZero",
    "Decay",
    "Depth",
    "Elapsed",
    "Fraction",
    "NamedOptions",
    "NotNegative",
    "OpenShare",
    "Positive",
    "Seed",
    "Share",
    "StepCount",
    "Tally",
    "ToInfinity",
    "check_arguments",
    "check_types",
    "check_values",
    "is_ordinary",
    "written",
]

INFINITE = {"infinite": True}
"""Marks a bound that infinity satisfies."""
LARGEST, SMALLEST = 3.4028234663852886e38, 1.1754943508222875e-38
"""The largest and the smallest positive normal number of 32 bits."""
YEAR = 31_557_600
"""Seconds: the longest duration that is accepted."""
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
OpenShare: TypeAlias = Annotated[float, Meta(gt=0, lt=1, description="a number between 0 and 1")]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="a number in [0, 1]")]
BelowOne: TypeAlias = Annotated[float, Meta(ge=0, lt=1, description="a number in [0, 1)")]
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
CountOrZero: TypeAlias = Annotated[int, Meta(ge=0, description="0 or a positive number")]
Depth: TypeAlias = Annotated[int, Meta(le=DEEPEST, description=f"{DEEPEST:,} at most")]
Tally: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, description="a number of steps or bytes")]
Elapsed: TypeAlias = Annotated[float, Meta(ge=0, description="a number of seconds")]
Seed: TypeAlias = Annotated[int, Meta(ge=0, description="a seed of 0 or more")]


PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "Path": Path, "None": NoneType}
"""The types of arguments that are checked, by how annotations spell them."""
WORDS = {int: "whole number", float: "number", bool: "truth value", str: "text", Path: "path"}
"""What users call these types."""
BOOLS = ("bool", "bool_")
"""What truth values of NumPy are called, which are no numbers there."""

P = ParamSpec("P")
R = TypeVar("R")


class Bounded:
    """Base of dataclasses whose values are checked when they are made.

    Raises:
        BadInput: a value is of another type than its field, or a number out of its bounds.
    """

    def __post_init__(self) -> None:
        check_values(self)


class NamedOptions:
    """Base class of the options of a named component; its name is that of the module, and stands in messages.

    Raises:
        BadInput: a value is of another type than its field, or a number out of its bounds.
    """

    def __post_init__(self) -> None:
        check_values(self, f"{type(self).__module__.rpartition('.')[2]}'s ")


def check_values(options: object, whose: str = "") -> None:
    """Refuse values of a dataclass that are of another type, and numbers in it and its tuples that are out of bounds.

    Args:
        options: the dataclass.
        whose: put before the name of the field in a message.

    Raises:
        BadInput: a number is out of its bounds; the message names the field.
    """
    kind: Any = type(options)
    check_types(kind, {name: getattr(options, name) for name in _bounds(kind)}, whose)
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


def check_types(kind: type, values: Mapping[str, object], whose: str = "") -> None:
    """Refuse values for fields of a dataclass that are of another type.

    Args:
        kind: the dataclass.
        values: by the names of its fields.
        whose: stands before the names of fields in a message.

    Raises:
        BadInput: the first that is; names the field.
    """
    hints = _hints(kind)
    for name, value in values.items():
        if not _is_of(value, hints[name]):
            raise _of_another_type(f"{whose}{name}", value, hints[name])


def written(number: float) -> str:
    """Write a number for a message; one of very many digits as a power of ten.

    >>> written(0.5), written(10**400)
    ('0.5', 'about 1e400')
    """
    if not isinstance(number, int) or abs(number) < 10**20:
        return str(number)
    return f"about {'-' if number < 0 else ''}1e{math.log10(abs(number)):.0f}"


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A function that refuses arguments of another type than annotated, as far as that is a plain one (:data:`PLAIN`).

    Raises:
        BadInput: by the function that is returned; names the argument.
    """
    signature = inspect.signature(function)
    hints = {name: _plain(str(each.annotation)) for name, each in signature.parameters.items()}

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if not _is_of(value, hints[name]):
                raise _of_another_type(name, value, hints[name])
        return function(*args, **kwargs)

    return checked


def _plain(annotation: str) -> Any:
    """The type that an annotation spells; Any where something in it is not plain."""
    parts = annotation.split(" | ")
    return reduce(or_, [PLAIN[part] for part in parts]) if set(parts) <= PLAIN.keys() else Any


def _of_another_type(name: str, value: object, hint: Any) -> BadInput:
    return BadInput(f"{name} is {_shown(value)}; expected {_told(hint)}")


def _shown(value: object) -> str:
    """A value in few characters, whatever it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of very many digits
        return "a very large number"


def _told(hint: Any) -> str:
    """What values of a type are called, None aside: ``a positive number``, ``a list of texts``."""
    match get_origin(hint), get_args(hint):
        case origin, (inner, *metadata) if origin is Annotated:
            return next((str(each.description) for each in metadata if isinstance(each, Meta)), _told(inner))
        case origin, parts if origin in (Union, UnionType):
            return " or ".join(_told(part) for part in parts if part is not NoneType)
        case origin, choices if origin is Literal:
            return " or ".join(map(repr, choices))
        case origin, (first, *_) if origin is tuple:
            return f"a list of {WORDS.get(get_args(first)[0] if get_origin(first) is Annotated else first, 'value')}s"
    return f"a {WORDS.get(hint, 'value of another type')}"


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as far as that is plain, or made of plain ones; scalars of NumPy and torch are."""
    match get_origin(hint):
        case origin if origin is Annotated:
            return _is_of(value, get_args(hint)[0])
        case origin if origin in (Union, UnionType):
            return any(_is_of(value, part) for part in get_args(hint))
        case origin if origin is Literal:
            return any(isinstance(value, type(choice)) and value == choice for choice in get_args(hint))
        case origin if origin is tuple:
            return _is_list_of(value, get_args(hint))
    if hint is NoneType:
        return value is None
    if hint in (str, Path):
        return isinstance(value, str) or (hint is Path and isinstance(value, PathLike))
    if hint in (int, float, bool):
        wanted = ("__float__", "__index__") if hint is float else ("__index__",)
        return any(hasattr(value, name) for name in wanted) or (hint is bool and type(value).__name__ in BOOLS)
    return True


def _is_list_of(value: Any, hints: tuple[Any, ...]) -> bool:
    """Whether a value is a list of values of one type, or of one type each; arrays are not looked into."""
    if not isinstance(value, tuple | list):
        return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping)
    kinds = [hints[0]] * len(value) if Ellipsis in hints else hints
    return len(kinds) == len(value) and all(map(_is_of, value, kinds))


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass."""
    return get_type_hints(kind, include_extras=True)


@cache
def _bounds(kind: type) -> dict[str, tuple[Meta, ...]]:
    """The bounds of each field of a dataclass; those of a tuple hold for all that is in it."""
    return {field.name: tuple(_bounds_in(_hints(kind)[field.name])) for field in fields(kind)}


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
