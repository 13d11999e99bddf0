"""The part of a survey that other formats can hold: its variables on the grid, in a known order of dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.schema import (
    AXES,
    CLASSES,
    DIMENSION,
    MEASURED,
    OFF_GRID,
    SAMPLE_DIMENSIONS,
    TARGET_LOSS,
    OnChart,
    find_companion,
    is_target,
    list_value_dimensions,
)

__all__ = ["describe_variable", "find_axes", "find_coordinate", "find_gridded"]

SPLITS = ("train_", "test_")
DONE = "_done"
"""The suffix of the names of marks."""
WITHOUT_UNITS = ("loss", "eigenvalue")
"""How names of variables end whose units a foreign file does not record: its loss may be in nats, bits or anything."""


def find_axes(survey: xr.Dataset) -> tuple[str, ...]:
    """The names of the chart's axes: the dimensions of the first loss, or else of any number, without those of
    samples and of several values at a point.

    Raises:
        BadInput: the survey holds no numbers.
    """
    numbers = [
        str(name)
        for name, array in survey.data_vars.items()
        if array.ndim > 0 and array.dtype.kind in "iuf" and not OFF_GRID & set(array.dims)
    ]
    if not numbers:
        raise BadInput("the survey holds no numeric variables; expected some like test_loss over its axes")
    losses = [name for name in numbers if name.endswith("_loss")] or numbers
    further = {*SAMPLE_DIMENSIONS, *list_value_dimensions(array.attrs for array in survey.data_vars.values())}
    names = [str(dim) for dim in survey[losses[0]].dims if dim not in further]
    known = [axis for axis in AXES if axis in names]
    return (*known, *(name for name in names if name not in known))


def find_gridded(survey: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return numbers and booleans with a value at every point, by name, with dimensions (samples, axes, classes).

    A metric with several values that are not of classes is one variable for each of them: ``test_eigenvalues_rank0``.
    Trajectories and quantities of single networks are not on the grid.
    """
    names = find_axes(survey)
    order = (*SAMPLE_DIMENSIONS, *names, CLASSES)
    return {
        name: array.transpose(*(dim for dim in order if dim in array.dims))
        for name, array in _one_by_one(survey)
        if set(names) <= set(array.dims) <= set(order) and array.dtype.kind in "biuf"
    }


def _one_by_one(survey: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield all variables by name, those with several values at a point one by one; classes stay together."""
    for name, array in survey.data_vars.items():
        dimension = str(array.attrs.get(DIMENSION, CLASSES))
        if dimension == CLASSES or dimension not in array.dims:
            yield str(name), array
            continue
        suffix = f"_{beside}" if (beside := find_companion(str(name), array.attrs)) else ""
        for k in range(array.sizes[dimension]):
            yield f"{str(name).removesuffix(suffix)}_{dimension}{k}{suffix}", array.isel({dimension: k}, drop=True)


def find_coordinate(survey: xr.Dataset, dimension: str) -> np.ndarray[Any, Any]:
    """Return the coordinates along a dimension, (length,); numbers from 0 if it does not have any."""
    return np.asarray(survey[dimension].values)


def describe_variable(name: str) -> dict[str, str]:
    """Return the attributes of a variable of which only the name is known: label, units, split and metric.

    Losses and eigenvalues are given no units, because a foreign file does not record the unit of its loss.

    >>> describe_variable("test_loss")
    {'long_name': 'test loss', 'split': 'test', 'metric': 'loss'}
    >>> describe_variable("test_accuracy")["units"]
    '1'
    """
    attributes = {"long_name": name.replace("_", " ")}
    beside = name == MEASURED or name.startswith(OnChart.PREFIX) or (is_target(name) and name != TARGET_LOSS)
    if beside or name.endswith(DONE) or find_companion(name, {}):
        return attributes
    if not name.endswith(WITHOUT_UNITS):
        attributes["units"] = "1"
    split, _, metric = name.partition("_") if name.startswith(SPLITS) else name.rpartition("_")
    if name != TARGET_LOSS and (name.startswith(SPLITS) or metric in ("loss", "accuracy")):
        attributes |= {"split": split, "metric": metric}
    return attributes
