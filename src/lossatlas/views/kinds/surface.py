"""The loss over a plane as a surface in three dimensions."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from lossatlas.views import data, figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of, has_points_between
from lossatlas.views.style import COLOURED, MILLIMETRE, Style

__all__ = ["Surface"]

FINEST = 200  # facets along an axis; smaller ones cannot be distinguished on paper
SMOOTH = 80  # facets along the longer axis; with fewer, steps of colour are visible


class Surface(SurveyView):
    """The loss of one split (test, if there is one) as a surface, with a logarithmic height."""

    needs = "two axes with at least two points each, and a loss"
    caption = "The loss over the two axes as a surface in three dimensions; height and colour both show the loss."
    rank = 40
    narrowest = 80 * MILLIMETRE
    heeds = COLOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS) and has_points_between(survey)

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [data.preferred(data.fields(survey, scales.LOSS))]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        field = data.preferred(data.fields(survey, scales.LOSS))
        limits = style.limit([field], log=True)
        drawn = figures.figure(style, 7.6, 5.8)
        ax = drawn.add_subplot(projection="3d")
        assert isinstance(ax, Axes3D)
        # Labels stand beside the box, where a narrow figure has little room.
        narrow = style.is_narrower(figures.NARROW)
        palette = style.colour(figures.LOSS, field.metric)
        _draw_surface(ax, survey, field, limits, palette, narrow=narrow)
        thinned = f"drawn with {FINEST} facets a side at most" * (max(field.values.shape) > FINEST)
        holes = scales.invalid(field.values).describe(", left as holes")
        # Of a narrow figure the axes have their letters alone.
        named = [f"{axis}: {data.axis_label(survey, axis)}" for axis in data.axes(survey)] if narrow else []
        notes = [figures.tell_shades(palette), limits.note, holes, thinned, *named, *data.notes(survey)]
        figures.captioned(drawn, field.label, *notes)
        return drawn


def _draw_surface(
    ax: Axes3D, survey: xr.Dataset, field: data.Field, limits: scales.Limits, palette: figures.Palette, *, narrow: bool
) -> None:
    u, v = data.axes(survey)
    us, vs = (data.read_numbers(survey, axis) for axis in (u, v))
    # matplotlib gives a facet one colour, so a coarse grid needs more facets than steps.
    times = max(1, SMOOTH // max(len(us), len(vs)))
    heights = data.refined(limits.heights(field.plane()), times)
    low, high = np.log10([limits.low, limits.high]) if limits.log else (limits.low, limits.high)
    ax.plot_surface(
        *(data.refined(grid, times) for grid in np.meshgrid(us, vs)),
        heights,
        cmap=palette.colours,
        vmin=low,
        vmax=high,
        rcount=FINEST,
        ccount=FINEST,
        linewidth=0,
        antialiased=False,
        rasterized=True,
    )
    if limits.log:
        ticks = scales.log_ticks(limits.low, limits.high)
        ax.set_zticks(np.log10(ticks), [figures.tick_text(tick) for tick in ticks])
    ax.set_zlim(low, high)
    longer = max(np.ptp(us), np.ptp(vs))
    ax.set_box_aspect((np.ptp(us) / longer, np.ptp(vs) / longer, 0.5), zoom=0.66 if narrow else 0.84)
    ax.view_init(elev=46, azim=-72)
    labels = (u, v) if narrow else tuple(data.axis_label(survey, axis) for axis in (u, v))
    ax.set_xlabel(labels[0], labelpad=3 if narrow else 8)
    ax.set_ylabel(labels[1], labelpad=6 if narrow else 14)
    ax.set_zlabel(field.scale_label(limits), labelpad=5 if narrow else 4)
    ax.tick_params(labelsize=8)
    ax.locator_params(axis="x", nbins=5)
    ax.locator_params(axis="y", nbins=5)
