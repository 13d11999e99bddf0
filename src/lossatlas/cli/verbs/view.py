"""``lossatlas view``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.terminal import note, say
from lossatlas.errors import BadInput
from lossatlas.files.reading import resolve_path
from lossatlas.files.writing import check_place
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import RunDirectory

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["VIEW"]

Place = Annotated[Path, Parameter(allow_leading_hyphen=False)]


def view(
    run: Place,
    /,
    *more: Place,
    kinds: tuple[str, ...] = (),
    out: Path | None = None,
    title: str = "",
    export: tuple[Path, ...] = (),
    pictures: bool = True,
) -> int | None:
    """Draw the survey of a run anew, or surveys of several runs on shared axes; or write a survey in another format.

    What cannot be read of a damaged store is named on standard error, chunk by chunk, and drawn as not finite.

    Args:
        run: a run directory, a survey.zarr, or a file of another program: .csv, or .h5 of Li et al.'s code.
        more: further ones, to be drawn with the first.
        kinds: kinds of pictures of a single survey; default all that apply.
        out: the directory for the PNG files; default the run directory, or where the survey is; of several surveys
            the current directory.
        title: a title for every picture.
        export: files to write the survey to beside the pictures, in the format of their suffix: .csv, .h5 or .vts.
        pictures: draw; --no_pictures with --export only writes files.
    """
    places = (run, *more)
    _check(places, kinds, export, pictures)
    if out is not None and pictures:
        check_place(out, "--out", folder=True)
    for path in export:
        check_place(path, "--export", folder=False)
    surveys = {name: _opened(place) for name, place in _named(places).items()}
    from lossatlas import views
    from lossatlas.exchange import write_survey

    (first, *others) = surveys.values()
    write_survey(first, *export)
    for path in export:
        say(str(path))
    if not pictures:
        return None
    if others:
        folder = out if out is not None else Path()
        drawn = views.overlay(surveys, folder, title)
    else:
        folder = out if out is not None else _folder(run)
        drawn = views.view(first, folder, list(kinds) or None, title)
    for name in drawn:
        say(str(folder / f"{name}.png"))
    return None


def _check(places: tuple[Path, ...], kinds: tuple[str, ...], export: tuple[Path, ...], pictures: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        BadInput: several surveys are to be exported or drawn in chosen kinds, one is given twice or cannot be looked
            at, or nothing is asked.
    """
    for place in places:
        try:
            place.lstat()
        except FileNotFoundError:  # told by those who look for a survey there
            continue
        except OSError as error:
            raise BadInput(f"{place} cannot be read ({error.strerror}); give a run directory or a file") from error
    whole = [_own(place) for place in places]
    if twice := [str(place) for i, place in enumerate(places) if whole[i] in whole[:i]]:
        raise BadInput(f"{twice[0]} is given twice; give each survey once")
    if len(places) > 1 and export:
        raise BadInput(f"--export writes one survey, and {len(places)} are given; export them one by one")
    if len(places) > 1 and kinds:
        raise BadInput(f"--kinds are those of one survey, and {len(places)} are given; leave --kinds out")
    if not pictures and not export:
        raise BadInput("--no_pictures leaves nothing to do; give --export FILE, or leave it out")


def _opened(place: Path) -> xr.Dataset:
    """A survey, with a line on standard error for each part of it that is damaged."""
    from lossatlas.exchange import open_survey

    survey, damaged = OpenedRun(place).read_damaged_survey() if RunDirectory(place).is_run else open_survey(place)
    for part in damaged:
        note(f"{place}: damaged {part}")
    return survey


def _folder(place: Path) -> Path:
    """Where the pictures of a single survey go."""
    whole_run = RunDirectory(place).is_run or (place / "survey.zarr").is_dir()
    return place if whole_run else place.parent


def _own(place: Path) -> Path:
    """The whole path of a survey; that of its run if it is a run's ``survey.zarr``."""
    whole = resolve_path(place)
    return whole.parent if whole.name == "survey.zarr" else whole


def _named(places: tuple[Path, ...]) -> dict[str, Path]:
    """Different places by their own names, with as many of their parents' as tell them apart."""
    parts = [_own(place).parts for place in places]
    depths = [1] * len(places)
    while True:
        names = ["/".join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        alike = [i for i, name in enumerate(names) if names.count(name) > 1]
        if not alike:
            return dict(zip(names, places, strict=True))
        for i in alike:
            depths[i] += 1


VIEW = PlainVerb(view)
