"""The minima that matter: those that one has to climb out of."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.merge_tree import Minimum, merge_tree
from lossatlas.measures.surface import Surface, drop_infinite

__all__ = ["Minima"]


@dataclass(frozen=True)
class Minima(Measure):
    """Local minima by their persistence: how far the loss has to rise on the way to a lower one.

    - ``minima_more_persistent_than_<threshold>``: how many; the lowest of all is one of them;
    - ``minima_most_persistent``: the first of them, each with its coordinates ``at`` and ``loss``, its
      ``persistence`` (None if no way leads to a lower minimum), and the coordinates ``saddle_at`` and ``saddle_loss``
      of the saddle there and ``parent_at`` of the lower minimum (None likewise). Losses in their unit.

    Args:
        thresholds: persistences in the loss's unit.
        most: how many minima are listed.
        diagonal: whether diagonal neighbours are neighbours.
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
