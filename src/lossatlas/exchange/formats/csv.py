"""``.csv``: one row per point, for tables and spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.exchange.format import Format
from lossatlas.exchange.grid import describe_variable, find_axes, find_coordinate, find_gridded
from lossatlas.files.reading import Unreadable, read_text, tell_reason
from lossatlas.schema import AXES, CLASSES, CURVE, MEMBER, SAMPLE, SAMPLE_DIMENSIONS

__all__ = ["Csv"]

Array: TypeAlias = npt.NDArray[Any]

MOST_BYTES = 2**30
MOST_CELLS = 2**24
"""The largest number of cells of a table; each takes some hundred bytes while it is read."""
MARK = "\ufeff"
"""The byte-order mark that some programs put before a text."""
FURTHER = (*SAMPLE_DIMENSIONS, CLASSES)
"""The dimensions that are not axes."""
TRUTH = {"True": True, "False": False}


@final
class Csv(Format):
    """A header, then one row per point: its axes, a repeat and a class where there are any, and all variables.

    The last of the dimensions runs fastest. Numbers are written so that they are read back exactly, as float64 or
    int64; NaN is ``nan``, infinities ``inf`` and ``-inf``. A variable without a value per repeat or per class is
    repeated along them. Members and samples are written as repeats are, and may lie along no axis.

    Columns called u, v, w, x3, x4, ..., repeat, member, sample and classes are read as dimensions, in whatever order
    the rows are. A variable whose values are all equal along repeats or classes, of which there are several, is read as
    one without that dimension. Empty cells are NaN.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)
    reads: ClassVar[bool] = True

    def read(self, path: Path) -> xr.Dataset:
        header, rows = _table(path)
        columns = {name: _column(path, name, [row[i] for row in rows]) for i, name in enumerate(header)}
        names = [name for name in header if name in (*AXES, CURVE, *FURTHER) or re.fullmatch(r"x[0-9]+", name)]
        points = [name for name in names if name not in FURTHER]
        if not points and not {MEMBER, SAMPLE} & set(names):
            raise BadInput(
                f"{path} lacks a column for an axis; expected u, v, w, x3, ... or t, or sample or member, got "
                f"{', '.join(header)}"
            )
        if len(names) == len(header):
            raise BadInput(f"{path} lacks variables beside {', '.join(header)}; expected columns like test_loss")
        coordinates, order = _full_grid(path, {name: columns[name] for name in names})
        shape = tuple(len(values) for values in coordinates.values())
        variables = {
            name: _variable(names, values) if points else (tuple(names), values)
            for name, values in ((name, columns[name][order].reshape(shape)) for name in header if name not in names)
        }
        survey = xr.Dataset(
            {name: (dims, values, describe_variable(name)) for name, (dims, values) in variables.items()},
            coords={
                name: (name, values, {"long_name": name, "units": "1"} if name in points else {})
                for name, values in coordinates.items()
            },
        )
        return survey.transpose(*(name for name in (*SAMPLE_DIMENSIONS, *points, CLASSES) if name in names))

    def bytes_of(self, survey: xr.Dataset) -> bytes:
        variables = find_gridded(survey)
        order = (*SAMPLE_DIMENSIONS, *find_axes(survey), CLASSES)
        names = [name for name in order if any(name in array.dims for array in variables.values())]
        shape = tuple(survey.sizes[name] for name in names)
        grid = np.meshgrid(*(find_coordinate(survey, name) for name in names), indexing="ij")
        columns = dict(zip(names, grid, strict=True))
        for name, array in variables.items():
            whole = array.expand_dims({other: survey.sizes[other] for other in names if other not in array.dims})
            columns[name] = np.broadcast_to(whole.transpose(*names).values, shape)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(_written(column) for column in columns.values()), strict=True))
        return text.getvalue().encode()


def _written(column: Array) -> list[str]:
    """Format the cells of a column; floats are converted to float64 first, so that they are read back exactly."""
    if column.dtype.kind == "f":
        return [repr(value) for value in column.astype(np.float64).ravel().tolist()]
    return [str(value) for value in column.ravel().tolist()]


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read the header and the rows, all of one length."""
    try:
        text = read_text(path, MOST_BYTES).removeprefix(MARK)
        if (cells := text.count(",") + text.count("\n")) > MOST_CELLS:
            raise Unreadable(path, f"it has about {cells:,} cells, more than {MOST_CELLS:,}")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines if row]
    except (Unreadable, csv.Error) as error:
        reason = tell_reason(error)
        raise BadInput(f"{path} cannot be read as a table ({reason}); expected comma-separated values") from error
    if len(rows) < 2:
        raise BadInput(f"{path} holds no points; expected a header and one row per point")
    header = rows[0][1]
    if len(set(header)) < len(header) or "" in header:
        raise BadInput(f"{path} has columns without a name, or two of one name: {', '.join(header)}")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise BadInput(
                f"{path}, line {line}: {len(row)} cells, and the header has {len(header)}; the file may be truncated"
            )
    return header, [row for _, row in rows[1:]]


def _column(path: Path, name: str, cells: Sequence[str]) -> Array:
    """Convert cells to booleans, integers or floats (an empty cell is NaN), or for classes to text."""
    if all(cell in TRUTH for cell in cells):
        return np.array([TRUTH[cell] for cell in cells])
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(cell or "nan"))
        except ValueError:
            if name == CLASSES:
                return np.array(cells)
            raise BadInput(f"{path}: {cell!r} in column {name} is not a number; expected one in every row") from None
    return np.array(numbers)


def _full_grid(path: Path, columns: dict[str, Array]) -> tuple[dict[str, Array], npt.NDArray[np.intp]]:
    """The coordinates of each dimension, ascending, and the order of rows in which the last dimension runs fastest."""
    coordinates: dict[str, Array] = {}
    place = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
    for name, column in columns.items():
        if column.dtype.kind == "f":
            if not np.isfinite(column).all():
                raise BadInput(f"{path}: column {name} has coordinates that are not finite; expected numbers")
            column = column.astype(np.float64) + 0.0  # one zero, not two
        coordinates[name], along = np.unique(column, return_inverse=True)
        place = place * len(coordinates[name]) + along
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise BadInput(f"{path} has two rows for the point {_point(columns, int(order[twice[0]]))}; expected one")
    points = prod(len(values) for values in coordinates.values())
    if len(place) < points:
        gaps = np.flatnonzero(ordered != np.arange(len(ordered)))
        first = int(gaps[0]) if len(gaps) else len(ordered)
        where = np.unravel_index(first, tuple(len(values) for values in coordinates.values()))
        missing = {name: values[[i]] for (name, values), i in zip(coordinates.items(), where, strict=True)}
        raise BadInput(
            f"{path} has no row for the point {_point(missing, 0)}: {len(place):,} rows of {points:,}; "
            "expected a full grid"
        )
    return coordinates, order


def _variable(names: Sequence[str], values: Array) -> tuple[list[str], Array]:
    """The dimensions and values of a variable, without repeats and classes along which it does not change."""
    dims = list(names)
    for name in FURTHER:
        if name in dims and values.shape[dims.index(name)] > 1:
            first = values.take([0], axis=dims.index(name))
            if np.array_equal(np.broadcast_to(first, values.shape), values, equal_nan=values.dtype.kind == "f"):
                values = first.squeeze(dims.index(name))
                dims.remove(name)
    return dims, values


def _point(columns: dict[str, Array], row: int) -> str:
    return ", ".join(f"{name} = {column[row].item()}" for name, column in columns.items())
