"""Refinement of a grid only where a surface bends: which points to evaluate, and what the others are then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.surveying.arrays import Mask
from lossatlas.surveying.gaps import Gaps
from lossatlas.surveying.refining import Refining

__all__ = ["Refinement"]

Floats = npt.NDArray[np.float64]
Cell = tuple[tuple[int, int], ...]
"""Per axis the indices of its two sides."""
COARSEST = 16
"""Cells along each axis at the start; what is narrower may be overlooked."""
CAUTION = 2.0
"""How many times as far as the cell that it is a part of a cell is thought to be off at most. A quarter would do where
a surface is smooth; beside the valleys of a logarithm it is not."""


@dataclass
class _Leaf:
    cell: Cell
    error: float
    """How far the surface is thought to be off inside, at most."""


@dataclass(frozen=True)
class Refinement(Refining):
    """Cells of a grid are cut at their middles until linear interpolation between their corners is good enough.

    A cell's error is what its points that its cut adds are off when they are interpolated. Whoever evaluates points and
    asks again gets those of the next level; what is asked for depends on values alone, so that a survey that was
    interrupted goes on as it would have.

    Args:
        coords: per axis the ascending coordinates of the finest grid.
        tolerance: error that is good enough, in the values' units.
        budget: points to evaluate at most.

    Raises:
        BadInput: neither is given, or one is not positive.
    """

    coords: tuple[Floats, ...]
    tolerance: float | None = None
    budget: int | None = None
    _corners: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.tolerance is None and self.budget is None:
            raise BadInput("a refinement stops at a tolerance or at a budget of points; give one of the two, or both")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise BadInput(f"tolerance is {self.tolerance}; expected a positive number")
        if min(map(len, self.coords)) < 2:
            raise BadInput("an axis of one point cannot be refined; give it more, or leave out tolerance and budget")
        if self.budget is not None and self.budget < 1:
            raise BadInput(f"budget is {self.budget}; expected a positive number of points")
        object.__setattr__(self, "_corners", tuple(product((0, 1), repeat=len(self.coords))))
        if self.budget is not None and (least := int(self.coarsest().sum())) > self.budget:
            raise BadInput(
                f"budget is {self.budget} points; the coarsest cells alone have {least}: give more, or a coarser grid"
            )

    def coarsest(self) -> Mask:
        """The points that are evaluated in any case."""
        mask = np.zeros([len(coords) for coords in self.coords], dtype=bool)
        for cell in self._coarsest():
            mask[self._corner_points(cell)] = True
        return mask

    def wanted(self, values: Floats, known: Mask) -> Mask:
        """The points to evaluate so far: those that are, and those that the next level needs.

        Args:
            values: of the finest grid's shape; what is not known does not matter.
            known: which values are.
        """
        mask = self.coarsest()
        leaves = [_Leaf(cell, math.inf) for cell in self._coarsest()]
        while known[mask].all():
            cut = [leaf for leaf in leaves if self._is_cut(leaf)]
            fresh = mask.copy()
            for leaf in sorted(cut, key=lambda leaf: -leaf.error) if self.budget is not None else cut:
                points = self._cut_points(leaf.cell)
                if self.budget is not None:
                    more = fresh.copy()
                    more[points] = True
                    if int(more.sum()) > self.budget:
                        cut.remove(leaf)
                        continue
                fresh[points] = True
            if not cut:
                break
            mask = fresh
            if known[mask].all():
                chosen = {leaf.cell for leaf in cut}
                kept = [leaf for leaf in leaves if leaf.cell not in chosen]
                leaves = kept + [child for leaf in cut for child in self._children(leaf, values)]
        return mask

    def interpolated(self, values: Floats, known: Mask) -> Floats:
        """The whole surface from its known values, multilinear between them: see :class:`Gaps`.

        Args:
            values: (..., further) of the finest grid's shape, and of further dimensions.
            known: which of them are; those that :meth:`coarsest` gives among them.
        """
        return Gaps(self.coords, known).fill(values)

    def _is_cut(self, leaf: _Leaf) -> bool:
        """Whether a cell is to be cut."""
        return any(b - a > 1 for a, b in leaf.cell) and leaf.error > (self.tolerance or 0.0)

    def _coarsest(self) -> Iterator[Cell]:
        sides = []
        for coords in self.coords:
            cells = min(COARSEST, len(coords) - 1)
            edges = np.unique(np.linspace(0, len(coords) - 1, cells + 1).round().astype(int)).tolist()
            sides.append(list(pairwise(edges)))
        yield from product(*sides)

    @staticmethod
    def _halves(cell: Cell) -> list[list[int]]:
        """Per axis the indices of the lattice that a cut makes of a cell: its sides, and its middle if it has one."""
        return [[a, (a + b) // 2, b] if b - a > 1 else [a, b] for a, b in cell]

    def _corner_points(self, cell: Cell) -> tuple[npt.NDArray[np.intp], ...]:
        return np.ix_(*([a, b] for a, b in cell))

    def _cut_points(self, cell: Cell) -> tuple[npt.NDArray[np.intp], ...]:
        return np.ix_(*self._halves(cell))

    def _children(self, leaf: _Leaf, values: Floats) -> Iterator[_Leaf]:
        """The parts of a cell that was cut, with the errors that they are thought to have."""
        lattice = self._halves(leaf.cell)
        there = values[np.ix_(*lattice)]
        with np.errstate(invalid="ignore"):
            errors = np.abs(there - self._multilinear(values, leaf.cell, [np.array(side) for side in lattice]))
        # Beside what is not finite nothing can be interpolated, and where nothing is finite there is nothing to find.
        errors[~np.isfinite(errors)] = math.inf if np.isfinite(there).any() else 0.0
        for part in product(*(list(pairwise(side)) for side in lattice)):
            own = tuple(slice(side.index(a), side.index(b) + 1) for side, (a, b) in zip(lattice, part, strict=True))
            yield _Leaf(tuple(part), float(errors[own].max()) * CAUTION)

    def _multilinear(self, values: Floats, cell: Cell, places: Sequence[npt.NDArray[np.intp]]) -> Floats:
        """Values at grid points of a cell, from those at its corners."""
        shares = [
            (coords[at] - coords[a]) / (coords[b] - coords[a])
            for coords, (a, b), at in zip(self.coords, cell, places, strict=True)
        ]
        further = values.shape[len(cell) :]
        total = np.zeros((*(len(at) for at in places), *further))
        for corner in self._corners:
            weight = np.ones(())
            for share, side in zip(shares, corner, strict=True):
                weight = weight[..., None] * (share if side else 1 - share)
            value = values[tuple(sides[side] for sides, side in zip(cell, corner, strict=True))]
            weight = weight.reshape(*weight.shape, *(1 for _ in further))
            # A corner that has no share in a point says nothing of it, even where it is infinite.
            total += np.where(weight > 0, weight * np.where(weight > 0, value, 0.0), 0.0)
        return total
