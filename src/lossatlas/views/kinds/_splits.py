"""What the heat maps of loss and accuracy have in common."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures

__all__ = ["has_plane_of", "split_maps"]


def has_plane_of(survey: xr.Dataset, metric: str) -> bool:
    """Whether the survey has two axes and the metric for a split."""
    return len(data.axes(survey)) == 2 and bool(data.fields(survey, metric))


def split_maps(survey: xr.Dataset, metric: str, palette: figures.Palette, title: str) -> Figure:
    """One heat map of the metric per split, with one colour scale."""
    splits = data.fields(survey, metric)
    everything = np.stack([field.values for field in splits])
    limits = data.limits(everything, log=metric == data.LOSS)
    return figures.heat_maps(
        [(field.label, field.plane()) for field in splits],
        data.edges(survey),
        limits,
        palette,
        axis_labels=[data.axis_label(survey, axis) for axis in data.axes(survey)],
        colour_label=splits[0].scale_label(limits),
        invalid=data.invalid(everything),
        title=title,
    )
