"""The scores of an ensemble, as its run keeps them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lossatlas.exchange.netcdf import read_netcdf
from lossatlas.files.reading import Unreadable
from lossatlas.schema import InEnsemble, parse_texts

__all__ = ["ENSEMBLE", "read_ensemble"]

ENSEMBLE = "ensemble.nc"
"""The file of a run that holds them, in the netCDF format."""


def read_ensemble(path: Path) -> xr.Dataset:
    """The scores of an ensemble that is finished.

    Args:
        path: its run directory.

    Raises:
        BadInput: they cannot be read, or are not the scores of an ensemble.
    """
    found = read_netcdf(path / ENSEMBLE)
    scores = parse_texts(found.attrs.get(InEnsemble.SCORES))
    names = [name for score in scores for name in (score, InEnsemble.of_member(score))]
    attributes = {InEnsemble.KIND, InEnsemble.EXAMPLES} <= found.attrs.keys()
    if not (names and attributes and {InEnsemble.MEMBER, InEnsemble.COUNT} <= set(found.coords)) or any(
        name not in found for name in names
    ):
        raise Unreadable(path / ENSEMBLE, "it does not hold the scores of an ensemble")
    return found
