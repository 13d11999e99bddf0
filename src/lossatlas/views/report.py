"""The report of a run: a self-contained HTML file with numbers, pictures and the configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from lossatlas.cards import embed_png
from lossatlas.files.writing import write_atomically
from lossatlas.schema import Along, OnChart
from lossatlas.views import data, scales
from lossatlas.views.drawing import draw_interactive
from lossatlas.views.picture import DrawnPicture, InteractivePicture
from lossatlas.views.shrink import shrink_to_fit

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Grid", "place_pictures", "text", "write_page", "write_report"]

TILES = {
    "gap": "gap in accuracy between low and high cells",
    "iou": "overlap with the picture (IoU)",
    "low_accuracy": "accuracy in low cells",
    "high_accuracy": "accuracy in high cells",
    "log_loss_correlation": "correlation with the picture, in log loss",
    "log_loss_rmse": "root-mean-square distance from the picture, in log loss",
    "log_loss_gap": "gap in log loss between high and low cells",
    "red_correlation": "correlation with the picture's red, in log loss",
    "green_correlation": "correlation with its green",
    "blue_correlation": "correlation with its blue",
    "red_green_correlation": "correlation of red minus green",
    "blue_yellow_correlation": "correlation of blue minus yellow",
    "member_loss": "mean loss of a member",
    "averaged_loss": "loss of the members' averaged prediction",
    "member_accuracy": "mean accuracy of a member",
    "averaged_accuracy": "accuracy of the members' averaged prediction",
    "error_product": "mean product of the errors of two members",
    "captured_variance": "share of the trajectory's variance in the plane",
    "largest_distance_from_plane": "largest distance of the trajectory from the plane",
    "median_angle_to_gradient": "median angle between steps and steepest descent, in degrees",
    "curve_barrier": "loss barrier on the curve",
    "straight_barrier": "loss barrier on the straight line",
    "length_ratio": "length of the curve relative to the straight line",
    "seconds": "time taken",
}


def write_report(
    path: Path | str,
    survey: xr.Dataset,
    title: str,
    summary: Mapping[str, object],
    config_yaml: str,
    pictures: Mapping[str, DrawnPicture],
    tables: Mapping[str, Mapping[str, object]] | None = None,
    grids: Sequence[Grid] = (),
    shown_elsewhere: Collection[str] = (),
    points: str = "",
    rendered: Mapping[str, bytes] | None = None,
) -> None:
    """Write ``report.html``, self-contained with plotly.js, atomically.

    Args:
        path: the file; its directory is made if need be.
        survey: as for :func:`lossatlas.views.draw`.
        title: the title of the page, plain text.
        summary: the numbers of the run, possibly nested; the main ones become tiles, the others a table.
        config_yaml: the configuration that reproduces the run.
        pictures: the pictures in the order of the page.
        tables: measures of the survey, by title and name, which are shown below the pictures.
        grids: tables with several columns, which are shown below the tiles.
        shown_elsewhere: keys of the summary that its table leaves out with everything nested below them; the main
            ones are shown as tiles all the same.
        points: all points of the survey as comma-separated values with a header, which readers can download and see
            as a table; where it is empty, the page explains how to write such a file.
        rendered: PNG files of the pictures by name, where they exist already.

    Raises:
        BadInput: the survey holds no numbers.
        CannotFinish: the file cannot be written.
    """
    numbers = dict(_flat(summary))
    interactive = draw_interactive(survey)
    write_page(
        path,
        title=title,
        lead=sentence(survey),
        tiles=[(label, text(key, numbers[key])) for key, label in TILES.items() if numbers.get(key) is not None],
        rows=[
            (key, text(key, value))
            for key, value in _flat({key: value for key, value in summary.items() if key not in shown_elsewhere})
            if key not in TILES or value is None
        ],
        interactive=interactive,
        tables=[
            (name, [(key, text(key, value)) for key, value in _flat(rows)])
            for name, rows in (tables or {}).items()
            if rows
        ],
        images=place_pictures(pictures, rendered),
        summary_grids=grids,
        points=points,
        config_yaml=config_yaml,
    )


@dataclass(frozen=True)
class Grid:
    """A table with several columns.

    Attributes:
        title: The heading above the table.
        head: The headings of the columns.
        rows: Formatted cells, of which the first of each row is its name.
        note: An explanation of the numbers; may be empty.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def write_page(
    path: Path | str,
    *,
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    images: Sequence[Mapping[str, object]],
    config_yaml: str,
    rows: Sequence[tuple[str, str]] = (),
    tables: Sequence[tuple[str, Sequence[tuple[str, str]]]] = (),
    summary_grids: Sequence[Grid] = (),
    grids: Sequence[Grid] = (),
    interactive: InteractivePicture | None = None,
    points: str | None = None,
) -> None:
    """Write one self-contained page, atomically.

    Args:
        path: the file; its directory is made if need be.
        title: the title of the page; this and all other texts are plain text.
        lead: a sentence on what the page shows.
        tiles: the names and values of the main numbers.
        images: the pictures in their order, as :func:`place_pictures` returns them.
        config_yaml: the configuration that reproduces the run.
        rows: all other numbers by name.
        tables: names and numbers, by title.
        summary_grids: tables with several columns below the tiles, before the pictures.
        grids: tables with several columns below the pictures.
        interactive: the interactive picture, if any.
        points: all points as comma-separated values with a header; empty where they are too many for the page, None
            for a page that does not show the points of one survey.

    Raises:
        CannotFinish: the file cannot be written.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lossatlas", "views"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    page = environment.get_template("report.html.j2").render(
        title=title,
        sentence=lead,
        tiles=tiles,
        rows=rows,
        picture=interactive.plot if interactive else None,
        description=interactive.alt if interactive else "",
        plot=Markup(interactive.plot.json) if interactive else "",
        plotlyjs=Markup(get_plotlyjs()) if interactive else "",
        tables=tables,
        summary_grids=summary_grids,
        grids=grids,
        images=images,
        points=points,
        config_yaml=config_yaml,
    )
    write_atomically(Path(path), page.encode(errors="backslashreplace"), folders=True)


def _breakable(name: str) -> Markup:
    """Make HTML of a name that may break after each ``_`` and ``.``."""
    from markupsafe import Markup, escape

    return Markup(re.sub("([_.])", r"\1<wbr>", str(escape(name))))


def sentence(survey: xr.Dataset) -> str:
    """Describe the survey in one sentence."""
    whole, survey = survey, data.take_first_sample(survey)
    axes = data.axes(survey)
    shape = " \u00d7 ".join(str(survey.sizes[axis]) for axis in axes)
    curved = OnChart.AREA in survey
    names = {1: "curve", 2: "curved surface", 3: "curved volume"} if curved else {1: "line", 2: "plane", 3: "volume"}
    place = "curve" if Along.T in survey and len(axes) == 1 else names.get(len(axes), "region")
    shown = data.fields(survey, scales.LOSS) or data.fields(survey, scales.ACCURACY) or data.quantities(survey)
    field = data.preferred(shown)
    if not axes:
        everything = data.gather_samples(whole, field)
        lost, values = scales.invalid(everything), everything[np.isfinite(everything)]
    else:
        lost, values = scales.invalid(field.values), field.values[np.isfinite(field.values)]
    units = f" {field.units}" * bool(field.units)
    ends = [scales.number(float(end)) for end in (values.min(), values.max())] if values.size else []
    span = f"is between {' and '.join(ends)}{units}" if ends else "is not finite at any point"
    aside = f" ({lost})" * bool(lost)
    if not axes:
        return f"Networks of one distribution: at {data.samples_in_words(whole)}, the {field.label} {span}{aside}."
    notes = "".join(f"; {note}" for note in data.notes(survey))
    return (
        f"A {place} through weight space in which every point is a network: "
        f"at {shape} points along {_joined(axes)}, the {field.label} {span}{aside}{notes}."
    )


def _joined(names: Sequence[str]) -> str:
    """Join names in a sentence: ``u, v and w``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def text(key: str, value: object) -> str:
    """Format a value for readers: numbers with 3 to 4 digits, durations in a suitable unit.

    >>> text("gap", 0.912345), text("fit_seconds", 192.0), text("points", 1600), text("done", True)
    ('0.912', '3 min 12 s', '1,600', 'yes')
    """
    if value is None:
        return "\u2013"
    if isinstance(value, list | tuple):
        return ", ".join(text(key, item) for item in value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, Real):
        return str(value)
    plain = float(value)
    if key.endswith("seconds") and math.isfinite(plain):
        return _duration(plain)
    if isinstance(value, Integral):
        return f"{value:,}"
    return f"{plain:.3f}" if 0.001 <= abs(plain) < 1 else scales.number(plain)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _flat(summary: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in summary.items():
        if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from _flat({str(place): item for place, item in enumerate(value, 1)}, f"{prefix}{key}.")
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def place_pictures(
    pictures: Mapping[str, DrawnPicture], rendered: Mapping[str, bytes] | None = None
) -> list[dict[str, object]]:
    """Prepare pictures for a page as PNG files, which are compressed where they are large together.

    Args:
        pictures: the pictures in the order of the page.
        rendered: PNG files of the pictures by name, where they exist already.
    """
    contents = rendered if rendered is not None else {name: one.render("png") for name, one in pictures.items()}
    return [_place(pictures[name], content) for name, content in shrink_to_fit(contents).items()]


def _place(picture: DrawnPicture, content: bytes) -> dict[str, object]:
    """Prepare one picture for a page; bytes 16 to 23 of a PNG file hold its size."""
    return {
        "kind": picture.name.replace("_", " "),
        "caption": picture.caption,
        "alt": picture.alt,
        "whole": picture.whole,
        "source": embed_png(content),
        "width": int.from_bytes(content[16:20], "big"),
        "height": int.from_bytes(content[20:24], "big"),
    }
