"""Scales of colours and axes, computed from the data: limits, ticks, spreads, and short formats of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossatlas.errors import BadInput
from lossatlas.schema import ENDS, OPERATORS

__all__ = [
    "ACCURACY",
    "ALL_ZERO_FLOOR",
    "LOSS",
    "Floats",
    "Invalid",
    "Limits",
    "hold_limits",
    "invalid",
    "is_curvature",
    "is_signed",
    "limits",
    "log_ticks",
    "logarithmic",
    "number",
    "percent",
    "signed_limits",
    "signed_ticks",
    "spread",
    "to_decades",
]

Floats = NDArray[np.float64]

LOSS, ACCURACY = "loss", "accuracy"
ALL_ZERO_FLOOR = 1e-12  # used only where all losses are zero
TAIL = 1.0  # percent cut at each end where outliers would take most of the scale
OUTLIER_RATIO = 3.0  # the ratio of the full to the central range beyond which the ends are cut
WIDE_RATIO = 100.0  # the ratio of largest to smallest value beyond which other quantities have a log scale too
SMALL = 10.0  # percent; the percentile of magnitudes that counts as the smallest on a signed scale
FEWEST_SIGNED = 3  # ticks of a signed scale
MOST_DECADES = 6  # of a signed scale, to either side; smaller magnitudes are in its linear part


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
        signed: Whether zero is the middle of the colours, which tell the sign.
        linear: On a scale that is logarithmic in both directions from zero, the magnitude below which it is about
            linear; None on any other scale.
    """

    low: float
    high: float
    log: bool
    floor: float | None
    extend: str
    note: str
    levels: tuple[float, ...] = ()
    requested: bool = False
    signed: bool = False
    linear: float | None = None

    def shown(self, values: Floats) -> Floats:
        """The values with zeros moved to the floor; NaN and infinities are kept."""
        return values if self.floor is None else np.where(values == 0, self.floor, values)

    def heights(self, values: Floats) -> Floats:
        """The heights of a surface: values clipped to the limits, as decades on a logarithmic scale.

        Values that are not finite become NaN, a hole. Same shape as ``values``.
        """
        held = np.clip(np.where(np.isfinite(values), self.shown(values), np.nan), self.low, self.high)
        return self.scaled(held)

    def scaled(self, values: Floats) -> Floats:
        """The positions of values on the scale: their log10, :func:`to_decades`, or the values themselves."""
        if self.log:
            return np.asarray(np.log10(values))
        return values if self.linear is None else to_decades(values, self.linear)


def to_decades(values: Floats, linear: float) -> Floats:
    """Positions on a scale that is logarithmic in both directions from zero, in decades, and linear around it.

    They are ``asinh(values / linear) / log(10)``, which is smooth, has the sign of the value, and grows by one from any
    magnitude well above ``linear`` to ten times it. Same shape as ``values``.
    """
    return np.asarray(np.arcsinh(values / linear) / np.log(10))


def is_curvature(metric: str) -> bool:
    """Whether a metric is one of the curvature, which is not a loss although it has its units."""
    return metric.partition("_")[0] in OPERATORS


def is_signed(metric: str, values: Floats) -> bool:
    """Whether the sign of a quantity matters: there are values on both sides of zero, or below it where zero means
    something all the same, as for the smallest eigenvalue of an operator.

    Losses are never signed in this sense.
    """
    finite = values[np.isfinite(values)]
    if not finite.size or metric in (LOSS, ACCURACY) or metric.endswith(f"_{LOSS}"):
        return False
    return bool(finite.min() < 0 and (finite.max() > 0 or _has_meaningful_zero(metric)))


def _has_meaningful_zero(metric: str) -> bool:
    """Whether zero means something even where all values are below it."""
    operator, _, quantity = metric.partition("_")
    signed = operator in OPERATORS and OPERATORS[operator].signed
    return signed and quantity in ("bottom", ENDS["bottom"].extreme, "trace")


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


def signed_limits(values: Floats) -> Limits:
    """Compute the limits of a scale that reaches as far below zero as above it, for values of any shape.

    It is logarithmic in both directions where magnitudes span more than 1 : 100, and linear otherwise.
    """
    magnitudes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not magnitudes.size:
        return Limits(-1.0, 1.0, False, None, "neither", "no finite value but zero", signed=True)
    reach, small = float(magnitudes.max()), float(np.percentile(magnitudes, SMALL))
    around = f"scale from -{number(reach)} to {number(reach)}"
    if reach <= WIDE_RATIO * small:
        return Limits(-reach, reach, False, None, "neither", f"{around}, 0 in its middle", signed=True)
    linear = float(10 ** np.floor(np.log10(max(small, reach / 10**MOST_DECADES))))
    note = f"{around}, logarithmic in both directions from 0, about linear below {number(linear)}"
    return Limits(-reach, reach, False, None, "neither", note, signed=True, linear=linear)


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
        signed=found.signed,
        linear=found.linear,
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


def signed_ticks(low: float, high: float, linear: float, most: int = 7) -> list[float]:
    """Choose up to ``most`` ticks in [low, high] for a scale that is logarithmic in both directions from zero.

    They are zero, if it lies within, and round numbers well above ``linear``, alike on both sides; equal steps where
    the scale has few of them.
    """
    # Nearer to zero ticks would stand too close to it.
    first, reach = 3 * linear, max(abs(low), abs(high))
    exponents = np.arange(np.floor(np.log10(linear)), np.floor(np.log10(max(reach, linear))) + 1)
    strides = [exponents[::-1][::stride] for stride in range(2, 2 + len(exponents))]
    choices = [(exponents, (1, 2, 5)), (exponents, (1, 3)), (exponents, (1,)), *((powers, (1,)) for powers in strides)]
    for powers, digits in choices:
        sizes = [size for e in powers for d in digits if (size := float(f"{d}e{int(e)}")) >= first]
        ticks = sorted([0.0, *sizes, *(-size for size in sizes)])
        inside = [tick for tick in ticks if low <= tick <= high]
        if FEWEST_SIGNED <= len(inside) <= most:
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
