"""The pictures of a run and its report, as files in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from lossatlas.exchange import FORMATS
from lossatlas.rundir import REPORT, RunDirectory
from lossatlas.views import DrawnPicture, Style, draw, write_report

__all__ = ["draw_survey", "write_pictures"]

LARGEST_TABLE = 400_000
"""Bytes of the table of all points that a report holds at most: a plane of 48 x 48 points with standard errors."""


def write_pictures(run: RunDirectory, pictures: Mapping[str, DrawnPicture]) -> dict[str, bytes]:
    """Write pictures as PNG files of a run; returns what was written, by name.

    Raises:
        CannotFinish: the disk refuses.
    """
    rendered = {name: picture.render("png") for name, picture in pictures.items()}
    for name, content in rendered.items():
        run.write_bytes(f"{name}.png", content)
    return rendered


def draw_survey(
    run: RunDirectory,
    survey: xr.Dataset,
    title: str,
    summary: Mapping[str, Any],
    more: Mapping[str, DrawnPicture] | None = None,
    **report: Any,
) -> None:
    """Draw all views of a survey, and write the report of its run.

    Args:
        run: the run directory.
        survey: in memory.
        title: of every picture.
        summary: the numbers of the run, JSON types.
        more: further pictures by name, which stand after those of the survey.
        report: further arguments of :func:`~lossatlas.views.write_report`.

    Raises:
        CannotFinish: the disk refuses.
    """
    pictures = {**draw(survey, style=Style(title=title)), **(more or {})}
    rendered = write_pictures(run, pictures)
    config = run.config_text()
    write_report(
        run.path / REPORT, survey, title, dict(summary), config, pictures,
        rendered=rendered, points=_as_table(survey), **report,
    )  # fmt: skip


def _as_table(survey: xr.Dataset) -> str:
    """All points of a survey as comma-separated values; empty where there are too many for a page."""
    if survey.nbytes > LARGEST_TABLE:
        return ""
    table = FORMATS["csv"]().bytes_of(survey).decode()
    return table if len(table) <= LARGEST_TABLE else ""
