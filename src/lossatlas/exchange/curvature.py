"""The data of a measurement of curvature, as its run keeps them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lossatlas.exchange.netcdf import read_netcdf

__all__ = ["CURVATURE", "read_curvature"]

CURVATURE = "curvature.nc"
"""The file of a run that holds them, in the netCDF format."""


def read_curvature(path: Path) -> xr.Dataset:
    """What is measured of curvature so far; NaN stands for all else.

    Args:
        path: its run directory.

    Raises:
        BadInput: the data cannot be read.
    """
    return read_netcdf(path / CURVATURE)
