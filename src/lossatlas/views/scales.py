"""Scales of colours and axes, taken from the data: limits, ticks, spreads, and numbers as short words."""

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
ALL_ZERO_FLOOR = 1e-12  # used only where no positive loss could serve
TAIL = 1.0  # percent cut at each end when outliers would flatten the picture
OUTLIER_RATIO = 3.0  # full range over central range beyond which the ends are cut
WIDE_RATIO = 100.0  # largest over smallest beyond which quantities other than losses have a logarithmic scale too


@dataclass(frozen=True)
class Invalid:
    """How many values are NaN, and how many infinite."""

    nan: int
    inf: int

    def __bool__(self) -> bool:
        return self.nan + self.inf > 0

    def __str__(self) -> str:
        kinds = [f"{self.nan} NaN"] * (self.nan > 0) + [f"{self.inf} infinite"] * (self.inf > 0)
        return f"not finite: {', '.join(kinds) or 'none'}"

    def told(self, what: str = "") -> str:
        """A sentence on them and on what becomes of them; empty where there are none."""
        return f"{self}{what}" if self else ""


@dataclass(frozen=True)
class Limits:
    """The range of a colour scale or of an axis, taken from the data.

    Attributes:
        low, high: the ends, in the units of the values; ``low < high``, and ``0 < low`` on a logarithmic scale.
        log: whether the scale is logarithmic.
        floor: where zeros are drawn on a logarithmic scale, in the units of the values; None if there is no zero.
        extend: the ends beyond which values lie, as matplotlib's colour bars name them:
            ``neither``, ``min``, ``max`` or ``both``.
        note: the rule in words, for the caption.
        levels: those of contour lines that were asked for; empty leaves them to the picture.
    """

    low: float
    high: float
    log: bool
    floor: float | None
    extend: str
    note: str
    levels: tuple[float, ...] = ()

    def shown(self, values: Floats) -> Floats:
        """The values with zeros moved to the floor; everything else, NaN and infinities included, as it is."""
        return values if self.floor is None else np.where(values == 0, self.floor, values)

    def heights(self, values: Floats) -> Floats:
        """Heights of a surface: shown values held inside the limits, as log10 on a logarithmic scale.

        What is not finite becomes NaN, a hole. Same shape as ``values``.
        """
        held = np.clip(np.where(np.isfinite(values), self.shown(values), np.nan), self.low, self.high)
        return np.log10(held) if self.log else held


def logarithmic(metric: str, values: Floats) -> bool:
    """Whether a metric asks for a logarithmic scale: losses do, and what is positive and spans more than 1 : 100.

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
    """The colour limits of some values, any shape, by a rule that its note states.

    All finite values lie inside, unless outliers take most of the scale: then its ends are percentiles. Losses
    below zero have no logarithm: the scale is linear then.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return Limits(1.0, 10.0, log, None, "neither", "no finite value")
    if finite.min() < 0:
        return _ranged(finite, log=False, floor=None)
    floor = _floor(finite) if log and not finite.all() else None
    return _ranged(finite if floor is None else np.maximum(finite, floor), log=log, floor=floor)


def hold_limits(found: Limits, values: Floats, low: float, high: float) -> Limits:
    """The limits of some values with ends that were asked for; logarithmic as those found, if they begin above zero.

    Raises:
        BadInput: a logarithmic scale is to begin at zero or below.
    """
    if found.log and low <= 0:
        raise BadInput(f"limits {low:g} {high:g} do not fit a log scale, which begins above 0; use scale linear")
    finite = values[np.isfinite(values)]
    below, above = int((finite < low).sum()), int((finite > high).sum())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below > 0, above > 0), "neither")
    beyond = f"; {below + above} beyond" * (below + above > 0)
    floor = low if found.floor is not None else None
    zeros = "" if floor is None else f"; zero is drawn at {number(floor)}"
    return Limits(
        low,
        high,
        found.log,
        floor,
        extend,
        f"{'log ' * found.log}scale from {number(low)} to {number(high)}{beyond}{zeros}",
    )


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """A few round ticks in [low, high] for a logarithmic scale: 3 to ``most``, or linear steps if it is short."""
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
    """A short plain number for a label, 3 to 4 digits: ``0.0312``, ``6.63``, ``1204``, ``12,043``, ``3.1e-07``."""
    if value == 0:
        return "0"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e2 <= abs(value) < 1e4 else f"{value:.3g}"


def percent(share: float) -> str:
    """A share as a short percentage, 3 digits: ``96.9 %``, ``0.003 %``."""
    return f"{number(100 * share)} %"


def spread(curves: Floats, *, log: bool) -> tuple[Floats, Floats, Floats]:
    """Mean, and mean less and plus one standard deviation, of several curves (D, U): three arrays (U,).

    On a logarithmic scale they are those of the logarithms, so that the mean is the geometric one and the band is as
    wide upwards as downwards. The standard deviation is the sample's, with D - 1, and zero of a single curve. What is
    not finite, or not positive on a logarithmic scale, is left out; a point where nothing is left is NaN.
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
        note = (
            f"{'log ' * log}scale from {_apart(inner_low, inner_high)}, 1st to 99th percentile; {below + above} beyond"
        )
        return Limits(inner_low, inner_high, log, floor, extend, note + zeros)
    note = f"{'log ' * log}scale from {_apart(low, high)}, the smallest and largest finite values"
    return Limits(low, high, log, floor, "neither", note + zeros)


def _apart(low: float, high: float) -> str:
    """``0.1 to 2.5``; with as many digits as it takes to tell the two apart."""
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
