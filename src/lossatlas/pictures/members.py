"""Grids of members: cells that are low and nothing else, each a network of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from lossatlas.bounds import check_values
from lossatlas.errors import BadInput
from lossatlas.pictures.raster import Raster, TargetVariable
from lossatlas.schema import AXES, TARGET

__all__ = ["MemberGrid"]

LONGEST_SIDE = 1000
"""The most cells along a side."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class MemberGrid(Raster):
    """A number of low cells on a grid as square as possible, row by row from the top; the last row may be shorter.

    The geometry is that of :class:`Raster`. There are no high cells, and cells without a member are ignored.

    Args:
        count: the number of members, two or more.
        rank: the number of axes: 1 for a line, 2 for a plane, 3 for a volume.

    Raises:
        BadInput: fewer than two members, another number of axes, or too many members for it.

    Example:
        >>> import lossatlas as la
        >>> la.MemberGrid(16).shape, la.MemberGrid(31).shape, la.MemberGrid(31, rank=3).shape
        ((4, 4), (6, 6), (3, 3, 4))
        >>> la.MemberGrid(31).member_coords().shape
        (31, 2)
    """

    count: int
    rank: int = 2

    def __post_init__(self) -> None:
        check_values(self, "a grid of members' ")
        if self.count < 2:
            raise BadInput(f"an ensemble of {self.count} members is asked for; expected two or more")
        if not 1 <= self.rank <= len(AXES):
            raise BadInput(f"members are asked for along {self.rank} axes; expected 1, 2 or 3")
        if self.count > LONGEST_SIDE**self.rank or self.count > LONGEST_SIDE**2:
            most = min(LONGEST_SIDE**self.rank, LONGEST_SIDE**2)
            raise BadInput(f"{self.count:,} members are asked for; expected {most:,} at most along {self.rank} axes")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the picture, for reports and messages."""
        return f"{self.count:,} members"

    @property
    def shape(self) -> tuple[int, ...]:
        left, sides = self.count, list[int]()
        for axes in range(self.rank, 0, -1):
            side = next(n for n in range(1, left + 1) if n**axes >= left)
            sides.append(max(2, side))  # a chart varies along each of its axes
            left = max(1, -(-left // sides[-1]))
        return tuple(reversed(sides))

    @property
    def low(self) -> npt.NDArray[np.bool_]:
        """The cells of the members, a boolean array of the shape of the grid."""
        return (np.arange(np.prod(self.shape)) < self.count).reshape(self.shape)

    @property
    def target(self) -> npt.NDArray[np.float64]:
        """The target: -1 for members, NaN for cells that are ignored."""
        return np.where(self.low, -1.0, np.nan)

    def list_variables(self, padding: int, loss_units: str) -> Sequence[TargetVariable]:
        attributes = {"long_name": f"target: {self.name}", "units": "1", "flags": "+1 member, 0 ignored"}
        return [TargetVariable(TARGET, self.to_grid(self.low.astype(np.int8), padding, 0), attributes)]

    def member_coords(self) -> npt.NDArray[np.float64]:
        """Return the coordinates of the members (K, d), in the order of the axes."""
        return self.coords()[self.low]
