"""``members:K``: the members of an ensemble, as low cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from msgspec import Meta

from lossatlas.errors import BadInput
from lossatlas.pictures.members import MemberGrid
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source

__all__ = ["MemberCells"]


@final
@dataclass(frozen=True)
class MemberCells(PrefixSource):
    """K low cells on a grid as square as possible and no high ones: an ensemble on one chart."""

    axes: Annotated[int, Meta(ge=1, le=3, description="1, 2 or 3")] = 2
    """Number of axes that the members lie along: 2 for a plane, 3 for a volume."""

    form: ClassVar[str] = "members:K"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Parse the number of members ``rest``.

        Raises:
            BadInput: it is not a number of two or more, or the picture is to be inverted.
        """
        if not re.fullmatch("[0-9]{1,9}", rest):
            raise BadInput(f"{rest!r} is not a number of members; expected two or more, such as members:16")
        if invert:
            raise BadInput("a grid of members has no high cells, so that it cannot be inverted; leave --invert out")
        return _Members(MemberGrid(int(rest), self.axes))


@final
class _Members(Source):
    scalable = False

    def __init__(self, grid: MemberGrid) -> None:
        self.name = grid.name
        self.rank = grid.rank
        self._grid = grid

    def render(self, size: Size | None = None) -> Raster:
        """Return the grid, whose size follows from the number of members.

        Raises:
            BadInput: a size is given.
        """
        if size is not None:
            raise BadInput("the size of a grid of members follows from their number; leave --size out")
        return self._grid
