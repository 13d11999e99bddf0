"""The spread of repeated slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.surface import Surface

__all__ = ["Spread"]


@dataclass(frozen=True)
class Spread(Measure):
    """The sample standard deviation over repeats divided by the modulus of their mean, at each point, without unit.

    - ``spread_mean``, ``spread_largest``: its mean over the grid, and its largest value;
    - ``spread_largest_at``: the coordinates of the largest value.

    Points at which a repeat is not finite, or the mean is 0, are left out. None with fewer than two repeats.
    """

    compares_repeats: ClassVar[bool] = True

    def applies(self, surface: Surface) -> bool:
        return surface.repeats is not None

    def of(self, surface: Surface) -> dict[str, Value]:
        nothing: dict[str, Value] = dict.fromkeys(("spread_mean", "spread_largest", "spread_largest_at"))
        if surface.repeats is None or len(surface.repeats) < 2:
            return nothing
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            relative = surface.repeats.std(axis=0, ddof=1) / np.abs(surface.repeats.mean(axis=0))
        known = np.isfinite(relative)
        if not known.any():
            return nothing
        place = np.unravel_index(int(np.where(known, relative, -1).argmax()), relative.shape)
        return {
            "spread_mean": float(relative[known].mean()),
            "spread_largest": float(relative[known].max()),
            "spread_largest_at": surface.at(tuple(int(k) for k in place)),
        }
