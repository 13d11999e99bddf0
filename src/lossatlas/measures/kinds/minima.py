"""Local minima by their persistence."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.merge_tree import Minimum, merge_tree
from lossatlas.measures.surface import Surface, drop_infinite

__all__ = ["Minima"]


@dataclass(frozen=True)
class Minima(Measure):
    """Local minima by their persistence: the least rise of the loss on a path to a lower minimum.

    - ``minima_more_persistent_than_<threshold>``: the number of minima, which includes the lowest of all;
    - ``minima_most_persistent``: the most persistent ones, each with its coordinates ``at`` and ``loss``, its
      ``persistence`` (None if no path leads to a lower minimum), the coordinates ``saddle_at`` and ``saddle_loss`` of
      the saddle on that path, and ``parent_at`` of the lower minimum (None likewise). Losses are in their unit.

    Args:
        thresholds: persistences in the loss's unit.
        most: the number of minima that are listed.
        diagonal: whether diagonal grid points are neighbours.
    """

    thresholds: tuple[float, ...] = (0.01, 0.1)
    most: int = 10
    diagonal: bool = False

    def applies(self, surface: Surface) -> bool:
        return True

    def of(self, surface: Surface) -> dict[str, Value]:
        tree = merge_tree(surface.values, diagonal=self.diagonal)
        counts: dict[str, Value] = {
            f"minima_more_persistent_than_{threshold:g}": len(tree.persistent(threshold))
            for threshold in self.thresholds
        }
        listed = [_described(surface, minimum) for minimum in tree.minima[: self.most]]
        return {**counts, "minima_most_persistent": listed}


def _described(surface: Surface, minimum: Minimum) -> dict[str, Value]:
    return {
        "at": surface.at(minimum.index),
        "loss": minimum.birth,
        "persistence": drop_infinite(minimum.persistence),
        "saddle_at": None if minimum.saddle is None else surface.at(minimum.saddle),
        "saddle_loss": drop_infinite(minimum.death),
        "parent_at": None if minimum.parent is None else surface.at(minimum.parent),
    }
