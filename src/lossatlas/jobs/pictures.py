"""The pictures of a run and its report, as files in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from lossatlas.exchange import FORMATS
from lossatlas.rundir import REPORT, RunDirectory
from lossatlas.schema import DONE
from lossatlas.views import png, view, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_survey", "write_pictures"]

LARGEST_TABLE = 400_000
"""Bytes of the table of all points that a report holds at most: a plane of 48 x 48 points with standard errors."""


def write_pictures(run: RunDirectory, figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Write figures as PNG files of a run; returns the images by name.

    Raises:
        CannotFinish: the disk refuses.
    """
    images = {name: png(figure) for name, figure in figures.items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    return images


def draw_survey(
    run: RunDirectory,
    survey: xr.Dataset,
    title: str,
    summary: Mapping[str, Any],
    more: Mapping[str, Figure] | None = None,
    **report: Any,
) -> None:
    """Draw a survey in all ways that apply, and write the report of its run.

    Args:
        run: the run directory.
        survey: in memory.
        title: of every picture.
        summary: the numbers of the run, JSON types.
        more: further figures by name, which stand after those of the survey.
        report: further arguments of :func:`~lossatlas.views.write_report`.

    Raises:
        CannotFinish: the disk refuses.
    """
    images = write_pictures(run, {**view(survey, title=title), **(more or {})})
    write_report(
        run.path / REPORT, survey, title, dict(summary), run.config_text(), images, points=_as_table(survey), **report
    )


def _as_table(survey: xr.Dataset) -> str:
    """All points of a survey as comma-separated values; empty where there are too many for a page."""
    marks = [name for name in survey.data_vars if str(name).endswith(DONE)]
    if survey.nbytes > LARGEST_TABLE:
        return ""
    table = FORMATS["csv"]().bytes_of(survey.drop_vars(marks)).decode()
    return table if len(table) <= LARGEST_TABLE else ""
