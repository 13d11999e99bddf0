"""Where pictures come from, and the sizes that they can be asked for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import ClassVar, TypeAlias

from lossatlas.bounds import NamedOptions
from lossatlas.errors import BadInput
from lossatlas.pictures.raster import SMALLEST_SIDE, Raster

__all__ = ["PrefixSource", "Size", "Source", "parse_size", "scale_shape"]

MOST_CELLS = 10**6
"""Each is a network that a survey evaluates."""

Size: TypeAlias = int | tuple[int, ...]
"""An int is the longest side, with the aspect kept; a tuple is the shape: W, H x W or D x H x W."""


class Source(ABC):
    """Something that can be rendered as a picture of any size.

    Attributes:
        name: what the picture is called.
        rank: its number of dimensions, 1 to 3.
        scalable: whether a smaller rendering looks like the picture, so that a fit may begin with a coarse one.
    """

    name: str
    rank: int
    scalable: bool

    @abstractmethod
    def render(self, size: Size | None = None) -> Raster:
        """The picture at a size; None is the source's own size (40 for shapes).

        Raises:
            BadInput: a side would have fewer than four cells, a tuple has another rank than the source, or only
                one class would be left.
        """


@dataclass(frozen=True)
class PrefixSource(NamedOptions, ABC):
    """The options of the sources that the command line knows by a prefix, each a field with a default.

    The prefix is the name of the module in ``lossatlas.pictures.sources``.

    Attributes:
        form: how a source is written, the prefix with what follows in capitals (``"image:FILE"``).
    """

    form: ClassVar[str]

    @abstractmethod
    def open(self, rest: str, invert: bool = False) -> Source:
        """The source for what follows the colon, which is never empty.

        Args:
            rest: a file, words or numbers: what ``form`` says.
            invert: turn ink and background.

        Raises:
            BadInput: the rest cannot be understood or read, or an option does not fit it.
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


def scale_shape(size: Size | None, native: tuple[int, ...], name: str) -> tuple[int, ...]:
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
    if prod(shape) > MOST_CELLS:
        raise BadInput(
            f"picture {name!r} would have {prod(shape):,} cells; expected at most {MOST_CELLS:,}: take a smaller size"
        )
    if min(shape) < SMALLEST_SIDE:
        raise BadInput(
            f"picture {name!r} would be {_written(shape)} cells; "
            f"expected at least {SMALLEST_SIDE} along every side: take a larger size"
        )
    return shape


def _written(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
