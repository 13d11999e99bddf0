"""Heat maps of the slices of a volume, one at a time."""

from __future__ import annotations

import xarray as xr

from lossatlas.views import data, scales
from lossatlas.views.base import InteractiveView
from lossatlas.views.plot import Plot
from lossatlas.views.traces import assemble, lay_out_plane, list_choices, make_heat_map, make_heights

__all__ = ["Volume"]


class Volume(InteractiveView):
    """A heat map per variable, with a slider along the third axis."""

    needs = "three axes"
    caption = "A heat map of one slice of the volume at a time; the slider chooses the slice, the menu the quantity."
    rank = 10

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 3

    def plot(self, survey: xr.Dataset) -> Plot:
        axes, choices = data.axes(survey), list_choices(survey)
        depths = data.read_numbers(survey, axes[2])
        middle = len(depths) // 2
        traces = [make_heat_map(survey, field, field.plane(middle)) for field in choices]
        frames = [
            {"name": str(k), "data": [make_heights(field, field.plane(k)) for field in choices]}
            for k in range(len(depths))
        ]
        hint = f"One slice of the volume. The slider moves along {axes[2]}, and the menu chooses what the colour shows."
        return Plot(
            json=assemble(traces, lay_out_plane(survey), first_only=True, frames=frames),
            choices=[field.label for field in choices],
            hint=hint,
            motion="move",
            axis=axes[2],
            depths=[scales.number(float(depth)) for depth in depths],
            depth=middle,
        )
