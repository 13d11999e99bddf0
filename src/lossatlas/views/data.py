"""The data that views show: variables of surveys, cell edges, colour limits, counts of values that are not finite.

Arrays of a survey with axes ``u``, ``v``, ``w`` have the shape (U, V, W): their dimensions follow the axes. A plane
is drawn with ``u`` to the right and ``v`` up, so its rows are ``v``: see :meth:`Field.plane`.

Several repeats of one slice, or members or samples, are not an axis: most functions here expect a single one of
them, as :func:`take_first_sample` and :func:`split_samples` return.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lossatlas.describing import count_things
from lossatlas.errors import BadInput
from lossatlas.schema import (
    CLASSES,
    ENDS,
    GROUP,
    MEASURED,
    PROBE_ERROR,
    RESIDUAL,
    SAMPLE_DIMENSIONS,
    SNAPSHOT,
    STANDARD_ERROR,
    TARGET,
    TARGET_LOSS,
    Along,
    Companion,
    Corner,
    OnChart,
    find_companion,
    is_target,
    list_value_dimensions,
    say_metric,
)
from lossatlas.views.scales import (
    ACCURACY,
    LOSS,
    Floats,
    Limits,
    is_signed,
    limits,
    logarithmic,
    number,
    signed_limits,
)

__all__ = [
    "RATIO",
    "RESOLVED",
    "Field",
    "Indices",
    "axes",
    "axis_label",
    "axis_units",
    "by_class",
    "by_value",
    "cell_edges",
    "chart_angles",
    "chart_map",
    "count_samples",
    "describe_extremes",
    "edges",
    "fields",
    "gather_samples",
    "label_variable",
    "limits_of",
    "list_extremes",
    "notes",
    "others",
    "preferred",
    "quantities",
    "read_numbers",
    "refined",
    "runs",
    "samples_in_words",
    "split_samples",
    "take_first_sample",
    "target",
    "target_loss",
]

Indices = NDArray[np.intp]

SPATIAL = ("u", "v", "w")
HALF_SIDE = "half the longer side"
BAND = 2.0  # standard errors on either side of a mean; about 95 % confidence for many examples
DONE = "done"
RATIO = "hessian_ratio"
RESOLVED = 0.02
"""The residual of a ratio of eigenvalues up to which it counts as resolved."""
LARGEST_OR_SMALLEST = {end.dimension: end.words for end in ENDS.values()}
"""What the first value along a dimension of eigenvalues is called."""
FIRST_OF = "first_of_samples"
"""The attribute of a survey that is one of several samples: their number, in words."""


@dataclass(frozen=True, eq=False)
class Field:
    """One variable of a survey, ready to be drawn.

    Attributes:
        name: The variable's name in the survey, ``test_loss``.
        label: The name in plots, ``test loss``.
        units: The units, empty for fractions and ratios.
        metric: ``loss``, ``accuracy``, ``gradient_norm``; empty for a variable that does not belong to a split.
        values: The numbers, float64, one dimension per axis (U, V, ...); NaN and infinities are kept.
        split: The split that was measured, ``test``; may be empty.
        error: The standard errors of the values, over examples or random probes, of the same shape; None where all
            examples were taken.
        residual: The residuals of the equations that the values solve, of the same shape; None where there are none.
    """

    name: str
    label: str
    units: str
    metric: str
    values: Floats
    split: str = ""
    error: Floats | None = None
    residual: Floats | None = None

    @property
    def resolved(self) -> Floats:
        """The values, NaN in place of a ratio of eigenvalues whose residual is not known to be at most 0.02."""
        if self.metric != RATIO or self.residual is None:
            return self.values
        return np.where(self.residual <= RESOLVED, self.values, np.nan)

    def plane(self, w: int | None = None) -> Floats:
        """The values as rows of ``v`` and columns of ``u``, shape (V, U); ``w`` chooses a slice of three axes."""
        return (self.values if w is None else self.values[:, :, w]).T

    def scale_label(self, limits: Limits, name: str = "") -> str:
        """The label of a colour bar or an axis: ``loss (nat, log scale)``, by default without the split."""
        inside = ", ".join([self.units] * bool(self.units) + ["log scale"] * limits.log)
        name = name or say_metric(self.metric) or self.label
        return f"{name} ({inside})" if inside else name

    def band(self, times: float = BAND) -> tuple[Floats, Floats] | None:
        """The values minus and plus the given number of standard errors; None where these are unknown."""
        if self.error is None:
            return None
        return self.values - times * self.error, self.values + times * self.error


def axes(survey: xr.Dataset) -> tuple[str, ...]:
    """Find the names of the chart's axes, ``u`` first, from the loss (or accuracy, or another number) of the survey.

    Dimensions of samples, and of metrics with several values per point, are not axes.

    Raises:
        BadInput: the survey holds no numbers.
    """
    names = [name for name in _numeric(survey) if survey[name].ndim > 0 and not _beside(survey, name)]
    if not names and any("metric" in survey[name].attrs for name in _numeric(survey)):
        return ()  # one sample of several that lie along no axis
    if not names:
        raise BadInput("the survey holds no numeric variables; expected some like test_loss over its axes")
    places = {LOSS: 0, ACCURACY: 1, "": 3}
    some = min(names, key=lambda name: places.get(_meaning(survey, name)[1], 2))
    further = {*SAMPLE_DIMENSIONS, *list_value_dimensions(variable.attrs for variable in survey.data_vars.values())}
    dims = tuple(str(dim) for dim in survey[some].dims if dim not in further)
    if empty := [dim for dim in dims if not survey.sizes[dim]]:
        raise BadInput(f"the survey has no points along {empty[0]}; select one at least")
    return tuple(sorted(dims)) if set(dims) <= set(SPATIAL) else dims


def read_numbers(survey: xr.Dataset, name: str) -> Floats:
    """Read a variable or a coordinate of the survey as float64, with its dimensions as stored.

    Raises:
        BadInput: its values are not numbers.
    """
    try:
        return np.asarray(survey[name].values, dtype=np.float64)
    except ValueError as error:
        raise BadInput(f"the values of {name!r} are not numbers; expected coordinates along an axis") from error


def count_samples(survey: xr.Dataset) -> int:
    """Count the repeats, members or samples in the survey; 1 where it has no such dimension."""
    return math.prod(survey.sizes[dim] for dim in _sampled(survey))


def samples_in_words(survey: xr.Dataset) -> str:
    """Write the count of :func:`count_samples` in words: ``3 repeats``, ``5 members``."""
    return " x ".join(count_things(survey.sizes[dim], dim) for dim in _sampled(survey))


def label_variable(subject: xr.Dataset, name: str) -> str:
    """Make the label of a variable with its unit."""
    attributes = subject[name].attrs
    unit = str(attributes.get("units", "1"))
    return f"{attributes.get('long_name', name)}{'' if unit == '1' else f' ({unit})'}"


def take_first_sample(survey: xr.Dataset) -> xr.Dataset:
    """Select the first sample, which :func:`notes` mentions if there are others; the survey itself without samples."""
    if not (dims := _sampled(survey)):
        return survey
    attrs = {FIRST_OF: samples_in_words(survey)} if count_samples(survey) > 1 else {}
    return survey.isel(dict.fromkeys(dims, 0)).assign_attrs(attrs)


def split_samples(survey: xr.Dataset) -> dict[str, xr.Dataset]:
    """Split the survey into its samples by name, such as ``repeat 0``; without samples the survey alone, unnamed."""
    dims = _sampled(survey)
    return {
        ", ".join(f"{dim} {k}" for dim, k in zip(dims, place, strict=True)): survey.isel(
            dict(zip(dims, place, strict=True))
        )
        for place in np.ndindex(*(survey.sizes[dim] for dim in dims))
    }


def gather_samples(survey: xr.Dataset, field: Field) -> Floats:
    """The values of a quantity at all samples of a survey without axes, (K,)."""
    return np.array(
        [
            float(other.values)
            for one in split_samples(survey).values()
            for other in fields(one, field.metric)
            if other.split == field.split
        ]
    )


def _sampled(survey: xr.Dataset) -> list[str]:
    return [dim for dim in SAMPLE_DIMENSIONS if dim in survey.sizes]


def notes(survey: xr.Dataset) -> list[str]:
    """Make the notes of a caption on the whole survey: interpolated points, and samples that are not shown."""
    found = []
    if MEASURED in survey and not survey[MEASURED].values.all():
        at = survey[MEASURED]
        found.append(f"{int(at.sum()):,} of {at.size:,} points measured, the others interpolated")
    if FIRST_OF in survey.attrs:
        found.append(f"the first of {survey.attrs[FIRST_OF]}")
    return found


def fields(survey: xr.Dataset, metric: str) -> list[Field]:
    """List the variables of a metric over all axes of the survey, one per split: ``train``, ``test``, then others."""
    order = axes(survey)
    found = [
        _field(survey, name, order)
        for name in _numeric(survey)
        if _meaning(survey, name)[1] == metric and set(survey[name].dims) == set(order)
    ]
    return sorted(found, key=lambda field: (field.split != "train", field.split != "test"))


def others(survey: xr.Dataset) -> dict[str, list[Field]]:
    """List what was measured beside loss and accuracy over all axes: by metric, as :func:`fields` does."""
    metrics = dict.fromkeys(_meaning(survey, name)[1] for name in _numeric(survey))
    found = {metric: fields(survey, metric) for metric in metrics if metric not in ("", LOSS, ACCURACY)}
    return {metric: some for metric, some in found.items() if some}


def by_class(survey: xr.Dataset) -> dict[str, list[Field]]:
    """List metrics with one value per class: a field per class, by the name of the variable, the test split first.

    Classes are named by the coordinate of their dimension, or by their numbers.
    """
    found = _list_several(survey, frozenset({CLASSES}))
    return dict(sorted(found.items(), key=lambda item: item[1][0].split != "test"))


def by_value(survey: xr.Dataset) -> dict[str, dict[str, list[Field]]]:
    """List metrics with several values at a point that do not belong to classes, such as a few eigenvalues.

    Returns:
        The fields of the values, by metric and split: ``train`` and ``test`` first.
    """
    dimensions = list_value_dimensions(variable.attrs for variable in survey.data_vars.values()) - {CLASSES}
    found: dict[str, dict[str, list[Field]]] = {}
    for several in _list_several(survey, dimensions).values():
        found.setdefault(several[0].metric, {})[several[0].split] = several
    order = ["train", "test"]
    return {
        metric: dict(sorted(splits.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
        for metric, splits in sorted(found.items(), key=lambda item: item[0].endswith("_bottom"))
    }


def _list_several(survey: xr.Dataset, dimensions: frozenset[str]) -> dict[str, list[Field]]:
    """List the variables with one of these dimensions beside the axes: a field for each place along it."""
    order = axes(survey)
    found = {}
    for name in _numeric(survey):
        further = {str(dim) for dim in survey[name].dims} - set(order)
        if len(further) == 1 and further <= dimensions and _meaning(survey, name)[1]:
            (dim,) = further
            whole = _field(survey, name, [*order, dim])
            labels = survey[dim].values if dim in survey.coords else _label_values(survey[name], dim)
            found[name] = [
                replace(
                    whole,
                    label=_name_value(dim, label),
                    values=whole.values[..., k],
                    error=None if whole.error is None else whole.error[..., k],
                    residual=None if whole.residual is None else whole.residual[..., k],
                )
                for k, label in enumerate(labels)
            ]
    return found


def _label_values(variable: xr.DataArray, dimension: str) -> Sequence[object]:
    """The labels of values along a dimension without coordinates: of groups their classes, else numbers."""
    numbers = range(variable.sizes[dimension])
    groups = str(variable.attrs.get("record", "")).split(";") if dimension == GROUP else []
    return [f"classes {group}" for group in groups] if len(groups) == len(numbers) else numbers


def _name_value(dimension: str, label: object) -> str:
    """Name a value along a dimension: ``class 3``, ``largest``, ``2nd smallest``; labels that are texts stay.

    >>> _name_value("classes", 3), _name_value("bottom_eigenvalue", 1), _name_value("layer", 0)
    ('class 3', '2nd smallest', 'layer 0')
    """
    if not isinstance(label, int | np.integer):
        return str(label)
    if dimension in LARGEST_OR_SMALLEST:
        place = int(label) + 1
        ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10 if place % 100 not in (11, 12, 13) else 0, "th")
        words = LARGEST_OR_SMALLEST[dimension]
        return f"{place}{ending} {words}" if place > 1 else words
    return f"{'class' if dimension == CLASSES else dimension.replace('_', ' ')} {label}"


def quantities(survey: xr.Dataset) -> list[Field]:
    """List all measured quantities over all axes: the preferred loss first, then losses, accuracies and the others."""
    losses, accuracies = fields(survey, LOSS), fields(survey, ACCURACY)
    return [*reversed(losses), *reversed(accuracies), *(field for some in others(survey).values() for field in some)]


def describe_extremes(survey: xr.Dataset, shown: Sequence[Field]) -> str:
    """State the lowest and the highest value of each quantity and where they are, in sentences; empty without any."""
    order = axes(survey)
    points = [read_numbers(survey, axis) for axis in order]

    def place(field: Field, index: np.intp) -> str:
        where = np.unravel_index(index, field.values.shape)
        at = ", ".join(f"{axis} = {number(float(c[k]))}" for axis, c, k in zip(order, points, where, strict=True))
        units = f" {field.units}" * bool(field.units not in ("", "1"))
        return f"{number(float(field.values[where]))}{units} at {at}"

    shape = " \u00d7 ".join(str(survey.sizes[axis]) for axis in order)
    sentences = [f"{shape} points along {', '.join(order)}."] if shown else []
    for field in shown:
        finite = np.isfinite(field.resolved)
        if not finite.any():
            said = "not finite" if field.resolved is field.values else "not resolved"
            sentences.append(f"The {field.label} is {said} at any point.")
            continue
        low, high = np.where(finite, field.values, np.inf).argmin(), np.where(finite, field.values, -np.inf).argmax()
        sentences.append(f"The {field.label} ranges from {place(field, low)} to {place(field, high)}.")
    return " ".join(sentences)


def list_extremes(survey: xr.Dataset) -> dict[str, tuple[str, str]]:
    """The lowest and the highest finite value of each quantity of a survey, as words, by its label."""
    found = {}
    for field in quantities(survey):
        values = field.resolved[np.isfinite(field.resolved)]
        if values.size:
            found[field.label] = (number(float(values.min())), number(float(values.max())))
    return found


def preferred(candidates: Sequence[Field]) -> Field:
    """Choose the field to show where there is room for one split only: that of the test split, or else the first."""
    return next((field for field in candidates if field.split == "test"), candidates[0])


def limits_of(fields: Sequence[Field], *, log: bool | None = None) -> Limits:
    """Find common limits for the fields of one metric; ``log`` as :func:`~lossatlas.views.scales.limits` takes it.

    Where it is None, the scale is logarithmic for losses and for values of a wide range, and reaches as far below zero
    as above it where the sign of the values matters.
    """
    values = np.concatenate([field.resolved.ravel() for field in fields])
    if log is None and is_signed(fields[0].metric, values):
        return signed_limits(values)
    return limits(values, log=logarithmic(fields[0].metric, values) if log is None else log)


def target(survey: xr.Dataset) -> NDArray[np.int8] | None:
    """Read the requested picture over the axes (U, V, ...): +1 low, -1 high, 0 ignored; None without a request."""
    asked = _over_axes(survey, TARGET)
    return None if asked is None else np.asarray(asked.values).astype(np.int8)


def target_loss(survey: xr.Dataset) -> Field | None:
    """Read the requested loss, NaN at points without one; None where the survey lacks it."""
    asked = _over_axes(survey, TARGET_LOSS)
    if asked is None:
        return None
    values = np.asarray(asked.values, dtype=np.float64)
    return Field(TARGET_LOSS, "requested loss", str(asked.attrs.get("units", "")), "", values)


def chart_map(survey: xr.Dataset, name: str) -> Field | None:
    """Read how the chart distorts weight space, such as its element of area; None where the survey does not say."""
    found = _over_axes(survey, name)
    if found is None:
        return None
    units = str(found.attrs.get("units", "1"))
    label = str(found.attrs.get("long_name", say_metric(name)))
    return Field(name, label, "" if units == "1" else units, "", np.asarray(found.values, dtype=np.float64))


def chart_angles(survey: xr.Dataset) -> list[Field]:
    """Read the angles between each two axes of the chart; empty where the survey does not say or has one axis."""
    found = (chart_map(survey, OnChart.angle(*pair)) for pair in combinations(axes(survey), 2))
    return [angle for angle in found if angle is not None]


def _over_axes(survey: xr.Dataset, name: str) -> xr.DataArray | None:
    """Select a variable, its dimensions in the order of the axes; None if missing or with other dimensions."""
    order = axes(survey)
    return survey[name].transpose(*order) if name in survey and set(survey[name].dims) == set(order) else None


def cell_edges(centres: Floats, lone_width: float = 1.0) -> Floats:
    """Compute the edges of cells around ascending centres (N,): midpoints, and symmetric outer cells; shape (N + 1,).

    Args:
        centres: coordinates of the cells, ascending.
        lone_width: the width of the cell where there is only one.

    Raises:
        BadInput: the centres do not ascend.
    """
    steps = np.diff(centres)
    if not (steps > 0).all():
        raise BadInput("the coordinates of a survey do not ascend strictly; sort the survey by its axes first")
    if centres.size == 1:
        return np.array([centres[0] - lone_width / 2, centres[0] + lone_width / 2])
    middles = centres[:-1] + steps / 2
    return np.concatenate([[centres[0] - steps[0] / 2], middles, [centres[-1] + steps[-1] / 2]])


def edges(survey: xr.Dataset) -> tuple[Floats, ...]:
    """Compute the cell edges along each axis, (U + 1,), (V + 1,), ...; a single cell is as wide as the others."""
    centres = [read_numbers(survey, axis) for axis in axes(survey)]
    steps = [float(np.median(np.diff(c))) for c in centres if c.size > 1]
    lone = min(steps, default=1.0)
    return tuple(cell_edges(c, lone) for c in centres)


def axis_units(survey: xr.Dataset, axis: str) -> str:
    """Return the units of an axis; empty for a dimensionless one."""
    units = str(survey[axis].attrs.get("units", HALF_SIDE if axis in SPATIAL else ""))
    return "" if units == "1" else units


def axis_label(survey: xr.Dataset, axis: str) -> str:
    """Make the label of an axis with its units: ``u (half the longer side)``."""
    units = axis_units(survey, axis)
    name = str(survey[axis].attrs.get("long_name", axis))
    return f"{name} ({units})" if units else name


def refined(heights: Floats, times: int) -> Floats:
    """Refine a grid (V, U) ``times``-fold by bilinear interpolation; shape ((V - 1) * times + 1, ...).

    The given values stay as they are, so that the finer grid describes the same surface.
    """
    for axis in (0, 1):
        rows = np.moveaxis(heights, axis, 0)
        between = [rows[:-1] if k == 0 else rows[:-1] + np.diff(rows, axis=0) * (k / times) for k in range(times)]
        finer = np.stack(between, axis=1).reshape(-1, rows.shape[1])
        heights = np.moveaxis(np.concatenate([finer, rows[-1:]]), 0, axis)
    return heights


def runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the starts and ends (exclusive) of the runs of True in a mask (N,): two index arrays of equal length."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)


def _numeric(survey: xr.Dataset) -> list[str]:
    return [str(name) for name in survey.data_vars if survey[name].dtype.kind in "iuf"]


def _beside(survey: xr.Dataset, name: str) -> bool:
    """Whether a variable belongs to a path, a curve or networks rather than to the points of the chart."""
    return bool({SNAPSHOT, Corner.DIMENSION, Corner.BIN, Along.DIMENSION} & set(survey[name].dims))


def _meaning(survey: xr.Dataset, name: str) -> tuple[str, str]:
    """Find the split and the metric of a variable; both are empty for what is not a measured quantity.

    Older stores, whose variables do not record it, have splits without underscores, so that
    ``train_regularised_loss`` is not the loss of a split ``train_regularised``.
    """
    attrs = survey[name].attrs
    if is_target(name) or name == MEASURED or name.endswith(f"_{DONE}") or find_companion(name, attrs):
        return "", ""
    if _beside(survey, name) or name.startswith(OnChart.PREFIX):
        return "", ""
    if "metric" in attrs:
        return str(attrs.get("split", "")), str(attrs["metric"])
    split, _, metric = name.partition("_")
    return (split, metric) if metric else ("", name)


def _field(survey: xr.Dataset, name: str, order: Sequence[Hashable]) -> Field:
    variable = survey[name]
    split, metric = _meaning(survey, name)
    long_name = str(variable.attrs.get("long_name", name.replace("_", " ")))
    label = long_name if split.lower() in long_name.lower() else f"{split} {long_name}"
    units = str(variable.attrs.get("units", ""))
    values = np.asarray(variable.transpose(*order).values, dtype=np.float64)
    errors = (_read_companion(survey, name, companion, order) for companion in (STANDARD_ERROR, PROBE_ERROR))
    error = next((known for known in errors if known is not None), None)
    residual = _read_companion(survey, name, RESIDUAL, order)
    return Field(name, label, "" if units == "1" else units, metric, values, split, error, residual)


def _read_companion(survey: xr.Dataset, name: str, companion: Companion, order: Sequence[Hashable]) -> Floats | None:
    """Read what says how accurate a variable is, its dimensions in order; None where the survey lacks it."""
    beside = companion.of(name)
    found = survey.get(beside)
    if found is None or set(found.dims) != set(order) or find_companion(beside, found.attrs) != companion.suffix:
        return None
    return np.asarray(found.transpose(*order).values, dtype=np.float64)
