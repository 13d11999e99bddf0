"""Pictures of runs, surveys and comparisons, with what a paper must state of them: ``la.view``, ``lossatlas view``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.exchange import open_survey
from lossatlas.exchange.comparison import COMPARISON, read_comparison
from lossatlas.files.reading import resolve_path
from lossatlas.recipes.measured import describe_measurement
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import RunDirectory
from lossatlas.views import Pictures, Style, draw, save_pictures
from lossatlas.views.style import parse_width

__all__ = ["join_records", "name_places", "open_subject", "resolve_owner", "view"]

Subject = xr.Dataset | Mapping[str, xr.Dataset]


def view(
    subject: Subject | Path | str,
    out: Path | str | None = None,
    kinds: Sequence[str] | None = None,
    title: str = "",
    *,
    format: str | Sequence[str] = "png",  # noqa: A002
    width: str | None = None,
    dpi: int = 150,
    colormap: str | None = None,
    limits: tuple[float, float] | None = None,
    scale: str | None = None,
    levels: Sequence[float] = (),
    overwrite: bool = True,
) -> Pictures:
    """Draw a survey, a comparison, or several surveys on shared axes; write the pictures if a directory is given.

    ``pictures["loss"].figure`` is matplotlib's figure, to work on before ``pictures.save(...)``.

    >>> import lossatlas as la
    >>> data, module = la.load_data("digits"), la.MLP(hidden=(4,)).build((1, 8, 8), outputs=10)
    >>> line = la.slice_around(module, ("random",))
    >>> survey = la.survey(line, la.make_grid(line, (5,)), la.Problem(module, la.CrossEntropy()), data.splits)
    >>> pictures = la.view(survey, width="85mm")
    >>> list(pictures), round(pictures["line"].width, 2)
    (['line'], 3.35)

    Args:
        subject: a survey with variables ``<split>_<metric>`` over the chart's axes, as ``la.survey`` or
            ``xarray.open_zarr`` gives it; a comparison, as ``la.compare`` gives it; several surveys by the names that
            the pictures show; or the path of a run, of a ``survey.zarr``, or of a ``.csv`` or ``.h5`` file. Of several
            repeats of a slice, or members or samples, kinds that are not about these show the first, and say so.
        out: a directory for the files, made if need be; each file appears whole or not at all, and the caption of each
            picture beside it as ``NAME.caption.txt``.
        kinds: names of kinds of pictures; None draws all that apply.
        title: above every picture.
        format: ``png``, ``pdf``, ``svg`` or ``html``, or several of them. In PDF files fonts are embedded as TrueType,
            in SVG files text stays text.
        width: of the printed picture with its unit, such as ``"85mm"``; no letter is smaller than 6 points then, and
            what stands in small print below a picture on the screen is left to its caption.
        dpi: dots per inch of what is not drawn as lines.
        colormap: matplotlib's name of the colours.
        limits: the ends of the scale, in the units of what is shown.
        scale: ``"log"`` or ``"linear"``.
        levels: of contour lines, ascending.
        overwrite: replace files that exist.

    The last four settings are about the loss; where kinds are named, about what each of them shows.

    Returns:
        The pictures by name, in the order asked for, or of a report.

    Raises:
        BadInput: a kind is unknown or does not apply, the subject holds no numbers, or a setting cannot be.
        CannotFinish: a file cannot be written.
    """
    style = Style(
        title=title,
        width=None if width is None else parse_width(width),
        colormap=colormap,
        limits=None if limits is None else (float(limits[0]), float(limits[1])),
        scale=scale,
        levels=tuple(map(float, levels)),
    )
    record: Sequence[str] = ()
    if isinstance(subject, str | Path):
        subject, record = open_subject(Path(subject))
    elif isinstance(subject, xr.Dataset):
        record = describe_measurement(subject)
    else:
        record = join_records({name: (survey, describe_measurement(survey)) for name, survey in subject.items()})
    pictures = draw(subject, kinds, style, record)
    if out is not None:
        save_pictures(pictures, out, [format] if isinstance(format, str) else format, dpi, overwrite=overwrite)
    return pictures


def open_subject(place: Path, tell: Callable[[str], None] | None = None) -> tuple[xr.Dataset, tuple[str, ...]]:
    """The survey or the comparison of a run, or a survey's file, and sentences on how it was measured.

    Args:
        place: a run directory, a ``survey.zarr``, or a file of another program.
        tell: called with a line for each part that is damaged and drawn as not finite; by default that is refused.

    Raises:
        BadInput: there is nothing that could be shown.
    """
    owner = place.parent if place.name == "survey.zarr" else place
    run = OpenedRun(owner) if RunDirectory(owner).is_run else None
    if run is not None and (place / COMPARISON).is_file():
        comparison = read_comparison(place)
        return comparison, describe_measurement(comparison, run)
    survey, damaged = run.read_damaged_survey() if run is not None else open_survey(place)
    for part in damaged:
        if tell is None:
            raise BadInput(f"{place}: damaged {part}; `lossatlas view {place}` draws what can be read")
        tell(f"{place}: damaged {part}")
    return survey, describe_measurement(survey, run)


def join_records(opened: Mapping[str, tuple[xr.Dataset, Sequence[str]]]) -> tuple[str, ...]:
    """Sentences on how several surveys were measured, each with its name; once where they are the same."""
    records = {name: " ".join(record) for name, (_, record) in opened.items() if record}
    alike = set(records.values())
    return tuple(alike) if len(alike) == 1 else tuple(f"{name}: {record}" for name, record in records.items())


def resolve_owner(place: Path) -> Path:
    """The whole path of a survey; that of its run if it is a run's ``survey.zarr``."""
    whole = resolve_path(place)
    return whole.parent if whole.name == "survey.zarr" else whole


def name_places(places: Sequence[Path]) -> dict[str, Path]:
    """Different places by their own names, with as many of their parents' as tell them apart."""
    parts = [resolve_owner(place).parts for place in places]
    depths = [1] * len(places)
    while True:
        names = ["/".join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        alike = [i for i, name in enumerate(names) if names.count(name) > 1]
        if not alike:
            return dict(zip(names, places, strict=True))
        for i in alike:
            depths[i] += 1
