"""The interface of executors: where and how many at once the tiles of a survey are evaluated."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from lossatlas.surveying.tile_source import MOST_LOSSES, Claim, TileSource, Work

__all__ = ["Executor", "InPieces", "InProcess", "complete"]

POLL = 0.1
"""Seconds between looks at tiles that others work on, at least."""
PATIENCE = 4
"""How many times as long as such a look took is waited for the next one, at least: many marks take long to read."""


class Executor(ABC):
    """Runs a function of a tile for all tiles that a source hands out.

    That function is of one :class:`Surveyor`, whose engine serves one thread at a time, and refuses a second one in
    one line: its module has other parameters as long as a call lasts. Several claims may thus be held at
    once, and evaluated one by one, in any thread; who evaluates several at the same time makes each thread or process
    an engine and a :class:`Surveyor` of its own, all of which fill one store.
    """

    @abstractmethod
    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        """Have claims evaluated, in any order, and release each.

        Claims are taken as they are needed. However it ends, by what ``evaluate`` or ``claims`` raise or because it is
        closed, no claim that was taken is held afterwards.

        Args:
            evaluate: finds the values of a claim's missing points, writes and marks them; returns how many these are.
            claims: one pass of a source.

        Yields:
            The number of points, whenever some are done.
        """


class InProcess(Executor):
    """Evaluates tiles where it is called, one after another."""

    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        """Evaluate each claim and release it before its points are told."""
        for claim in claims:
            with claim:
                count = evaluate(claim)
            yield count


class InPieces(Executor):
    """Evaluates tiles where it is called, a few points at a time, so that one can stop soon where points are slow.

    What is written of a tile stays; a tile that was left goes on with the points that come next, in the same pieces.

    Args:
        choose_size: how many points of a claim are evaluated in one go.
    """

    def __init__(self, choose_size: Callable[[Claim], int]) -> None:
        self._choose_size = choose_size

    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        """Evaluate each claim piece by piece, and tell of each piece while the claim is held."""
        for claim in claims:
            with claim:
                places, size = np.flatnonzero(claim.missing), self._choose_size(claim)
                for begin in range(0, len(places), size):
                    piece = np.zeros(claim.missing.size, dtype=bool)
                    piece[places[begin : begin + size]] = True
                    yield evaluate(replace(claim, missing=piece.reshape(claim.missing.shape)))


def complete(
    works: Sequence[Work],
    tiles: TileSource,
    executor: Executor,
    evaluate: Callable[[Claim], int],
    on_points: Callable[[int], None],
) -> None:
    """Have works done, beside others that may do the same: when this ends, all wanted points are marked.

    Tiles that others hold come last: they are asked for again until they are done, or free because their holder was
    lost. A tile whose holders were lost again and again is given up (:attr:`Work.given_up`), and the others are done.

    Args:
        works: what is to be done, first things first.
        tiles: hands it out.
        executor: has it evaluated.
        evaluate: as :meth:`Executor.run` takes it.
        on_points: called with the number of points done here, between tiles, and with 0 while others work on all that
            is left; may raise.
    """
    while True:
        idle, started = True, time.perf_counter()
        with closing(executor.run(evaluate, _claims(works, tiles))) as counts:
            for count in counts:
                idle = False
                on_points(count)
        if all(work.is_done for work in works):
            return
        if idle:
            on_points(0)
            time.sleep(max(POLL, PATIENCE * (time.perf_counter() - started)))


def _claims(works: Sequence[Work], tiles: TileSource) -> Iterator[Claim]:
    """One pass through all works, without tiles that have cost too many processes."""
    for work in works:
        for claim in tiles.claims(work):
            if claim.losses < MOST_LOSSES:
                yield claim
            else:
                claim.give_up(f"{claim.losses} processes were lost while they evaluated it")
