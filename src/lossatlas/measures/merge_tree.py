"""The merge tree of a function on a grid: the order in which its basins join as the level rises.

The sublevel set ``{L <= level}`` grows point by point, in the order of the values. A point without a lower neighbour
starts a component, a point between several joins them: it is their saddle, and by the elder rule the component with
the lowest minimum goes on while the others die (Edelsbrunner & Harer 2010, *Computational Topology*, section VII.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lossatlas.measures.surface import Floats, Index

__all__ = ["MergeTree", "Minimum", "Pass", "merge_tree"]

Ranks = NDArray[np.intp]


@dataclass(frozen=True)
class Minimum:
    """A local minimum and the level up to which its basin is separate.

    Attributes:
        index: The index of the grid point.
        birth: The value at the minimum.
        death: The value of the saddle at which its basin joins that of a lower minimum; infinite if it does not.
        saddle: The index of that saddle; None if it does not exist.
        parent: The index of the lowest minimum of the basin that it joins; None if it does not exist.
    """

    index: Index
    birth: float
    death: float
    saddle: Index | None
    parent: Index | None

    @property
    def persistence(self) -> float:
        """Return the least rise on a path to a lower minimum: ``death - birth``."""
        return self.death - self.birth


@dataclass(frozen=True)
class Pass:
    """The lowest pass between two points: the largest value on the best path, and its index."""

    level: float
    index: Index


@dataclass(frozen=True, eq=False)
class MergeTree:
    """The merge tree of a function.

    Points are known by their rank: by value, equal ones by index, so that no two are alike.

    Attributes:
        minima: The most persistent first. Those that are there only because equal values were ranked are left out.
        levels: (N,) all finite values, ascending.
        places: (N,) the index of each of them in the flattened grid.
        ranks: (U, ...) the rank of each grid point; N where its value is not finite.
        basins: (U, ...) the rank of the minimum that steepest descent leads to; N where the value is not finite.
        deaths: Per minimum that dies, by rank: the rank of its saddle.
        parents: Per minimum that dies, by rank: the rank of the minimum that goes on.
    """

    minima: tuple[Minimum, ...]
    levels: Floats
    places: Ranks
    ranks: Ranks
    basins: Ranks
    deaths: dict[int, int]
    parents: dict[int, int]

    def persistent(self, threshold: float) -> tuple[Minimum, ...]:
        """Return the minima whose persistence exceeds a threshold, in the unit of the values."""
        return tuple(minimum for minimum in self.minima if minimum.persistence > threshold)

    def pass_between(self, first: Index, second: Index) -> Pass | None:
        """Return the lowest pass between two grid points: the minimum over all paths on the grid of the largest value.

        None where no path of finite values joins them.
        """
        ends, basins = ([int(array[index]) for index in (first, second)] for array in (self.ranks, self.basins))
        never = len(self.levels)
        top = max(ends)
        while basins[0] != basins[1]:
            sooner = min((0, 1), key=lambda k: self.deaths.get(basins[k], never))
            top = max(top, self.deaths.get(basins[sooner], never))
            if top == never:
                return None
            basins[sooner] = self.parents[basins[sooner]]
        return None if top == never else Pass(float(self.levels[top]), self.index(top))

    def component(self, index: Index, level: float) -> NDArray[np.bool_]:
        """Return the mask of the connected part of ``{L < level}`` around a grid point; empty if the point is not in
        it.
        """
        limit = int(np.searchsorted(self.levels, level, side="left"))
        lowest = np.arange(len(self.levels) + 1)
        for minimum in sorted(self.deaths):  # a parent's rank is lower, so it is settled
            if self.deaths[minimum] < limit:
                lowest[minimum] = lowest[self.parents[minimum]]
        inside = self.ranks < limit
        together: NDArray[np.bool_] = inside & (lowest[self.basins] == lowest[self.basins[index]])
        return together if inside[index] else np.zeros_like(together)

    def index(self, rank: int) -> Index:
        """Return the index of the grid point with a rank."""
        return tuple(int(i) for i in np.unravel_index(self.places[rank], self.ranks.shape))


def merge_tree(values: Floats, *, diagonal: bool = False) -> MergeTree:
    """Compute the merge tree of the sublevel sets of a function on a grid of any dimension.

    Every point belongs to the basin of its lowest neighbour, which it is connected with at its own level; so basins
    join where two neighbours belong to different ones, at the higher of the two, and union-find has only those joints
    to go through. NaN and infinities are not a part of any component.

    Args:
        values: the values, (U, ...), in any unit.
        diagonal: whether a point has the 3^d - 1 points around it as neighbours, or only the 2d along the axes.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(values))
    places = finite[np.argsort(values.ravel()[finite], kind="stable")]
    count = len(places)
    ranks = np.full(values.shape, count, dtype=np.intp)
    ranks.reshape(-1)[places] = np.arange(count)
    neighbours = list(_neighbours(values.ndim, diagonal))
    basins = _basins(ranks, places, neighbours)
    deaths, parents = _merges(*_joints(ranks, basins, count, neighbours))
    levels = values.ravel()[places]
    tree = MergeTree((), levels, places, ranks, basins, deaths, parents)
    return MergeTree(_minima(tree), levels, places, ranks, basins, deaths, parents)


