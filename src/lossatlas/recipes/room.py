"""Checks of requested points, steps and vectors against memory, disk space and time, before any allocation.

All estimates are lower bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lossatlas.bounds import YEAR
from lossatlas.describing import format_bytes
from lossatlas.errors import BadInput
from lossatlas.free_memory import free_disk, free_memory
from lossatlas.schema import TILE_POINTS

__all__ = ["Extent", "check_disk", "check_memory"]

POINT_SECONDS = 1e-5
"""The least seconds per point and split. A linear layer of two inputs took 1e-4 s on eight examples and two cores, and
three times that with its values written to a disk."""
NUMBER_BYTES = 14
"""The bytes in memory for each number of a survey while it is summarised; drawing takes five times as much."""
BLOCK = 4096
"""The least bytes of a file on a disk; each tile has one file for each of its variables."""


@dataclass(frozen=True)
class Extent:
    """The size of a survey, or of several of one kind.

    Attributes:
        points: The number of points that are evaluated.
        splits: The number of splits on which each point is evaluated.
        numbers: The least number of values of a point on each split.
        tile_points: The number of points that are stored together, about.
    """

    points: int
    splits: int
    numbers: int
    tile_points: int = TILE_POINTS

    @property
    def variables(self) -> int:
        """Return the number of values of a point."""
        return self.splits * self.numbers

    @property
    def memory(self) -> int:
        """Return the memory in bytes."""
        return self.points * self.variables * NUMBER_BYTES

    @property
    def disk(self) -> int:
        """Return the disk space in bytes, including a mark of progress and the kind of device for each split."""
        return -(-self.points // self.tile_points) * (self.variables + 2 * self.splits) * BLOCK

    @property
    def hours(self) -> float:
        """Return the hours of evaluation."""
        return self.points * self.splits * POINT_SECONDS / 3600

    def check(self, options: str, dimensions: str = "") -> None:
        """Refuse more points than fit the memory, or than can be evaluated in a year.

        Args:
            options: the options that ask for the points, as the message names them.
            dimensions: the number of points along each axis, in words; may be empty.

        Raises:
            BadInput: there are too many points.
        """
        free = free_memory(torch.device("cpu"))
        if self.memory > free or self.hours > YEAR / 3600:
            points = f"{dimensions} = {self.points:,}" if dimensions else f"{self.points:,}"
            raise BadInput(
                f"{options}: {points} points take at least {format_bytes(self.memory)} of memory, of which "
                f"{format_bytes(free)} are free, {format_bytes(self.disk)} on disk and {self.hours:,.3g} hours; choose "
                "fewer"
            )


def check_memory(option: str, size: int, what: str) -> None:
    """Refuse vectors that do not fit the memory.

    Args:
        option: the option that asks for them and its value, as the message names them.
        size: the size in bytes.
        what: the word for the vectors in the message.

    Raises:
        BadInput: less is free.
    """
    free = free_memory(torch.device("cpu"))
    if size > free:
        raise BadInput(
            f"{option}: {what} take {format_bytes(size)} of memory, and {format_bytes(free)} are free; choose fewer"
        )


def check_disk(place: Path, size: int) -> None:
    """Refuse a run that does not fit on the disk.

    Args:
        place: the run directory.
        size: the least bytes that it takes.

    Raises:
        BadInput: less is free.
    """
    free = free_disk(place)
    if free is not None and size > free:
        raise BadInput(
            f"the run takes at least {format_bytes(size)} on disk, and {format_bytes(free)} are free at {place}; free "
            "space, choose another --out, or ask for less"
        )
