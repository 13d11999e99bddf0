"""The registries of views by subject, and the functions that draw any subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from lossatlas.registry import Registry
from lossatlas.schema import CURVATURE
from lossatlas.views.base import InteractiveView, StillView, draw_views, pick_view
from lossatlas.views.ensemble_data import check_ensembles, is_ensemble
from lossatlas.views.picture import InteractivePicture, Pictures
from lossatlas.views.style import PLAIN, Style

__all__ = [
    "COMPARISON_VIEWS",
    "CURVATURE_VIEWS",
    "ENSEMBLE_VIEWS",
    "INTERACTIVE_VIEWS",
    "OVERLAY_VIEWS",
    "VIEWS",
    "choose_views",
    "draw",
    "draw_interactive",
    "is_comparison",
    "is_curvature",
    "is_ensemble",
]

VIEWS: Registry[type[StillView[Any]]] = Registry("view", "lossatlas.views.kinds")
COMPARISON_VIEWS: Registry[type[StillView[Any]]] = Registry("view of a comparison", "lossatlas.views.comparisons")
CURVATURE_VIEWS: Registry[type[StillView[Any]]] = Registry("view of a curvature run", "lossatlas.views.curvature")
ENSEMBLE_VIEWS: Registry[type[StillView[Any]]] = Registry("view of an ensemble", "lossatlas.views.ensembles")
INTERACTIVE_VIEWS: Registry[type[InteractiveView]] = Registry("interactive view", "lossatlas.views.interactive")
OVERLAY_VIEWS: Registry[type[StillView[Any]]] = Registry("view of several surveys", "lossatlas.views.overlays")


def draw(
    subject: xr.Dataset | Mapping[str, xr.Dataset],
    kinds: Sequence[str] | None = None,
    style: Style = PLAIN,
    record: Sequence[str] = (),
) -> Pictures:
    """Draw pictures of a survey, a comparison, a curvature run or an ensemble, or of several surveys or ensembles.

    Args:
        subject: a survey has variables ``<split>_<metric>`` over the chart's axes, as ``xarray.open_zarr`` returns it;
            of several repeats of a slice (or members or samples), most kinds show the first, and their captions say so.
            A comparison has dimensions ``run`` and ``other_run``, a curvature run the attribute ``curvature``, an
            ensemble the attribute ``ensemble``. Several surveys, or several ensembles, are given as a mapping from the
            names that pictures show; surveys with one axis, and ensembles, share their plots, planes are drawn side by
            side.
        kinds: the names of kinds of pictures; None draws all that apply.
        style: title, width, scale and colours of the pictures.
        record: sentences on how the numbers were measured, as a paper must state them.

    Returns:
        The pictures by name, in the order of ``kinds`` or of a report; those of a mapping are ``overlay_<kind>``.

    Raises:
        BadInput: a kind is unknown or does not apply, or the style does not fit; surveys or ensembles cannot share
            pictures.
    """
    if isinstance(subject, Mapping) and not isinstance(subject, xr.Dataset):
        if any(is_ensemble(one) for one in subject.values()):
            check_ensembles(subject)
            return _rename("overlay_", draw_views(ENSEMBLE_VIEWS, subject, kinds, style, record))
        from lossatlas.views.overlays._overlay import check_together

        check_together(subject)
        return _rename("overlay_", draw_views(OVERLAY_VIEWS, subject, kinds, style, record))
    return draw_views(choose_views(subject), subject, kinds, style, record)


def choose_views(subject: xr.Dataset) -> Registry[type[StillView[Any]]]:
    """Choose the kinds of pictures of labelled data: a survey, a comparison, a curvature run or an ensemble."""
    if is_comparison(subject):
        return COMPARISON_VIEWS
    if is_ensemble(subject):
        return ENSEMBLE_VIEWS
    return CURVATURE_VIEWS if is_curvature(subject) else VIEWS


def is_comparison(subject: xr.Dataset) -> bool:
    """Whether labelled data are those of a comparison of networks."""
    return {"run", "other_run"} <= set(subject.sizes)


def is_curvature(subject: xr.Dataset) -> bool:
    """Whether labelled data are those of a curvature run."""
    return CURVATURE in subject.attrs


def draw_interactive(survey: xr.Dataset) -> InteractivePicture | None:
    """Make the interactive picture of a survey; None where no view applies, as of a curvature run or an ensemble."""
    if is_curvature(survey) or is_ensemble(survey):
        return None
    found = pick_view(INTERACTIVE_VIEWS, survey)
    return found[1].picture(survey, found[0]) if found else None


def _rename(prefix: str, pictures: Pictures) -> Pictures:
    return Pictures((prefix + name, replace(picture, name=prefix + name)) for name, picture in pictures.items())
