"""Scales of colours and axes, computed from the data: limits, ticks, spreads, and short formats of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossatlas.errors import BadInput

__all__ = [
    "ACCURACY",
    "ALL_ZERO_FLOOR",
    "LOSS",
    "Floats",
    "Invalid",
    "Limits",
    "hold_limits",
    "invalid",
    "limits",
    "log_ticks",
    "logarithmic",
    "number",
    "percent",
    "spread",
]

Floats = NDArray[np.float64]

LOSS, ACCURACY = "loss", "accuracy"
ALL_ZERO_FLOOR = 1e-12  # used only where all losses are zero
TAIL = 1.0  # percent cut at each end where outliers would take most of the scale
OUTLIER_RATIO = 3.0  # the ratio of the full to the central range beyond which the ends are cut
WIDE_RATIO = 100.0  # the ratio of largest to smallest value beyond which other quantities have a log scale too


@dataclass(frozen=True)
class Invalid:
    """The numbers of values that are NaN, and that are infinite."""

    nan: int
    inf: int

    def __bool__(self) -> bool:
        return self.nan + self.inf > 0

    def __str__(self) -> str:
        kinds = [f"{self.nan} NaN"] * (self.nan > 0) + [f"{self.inf} infinite"] * (self.inf > 0)
        return f"not finite: {', '.join(kinds) or 'none'}"

    def describe(self, what: str = "") -> str:
        """Make a note on these values and how they are shown; empty where all values are finite."""
        return f"{self}{what}" if self else ""


@dataclass(frozen=True)
class Limits:
    """The range of a colour scale or of an axis, computed from the data.

    Attributes:
        low, high: The ends, in the units of the values; ``low < high``, and ``0 < low`` on a logarithmic scale.
        log: Whether the scale is logarithmic.
        floor: The value at which zeros are drawn on a logarithmic scale; None if no value is zero.
        extend: The ends beyond which values lie, as matplotlib's colour bars name them:
            ``neither``, ``min``, ``max`` or ``both``.
        note: The scale in words, for the caption.
        levels: The requested levels of contour lines; empty where the picture chooses them.
        requested: Whether the ends were requested, and are not taken from the data.
    """

    low: float
    high: float
    log: bool
    floor: float | None
    extend: str
    note: str
    levels: tuple[float, ...] = ()
    requested: bool = False

    def shown(self, values: Floats) -> Floats:
        """The values with zeros moved to the floor; NaN and infinities are kept."""
        return values if self.floor is None else np.where(values == 0, self.floor, values)

    def heights(self, values: Floats) -> Floats:
        """The heights of a surface: values clipped to the limits, as log10 on a logarithmic scale.

        Values that are not finite become NaN, a hole. Same shape as ``values``.
        """
        held = np.clip(np.where(np.isfinite(values), self.shown(values), np.nan), self.low, self.high)
        return np.log10(held) if self.log else held


def logarithmic(metric: str, values: Floats) -> bool:
    """Whether a metric has a logarithmic scale: losses do, and positive values that span more than 1 : 100.

    Fractions, which lie between 0 and 1, never do.
    """
    if metric == LOSS or metric.endswith(f"_{LOSS}"):
        return True
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 1 and finite.max() > WIDE_RATIO * finite.min())


def invalid(values: Floats) -> Invalid:
    """Count the values that are not finite; any shape."""
    return Invalid(nan=int(np.isnan(values).sum()), inf=int(np.isinf(values).sum()))


def limits(values: Floats, *, log: bool) -> Limits:
    """Compute the limits of a scale for values of any shape; the note states the rule that was applied.

    All finite values lie inside, unless outliers take most of the scale: then the ends are percentiles. Where some
    losses are negative, the scale is linear.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return Limits(1.0, 10.0, log, None, "neither", "no finite value")
    if finite.min() < 0:
        return _ranged(finite, log=False, floor=None)
    floor = _floor(finite) if log and not finite.all() else None
    return _ranged(finite if floor is None else np.maximum(finite, floor), log=log, floor=floor)


