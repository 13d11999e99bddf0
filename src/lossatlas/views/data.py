"""What a view shows, without a pixel: variables, cell edges, colour limits, counts of what is not finite.

Arrays of a survey with axes ``u``, ``v``, ``w`` have the shape (U, V, W): their dimensions follow the axes. A plane
is drawn with ``u`` to the right and ``v`` up, so its rows are ``v``: see :meth:`Field.plane`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lossatlas.errors import BadInput
from lossatlas.schema import TARGET, TARGET_LOSS

__all__ = [
    "Field",
    "Invalid",
    "Limits",
    "axes",
    "axis_label",
    "cell_edges",
    "edges",
    "fields",
    "invalid",
    "limits",
    "log_ticks",
    "number",
    "percent",
    "preferred",
    "quantities",
    "refined",
    "runs",
    "target",
    "target_loss",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

LOSS, ACCURACY = "loss", "accuracy"
SPATIAL = ("u", "v", "w")
HALF_SIDE = "half the longer side"
ALL_ZERO_FLOOR = 1e-12  # nats; used only where no positive loss could serve
TAIL = 1.0  # percent cut at each end when outliers would flatten the picture
OUTLIER_RATIO = 3.0  # full range over central range beyond which the ends are cut


@dataclass(frozen=True, eq=False)
class Field:
    """One variable of a survey, ready to be drawn.

    Attributes:
        name: the variable's name in the survey, ``test_loss``.
        label: what plots call it, ``test loss``.
        units: its units, empty for fractions and ratios.
        metric: ``loss``, ``accuracy``, or empty for any other quantity.
        values: the numbers, float64, one dimension per axis (U, V, ...); NaN and infinities are kept.
    """

    name: str
    label: str
    units: str
    metric: str
    values: Floats

    def plane(self, w: int | None = None) -> Floats:
        """The values as rows of ``v`` and columns of ``u``, shape (V, U); ``w`` chooses a slice of three axes."""
        return (self.values if w is None else self.values[:, :, w]).T

    def scale_label(self, limits: Limits) -> str:
        """What a colour bar or an axis shared by all splits says: ``loss (nat, log scale)``."""
        inside = ", ".join([self.units] * bool(self.units) + ["log scale"] * limits.log)
        name = self.metric or self.label
        return f"{name} ({inside})" if inside else name


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
    """

    low: float
    high: float
    log: bool
    floor: float | None
    extend: str
    note: str

    def shown(self, values: Floats) -> Floats:
        """The values with zeros moved to the floor; everything else, NaN and infinities included, as it is."""
        return values if self.floor is None else np.where(values == 0, self.floor, values)

    def heights(self, values: Floats) -> Floats:
        """Heights of a surface: shown values held inside the limits, as log10 on a logarithmic scale.

        What is not finite becomes NaN, a hole. Same shape as ``values``.
        """
        held = np.clip(np.where(np.isfinite(values), self.shown(values), np.nan), self.low, self.high)
        return np.log10(held) if self.log else held


def axes(survey: xr.Dataset) -> tuple[str, ...]:
    """The names of the chart's axes, ``u`` first; those of the first loss (or accuracy, or number) of the survey.

    Raises:
        BadInput: the survey holds no numbers.
    """
    names = [str(name) for name in survey.data_vars if survey[name].ndim > 0 and survey[name].dtype.kind in "iuf"]
    if not names:
        raise BadInput("the survey holds no numeric variables; expected some like test_loss over its axes")
    metrics = [name for name in names if _metric(name) == LOSS] or [name for name in names if _metric(name)] or names
    dims = tuple(str(dim) for dim in survey[metrics[0]].dims)
    return tuple(sorted(dims)) if set(dims) <= set(SPATIAL) else dims


def fields(survey: xr.Dataset, metric: str) -> list[Field]:
    """The variables ``<split>_<metric>`` over all axes of the survey, one per split, ``train`` first, ``test`` next."""
    order = axes(survey)
    found = [
        _field(survey, str(name), order)
        for name in survey.data_vars
        if _metric(str(name)) == metric and set(survey[name].dims) == set(order)
    ]
    return sorted(found, key=lambda field: (not field.name.startswith("train"), not field.name.startswith("test")))


def quantities(survey: xr.Dataset) -> list[Field]:
    """All numeric variables over all axes: the preferred loss first, then losses, accuracies and the others."""
    order = axes(survey)
    losses, accuracies = fields(survey, LOSS), fields(survey, ACCURACY)
    others = [
        _field(survey, str(name), order)
        for name, variable in survey.data_vars.items()
        if set(variable.dims) == set(order)
        and variable.dtype.kind in "iuf"
        and name not in (TARGET, TARGET_LOSS)
        and not _metric(str(name))
    ]
    return [*reversed(losses), *reversed(accuracies), *others]


