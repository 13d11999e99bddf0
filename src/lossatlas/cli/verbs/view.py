"""``lossatlas view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.errors import BadInput
from lossatlas.rundir import RunDirectory

__all__ = ["VIEW"]


def view(
    run: Annotated[Path, Parameter(allow_leading_hyphen=False)],
    /,
    *,
    kinds: tuple[str, ...] = (),
    out: Path | None = None,
    title: str = "",
) -> int | None:
    """Draw the survey of a run, or any survey in a .zarr directory, anew.

    Args:
        run: a run directory, or a survey.zarr.
        kinds: kinds of pictures; default all that apply.
        out: the directory for the PNG files; default the run directory, or the survey's parent.
        title: a title for every picture.
    """
    store = run / "survey.zarr" if RunDirectory(run).is_run else run
    if not (store / "zarr.json").is_file():
        raise BadInput(f"{run} is no lossatlas run with a survey and no survey.zarr; give a run directory")
    import xarray as xr

    from lossatlas import views

    try:
        survey = xr.open_zarr(str(store), consolidated=False, chunks=None).load()
    except Exception as error:  # zarr has many ways to find a store damaged
        raise BadInput(f"{store} cannot be read, it may be truncated ({type(error).__name__}: {error})") from error
    folder = out if out is not None else store.parent
    for name in views.view(survey, folder, list(kinds) or None, title):
        print(folder / f"{name}.png")
    return None


VIEW = PlainVerb(view)
