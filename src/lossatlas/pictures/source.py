"""Where pictures come from, and the sizes that they can be asked for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Self, TypeAlias

from lossatlas.errors import BadInput
from lossatlas.pictures.picture import SMALLEST_SIDE, Picture

__all__ = ["PrefixSource", "Size", "Source", "parse_size", "shape_at"]

Size: TypeAlias = int | tuple[int, ...]
"""An int is the longest side, with the aspect kept; a tuple is the shape: W, H x W or D x H x W."""


class Source(ABC):
    """Something that can be rendered as a picture of any size.

    Attributes:
        name: what the picture is called.
        rank: its number of dimensions, 1 to 3.
    """

    name: str
    rank: int

    @abstractmethod
    def render(self, size: Size | None = None) -> Picture:
        """The picture at a size; None is the source's own size (40 for shapes).

        Raises:
            BadInput: a side would have fewer than four cells, a tuple has another rank than the source, or only
                one class would be left.
        """


class PrefixSource(Source):
    """A source that the command line knows by a prefix: the name of its module in ``lossatlas.pictures.sources``.

    Attributes:
        form: how it is written, the prefix with what follows in capitals (``"image:FILE"``).
    """

    form: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_spec(cls, rest: str, invert: bool) -> Self:
        """The source for what follows the colon; ``invert`` turns ink and background.

        Raises:
            BadInput: the rest cannot be understood or read.
        """


def parse_size(text: str) -> Size:
    """A size as the command line has it: ``40``, ``30x40`` (height x width) or ``12x12x12`` (depth first).

    Raises:
        BadInput: anything else, or a side of fewer than four cells.

    >>> parse_size("40"), parse_size("30x40")
    (40, (30, 40))
    """
    if not re.fullmatch(r"[0-9]{1,6}(x[0-9]{1,6}){0,2}", text):
        raise BadInput(f"{text!r} is not a size; expected a longest side (40), height x width (30x40) or 12x12x12")
    sides = tuple(int(side) for side in text.split("x"))
    if min(sides) < SMALLEST_SIDE:
        raise BadInput(f"the size {text!r} is too small; expected at least {SMALLEST_SIDE} cells along every side")
    return sides[0] if len(sides) == 1 else sides


def shape_at(size: Size | None, native: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape of a source of the shape ``native`` when it is rendered at ``size``.

    Raises:
        BadInput: a side would have fewer than four cells, or a tuple has another rank than the source.
    """
    if size is None:
        shape = native
    elif isinstance(size, tuple):
        shape = size
        if len(shape) != len(native):
            raise BadInput(
                f"picture {name!r} has rank {len(native)} but the size {_written(shape)} has {len(shape)}; "
                f"expected {len(native)} numbers, or one for the longest side"
            )
    else:
        shape = tuple(int(side * size / max(native) + 0.5) for side in native)
    if min(shape) < SMALLEST_SIDE:
        raise BadInput(
            f"picture {name!r} would be {_written(shape)} cells; "
            f"expected at least {SMALLEST_SIDE} along every side: take a larger size"
        )
    return shape


def _written(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
