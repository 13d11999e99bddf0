"""The scores of an ensemble, as its run keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from lossatlas.exchange.netcdf import read_netcdf
from lossatlas.files.reading import Unreadable
from lossatlas.schema import STANDARD_ERROR, InEnsemble, parse_texts

__all__ = ["ENSEMBLE", "read_ensemble"]

Names = InEnsemble
ACCURACY_ERROR = STANDARD_ERROR.of(Names.ACCURACY)

ENSEMBLE = "ensemble.nc"
"""The file of a run that holds them, in the netCDF format."""
DIMENSIONS = {
    **dict.fromkeys((Names.STEPS, Names.PASSES, Names.BYTES, Names.EVALUATIONS), (Names.COUNT,)),
    **dict.fromkeys((Names.CONFIDENCE, Names.ACCURACY, ACCURACY_ERROR, Names.SHARE), (Names.STAGE, Names.BIN)),
    Names.MEMBER: (Names.MEMBER,),
    Names.COUNT: (Names.COUNT,),
    Names.TEMPERATURE: (Names.ORDER, Names.COUNT, Names.HALVING, Names.HALF),
    Names.AT_BOUND: (Names.ORDER, Names.COUNT),
    Names.POSITION: (Names.HALVING, Names.HALF, Names.MEMBER),
    Names.EXAMPLE_ROWS: (Names.EXAMPLE,),
}
"""The dimensions of what is not of a single score, where it is there."""
LABELLED = {Names.MEMBER, Names.COUNT, Names.ORDER, Names.SCALE, Names.STAGE}
"""The dimensions that are read by their labels."""


def read_ensemble(path: Path) -> xr.Dataset:
    """The scores of an ensemble that is finished.

    Args:
        path: its run directory.

    Raises:
        BadInput: they cannot be read, or are not the scores of an ensemble.
    """
    found = read_netcdf(path / ENSEMBLE)
    if wrong := next(_list_faults(found), None):
        raise Unreadable(
            path / ENSEMBLE, f"it does not hold the scores of an ensemble as this version keeps them: {wrong}"
        )
    return found


def _list_faults(found: xr.Dataset) -> Iterator[str]:
    """List what is not as :class:`lossatlas.schema.InEnsemble` says."""
    scores = parse_texts(found.attrs.get(Names.SCORES))
    if not scores:
        yield "it names no scores"
    if found.attrs.get(Names.KIND) not in (Names.CLASSES, Names.VALUES):
        yield "it does not say what is averaged"
    if not isinstance(found.attrs.get(Names.EXAMPLES), int | np.integer):
        yield "it does not say of how many examples"
    known: dict[str, tuple[str, ...]] = dict(DIMENSIONS)
    needed = [Names.MEMBER, Names.COUNT]
    for score in scores:
        needed += (score, Names.of_member(score))
        whole = {
            score: (Names.COUNT,),
            Names.difference(score): (Names.COUNT,),
            Names.of_member(score): (Names.MEMBER,),
            Names.halves(score): (Names.ORDER, Names.SCALE, Names.COUNT),
        }
        known |= whole | {STANDARD_ERROR.of(name): dims for name, dims in whole.items()}
        known[Names.of_example(score)] = Names.SCALE, Names.EXAMPLE
    for name in needed:
        if name not in found:
            yield f"{name} is missing"
    for name, dims in known.items():
        if name in found and found[name].dims != dims:
            yield f"{name} has the dimensions {found[name].dims}, expected {dims}"
        if name in found and (lost := [dim for dim in dims if dim in LABELLED and dim not in found.coords]):
            yield f"the labels of {lost[0]} are missing"
