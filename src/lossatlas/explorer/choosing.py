"""Which runs the page shows: directories as the user names them, opened and refused before anything is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lossatlas.errors import BadInput
from lossatlas.files.reading import resolve_path
from lossatlas.recipes import CompareConfig
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import PROVENANCE, SURVEY

__all__ = ["open_surveyed"]

SURVEYS = "surveys"
"""The folder of a comparison with its surveys, which are runs."""
DEPTH, LOOKED_AT, NAMED = 3, 2000, 3
"""Folders below one that it is looked for runs in, entries of them that are looked at, and runs that are named."""


def open_surveyed(paths: Sequence[Path], device: str | None = None) -> list[OpenedRun]:
    """Open runs that have surveys, finished or not; of a comparison those of all its surveys.

    Args:
        paths: run directories, or the ``survey.zarr`` in one.
        device: to compute on, instead of the one that a run states.

    Returns:
        The runs, in the order of their paths.

    Raises:
        BadInput: a path is not that of a run of this version, its record cannot be read, it has no survey yet, or it is
            given twice.
    """
    found: dict[Path, OpenedRun] = {}
    for path in paths:
        for run in _open(path, device):
            whole = resolve_path(run.path)
            if whole in found:
                raise BadInput(f"{run.path} is given twice; give each run once")
            found[whole] = run
    return list(found.values())


def _open(path: Path, device: str | None) -> list[OpenedRun]:
    """The runs of one path.

    Raises:
        BadInput: as for :func:`open_surveyed`.
    """
    place = path.absolute().parent if path.name == SURVEY and (path.parent / PROVENANCE).is_file() else path
    run = OpenedRun(place, _advise(place), device)
    if run.verb == CompareConfig.verb and (run.path / SURVEYS).is_dir():
        inner = sorted(each for each in (run.path / SURVEYS).iterdir() if (each / SURVEY).is_dir())
        if inner:
            return [OpenedRun(each, device=device) for each in inner]
    run.find_store()
    _ = run.config  # whose file may be damaged; what it names may be missing
    return [run]


def _advise(place: Path) -> str:
    """What to do about a path that is not that of a run: runs below it, as far as there are any."""
    if not place.exists():
        return "there is nothing at that path; name a run directory"
    below = list(islice(_find_runs(place), NAMED + 1))
    if not below:
        return "name a run directory"
    more = " and others" if len(below) > NAMED else ""
    return f"below it are {', '.join(map(str, below[:NAMED]))}{more}"


def _find_runs(folder: Path) -> Iterator[Path]:
    """Runs with surveys below a folder, in the order of their names, as far as it pays to look."""
    pending, looked_at = [(folder, 0)], 0
    while pending:
        here, depth = pending.pop(0)
        try:
            entries = sorted(islice(here.iterdir(), LOOKED_AT))
        except OSError:
            continue
        for entry in entries:
            looked_at += 1
            if looked_at > LOOKED_AT:
                return
            if entry.suffix == ".zarr" or entry.is_symlink() or not entry.is_dir():
                continue
            if (entry / SURVEY).is_dir() and (entry / PROVENANCE).is_file():
                yield entry
            elif depth + 1 < DEPTH:
                pending.append((entry, depth + 1))
