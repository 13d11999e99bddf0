"""``array:FILE.npy``: a mask of one, two or three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from lossatlas.pictures.array import ArraySource
from lossatlas.pictures.source import PrefixSource, Source

__all__ = ["ArrayFile"]


@final
@dataclass(frozen=True)
class ArrayFile(PrefixSource):
    """A ``.npy`` file of +1 (low loss), -1 (high) and 0 (ignored), or of booleans (True low)."""

    form: ClassVar[str] = "array:FILE"

    def open(self, rest: str, invert: bool = False) -> Source:
        return ArraySource(rest, invert=invert)
