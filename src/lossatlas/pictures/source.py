"""Sources of pictures, and the sizes at which they are rendered."""

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
"""The most cells of a picture; a survey evaluates a network for each."""

Size: TypeAlias = int | tuple[int, ...]
"""A size: an integer is the longest side, with the aspect ratio kept; a tuple is the shape W, H x W or D x H x W."""


class Source(ABC):
    """A source that can be rendered as a picture of any size.

    Attributes:
        name: The name of the picture.
        rank: Its number of dimensions, 1 to 3.
        scalable: Whether a smaller rendering resembles the picture, so that a fit may start with a coarse one.
    """

    name: str
    rank: int
    scalable: bool

    @abstractmethod
    def render(self, size: Size | None = None) -> Raster:
        """Render the picture at a size; None for the default size of the source (40 for shapes).

        Raises:
            BadInput: a side would have fewer than four cells, a tuple has another rank than the source, or only
                one class would be left.
        """


@dataclass(frozen=True)
class PrefixSource(NamedOptions, ABC):
    """The options of a source with a prefix, each a field with a default.

    The prefix is the name of the module in ``lossatlas.pictures.sources``.

    Attributes:
        form: How a source is written, the prefix with what follows in capitals (``"image:FILE"``).
    """

    form: ClassVar[str]

    @abstractmethod
    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the source for what follows the colon.

        Args:
            rest: a file, words or numbers, as ``form`` says; not empty.
            invert: whether to exchange ink and background.

        Raises:
            BadInput: the rest is not valid or cannot be read, or an option does not fit it.
        """


def parse_size(text: str) -> Size:
    """Parse a size: ``40``, ``30x40`` (height x width) or ``12x12x12`` (depth first).

    Raises:
        BadInput: the text is not a size, or a side has fewer than four cells.

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
    """Compute the shape at which a source with the default shape ``native`` is rendered at ``size``.

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
