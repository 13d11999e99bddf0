"""The measures of a survey, by split and sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.measures.measure import MEASURES, Value
from lossatlas.measures.surface import Floats, Surface, drop_infinite
from lossatlas.schema import (
    AXES,
    SAMPLE_DIMENSIONS,
    Corner,
    find_companion,
    is_target,
    list_value_dimensions,
    parse_texts,
)

__all__ = ["measure_survey", "take_surfaces"]


def measure_survey(survey: xr.Dataset, metric: str = "loss") -> dict[str, dict[str, Value]]:
    """Compute all measures that apply to a survey, by split and name.

    Beside those of :data:`~lossatlas.measures.MEASURES` each split has ``centre`` (the coordinates of the grid point
    nearest to the first corner, or to the origin), ``centre_loss``, ``unmeasurable_nan`` and ``unmeasurable_inf``
    (how many values are NaN and infinite, over all repeats).

    Of several repeats, members or samples every number is the mean over them, with ``<name>_standard_deviation`` beside
    it (of the sample); both are None if one of them lacks the number. ``draws`` is a list of the measures of each.

    Args:
        survey: variables ``<split>_<metric>`` over the chart's axes, as ``xarray.open_zarr`` gives it.
        metric: the metric that is measured, which also names ``centre_loss``.

    Returns:
        JSON values by split and name; empty if the survey does not have the metric.

    Raises:
        BadInput: the coordinates of an axis do not ascend.
    """
    return {split: _measures(surface, metric) for split, surface in take_surfaces(survey, metric).items()}


def take_surfaces(survey: xr.Dataset, metric: str = "loss") -> dict[str, Surface]:
    """Return the surfaces of a metric by split, in the survey's order; with their mean for several repeats or samples.

    Raises:
        BadInput: the coordinates of an axis do not ascend.
    """
    found = {}
    several = list_value_dimensions(variable.attrs for variable in survey.data_vars.values())
    for name, variable in survey.data_vars.items():
        split = _split(str(name), variable, metric)
        if split and set(variable.dims) - set(SAMPLE_DIMENSIONS) and not several & set(variable.dims):
            found[split] = _surface(survey, variable)
    return found


def _split(name: str, variable: xr.DataArray, metric: str) -> str:
    """Return the split of a variable of the metric; empty for other variables."""
    if variable.dtype.kind not in "iuf" or is_target(name) or find_companion(name, variable.attrs):
        return ""
    if {"split", "metric"} <= set(variable.attrs):
        return str(variable.attrs["split"]) if variable.attrs["metric"] == metric else ""
    return name.removesuffix(f"_{metric}") if name.endswith(f"_{metric}") else ""


def _surface(survey: xr.Dataset, variable: xr.DataArray) -> Surface:
    samples = [dim for dim in SAMPLE_DIMENSIONS if dim in variable.dims]
    dims = [str(dim) for dim in variable.dims if dim not in samples]
    axes = tuple(sorted(dims)) if set(dims) <= set(AXES) else tuple(dims)
    coords = tuple(np.asarray(survey[axis].values, dtype=np.float64) for axis in axes)
    corners = _corners(survey, axes)
    if not samples:
        return Surface(np.asarray(variable.transpose(*axes).values, dtype=np.float64), coords, corners, axes)
    for dim in samples:
        if not variable.sizes[dim]:
            raise BadInput(f"{variable.name} has no {dim}s; expected at least one along {dim!r}; survey it again")
    values = np.asarray(variable.transpose(*samples, *axes).values, dtype=np.float64)
    repeats = values.reshape(-1, *values.shape[len(samples) :])
    with np.errstate(invalid="ignore", over="ignore"):
        return Surface(repeats.mean(axis=0), coords, corners, axes, repeats)


def _corners(survey: xr.Dataset, axes: Sequence[str]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Return the networks of a survey; empty if their coordinates are not stored for every axis."""
    variables = [survey.get(Corner.coordinate(axis)) for axis in axes]
    known = [variable for variable in variables if variable is not None and variable.dims == (Corner.DIMENSION,)]
    if len(known) < len(axes):
        return ()
    points = np.stack([np.asarray(variable.values, dtype=np.float64) for variable in known], axis=1)
    names = parse_texts(known[0].attrs.get("names"))
    if len(names) != len(points):
        names = [str(number) for number in range(len(points))]
    names = [f"{name}_{k}" if names.count(name) > 1 else name for k, name in enumerate(names)]
    placed = zip(names, points, strict=True)
    return tuple((name, tuple(float(p) for p in point)) for name, point in placed if np.isfinite(point).all())


def _measures(surface: Surface, metric: str) -> dict[str, Value]:
    if surface.repeats is None:
        return _of_one(surface, metric)
    each = [_of_one(Surface(one, surface.coords, surface.corners, surface.axes), metric) for one in surface.repeats]
    return {**_over_repeats(each), **_counts(surface.repeats), **_taken(surface, compares_repeats=True), "draws": each}


def _of_one(surface: Surface, metric: str) -> dict[str, Value]:
    centre: dict[str, Value] = {
        "centre": surface.at(surface.centre),
        f"centre_{metric}": drop_infinite(surface.centre_value),
    }
    return {**centre, **_counts(surface.values), **_taken(surface, compares_repeats=False)}


def _taken(surface: Surface, *, compares_repeats: bool) -> dict[str, Value]:
    kinds = [MEASURES[name]() for name in MEASURES]
    fitting = [kind for kind in kinds if kind.compares_repeats == compares_repeats and kind.applies(surface)]
    with np.errstate(all="ignore"):  # losses near the largest representable number
        found = {name: value for kind in fitting for name, value in kind.of(surface).items()}
    return {name: drop_infinite(value) if isinstance(value, float) else value for name, value in found.items()}


def _counts(values: Floats) -> dict[str, Value]:
    return {"unmeasurable_nan": int(np.isnan(values).sum()), "unmeasurable_inf": int(np.isinf(values).sum())}


def _over_repeats(each: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """Return means and standard deviations of all numbers; the centre is common to all repeats."""
    rows: dict[str, Value] = {"centre": each[0]["centre"]}
    for name in each[0]:
        values: list[Any] = [one[name] for one in each]
        if any(isinstance(value, list) for value in values):
            continue
        known, several = None not in values, len(values) > 1
        with np.errstate(all="ignore"):
            rows[name] = drop_infinite(np.mean(values)) if known else None
            deviation = drop_infinite(np.std(values, ddof=1)) if known and several else None
        rows[f"{name}_standard_deviation"] = deviation
    return {name: value for name, value in rows.items() if not name.startswith("unmeasurable")}
