"""Pictures of runs, surveys and comparisons, with captions for a paper: ``la.view``, ``lossatlas view``."""

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
            ``xarray.open_zarr`` returns it; a comparison, as ``la.compare`` returns it; several surveys by the names
            that the pictures show; or the path of a run, of a ``survey.zarr``, or of a ``.csv`` or ``.h5`` file. Of
            several repeats of a slice (or members or samples), most kinds show the first, and their captions say so.
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
    """Open the survey or the comparison of a run, or the file of a survey, with sentences on how it was measured.

    Args:
        place: a run directory, a ``survey.zarr``, or a file of another program.
        tell: called with a line for each damaged part, which is then shown as not finite; None refuses damage.

    Raises:
        BadInput: the path does not hold a survey or a comparison, or a part is damaged and ``tell`` is None.
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
    """Resolve the path of a survey to an absolute one, and the ``survey.zarr`` of a run to the run."""
    whole = resolve_path(place)
    return whole.parent if whole.name == "survey.zarr" else whole


def name_places(places: Sequence[Path]) -> dict[str, Path]:
    """Name different paths by their last parts, as few as suffice to distinguish them."""
    parts = [resolve_owner(place).parts for place in places]
    depths = [1] * len(places)
    while True:
        names = ["/".join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        alike = [i for i, name in enumerate(names) if names.count(name) > 1]
        if not alike:
            return dict(zip(names, places, strict=True))
        for i in alike:
            depths[i] += 1
