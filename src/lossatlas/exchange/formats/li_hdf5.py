"""``.h5``: the surface files of the authors' code for arXiv 1712.09913 (Li et al. 2018)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.exchange.format import Format
from lossatlas.exchange.grid import describe_variable, find_axes, find_coordinate, find_gridded
from lossatlas.files.hdf5 import Dataset, read_datasets
from lossatlas.schema import AXES, SAMPLE_DIMENSIONS, TARGET_LOSS

if TYPE_CHECKING:
    import h5py

__all__ = ["LiHdf5"]

Array: TypeAlias = npt.NDArray[Any]

COORDINATES = ("xcoordinates", "ycoordinates")
DIRECTIONS = "dir_file"
LOSS, ACCURACY, THEIR_ACCURACY = "_loss", "_accuracy", "_acc"
SMALLEST, LARGEST = "train_smallest_eigenvalue", "train_largest_eigenvalue"
EIGENVALUES = {"min_eig": SMALLEST, "max_eig": LARGEST}
MISSING, MISSING_SMALLEST = -1.0, 1.0
"""What their arrays hold where nothing was computed yet; that of the smallest eigenvalue begins with +1."""

FRACTION_DTYPE = "dtype"
"""An attribute of our own, which their code does not look at: in which numbers the fractions were."""


@final
class LiHdf5(Format):
    """HDF5 files with ``xcoordinates``, ``ycoordinates``, ``<split>_loss``, ``<split>_acc`` (percent) and eigenvalues.

    Their code counts points as ``numpy.meshgrid(x, y)`` ravelled does, so that x runs fastest, but shapes its arrays
    (x, y). Only the order counts: arrays are read by it whatever their shape, and written in the shape (y, x), which
    for square grids is theirs and which for others their plots can draw. Files without ``ycoordinates`` have one axis.

    What was not computed yet is NaN here. Points at which a survey has no number of a split, neither a loss nor an
    accuracy, are written as not computed, so that their code would continue with them, and likewise eigenvalues; other
    NaNs stay.

    Losses and float32 fractions come back exactly, and so do fractions that were read from such a file; other float64
    fractions within one unit in the last place.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    reads: ClassVar[bool] = True

    def read(self, path: Path) -> xr.Dataset:
        arrays = read_datasets(path)
        if COORDINATES[0] not in arrays:
            raise _lacks(path, f"no dataset {COORDINATES[0]}", arrays)
        grid = {
            axis: _coordinates(path, name, arrays[name])
            for axis, name in zip(AXES, COORDINATES, strict=False)
            if name in arrays
        }
        values = _values(path, arrays, tuple(len(points) for points in grid.values()))
        directions = (arrays[DIRECTIONS].text or "") if DIRECTIONS in arrays else ""
        if not values:
            raise _lacks(path, "no surface such as train_loss or train_acc", arrays)
        survey = xr.Dataset(
            {name: (tuple(grid), array, describe_variable(name)) for name, array in values.items()},
            coords={axis: (axis, points, {"long_name": axis, "units": "1"}) for axis, points in grid.items()},
            attrs={DIRECTIONS: directions} if directions else {},
        )
        return survey.sortby(list(grid))

    def bytes_of(self, survey: xr.Dataset) -> bytes:
        import h5py

        names = find_axes(survey)
        if not names:
            raise BadInput("the survey has no axes and .h5 files of surfaces have one or two; write .csv")
        if len(names) > len(COORDINATES):
            raise BadInput(
                f"the survey has {len(names)} axes ({', '.join(names)}) and .h5 files of surfaces have one or two; "
                "select a slice of it, or write .csv"
            )
        surfaces = {name: array for name, array in find_gridded(survey).items() if _theirs(name) is not None}
        for dim in SAMPLE_DIMENSIONS:
            if any(dim in array.dims for array in surfaces.values()):
                raise BadInput(
                    f"the survey holds {survey.sizes[dim]} {dim}s and .h5 files of surfaces hold one; "
                    f"select one (survey.isel({dim}=0)), or write .csv"
                )
        plain = {name: array for name, array in surfaces.items() if array.ndim == len(names)}
        if not plain:
            raise BadInput(
                "the survey has nothing that .h5 files of surfaces hold; expected losses, accuracies or eigenvalues, "
                f"got {', '.join(sorted(map(str, survey.data_vars)))}"
            )
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file[DIRECTIONS] = str(survey.attrs.get(DIRECTIONS, ""))
            for name, axis in zip(COORDINATES, names, strict=False):
                file[name] = np.asarray(find_coordinate(survey, axis), dtype=np.float64)
            for name in plain:
                _put(file, plain, name)
        return content.getvalue()