def preferred(candidates: Sequence[Field]) -> Field:
    """The field that stands for all when only one can be shown: the test split's, or else the first."""
    return next((field for field in candidates if field.name.startswith("test")), candidates[0])


def target(survey: xr.Dataset) -> NDArray[np.int8] | None:
    """The asked-for picture over the axes (U, V, ...): +1 low, -1 high, 0 ignored; None where none was asked for."""
    if TARGET not in survey or set(survey[TARGET].dims) != set(axes(survey)):
        return None
    return np.asarray(survey[TARGET].transpose(*axes(survey)).values).astype(np.int8)


def target_loss(survey: xr.Dataset) -> Field | None:
    """The loss that was asked for, NaN where none was; None where the survey has no such variable over its axes."""
    if TARGET_LOSS not in survey or set(survey[TARGET_LOSS].dims) != set(axes(survey)):
        return None
    values = np.asarray(survey[TARGET_LOSS].transpose(*axes(survey)).values, dtype=np.float64)
    return Field(TARGET_LOSS, "loss asked for", str(survey[TARGET_LOSS].attrs.get("units", "")), "", values)


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


def cell_edges(centres: Floats, lone_width: float = 1.0) -> Floats:
    """The edges of cells around ascending centres (N,): midpoints, and the outer cells symmetric; shape (N + 1,).

    Args:
        centres: coordinates of the cells, ascending.
        lone_width: the width of the cell where there is only one.

    Raises:
        BadInput: the centres do not ascend.
    """
    steps = np.diff(centres)
    if not (steps > 0).all():
        raise BadInput("the coordinates of a survey must ascend strictly; sort the survey by its axes first")
    if centres.size == 1:
        return np.array([centres[0] - lone_width / 2, centres[0] + lone_width / 2])
    middles = centres[:-1] + steps / 2
    return np.concatenate([[centres[0] - steps[0] / 2], middles, [centres[-1] + steps[-1] / 2]])


def edges(survey: xr.Dataset) -> tuple[Floats, ...]:
    """The cell edges along each axis, (U + 1,), (V + 1,), ...; a lone cell is as wide as those of the other axes."""
    centres = [np.asarray(survey[axis].values, dtype=np.float64) for axis in axes(survey)]
    steps = [float(np.median(np.diff(c))) for c in centres if c.size > 1]
    lone = min(steps, default=1.0)
    return tuple(cell_edges(c, lone) for c in centres)


def axis_label(survey: xr.Dataset, axis: str) -> str:
    """An axis and its units: ``u (half the longer side)``."""
    attrs = survey[axis].attrs
    units = attrs.get("units", HALF_SIDE if axis in SPATIAL else "")
    name = str(attrs.get("long_name", axis))
    return name if units in ("", "1") else f"{name} ({units})"


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


def refined(heights: Floats, times: int) -> Floats:
    """A grid (V, U) with each step cut into ``times`` by bilinear interpolation; shape ((V - 1) * times + 1, ...).

    The given values stay as they are, so that a surface through the finer grid is the same surface.
    """
    for axis in (0, 1):
        rows = np.moveaxis(heights, axis, 0)
        between = [rows[:-1] if k == 0 else rows[:-1] + np.diff(rows, axis=0) * (k / times) for k in range(times)]
        finer = np.stack(between, axis=1).reshape(-1, rows.shape[1])
        heights = np.moveaxis(np.concatenate([finer, rows[-1:]]), 0, axis)
    return heights


def runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Starts and ends (exclusive) of the runs of True in a mask (N,): two index arrays of one length."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def _metric(name: str) -> str:
    if name == TARGET_LOSS:  # the loss of no split
        return ""
    return next((metric for metric in (LOSS, ACCURACY) if name.endswith(f"_{metric}")), "")


def _field(survey: xr.Dataset, name: str, order: Sequence[Hashable]) -> Field:
    variable = survey[name]
    metric = _metric(name)
    split = name.removesuffix(metric).rstrip("_") if metric else name.partition("_")[0]
    long_name = str(variable.attrs.get("long_name", name.replace("_", " ")))
    label = long_name if split.lower() in long_name.lower() else f"{split} {long_name}"
    units = str(variable.attrs.get("units", ""))
    values = np.asarray(variable.transpose(*order).values, dtype=np.float64)
    return Field(name, label, "" if units == "1" else units, metric, values)


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
        note = f"scale from {_apart(inner_low, inner_high)}, 1st to 99th percentile; {below + above} beyond"
        return Limits(inner_low, inner_high, log, floor, extend, note + zeros)
    note = f"scale from {_apart(low, high)}, the smallest and largest finite values"
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
