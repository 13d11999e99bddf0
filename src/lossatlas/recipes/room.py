"""Points, steps and vectors that are asked for, against the memory, the disk and the time that they take.

All of it is known before anything is allocated; the numbers are the least that it can come to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lossatlas.bounds import YEAR
from lossatlas.errors import BadInput
from lossatlas.free_memory import format_bytes, free_disk, free_memory
from lossatlas.surveying.arrays import TILE_POINTS

__all__ = ["Extent", "check_disk", "check_memory"]

POINT_SECONDS = 1e-5
"""A point takes at least so long on each split. A linear layer of two inputs took 1e-4 s on eight examples and two
cores, and three times that where its values went to a disk."""
NUMBER_BYTES = 14
"""What is in memory for each of a survey's numbers while it is summarised. While it is drawn, that is five times as
much."""
BLOCK = 4096
"""Bytes that a file takes on a disk at least; each tile has one for each of its variables."""


@dataclass(frozen=True)
class Extent:
    """How much a survey, or several of one kind, comes to.

    Attributes:
        points: that are evaluated.
        splits: on how many splits each is.
        numbers: on each split, at least.
    """

    points: int
    splits: int
    numbers: int

    @property
    def variables(self) -> int:
        """Numbers of a point."""
        return self.splits * self.numbers

    @property
    def memory(self) -> int:
        """Bytes."""
        return self.points * self.variables * NUMBER_BYTES

    @property
    def disk(self) -> int:
        """Bytes; beside the numbers stands a mark for each split."""
        return -(-self.points // TILE_POINTS) * (self.variables + self.splits) * BLOCK

    @property
    def hours(self) -> float:
        """Of evaluation."""
        return self.points * self.splits * POINT_SECONDS / 3600

    def check(self, options: str, dimensions: str = "") -> None:
        """Refuse more points than memory holds, or than are evaluated in a year.

        Args:
            options: that ask for them, as a message calls them.
            dimensions: how many along each axis, in words; may be empty.

        Raises:
            BadInput: there are more.
        """
        free = free_memory(torch.device("cpu"))
        if self.memory > free or self.hours > YEAR / 3600:
            points = f"{dimensions} = {self.points:,}" if dimensions else f"{self.points:,}"
            raise BadInput(
                f"{options}: {points} points take {format_bytes(self.memory)} of memory, of which {format_bytes(free)} "
                f"are free, {format_bytes(self.disk)} on disk and {self.hours:,.3g} hours, all of it at the very "
                "least; choose fewer"
            )


def check_memory(option: str, size: int, what: str) -> None:
    """Refuse vectors that memory does not hold.

    Args:
        option: that asks for them, and its value, as a message calls them.
        size: bytes.
        what: they are.

    Raises:
        BadInput: there is less free.
    """
    free = free_memory(torch.device("cpu"))
    if size > free:
        raise BadInput(
            f"{option}: {what} take {format_bytes(size)} of memory, and {format_bytes(free)} are free; choose fewer"
        )


def check_disk(place: Path, size: int) -> None:
    """Refuse a run that does not fit on the disk where it is to be.

    Args:
        place: the run directory.
        size: bytes that it takes at least.

    Raises:
        BadInput: there is less free.
    """
    free = free_disk(place)
    if free is not None and size > free:
        raise BadInput(
            f"the run takes {format_bytes(size)} on disk at least, and {format_bytes(free)} are free at {place}; make "
            "room, choose another --out, or ask for less"
        )
