"""The interface of tile sources: who hands out the tiles of a survey.

The marks in the store alone say what is done. A tile source keeps other processes from a tile while one works on it;
where it forgets which one that was, because a process was killed or a machine was lost, a tile is evaluated twice at
worst.
"""

from __future__ import annotations

import os
import socket
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self, TypeVar

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.surveying.arrays import GridArrays, Mask, Tile

__all__ = ["MOST_LOSSES", "Claim", "Held", "TileSource", "Work", "start_of"]


MOST_LOSSES = 4
"""How many processes are lost over a tile before it is given up: after the first, three others do what it could not."""
T = TypeVar("T")


def _nothing() -> None:
    """Do nothing, where there is nothing to release and no one listens."""


@dataclass(frozen=True, eq=False)
class Held:
    """That a tile is somebody's alone until it is released.

    Attributes:
        release: Lets others have it; may be called again.
        losses: How many processes in a row were lost while they held this tile and others went on.
        warn_others: Has others give it up, too, who come before all have ended.
    """

    release: Callable[[], None] = _nothing
    losses: int = 0
    warn_others: Callable[[], None] = _nothing


@dataclass(frozen=True, eq=False)
class Claim:
    """A tile that is its holder's alone until it is released, by :meth:`release` or at the end of a ``with``.

    Attributes:
        work: Which it is a part of.
        tile: Where it lies on the grid.
        missing: (the tile's shape) which of its points are to be evaluated; one at least.
        held: That the tile is its holder's.
    """

    work: Work
    tile: Tile
    missing: Mask
    held: Held = Held()

    @property
    def losses(self) -> int:
        """How many processes in a row were lost while they held this tile and others went on."""
        return self.held.losses

    def release(self) -> None:
        """Let others have the tile; may be called again."""
        self.held.release()

    def give_up(self, reason: str) -> None:
        """Have nobody try the tile again.

        Args:
            reason: what happened to those who tried.
        """
        self.work.give_up(self.tile, reason)
        self.held.warn_others()
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True, eq=False)
class Work:
    """The points of a grid that one group of metrics is wanted at, and which of them are not evaluated yet.

    Attributes:
        arrays: Of the survey.
        marks: The name of the array there that says which points are evaluated.
        wanted: Which points of the grid; None for all.
        listen: Called again and again where many tiles are looked through; may raise.
        given_up: By the starts of a tile the reason why it is not tried again.
    """

    arrays: GridArrays
    marks: str
    wanted: Mask | None = None
    listen: Callable[[], None] = _nothing
    given_up: dict[tuple[int, ...], str] = field(default_factory=dict, init=False, repr=False)
    _finished: set[int] = field(default_factory=set, init=False, repr=False)
    """The numbers of the grid's parts that have been found finished."""

    def tiles(self, begin: float = 0.0) -> Iterator[Tile]:
        """The tiles in which a point is missing and that are not given up; there may be too many to list.

        Args:
            begin: the share of the grid after which they begin, in [0, 1); what lies before it comes last.
        """
        parts = list(enumerate(self.arrays.parts()))
        first, within = divmod(begin * len(parts), 1)
        for passed, (number, part) in enumerate(_turned(parts, int(first))):
            if number in self._finished:
                continue
            if passed:
                self.listen()
            missing = self.missing(part)
            if not missing.any():
                self._finished.add(number)
                continue
            tiles = list(self.arrays.tiles(part))
            for tile in _turned(tiles, int(within * len(tiles))):
                inside = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(tile, part, strict=True))
                if missing[tuple(inside)].any() and start_of(tile) not in self.given_up:
                    yield tile

    def missing(self, part: Tile) -> Mask:
        """Which points of a part of the grid, of its shape, are wanted and not marked now."""
        try:
            unknown: Mask = ~self.arrays.read(self.marks, part)
        except BadInput:  # a mark that cannot be read marks nothing: the tile is written again
            unknown = np.ones([side.stop - side.start for side in part], dtype=bool)
        return unknown if self.wanted is None else unknown & self.wanted[part]

    def claim(self, tile: Tile, held: Held) -> Claim | None:
        """The claim of a tile that is held by now; None, and it is released, where nothing is missing any more.

        Args:
            tile: of the grid.
            held: that it is.
        """
        with ExitStack() as stack:
            stack.callback(held.release)
            missing = self.missing(tile)
            if not missing.any():
                return None
            stack.pop_all()
        return Claim(self, tile, missing, held)

    def give_up(self, tile: Tile, reason: str) -> None:
        """Leave a tile as it is; to be told of by :meth:`list_given_up`."""
        self.given_up[start_of(tile)] = reason

    def list_given_up(self) -> Iterator[tuple[Tile, str]]:
        """The tiles that were given up, in order, and why."""
        for tile in self.arrays.tiles() if self.given_up else ():
            if (reason := self.given_up.get(start_of(tile))) is not None:
                yield tile, reason

    def find_ends(self, tile: Tile) -> dict[str, tuple[float, float]]:
        """The first and the last coordinate of a tile along each axis."""
        return {
            axis: (float(coords[side.start]), float(coords[side.stop - 1]))
            for (axis, coords), side in zip(self.arrays.grid.items(), tile, strict=True)
        }

    def tell(self, tile: Tile) -> str:
        """A tile with its coordinates, in words."""
        ends = (f"{axis} {first:.4g} to {last:.4g}" for axis, (first, last) in self.find_ends(tile).items())
        return f"{self.marks.rpartition('/')[2]} at {', '.join(ends)}"

    @property
    def is_done(self) -> bool:
        """Whether all wanted points are marked, but for those in tiles that were given up."""
        return next(self.tiles(), None) is None


