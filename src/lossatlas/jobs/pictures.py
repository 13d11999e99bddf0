"""The pictures of a run and its report, as files in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from lossatlas.rundir import REPORT, RunDirectory
from lossatlas.views import Picture, Style, draw, write_report

__all__ = ["draw_survey", "write_pictures"]


def write_pictures(run: RunDirectory, pictures: Mapping[str, Picture]) -> None:
    """Write pictures as PNG files of a run.

    Raises:
        CannotFinish: the disk refuses.
    """
    for name, picture in pictures.items():
        run.write_bytes(f"{name}.png", picture.render("png"))


def draw_survey(
    run: RunDirectory,
    survey: xr.Dataset,
    title: str,
    summary: Mapping[str, Any],
    more: Mapping[str, Picture] | None = None,
    **report: Any,
) -> None:
    """Draw a survey in all ways that apply, and write the report of its run.

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
    write_pictures(run, pictures)
    write_report(run.path / REPORT, survey, title, dict(summary), run.config_text(), pictures, **report)
