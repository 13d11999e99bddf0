"""The scores of an ensemble, as its run keeps them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lossatlas.exchange.netcdf import read_netcdf

__all__ = ["ENSEMBLE", "read_ensemble"]

ENSEMBLE = "ensemble.nc"
"""The file of a run that holds them, in the netCDF format."""


def read_ensemble(path: Path) -> xr.Dataset:
    """The scores of an ensemble that is finished.

    Args:
        path: its run directory.

    Raises:
        BadInput: they cannot be read.
    """
    return read_netcdf(path / ENSEMBLE)
