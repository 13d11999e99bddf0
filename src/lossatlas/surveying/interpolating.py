"""The variables of a survey at points that were not evaluated, made of those at points that were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.schema import MEASURED, SAMPLE_DIMENSIONS
from lossatlas.surveying.arrays import GridArrays, Mask, list_vouched
from lossatlas.surveying.gaps import Gaps
from lossatlas.surveying.scale import Scale

__all__ = ["MEASURED_ATTRIBUTES", "find_gaps", "interpolate_variables", "read_known"]

MEASURED_ATTRIBUTES = {"long_name": "evaluated, not interpolated"}


def read_known(arrays: GridArrays, marks: Sequence[str]) -> Mask:
    """Which points of the grid are evaluated in all of some groups of metrics, (U, V, ...); all where there is none."""
    known = np.ones(arrays.shape, dtype=bool)
    for mark in marks:
        known &= arrays.read(mark)
    return known


def find_gaps(arrays: GridArrays, known: Mask) -> Gaps:
    """The gaps of a survey's grid; nothing is interpolated between repeats, members or samples.

    Raises:
        BadInput: a corner of the grid is not known.
    """
    apart = [k for k, axis in enumerate(arrays.axes) if axis in SAMPLE_DIMENSIONS]
    return Gaps(list(arrays.grid.values()), known, apart)


def interpolate_variables(arrays: GridArrays, coarsest: Mask, marks: Sequence[str]) -> None:
    """Fill what some marks do not mark from what they do, bit for bit as it is, and record what is measured.

    Each variable is interpolated on the scale (:class:`Scale`) of its values at the coarsest points, so that a positive
    one is in its logarithm. Nothing is absent on the way: what a reader finds is evaluated, or interpolated now or
    before.

    Args:
        arrays: of the survey, whose structure no other process changes.
        coarsest: (U, V, ...) the points that decide on the scales, as far as they are marked.
        marks: of groups of metrics.

    Raises:
        BadInput: a corner of the grid is not evaluated, since the survey is not finished.
        CannotFinish: the disk refuses, or the survey was removed.
    """
    made: dict[bytes, Gaps] = {}
    for mark in marks:
        known = arrays.read(mark)
        try:
            gaps = made.setdefault(known.tobytes(), find_gaps(arrays, known))
        except BadInput as error:
            raise BadInput(f"{mark} of the survey is not finished ({error}); continue its run with --resume") from error
        for name in list_vouched(arrays[mark]):
            if name in arrays and arrays.is_tiled(arrays[name]) and arrays[name].dtype.kind == "f":
                values = arrays.read(name).astype(np.float64)
                scale = Scale.of(values[coarsest & known])
                there = known.reshape(*known.shape, *(1,) * (values.ndim - known.ndim))
                arrays.write(name, ..., np.where(there, values, scale.back(gaps.fill(scale.forward(values)))))
    _record_measured(arrays, read_known(arrays, marks))


def _record_measured(arrays: GridArrays, known: Mask) -> None:
    """Say which points are evaluated, tile by tile where it was said before, so that it is never said of none."""
    if arrays.is_whole(MEASURED) and arrays.fits(MEASURED, np.bool_):
        arrays.write(MEASURED, ..., known)
    else:
        arrays.put(MEASURED, known, MEASURED_ATTRIBUTES)
