"""Barriers between networks: the maximum on a line, or the lowest pass on a surface."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.merge_tree import MergeTree, merge_tree
from lossatlas.measures.surface import ROUNDING, Floats, Surface, drop_infinite, interpolate, lies_beyond

__all__ = ["Barrier"]


@dataclass(frozen=True)
class Barrier(Measure):
    """The rise of the loss between networks.

    On a line L(t) between its first two networks, at t_0 and t_1, over the stretch between them:

    - ``barrier_height``: max of ``L(t) - ((1 - s) L(t_0) + s L(t_1))``, ``s = (t - t_0) / (t_1 - t_0)``, in the
      loss's unit (the barrier of Entezari et al. 2021, arXiv 2110.06296); 0 if the loss is nowhere above the
      straight line;
    - ``barrier_at``: the t of that maximum; None where the height is 0;
    - ``barrier_above_higher_end``: max of ``L(t) - max(L(t_0), L(t_1))``, in the loss's unit;
    - ``barrier_steepest_slope``: max of ``|dL / dt|`` of finite differences, in the loss's unit per unit of the
      coordinate.

    In a surface, for each pair of networks ``a`` and ``b``, at the grid points nearest to them:

    - ``pass_level_between_a_and_b``: the minimum over all paths on the grid of the largest loss on the path, in the
    loss's unit;
    - ``pass_height_between_a_and_b``: that level above the higher one of the two networks' losses, in the loss's unit;
    - ``pass_at_between_a_and_b``: the coordinates of the pass.

    Args:
        diagonal: whether paths in a surface may go to diagonal neighbours.
    """

    diagonal: bool = False

    def applies(self, surface: Surface) -> bool:
        return len(surface.corners) > 1

    def of(self, surface: Surface) -> dict[str, Value]:
        if surface.values.ndim == 1:
            return _on_line(surface)
        tree = merge_tree(surface.values, diagonal=self.diagonal)
        pairs = combinations(range(len(surface.corners)), 2)
        return {name: value for pair in pairs for name, value in _pass(surface, tree, *pair).items()}


def _on_line(surface: Surface) -> dict[str, Value]:
    (coords,), values = surface.coords, surface.values
    (_, (start,)), (_, (end,)) = surface.corners[:2]
    names = ("barrier_height", "barrier_at", "barrier_above_higher_end", "barrier_steepest_slope")
    if start == end or lies_beyond(coords, start) or lies_beyond(coords, end):
        return dict.fromkeys(names)
    low, high = sorted((start, end))
    inside = (coords >= low) & (coords <= high)
    losses = values[inside]
    ends = [float(interpolate(values, coords, place)) for place in (start, end)]
    if not np.isfinite([*losses, *ends]).all():
        return dict.fromkeys(names)
    share = (coords[inside] - start) / (end - start)
    rises = losses - ((1 - share) * ends[0] + share * ends[1])
    height = max(0.0, float(rises.max(initial=0.0)))
    return {
        "barrier_height": height,
        "barrier_at": float(coords[inside][rises.argmax()]) if height > 0 else None,
        "barrier_above_higher_end": max(0.0, float(losses.max(initial=-np.inf)) - max(ends)),
        "barrier_steepest_slope": _steepest(values, coords, low, high),
    }


def _steepest(values: Floats, coords: Floats, low: float, high: float) -> float | None:
    """Return the steepest slope of the grid's steps that overlap the interval between two coordinates."""
    slack = ROUNDING * (coords[-1] - coords[0])
    touched = (coords[1:] > low + slack) & (coords[:-1] < high - slack)
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = np.abs(np.diff(values) / np.diff(coords))[touched]
    return drop_infinite(float(slopes.max())) if slopes.size else None


def _pass(surface: Surface, tree: MergeTree, first: int, second: int) -> dict[str, Value]:
    (name, start), (other, end) = surface.corners[first], surface.corners[second]
    keys = [f"pass_{what}_between_{name}_and_{other}" for what in ("level", "height", "at")]
    if any(lies_beyond(c, p) for point in (start, end) for c, p in zip(surface.coords, point, strict=True)):
        return dict.fromkeys(keys)
    ends = surface.nearest(start), surface.nearest(end)
    lowest = tree.pass_between(*ends)
    if lowest is None:
        return dict.fromkeys(keys)
    height = lowest.level - max(float(surface.values[index]) for index in ends)
    return dict(zip(keys, (lowest.level, height, surface.at(lowest.index)), strict=True))
