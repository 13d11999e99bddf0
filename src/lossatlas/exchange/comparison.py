"""The data of a comparison of networks, as its run keeps them."""

from __future__ import annotations

import io
from pathlib import Path

import xarray as xr

from lossatlas.errors import format_error
from lossatlas.files.reading import Unreadable, read_bytes

__all__ = ["COMPARISON", "read_comparison"]

COMPARISON = "comparison.nc"
"""The file of a run that holds them, in the netCDF format."""
MOST_BYTES = 2**30


def read_comparison(path: Path) -> xr.Dataset:
    """The data of a comparison that is finished.

    Args:
        path: its run directory.

    Raises:
        BadInput: they cannot be read.
    """
    content = io.BytesIO(read_bytes(path / COMPARISON, MOST_BYTES))
    try:
        return xr.open_dataset(content, engine="scipy").load()
    except Exception as error:  # scipy finds a file damaged in many ways
        raise Unreadable(path / COMPARISON, format_error(error)) from error