def start_of(tile: Tile) -> tuple[int, ...]:
    """Where a tile begins along each axis, which tells it from others."""
    return tuple(side.start for side in tile)


class TileSource(ABC):
    """Hands out the tiles of a survey, so that no two evaluate the same one at once.

    Attributes:
        begin: The share of a grid after which :meth:`claims` begins; 0 unless there are others, see :meth:`scatter`.
    """

    begin: float = 0.0

    def scatter(self) -> None:
        """Begin at a place of its own, because others work on the survey: they seldom ask for the same tiles then."""
        self.begin = zlib.crc32(f"{socket.gethostname()} {os.getpid()}".encode()) / 2**32

    @abstractmethod
    def hold(self, marks: str, tile: Tile) -> Held | None:
        """Have a tile for oneself; does not wait.

        Args:
            marks: the array that says which points are evaluated: groups are worked on independently.
            tile: of the grid.

        Returns:
            What lets others have it; None where another holder has it.

        Raises:
            CannotFinish: nothing can be written where tiles are held, or the survey was removed.
        """

    def is_held(self, work: Work) -> bool:
        """Whether a tile that has points to evaluate is held."""
        for tile in work.tiles():
            held = self.hold(work.marks, tile)
            if held is None:
                return True
            held.release()
        return False

    def claims(self, work: Work) -> Iterator[Claim]:
        """The tiles that have points to evaluate and that are not held yet, in one pass.

        It never waits, so that two processes that hold several claims and ask for more cannot wait for each other.
        What others held, or gave back without having finished it, comes in a later pass, which
        :func:`~lossatlas.surveying.executor.complete` asks for until nothing is left.

        Args:
            work: what is to be done.
        """
        for tile in work.tiles(self.begin):
            if self.begin and not work.missing(tile).any():  # others have done it; to ask costs more than to look
                continue
            held = self.hold(work.marks, tile)
            if held is not None and (claim := work.claim(tile, held)) is not None:
                yield claim


def _turned(items: list[T], begin: int) -> list[T]:
    """All items, from a place on and then those before it."""
    return items[begin:] + items[:begin]
