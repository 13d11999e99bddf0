"""Averages of the first members of an order, of several numbers of members, block of rows by block of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from lossatlas.ensembles.averaged import Averaged, start_average
from lossatlas.ensembles.calibration import Temperatures, fit_several
from lossatlas.ensembles.predictions import CLASSES, Predictions

__all__ = ["PrefixAverages"]


class PrefixAverages:
    """Averages of the first members of an order.

    They are kept where they fit into the memory, and otherwise made again whenever a block is asked for.

    Args:
        predictions: the predictions of K members for N rows.
        order: the members by number, in the order in which they are added.
        sizes: S numbers of members, ascending.
        blocks: the rows, cut into blocks.
        memory: the bytes that may be kept.
        where: the rows that they are of (N,), bool; all by default.
    """

    def __init__(
        self,
        predictions: Predictions,
        order: Sequence[int],
        sizes: Sequence[int],
        blocks: Sequence[slice],
        memory: int,
        where: Tensor | None = None,
    ) -> None:
        self.predictions, self.order, self.sizes, self.blocks, self.where = predictions, order, sizes, blocks, where
        self.classes = predictions.kind == CLASSES
        rows = len(predictions.rows) if where is None else int(where.sum())
        self.kept = (1 if self.classes else 2) * 8 * len(sizes) * rows * predictions.rows.width <= memory
        self._kept: dict[int, list[Averaged]] = {}

    def walk(self, rows: slice, wanted: Sequence[int]) -> Iterator[tuple[int, Averaged]]:
        """Make averages for a block.

        Args:
            rows: the block.
            wanted: which of the numbers of members, by position.

        Yields:
            The position, and the average for those rows of the block that it is of.
        """
        if not self.kept:
            yield from self._make(rows, wanted)
            return
        if rows.start not in self._kept:
            self._kept[rows.start] = [averaged for _, averaged in self._make(rows, range(len(self.sizes)))]
        for size in wanted:
            yield size, self._kept[rows.start][size].take(slice(None))  # what a view remembers is not kept

    def fit(self, groups: Tensor, count: int) -> Temperatures:
        """Fit temperatures of groups of rows, (S, G).

        Args:
            groups: the group of each row in each of H divisions, (H, N); of those rows alone that the averages are of.
            count: the number G of groups.
        """

        def walk(wanted: Sequence[int]) -> Iterator[tuple[int, Averaged, Tensor]]:
            for rows in self.blocks:
                own = groups[:, rows] if self.where is None else groups[:, rows][:, self.where[rows]]
                yield from ((size, averaged, own.long()) for size, averaged in self.walk(rows, wanted))

        return fit_several(walk, len(self.sizes), count, classes=self.classes, by_turns=self.kept)

    def _make(self, rows: slice, wanted: Sequence[int]) -> Iterator[tuple[int, Averaged]]:
        places = {self.sizes[size]: size for size in wanted}
        own = None if self.where is None else self.where[rows].nonzero()[:, 0]
        running = start_average(self.predictions, rows if own is None else own + rows.start)
        for count, member in enumerate(self.order[: max(places, default=0)], 1):
            predicted = self.predictions.of(member)[rows]
            running.add(predicted if own is None else predicted[own])
            if count in places:
                yield places[count], running.average()
