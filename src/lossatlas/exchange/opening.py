"""Opening of surveys from runs, stores and files."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.exchange.format import list_suffixes, read_survey
from lossatlas.exchange.stores import is_store, read_undamaged
from lossatlas.rundir import SURVEY, RunDirectory

__all__ = ["open_survey"]


def open_survey(path: Path | str) -> tuple[xr.Dataset, list[str]]:
    """Open the survey at a path, in memory, with a line for each damaged part.

    Args:
        path: a run directory, a survey's zarr store, or a file in a format that can be read.

    Raises:
        BadInput: the path does not hold a survey, or all of it is damaged.
    """
    path = Path(path)
    run = RunDirectory(path)
    if run.is_run:
        run.check()
    store = path / SURVEY if run.is_run or is_store(path / SURVEY) else path
    if is_store(store):
        return read_undamaged(store)
    if path.is_file():
        return read_survey(path), []
    raise BadInput(
        f"{path} is not a lossatlas run with a survey, not a {SURVEY} and not a file that ends in "
        f"{', '.join(list_suffixes())}; give one of them"
    )
