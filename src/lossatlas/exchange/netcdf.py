"""Labelled data in files of the netCDF format, as runs keep them beside surveys."""

from __future__ import annotations

import io
from pathlib import Path

import xarray as xr

from lossatlas.files.reading import Unreadable, read_bytes

__all__ = ["encode_netcdf", "read_netcdf"]

MOST_BYTES = 2**30


def encode_netcdf(data: xr.Dataset) -> bytes:
    """Encode labelled data as a file of the netCDF format."""
    return bytes(data.to_netcdf(engine="scipy"))


def read_netcdf(path: Path) -> xr.Dataset:
    """Read labelled data, into memory.

    Raises:
        BadInput: the file cannot be read.
    """
    content = io.BytesIO(read_bytes(path, MOST_BYTES))
    try:
        return xr.open_dataset(content, engine="scipy").load()
    except Exception as error:  # scipy finds a file damaged in many ways
        raise Unreadable(path, "it is damaged, or not a netCDF file") from error
