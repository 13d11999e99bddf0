"""The data of a comparison of networks, as its run keeps them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lossatlas.exchange.netcdf import read_netcdf

__all__ = ["COMPARISON", "read_comparison"]

COMPARISON = "comparison.nc"
"""The file of a run that holds them, in the netCDF format."""


def read_comparison(path: Path) -> xr.Dataset:
    """The data of a comparison that is finished.

    Args:
        path: its run directory.

    Raises:
        BadInput: they cannot be read.
    """
    return read_netcdf(path / COMPARISON)