def hold_limits(found: Limits, values: Floats, low: float, high: float) -> Limits:
    """Replace the ends of a scale by requested ones; the scale stays logarithmic if it was.

    Raises:
        BadInput: a logarithmic scale is to begin at zero or below.
    """
    if found.log and low <= 0:
        raise BadInput(f"limits {low:g} {high:g} do not fit a log scale, which begins above 0; use scale linear")
    finite = values[np.isfinite(values)]
    if finite.size and (finite.max() < low or finite.min() > high):
        between = f"{number(float(finite.min()))} and {number(float(finite.max()))}"
        raise BadInput(
            f"limits {low:g} {high:g} leave out all of the data, which lies between {between}; choose others"
        )
    below, above = int((finite < low).sum()), int((finite > high).sum())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below > 0, above > 0), "neither")
    beyond = f"; values beyond it: {below + above}" * (below + above > 0)
    floor = low if found.floor is not None else None
    zeros = "" if floor is None else f"; zero is drawn at {number(floor)}"
    return Limits(
        low,
        high,
        found.log,
        floor,
        extend,
        f"{'log ' * found.log}scale from {number(low)} to {number(high)}{beyond}{zeros}",
        requested=True,
    )


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Choose 3 to ``most`` round ticks in [low, high] for a logarithmic scale, linear steps if it is short."""
    exponents = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    stride = int(np.ceil(len(exponents) / most))
    choices = [(exponents, (1, 2, 5)), (exponents, (1, 3)), (exponents, (1,)), (exponents[::stride], (1,))]
    for powers, digits in choices:
        ticks = [float(f"{d}e{int(e)}") for e in powers for d in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if 3 <= len(inside) <= most:
            return inside
    return _linear_ticks(low, high)


def number(value: float) -> str:
    """Format a number for a label with 3 to 4 digits: ``0.0312``, ``6.63``, ``1204``, ``12,043``, ``3.1e-07``."""
    if value == 0:
        return "0"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e2 <= abs(value) < 1e4 else f"{value:.3g}"


def percent(share: float) -> str:
    """Format a fraction as a percentage with 3 digits: ``96.9 %``, ``0.003 %``."""
    return f"{number(100 * share)} %"


def spread(curves: Floats, *, log: bool) -> tuple[Floats, Floats, Floats]:
    """Compute the mean of curves (D, U), and the mean minus and plus one standard deviation: three arrays (U,).

    On a logarithmic scale the statistics are those of the logarithms, so that the mean is geometric and the band is
    symmetric. The standard deviation is that of a sample, with D - 1, and zero for a single curve. Values that are not
    finite, or not positive on a logarithmic scale, are left out; points without any value are NaN.
    """
    there = np.isfinite(curves) & ((curves > 0) | (not log))
    values = np.where(there, curves, 1.0)
    values = np.where(there, np.log(values) if log else values, 0.0)
    count = there.sum(axis=0)
    mean = values.sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(there, values - mean, 0.0) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    found = [np.where(count > 0, line, np.nan) for line in (mean, mean - deviation, mean + deviation)]
    middle, low, high = (np.exp(line) if log else line for line in found)
    return middle, low, high


def _floor(finite: Floats) -> float:
    positive = finite[finite > 0]
    return float(positive.min()) if positive.size else ALL_ZERO_FLOOR


def _ranged(drawn: Floats, *, log: bool, floor: float | None) -> Limits:
    low, high = float(drawn.min()), float(drawn.max())
    zeros = "" if floor is None else f"; zero is drawn at {number(floor)}"
    if low == high:
        wide = (low / 1.1, high * 1.1) if log else (low - max(abs(low), 1) / 10, high + max(abs(high), 1) / 10)
        return Limits(*wide, log, floor, "neither", f"all finite values equal {number(low)}{zeros}")
    inner_low, inner_high = (float(q) for q in np.percentile(drawn, [TAIL, 100 - TAIL]))
    if inner_low < inner_high and _span(low, high, log) > OUTLIER_RATIO * _span(inner_low, inner_high, log):
        below, above = int((drawn < inner_low).sum()), int((drawn > inner_high).sum())
        extend = {(True, True): "both", (True, False): "min", (False, True): "max"}[below > 0, above > 0]
        inner = _apart(inner_low, inner_high)
        note = f"{'log ' * log}scale from {inner}, 1st to 99th percentile; values beyond it: {below + above}"
        return Limits(inner_low, inner_high, log, floor, extend, note + zeros)
    note = f"{'log ' * log}scale from {_apart(low, high)}, the smallest and largest finite values"
    return Limits(low, high, log, floor, "neither", note + zeros)


def _apart(low: float, high: float) -> str:
    """Format a range, ``0.1 to 2.5``, with enough digits for its ends to differ."""
    texts = [number(low), number(high)]
    for digits in range(4, 10):
        if texts[0] != texts[1]:
            break
        texts = [f"{end:.{digits}g}" for end in (low, high)]
    return " to ".join(texts)


def _span(low: float, high: float, log: bool) -> float:
    return float(np.log(high / low)) if log else high - low


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= raw)
    first = np.ceil(low / step)
    return [float(f"{step * k:.12g}") for k in np.arange(first, np.floor(high / step) + 1)]
