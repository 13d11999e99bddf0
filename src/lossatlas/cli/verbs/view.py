"""``lossatlas view``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.terminal import note, say
from lossatlas.errors import BadInput
from lossatlas.files.writing import check_place
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
    format: tuple[str, ...] = ("png",),  # noqa: A002
    width: str | None = None,
    dpi: int = 150,
    colormap: str | None = None,
    limits: tuple[float, float] | None = None,
    scale: str | None = None,
    levels: tuple[float, ...] = (),
    overwrite: bool = False,
    export: tuple[Path, ...] = (),
    pictures: bool = True,
) -> int | None:
    """Draw the survey, comparison, curvature or ensemble of a run, or of several on shared axes; or export a survey.

    Beside each picture its caption is written, NAME.caption.txt, with what a paper must state of how it was measured.
    What cannot be read of a damaged store is named on standard error, chunk by chunk, and drawn as not finite.

    Args:
        run: A run directory, a survey.zarr, or a file of another program: .csv, or .h5 of Li et al.'s code.
        more: Further surveys, or further ensembles, to be drawn on shared axes with the first.
        kinds: Kinds of pictures (see lossatlas info), such as loss contours surface; by default all that apply.
        out: Directory for the files; by default the run directory, or where the survey is; of several surveys the
            current directory.
        title: Title above every picture.
        format: Formats of the files: png, pdf, svg or html, or several of them.
        width: Width of the printed picture with its unit, such as 85mm, 3.3in or 240pt. No letter is smaller than 6
            points then, and small print is left to the caption.
        dpi: Resolution of raster parts, such as heat maps, in dots per inch.
        colormap: Colours of the loss, by matplotlib's name; of whatever is shown, where --kinds names pictures.
        limits: Lowest and highest loss of the scale; of whatever is shown, where --kinds names pictures.
        scale: Scale of the loss: log or linear; of whatever is shown, where --kinds names pictures.
        levels: Levels of the contour lines, the lowest first.
        overwrite: Replace files that exist. Pictures in a run's own directory are replaced in any case.
        export: Files to write the survey to beside the pictures, in the format of their suffix: .csv, .h5 or .vts.
        pictures: Draw pictures; --no_pictures with --export only writes files.
    """
    import xarray as xr

    from lossatlas.exchange.comparison import COMPARISON
    from lossatlas.exchange.curvature import CURVATURE
    from lossatlas.exchange.ensemble import ENSEMBLE
    from lossatlas.jobs.view import join_shown, make_style, open_subject
    from lossatlas.rundir import name_places
    from lossatlas.views import save_pictures
    from lossatlas.views.picture import check_dpi, check_formats

    places = (run, *more)
    _check(places, export, pictures)
    check_formats(format)
    check_dpi(dpi)
    style = make_style(title, width, colormap, limits, scale, levels)
    if out is not None and pictures:
        check_place(out, "--out", folder=True)
    for path in export:
        check_place(path, "--export", folder=False)
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists; choose another name, or replace it with --overwrite")
    opened = {name: open_subject(place, note) for name, place in name_places(places).items()}
    shown = join_shown(opened) if more else next(iter(opened.values()))
    first = next(iter(opened.values())).subject
    assert isinstance(first, xr.Dataset)
    others = {"a comparison": COMPARISON, "a measurement of curvature": CURVATURE, "an ensemble": ENSEMBLE}
    for kind, file in others.items():
        if export and (run / file).is_file():
            raise BadInput(f"--export writes a survey, and {run} is {kind}; its numbers are in {run / file}")
    drawn = shown.draw(list(kinds) or None, style) if pictures else None
    _export(first, export)
    if drawn is None:
        return None
    folder = out if out is not None else Path() if more else _find_folder(run)
    own = not more and out is None and RunDirectory(folder).is_run
    for path in save_pictures(drawn, folder, format, dpi, overwrite=overwrite or own):
        say(str(path))
    return None


def _check(places: tuple[Path, ...], export: tuple[Path, ...], pictures: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        BadInput: several surveys are to be exported, one is given twice or cannot be looked at, or nothing is asked.
    """
    from lossatlas.rundir import resolve_owner

    for place in places:
        try:
            place.lstat()
        except FileNotFoundError:  # reported by those who look for a survey there
            continue
        except OSError as error:
            raise BadInput(f"{place} cannot be read ({error.strerror}); give a run directory or a file") from error
    whole = [resolve_owner(place) for place in places]
    if twice := [str(place) for i, place in enumerate(places) if whole[i] in whole[:i]]:
        raise BadInput(f"{twice[0]} is given twice; give each survey once")
    if len(places) > 1 and export:
        raise BadInput(f"--export writes one survey, and {len(places)} are given; export them one by one")
    if not pictures and not export:
        raise BadInput("--no_pictures leaves nothing to do; give --export FILE, or leave it out")


def _export(survey: xr.Dataset, export: tuple[Path, ...]) -> None:
    """Write a survey to files, and say where they are."""
    from lossatlas.exchange import write_survey

    write_survey(survey, *export)
    for path in export:
        say(str(path))


def _find_folder(place: Path) -> Path:
    """Where the pictures of a single survey go."""
    whole_run = RunDirectory(place).is_run or (place / "survey.zarr").is_dir()
    return place if whole_run else place.parent


VIEW = PlainVerb(
    view,
    panels=(
        Panel(title="Runs", common=("run", "more")),
        Panel(
            title="How it looks",
            common=("kinds", "title", "format", "width", "dpi", "colormap", "limits", "scale", "levels"),
        ),
        Panel(title="Output", common=("out", "overwrite", "export", "pictures")),
    ),
    examples=(
        Example("Draw all pictures of a run again", "lossatlas view runs/demo"),
        Example(
            "One figure for a column of a paper",
            "lossatlas view runs/demo --kinds contours --format pdf --width 85mm",
        ),
        Example("Several surveys on shared axes", "lossatlas view runs/a runs/b --out pictures"),
        Example(
            "Several ensembles on shared axes, against their cost", "lossatlas view runs/deep runs/swag --kinds cost"
        ),
        Example("Write the numbers to a file, and draw nothing", "lossatlas view runs/a --no_pictures --export a.csv"),
    ),
)
