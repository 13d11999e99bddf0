"""Pictures of runs, surveys, comparisons and ensembles, with captions for a paper: ``la.view``, ``lossatlas view``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.exchange import open_survey
from lossatlas.exchange.comparison import COMPARISON, read_comparison
from lossatlas.exchange.curvature import CURVATURE, read_curvature
from lossatlas.exchange.ensemble import ENSEMBLE, read_ensemble
from lossatlas.jobs.results import CurvatureResult
from lossatlas.recipes.measured import describe_measurement
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import PLANE, SURVEY, RunDirectory, name_places
from lossatlas.views import Pictures, Style, draw, is_comparison, is_curvature, is_ensemble, save_pictures
from lossatlas.views.picture import check_dpi, check_formats
from lossatlas.views.style import parse_width

__all__ = ["Shown", "join_shown", "make_style", "open_subject", "view"]

CURVE_PLANE = "curve_plane"
WHOLE = {COMPARISON: read_comparison, CURVATURE: read_curvature, ENSEMBLE: read_ensemble}
"""The files of runs that hold something else than a survey, and what reads them from a run directory."""
Subject = xr.Dataset | Mapping[str, xr.Dataset]


def view(
    subject: Subject | CurvatureResult | Path | str | OpenedRun | Sequence[Path | str] | Mapping[str, Path | str],
    out: Path | str | None = None,
    kinds: str | Sequence[str] | None = None,
    title: str = "",
    *,
    format: str | Sequence[str] = "png",  # noqa: A002
    width: str | None = None,
    dpi: int = 150,
    colormap: str | None = None,
    limits: Sequence[float] | None = None,
    scale: str | None = None,
    levels: Sequence[float] = (),
    overwrite: bool = True,
) -> Pictures:
    """Draw a survey, a comparison, curvature or an ensemble, or several surveys or ensembles; write the pictures.

    ``pictures["loss"].figure`` is matplotlib's figure, which can be changed before ``pictures.save(...)``.

    >>> import lossatlas as la
    >>> data, module = la.load_data("digits"), la.MLP(hidden=(4,)).build((1, 8, 8), outputs=10)
    >>> line = la.slice_around(module, ("random",))
    >>> survey = la.survey(line, la.make_grid(line, (5,)), la.Problem(module, la.CrossEntropy()), data.splits)
    >>> pictures = la.view(survey, width="85mm")
    >>> list(pictures), round(pictures["line"].width, 2)
    (['line'], 3.35)

    Args:
        subject: a survey with variables ``<split>_<metric>`` over the chart's axes, as ``la.survey`` or
            ``xarray.open_zarr`` returns it; a comparison, as ``la.compare`` returns it; curvature, as ``la.curvature``
            returns it; the scores of an ensemble; several surveys, or several ensembles, by the names that the
            pictures show; or the path of a run, of a ``survey.zarr``, or of a ``.csv`` or ``.h5`` file. Of several
            repeats of a slice (or members or samples), most kinds show the
            first, and their captions say so.
        out: the directory of the files, made if need be; files are written atomically, and the caption of each picture
            beside it as ``NAME.caption.txt``.
        kinds: the names of kinds of pictures; None draws all that apply.
        title: the title above every picture.
        format: ``png``, ``pdf``, ``svg`` or ``html``, or several of them. In PDF files fonts are embedded as TrueType,
            in SVG files text stays text.
        width: the width of the printed picture with its unit, such as ``"85mm"``; letters are then at least 6 points
            high, and the notes below the picture are left to its caption.
        dpi: the resolution of raster parts, in dots per inch.
        colormap: the name of matplotlib's colour map.
        limits: the ends of the scale, in the units of the quantity.
        scale: the scale of the quantity, ``"log"`` or ``"linear"``.
        levels: the levels of contour lines, ascending.
        overwrite: whether to replace existing files.

    ``colormap``, ``limits``, ``scale`` and ``levels`` apply to the loss, or, where kinds are named, to what each of
    them shows.

    Returns:
        The pictures by name, in the order of ``kinds`` or of a report.

    Raises:
        BadInput: a kind is unknown or does not apply, the subject holds no numbers, or a setting is not valid.
        CannotFinish: a file cannot be written.
    """
    formats = _take_names("format", [format] if isinstance(format, str) else format)
    check_formats(formats)
    check_dpi(dpi)
    style = make_style(title, width, colormap, limits, scale, levels)
    names = None if kinds is None else _take_names("kinds", [kinds] if isinstance(kinds, str) else kinds)
    pictures = _take_subject(subject).draw(names, style)
    if out is not None:
        save_pictures(pictures, out, formats, dpi, overwrite=overwrite)
    return pictures


def make_style(
    title: str,
    width: str | None,
    colormap: str | None,
    limits: Sequence[float] | None,
    scale: str | None,
    levels: Sequence[float],
) -> Style:
    """What is requested of pictures, as a user states it.

    Raises:
        BadInput: a setting is of another type, or cannot be.
    """
    for name, value in (("title", title), ("width", width), ("colormap", colormap), ("scale", scale)):
        if not isinstance(value, str | None):
            raise BadInput(f"{name} is {value!r}; expected a text")
    ends = None if limits is None else _take_numbers("limits", limits)
    if ends is not None and len(ends) != 2:
        raise BadInput(
            f"limits {' '.join(f'{end:g}' for end in ends)} are not a range; give the lower and the upper end"
        )
    return Style(
        title=title,
        width=None if width is None else parse_width(width),
        colormap=colormap,
        limits=None if ends is None else (ends[0], ends[1]),
        scale=scale,
        levels=_take_numbers("levels", levels),
    )


def _take_names(name: str, values: object) -> list[str]:
    """Names of a list.

    Raises:
        BadInput: it is not one.
    """
    if not isinstance(values, Sequence) or not all(isinstance(value, str) for value in values):
        raise BadInput(f"{name} is {values!r}; expected a name or a list of names")
    return list(values)


def _take_numbers(name: str, values: object) -> tuple[float, ...]:
    """Numbers of a list.

    Raises:
        BadInput: it is not one.
    """
    try:
        return tuple(float(value) for value in cast(Iterable[Any], values))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} is {values!r}; expected a list of numbers") from error


@dataclass(frozen=True)
class Shown:
    """What is to be shown.

    Attributes:
        subject: A survey, a comparison, the data of a curvature run, an ensemble, or several surveys or ensembles by
            name.
        record: Sentences on how it was measured.
        beside: What kinds of pictures of the same run show instead of the subject, by kind.
    """

    subject: Subject
    record: tuple[str, ...] = ()
    beside: Mapping[str, Shown] = field(default_factory=dict)

    def draw(self, kinds: Sequence[str] | None, style: Style) -> Pictures:
        """Draw the pictures of some kinds, or all that apply.

        Raises:
            BadInput: as :func:`lossatlas.views.draw`, or no picture applies.
        """
        own = None if kinds is None else [kind for kind in kinds if kind not in self.beside]
        pictures = draw(self.subject, own, style, self.record) if own is None or own else Pictures()
        for kind, other in self.beside.items():
            if kinds is None or kind in kinds:
                pictures |= draw(other.subject, [kind], style, other.record)
        if not pictures:
            raise BadInput(
                "no picture shows what is given; expected a survey of 1 to 3 axes, a comparison, a curvature run or an "
                "ensemble"
            )
        return Pictures(pictures)


def _take_subject(subject: object) -> Shown:
    """What is to be shown, as a user gives it.

    Raises:
        BadInput: it is nothing that could be shown.
    """
    if isinstance(subject, CurvatureResult):
        subject = subject.data
    if isinstance(subject, OpenedRun):
        subject = subject.path
    if isinstance(subject, str | Path):
        if not str(subject):
            raise BadInput("an empty text is not a path; expected that of a run or a survey")
        return open_subject(Path(subject))
    if isinstance(subject, xr.Dataset):
        return Shown(subject, describe_measurement(subject))
    if isinstance(subject, list | tuple) and all(isinstance(one, str | Path) for one in subject):
        subject = name_places([Path(one) for one in subject])
    if not isinstance(subject, Mapping):
        raise BadInput(
            f"an object of type {type(subject).__name__} cannot be shown; expected a survey, a comparison, an "
            "ensemble, the path of a run, or several of them by name"
        )
    return join_shown({str(name): _take_subject(one) for name, one in subject.items()})


def join_shown(several: Mapping[str, Shown]) -> Shown:
    """Several surveys or ensembles to be drawn on shared axes, with what is known of each; once where that is the same.

    Raises:
        BadInput: one of them is neither, or both are mixed.
    """
    joined: dict[str, xr.Dataset] = {}
    for name, one in several.items():
        if not isinstance(one.subject, xr.Dataset) or is_comparison(one.subject) or is_curvature(one.subject):
            raise BadInput(f"{name!r} is not a survey or an ensemble; draw it alone")
        joined[name] = one.subject
    ensembles = [name for name, one in joined.items() if is_ensemble(one)]
    if other := [name for name in joined if ensembles and name not in ensembles]:
        raise BadInput(f"{ensembles[0]!r} is an ensemble and {other[0]!r} is a survey; draw each kind by itself")
    records = {name: " ".join(one.record) for name, one in several.items() if one.record}
    alike = tuple(dict.fromkeys(records.values()))
    return Shown(joined, alike if len(alike) == 1 else tuple(f"{name}: {said}" for name, said in records.items()))


def open_subject(place: Path, tell: Callable[[str], None] | None = None) -> Shown:
    """Open what a run holds (survey, comparison, curvature, ensemble) or a survey's file, and say how it was measured.

    Args:
        place: a run directory, a ``survey.zarr`` or another survey in it, or a file of another program.
        tell: called with a line for each damaged part, which is then shown as not finite; None refuses damage.

    Raises:
        BadInput: the path holds nothing that can be shown, or a part is damaged and ``tell`` is None.
    """
    if place.name in WHOLE and place.is_file():
        place = place.parent
    stored = place.suffix == Path(SURVEY).suffix and RunDirectory(place.parent).is_run
    owner = place.parent if stored else place
    run = OpenedRun(owner) if RunDirectory(owner).is_run else None
    for file, read in WHOLE.items():  # of a run, or in a folder of results from Python
        if (place / file).is_file():
            found = read(place)
            return Shown(found, describe_measurement(found, run))
    own = run is not None and (not stored or place.name == SURVEY)
    survey, damaged = run.read_damaged_survey() if run is not None and own else open_survey(place)
    for part in damaged:
        if tell is None:
            raise BadInput(f"{place}: damaged {part}; `lossatlas view {place}` draws what can be read")
        tell(f"{place}: damaged {part}")
    beside = {}
    if own and not stored and (owner / PLANE).is_dir():
        plane = open_survey(owner / PLANE)[0]
        beside[CURVE_PLANE] = Shown(plane, describe_measurement(plane, run))
    return Shown(survey, describe_measurement(survey, run), beside)