Slices = tuple[slice, ...]
NOWHERE = slice(None)
SHIFTED = {-1: (slice(1, None), slice(None, -1)), 0: (NOWHERE, NOWHERE), 1: (slice(None, -1), slice(1, None))}


def _neighbours(dimensions: int, diagonal: bool) -> Iterator[tuple[Slices, Slices]]:
    """Pairs of views of a grid in which points with the same index are neighbours; each pair of points once."""
    for steps in product((-1, 0, 1), repeat=dimensions):
        if steps > (0,) * dimensions and (diagonal or sum(map(abs, steps)) == 1):
            here, there = zip(*(SHIFTED[step] for step in steps), strict=True)
            yield here, there


def _basins(ranks: Ranks, places: Ranks, neighbours: list[tuple[Slices, Slices]]) -> Ranks:
    """Return the rank of the minimum below each point, by pointer jumping: each round halves the remaining distance."""
    lowest = ranks.copy()
    for here, there in neighbours:
        lowest[here] = np.minimum(lowest[here], ranks[there])
        lowest[there] = np.minimum(lowest[there], ranks[here])
    down = lowest.ravel()[places]
    while not np.array_equal(further := down[down], down):
        down = further
    basins: Ranks = np.append(down, len(places))[ranks]
    return basins


def _joints(
    ranks: Ranks, basins: Ranks, count: int, neighbours: list[tuple[Slices, Slices]]
) -> tuple[list[int], list[int], list[int]]:
    """Find where basins touch first: the ranks of the saddles, ascending, and of the minima of the two basins."""
    found = []
    for here, there in neighbours:
        saddles = np.maximum(ranks[here], ranks[there])
        first, second = basins[here], basins[there]
        touching = (first != second) & (saddles < count)
        lower, upper = np.minimum(first, second)[touching], np.maximum(first, second)[touching]
        found.append(np.stack([saddles[touching], lower, upper]))
    joints = np.concatenate(found, axis=1) if found else np.empty((3, 0), dtype=np.intp)
    joints = joints[:, np.lexsort(joints[::-1])]
    _, once = np.unique(joints[1] * count + joints[2], return_index=True)  # the first is the lowest
    saddles, lower, upper = joints[:, np.sort(once)].tolist()
    return saddles, lower, upper


def _merges(saddles: list[int], lower: list[int], upper: list[int]) -> tuple[dict[int, int], dict[int, int]]:
    """The elder rule: at which saddle each minimum dies, and whose basin it joins; all by rank."""
    elders: dict[int, int] = {}  # from minima that have died towards one that has not, with path compression

    def alive(minimum: int) -> int:
        while minimum in elders:
            elder = elders[minimum]
            elders[minimum] = elders.get(elder, elder)
            minimum = elder
        return minimum

    deaths: dict[int, int] = {}
    parents: dict[int, int] = {}
    for saddle, first, second in zip(saddles, lower, upper, strict=True):
        elder, younger = sorted((alive(first), alive(second)))
        if elder != younger:
            elders[younger] = parents[younger] = elder
            deaths[younger] = saddle
    for minimum in reversed(deaths):  # where one saddle joins several, the parent is the one that survives it
        if deaths.get(parents[minimum]) == deaths[minimum]:
            parents[minimum] = parents[parents[minimum]]
    return deaths, parents


def _minima(tree: MergeTree) -> tuple[Minimum, ...]:
    found = []
    for rank in np.unique(tree.basins[tree.ranks < len(tree.levels)]).tolist():
        birth, place = float(tree.levels[rank]), tree.index(rank)
        if rank not in tree.deaths:
            found.append(Minimum(place, birth, float("inf"), None, None))
        elif (death := float(tree.levels[tree.deaths[rank]])) > birth:
            saddle, parent = tree.index(tree.deaths[rank]), tree.index(tree.parents[rank])
            found.append(Minimum(place, birth, death, saddle, parent))
    return tuple(sorted(found, key=lambda minimum: -minimum.persistence))  # stable: the lower one of two alike first