def _theirs(name: str) -> str | None:
    """What their files call a variable of ours; None for what they do not hold."""
    if name in EIGENVALUES.values():
        return next(theirs for theirs, ours in EIGENVALUES.items() if ours == name)
    if name.endswith(ACCURACY):
        return name.removesuffix(ACCURACY) + THEIR_ACCURACY
    return name if name.endswith(LOSS) and name != TARGET_LOSS else None


def _ours(name: str) -> str | None:
    """What a dataset of theirs is called here; None for what is not a surface."""
    if name in EIGENVALUES:
        return EIGENVALUES[name]
    if name.endswith(THEIR_ACCURACY):
        return name.removesuffix(THEIR_ACCURACY) + ACCURACY
    return name if name.endswith(LOSS) else None


def _coordinates(path: Path, name: str, dataset: Dataset) -> npt.NDArray[np.float64]:
    points = _numbers(path, name, dataset)
    if points.ndim != 1 or not len(points) or not np.isfinite(points).all() or len(np.unique(points)) < len(points):
        raise BadInput(f"{path}: {name} of shape {points.shape} is not a list of different finite coordinates")
    return points.astype(np.float64)


def _values(path: Path, arrays: Mapping[str, Dataset], shape: tuple[int, ...]) -> dict[str, Array]:
    """All surfaces by our names, (x,) or (x, y), with NaN where nothing was computed."""
    values = {}
    for theirs, dataset in arrays.items():
        ours = _ours(theirs)
        if ours is None:
            continue
        numbers = _numbers(path, theirs, dataset)
        if numbers.size != prod(shape):
            raise BadInput(
                f"{path}: {theirs} has the shape {numbers.shape}, and there are {' x '.join(map(str, shape))} "
                "coordinates; the file may be damaged"
            )
        array = numbers.reshape(shape[::-1]).T  # x runs fastest
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
        if ours != SMALLEST:
            array = np.where(array == MISSING, array.dtype.type(np.nan), array)
        if ours.endswith(ACCURACY):
            array = _fractions(array, dataset.attributes.get(FRACTION_DTYPE, "float64"))
        values[ours] = array
    if SMALLEST in values:
        unknown = np.isnan(values[LARGEST]) if LARGEST in values else np.ones_like(values[SMALLEST], dtype=bool)
        values[SMALLEST] = np.where(unknown & (values[SMALLEST] == MISSING_SMALLEST), np.nan, values[SMALLEST])
    return values


def _put(file: h5py.File, surfaces: Mapping[str, xr.DataArray], name: str) -> None:
    """Add one of the surfaces, in their units and order."""
    theirs, array = _theirs(name), surfaces[name]
    assert theirs is not None
    values = np.asarray(array.values)
    if name.endswith(ACCURACY):
        with np.errstate(over="ignore"):  # an infinity is what a damaged number becomes
            values = 100 * values.astype(np.float64)
    missing = MISSING_SMALLEST if name == SMALLEST else MISSING
    values = np.where(_is_not_computed(surfaces, name), values.dtype.type(missing), values)
    file[theirs] = np.ascontiguousarray(values.T)
    if name.endswith(ACCURACY):
        file[theirs].attrs[FRACTION_DTYPE] = str(array.dtype)


def _is_not_computed(surfaces: Mapping[str, xr.DataArray], name: str) -> npt.NDArray[np.bool_]:
    """Where a surface has no number, and neither has any that is computed together with it; of its shape."""
    together = [
        np.isnan(array.values)
        for other, array in surfaces.items()
        if _split_of(other) == _split_of(name) and (other in EIGENVALUES.values()) == (name in EIGENVALUES.values())
    ]
    found: npt.NDArray[np.bool_] = np.all(together, axis=0)
    return found


def _split_of(name: str) -> str:
    return name.partition("_")[0]


def _fractions(percentages: Array, dtype: str) -> Array:
    fractions = percentages.astype(np.float64) / 100
    return fractions.astype(np.float32) if dtype == "float32" else fractions


def _numbers(path: Path, name: str, dataset: Dataset) -> Array:
    if dataset.values is None or dataset.values.dtype.kind not in "iuf":
        raise BadInput(f"{path}: {name} holds no numbers ({dataset.dtype}); the file may be damaged")
    return dataset.values


def _lacks(path: Path, what: str, arrays: Mapping[str, Dataset]) -> BadInput:
    has = ", ".join(sorted(arrays)) or "nothing"
    return BadInput(
        f"{path} has {what}; expected a surface file of Li et al.'s code ({COORDINATES[0]}, train_loss, ...), got {has}"
    )
