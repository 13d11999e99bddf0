"""Pictures of surveys: PNG files and a self-contained report. Never imports torch.

Each kind of picture is one module of ``lossatlas.views.kinds``; what it shows is decided in
:mod:`lossatlas.views.data`, without a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.registry import Registry
from lossatlas.views.base import View
from lossatlas.views.data import axes, quantities, take_first_sample
from lossatlas.views.files import png, write_pngs
from lossatlas.views.overlaying import overlay
from lossatlas.views.report import write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["VIEWS", "View", "overlay", "png", "view", "write_report"]

VIEWS: Registry[type[View]] = Registry("view", "lossatlas.views.kinds")


def view(
    survey: xr.Dataset, out: Path | str | None = None, kinds: Sequence[str] | None = None, title: str = ""
) -> dict[str, Figure]:
    """Draw a survey, and write ``<kind>.png`` files if a directory is given.

    Args:
        survey: variables ``<split>_<metric>`` over the chart's axes, as ``xarray.open_zarr`` gives it. Of several
            repeats of a slice, or members or samples, kinds that are not about these show the first, and say so.
        out: a directory for the files, made if need be; each file appears whole or not at all.
        kinds: names of kinds of pictures; None draws all that apply.
        title: a title for every picture.

    Returns:
        Matplotlib figures by kind, in the order asked for, or of a report.

    Raises:
        BadInput: a kind is unknown or does not apply to this survey, or the survey holds no numbers.
    """
    every = {name: VIEWS[name]() for name in (VIEWS.names() if kinds is None else kinds)}
    if kinds is None:
        ordered = sorted(every.items(), key=lambda item: item[1].rank)
        every = {name: kind for name, kind in ordered if kind.applies(_given(kind, survey))}
    for name, kind in every.items():
        if not kind.applies(_given(kind, survey)):
            raise _does_not_apply(name, kind, survey)
    drawn = {name: kind.draw(_given(kind, survey), title) for name, kind in every.items()}
    if out is not None:
        write_pngs(drawn, out)
    return drawn


def _given(kind: View, survey: xr.Dataset) -> xr.Dataset:
    return survey if kind.all_samples else take_first_sample(survey)


def _does_not_apply(name: str, kind: View, survey: xr.Dataset) -> BadInput:
    fitting = [other for other in VIEWS if (one := VIEWS[other]()).applies(_given(one, survey))]
    # What is known of paths, curves and networks beside the points is long for a line; its number must do.
    over = sorted(field.name for field in quantities(take_first_sample(survey)))
    beside = len(survey.data_vars) - len(over)
    has = f"axes {', '.join(axes(survey))} and variables {', '.join(over)}{f' and {beside} more' * bool(beside)}"
    return BadInput(
        f"view {name!r} does not apply to this survey: it needs {kind.needs}, and the survey has {has}; "
        f"what applies: {', '.join(fitting) or 'none'}"
    )
