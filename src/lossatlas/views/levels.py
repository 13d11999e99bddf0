"""The levels of contour lines: round numbers chosen from the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossatlas.views.scales import Limits

__all__ = ["contour_levels"]

FEWEST, BEST, MOST = 6, 10, 14
TOGETHER = 0.5  # decades; a shorter logarithmic scale is nearly linear
DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8))
STEPS = ((1, 2, 5), (1, 2, 2.5, 4, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8))


def contour_levels(limits: Limits) -> list[float]:
    """Choose the requested levels, or 6 to 14 (about 10) round ones strictly between the limits, ascending.

    On a logarithmic scale the levels have the same few digits in each power of ten (or are powers of ten, some left out
    if there are many). On a linear scale, and on one shorter than half a power of ten, they are equally spaced.
    """
    if limits.levels:
        return list(limits.levels)
    tried = [*_within_decades(limits), *_powers(limits)] if limits.log and _decades(limits) > TOGETHER else []
    for choices in ([tried] if tried else []) + [list(_equal_steps(limits, digits)) for digits in STEPS]:
        fitting = [levels for levels in choices if FEWEST <= len(levels) <= MOST]
        if fitting:
            return min(fitting, key=lambda levels: abs(len(levels) - BEST))
    # Between limits that differ by rounding errors alone there is not any round number.
    return [float(level) for level in np.linspace(limits.low, limits.high, BEST + 2)[1:-1]]


def _decades(limits: Limits) -> float:
    return float(np.log10(limits.high / limits.low))


def _within_decades(limits: Limits) -> Iterator[list[float]]:
    powers = np.arange(np.floor(np.log10(limits.low)), np.ceil(np.log10(limits.high)) + 1)
    for digits in DIGITS:
        yield _inside([float(f"{digit}e{int(power)}") for power in powers for digit in digits], limits)


def _powers(limits: Limits) -> Iterator[list[float]]:
    low, high = int(np.floor(np.log10(limits.low))), int(np.ceil(np.log10(limits.high)))
    for stride in range(2, 2 + (high - low) // FEWEST):
        yield _inside([float(f"1e{power}") for power in range(low - low % stride, high + 1, stride)], limits)


def _equal_steps(limits: Limits, digits: tuple[float, ...]) -> Iterator[list[float]]:
    extent = limits.high - limits.low
    power = int(np.floor(np.log10(extent)))
    for exponent in (power - 2, power - 1, power):
        for digit in digits:
            step = float(f"{digit}e{exponent}")
            if extent / step > 2 * MOST:
                continue
            first, last = np.floor(limits.low / step), np.ceil(limits.high / step)
            yield _inside([float(f"{step * k:.12g}") for k in np.arange(first, last + 1)], limits)


def _inside(levels: list[float], limits: Limits) -> list[float]:
    return [level for level in levels if limits.low < level < limits.high]
