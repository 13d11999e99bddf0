"""The loss along random directions around the networks of a comparison."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, scales
from lossatlas.views.comparisons._comparison import ComparisonView, draw_curves, list_groups
from lossatlas.views.looks import GREY
from lossatlas.views.style import MILLIMETRE, SCALED, Style

__all__ = ["Slices"]


class Slices(ComparisonView):
    """Curves of the loss along random directions around each network, coloured by group."""

    needs = "slices around its networks"
    caption = "The loss along random directions around each network, on shared axes and coloured by group."
    rank = 20
    narrowest = 80 * MILLIMETRE
    heeds = SCALED

    def applies(self, comparison: xr.Dataset) -> bool:
        return f"slice_{comparison.attrs['split']}_loss" in comparison

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        groups = list_groups(comparison)
        name = f"slice_{comparison.attrs['split']}_loss"
        values = data.read_numbers(comparison, name)
        curves = [(curve, groups.colour(run)) for run, repeats in enumerate(values) for curve in repeats]
        drawn, ax, limits = draw_curves(style, comparison, "x", name, curves)
        level = float(comparison.attrs["level"])
        ax.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
        ax.set_xlabel(_slice_label(comparison))
        figures.captioned(
            drawn,
            f"{values.shape[1]} random direction(s) around each of {values.shape[0]} networks",
            f"dashed: the loss at which basin widths are measured, {scales.number(level)}",
            scales.invalid(values).describe(),
            limits.note,
            keys=groups.keys(),
        )
        return drawn


def _slice_label(comparison: xr.Dataset) -> str:
    scale = str(comparison.attrs.get("normalize", "none"))
    return "length of the direction" if scale == "none" else f"random direction, normalised per {scale}"
