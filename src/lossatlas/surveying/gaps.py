"""What lies between the points of a grid that were evaluated: multilinear in boxes whose corners are known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.surveying.arrays import Mask

__all__ = ["Gaps"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Number = TypeVar("Number", bound=np.generic)
Box = tuple[tuple[int, int], ...]
"""Per axis the indices of its two sides."""


class Gaps:
    """The points of a grid that are not known, and how those around them are interpolated there.

    The grid is cut into boxes along planes of grid points, those first of which most is known, as long as the corners
    of the section are known; then along planes through points that lie on a side of a box, or in it, with the missing
    corners interpolated along the edges that they lie on. In what is left interpolation is multilinear. The surface is
    thus as local as what is known allows, between the least and the greatest of the values around it, exact for
    multilinear functions, and continuous along one and two axes; along three or more it may jump where boxes meet of
    which either side is cut in another order.

    Args:
        coords: per axis its ascending coordinates.
        known: (U, V, ...) which points are; the corners of the grid among them.
        apart: the numbers of axes along which nothing is interpolated, such as that of repeats.

    Raises:
        BadInput: a corner is not known.
    """

    def __init__(self, coords: Sequence[Floats], known: Mask, apart: Collection[int] = ()) -> None:
        self._known = known
        # Along an axis of one point there is nothing to interpolate.
        self._apart = tuple(axis for axis, length in enumerate(known.shape) if axis in apart or length == 1)
        self._along = tuple(axis for axis in range(known.ndim) if axis not in self._apart)
        chosen = [np.asarray(coords[axis], dtype=np.float64) for axis in self._along]
        made: dict[bytes, _Cuts] = {}
        self._cuts: list[_Cuts] = []
        for mask in self._list_layers(known):
            key = mask.tobytes()  # repeats have mostly been evaluated at the same points
            if key not in made:
                made[key] = _Cuts(chosen, mask)
            self._cuts.append(made[key])

    def fill(self, values: Floats) -> Floats:
        """The whole surface from its known values, which stay as they are.

        What is not finite is taken as a value: points between it and others are not finite, either, except those that
        it has no share in.

        Args:
            values: (U, V, ..., further) on the grid, and of further dimensions; what is not known does not matter.
        """
        whole = values.copy()
        for cuts, layer in zip(self._cuts, self._list_layers(whole), strict=True):
            cuts.fill(layer)
        return whole

    def _list_layers(self, array: npt.NDArray[Number]) -> Iterator[npt.NDArray[Number]]:
        """Views of an array on the grid, one for each place on the axes along which nothing is interpolated."""
        turned = np.moveaxis(array, self._apart, range(len(self._apart)))
        for place in np.ndindex(*turned.shape[: len(self._apart)]):
            yield turned[place]


class _Cuts:
    """The boxes that the grid of one layer is cut into."""

    def __init__(self, coords: Sequence[Floats], known: Mask) -> None:
        self._coords = coords
        self._shape = known.shape
        corners = np.ix_(*([0, length - 1] for length in known.shape))
        if not known[corners].all():
            raise BadInput("the corners of the grid are not evaluated, so that nothing between them is known")
        self._sides = tuple(product((0, 1), repeat=known.ndim))
        self._rank = np.where(known, 0, -1)
        """How many interpolated points a point depends on, one after the other; -1 until it is decided."""
        self._sums = _sum_up(known)
        self._edges: list[tuple[int, int, int, int, float]] = []
        """Points on edges: rank, place, the places of the two between which it is interpolated, share of the second."""
        self._leaves: dict[tuple[int, ...], list[Indices]] = {}
        """By the lengths of their sides, (L, d, 2)."""
        whole = np.array([[[0, length - 1] for length in known.shape]], dtype=np.intp)
        boxes = self._sort(whole)
        while boxes:
            boxes += self._sort(self._cut(boxes.pop()))

    def fill(self, values: Floats) -> None:
        """Write all that is not known of an array (U, V, ..., further) from what is."""
        flat = values.reshape(prod(self._shape), -1)  # a copy where the array is a view of another order
        ordered = sorted(self._edges, key=lambda edge: edge[0])
        ranks = np.array([edge[0] for edge in ordered], dtype=np.intp)
        for rank in np.unique(ranks):
            chosen = [ordered[k][1:] for k in np.flatnonzero(ranks == rank)]
            at, first, second = (np.array([edge[k] for edge in chosen], dtype=np.intp) for k in range(3))
            share = np.array([edge[3] for edge in chosen])[:, None]
            flat[at] = _weigh(flat[first], 1 - share) + _weigh(flat[second], share)
        lacking = self._rank.reshape(-1) < 0
        for lengths, boxes in self._leaves.items():
            self._fill_leaves(flat, lengths, np.concatenate(boxes), lacking)
        values[...] = flat.reshape(values.shape)

    def _fill_leaves(self, flat: Floats, lengths: tuple[int, ...], boxes: Indices, lacking: Mask) -> None:
        """Interpolate in boxes (L, d, 2) of equal size between their corners."""
        count, axes = len(boxes), len(lengths)
        place = np.zeros((count, *(1,) * axes), dtype=np.intp)
        shares = []
        for axis, (coords, length) in enumerate(zip(self._coords, lengths, strict=True)):
            at = boxes[:, axis, :1] + np.arange(length + 1)
            low, high = coords[boxes[:, axis, :1]], coords[boxes[:, axis, 1:]]
            spread = (count, *(length + 1 if k == axis else 1 for k in range(axes)))
            shares.append(((coords[at] - low) / (high - low)).reshape(spread))
            place = place * self._shape[axis] + at.reshape(spread)
        inside = lacking[place]
        total = np.zeros((int(inside.sum()), flat.shape[1]))
        for corner in self._sides:
            weight = np.ones((count, *(1,) * axes))
            for share, side in zip(shares, corner, strict=True):
                weight = weight * (share if side else 1 - share)
            ends = np.ravel_multi_index(tuple(boxes[:, k, side] for k, side in enumerate(corner)), self._shape)
            value = np.broadcast_to(ends.reshape(count, *(1,) * axes), inside.shape)[inside]
            total += _weigh(flat[value], weight[inside][:, None])
        flat[place[inside]] = total

    def _sort(self, boxes: Indices) -> list[Box]:
        """Keep those of some boxes (L, d, 2) of which nothing but corners is known, and return those still to be cut.

        Those of which all is known have no gaps.
        """
        count, corners = self._count(boxes), np.zeros(len(boxes), dtype=np.intp)
        for side in self._sides:
            corners += self._rank[tuple(boxes[:, k, s] for k, s in enumerate(side))] == 0
        gaps = count < (boxes[..., 1] - boxes[..., 0] + 1).prod(axis=1)
        leaves = boxes[gaps & (count == corners)]
        for lengths in np.unique(leaves[..., 1] - leaves[..., 0], axis=0):
            alike = ((leaves[..., 1] - leaves[..., 0]) == lengths).all(axis=1)
            self._leaves.setdefault(tuple(map(int, lengths)), []).append(leaves[alike])
        return [tuple((int(a), int(b)) for a, b in box) for box in boxes[gaps & (count > corners)]]

    def _count(self, boxes: Indices) -> Indices:
        """How many points of boxes (L, d, 2) are known, (L,)."""
        total = np.zeros(len(boxes), dtype=np.intp)
        for side in self._sides:
            total += self._sign(side) * self._sums[tuple(boxes[:, k, s] + s for k, s in enumerate(side))]
        return total

    def _count_sections(self, box: Box, axis: int) -> Indices:
        """How many points of each plane across an axis within a box are known, (b - a - 1,)."""
        a, b = box[axis]
        total = np.zeros(b - a - 1, dtype=np.intp)
        for side in self._sides:
            if side[axis]:
                continue
            ends = tuple(box[k][s] + s for k, s in enumerate(side))
            line = self._sums[tuple(slice(a + 1, b + 1) if k == axis else end for k, end in enumerate(ends))]
            total -= self._sign(side) * np.diff(line)
        return total

    @staticmethod
    def _sign(side: tuple[int, ...]) -> int:
        """With which sign the sum up to a corner counts for those in the box."""
        return -1 if (len(side) - sum(side)) % 2 else 1

    def _cut(self, box: Box) -> Indices:
        """Cut a box of which more than corners is known along all planes of which most is; the parts (L, d, 2)."""
        found = {axis: self._count_sections(box, axis) for axis, (a, b) in enumerate(box) if b - a > 1}
        cut = self._choose_planes(box, found, {axis: self._decided(box, axis) for axis in found})
        if cut is None:
            cut = self._choose_planes(box, found, {axis: counts > 0 for axis, counts in found.items()})
            assert cut is not None
            for at in cut[1]:
                self._decide_corners(box, cut[0], int(at))
        axis, planes = cut
        (a, b), parts = box[axis], np.empty((len(planes) + 1, len(box), 2), dtype=np.intp)
        parts[:] = box
        parts[:, axis, 0], parts[:, axis, 1] = [a, *planes], [*planes, b]
        return parts

    def _choose_planes(
        self, box: Box, found: Mapping[int, Indices], possible: Mapping[int, Mask]
    ) -> tuple[int, Indices] | None:
        """The axis and the planes of those that are possible of which most is known; None where none is.

        Args:
            box: that is cut.
            found: by axis how many points of each plane within the box are known.
            possible: by axis which planes are asked about.
        """
        chosen, best = None, (-1.0, 0)
        for axis, counts in found.items():
            places = np.flatnonzero(possible[axis])
            if not places.size:
                continue
            a, b = box[axis]
            share = counts[places] / prod(d - c + 1 for k, (c, d) in enumerate(box) if k != axis)
            if (rating := (float(share.max()), b - a)) > best:
                best, chosen = rating, (axis, a + 1 + places[share == share.max()])
        return chosen

    def _decided(self, box: Box, axis: int) -> Mask:
        """Of which planes within a box across an axis the corners of the section are known, or interpolated before."""
        a, b = box[axis]
        can = np.ones(b - a - 1, dtype=bool)
        for side in self._sides:
            if side[axis]:
                continue
            line = tuple(slice(a + 1, b) if k == axis else box[k][s] for k, s in enumerate(side))
            can &= self._rank[line] >= 0
        return can

    def _decide_corners(self, box: Box, axis: int, at: int) -> None:
        """Interpolate the corners of a section that are lacking, between those next to them on their edges of a box."""
        a, b = box[axis]
        coords = self._coords[axis]
        for side in self._sides:
            if side[axis]:
                continue
            where = [box[k][s] for k, s in enumerate(side)]
            where[axis] = at
            if self._rank[tuple(where)] >= 0:
                continue
            line = tuple(slice(a, b + 1) if k == axis else box[k][s] for k, s in enumerate(side))
            there = np.flatnonzero(self._rank[line] >= 0) + a
            k = int(np.searchsorted(there, at))
            low, high = int(there[k - 1]), int(there[k])
            ends = [tuple(end if k == axis else w for k, w in enumerate(where)) for end in (low, high)]
            rank = 1 + max(int(self._rank[end]) for end in ends)
            self._rank[tuple(where)] = rank
            share = float((coords[at] - coords[low]) / (coords[high] - coords[low]))
            place, first, second = (int(np.ravel_multi_index(tuple(each), self._shape)) for each in (where, *ends))
            self._edges.append((rank, place, first, second, share))


def _sum_up(known: Mask) -> Indices:
    """How many points are known before each place along all axes, one longer along each."""
    sums = np.zeros([length + 1 for length in known.shape], dtype=np.intp)
    sums[(slice(1, None),) * known.ndim] = known
    for axis in range(known.ndim):
        np.cumsum(sums, axis=axis, out=sums)
    return sums


def _weigh(values: Floats, weight: Floats) -> Floats:
    """Values times their weights; one that has no share says nothing, even where it is infinite."""
    return np.where(weight > 0, weight * np.where(weight > 0, values, 0.0), 0.0)
