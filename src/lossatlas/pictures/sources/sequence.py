"""``sequence:A,B,C``: pictures one behind the other, as a cuboid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

import numpy as np

from lossatlas.bounds import Count
from lossatlas.errors import BadInput
from lossatlas.pictures.names import find_source
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import SMALLEST_SIDE, Raster
from lossatlas.pictures.source import PrefixSource, Size, Source, scale_shape

__all__ = ["PictureSequence"]

DEFAULT_SIZE = 12
BARRED = ("grey", "colour", "sequence")


@final
@dataclass(frozen=True)
class PictureSequence(PrefixSource):
    """Pictures of two axes, separated by commas, in their order along the third axis: a solid.

    All are rendered at one height and width: those that the first has. Options of theirs keep their defaults.
    """

    layers: Count | None = None
    """Number of layers of each picture where the size leaves the depth open; by default the depth is about the longer
    side."""

    form: ClassVar[str] = "sequence:A,B,C"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the pictures ``rest``; ``invert`` inverts each.

        Raises:
            BadInput: a picture that is unknown, grey, coloured, a sequence or not of two axes.
        """
        parts = []
        for spec in map(str.strip, rest.split(",")):
            if spec.partition(":")[0] in BARRED:
                raise BadInput(f"{spec!r} cannot stand in a sequence; expected shapes, images and texts")
            part = find_source(spec, invert)
            if part.rank != 2:
                raise BadInput(f"picture {part.name!r} in a sequence has {part.rank} axes; expected pictures of two")
            parts.append(part)
        return _Sequence(parts, self.layers)


@final
class _Sequence(Source):
    rank = 3

    def __init__(self, parts: list[Source], layers: int | None) -> None:
        self.name = ", ".join(part.name for part in parts)
        self.scalable = all(part.scalable for part in parts)
        self._parts = parts
        self._layers = layers

    def render(self, size: Size | None = None) -> Raster:
        """Render the pictures; the depth of a size of three numbers is shared out. See :meth:`Source.render`.

        A size of one number is the longer side of each picture.
        """
        depth, height, width = self._sides(size)
        if depth < len(self._parts):
            raise BadInput(f"the {len(self._parts)} pictures of sequence {self.name!r} need a depth of as many cells")
        ends = [depth * k // len(self._parts) for k in range(len(self._parts) + 1)]
        pages = []
        for part, (start, end) in zip(self._parts, pairwise(ends), strict=True):
            page = part.render((height, width))
            assert isinstance(page, Picture)
            pages.append(np.repeat(page.cells[None], end - start, axis=0))
        return Picture(np.concatenate(pages), self.name)

    def _sides(self, size: Size | None) -> tuple[int, ...]:
        if isinstance(size, tuple):
            return scale_shape(size, (1,) * self.rank, self.name)
        longest = DEFAULT_SIZE if size is None else size
        count = len(self._parts)
        layers = self._layers if self._layers is not None else max(round(longest / count), -(-SMALLEST_SIDE // count))
        return layers * count, *self._parts[0].render(longest).shape
