"""The pictures of a run and its report, as files in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from lossatlas.rundir import REPORT, RunDirectory
from lossatlas.views import png, view, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_survey", "write_pictures"]


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
    """Draw all views of a survey, and write the report of its run.

    Args:
        run: the run directory.
        survey: the survey, in memory.
        title: the title of every picture.
        summary: the numbers of the run, as JSON values.
        more: further figures by name, which follow those of the survey.
        report: further arguments of :func:`~lossatlas.views.write_report`.

    Raises:
        CannotFinish: the disk refuses.
    """
    images = write_pictures(run, {**view(survey, title=title), **(more or {})})
    write_report(run.path / REPORT, survey, title, dict(summary), run.config_text(), images, **report)
