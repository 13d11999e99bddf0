"""Loss and accuracy of the samples of a distribution of networks, such as a posterior."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.style import MILLIMETRE, SCALED, Style

__all__ = ["Samples"]

PANEL = 4.6
"""The width of a panel in inches."""
DECADE = 10.0
"""The ratio of the largest to the smallest loss from which on the scale is logarithmic."""
METRICS = (scales.LOSS, scales.ACCURACY)


class Samples(SurveyView):
    """The loss, and the accuracy where there is one, of every sample, with their mean and spread."""

    needs = "two or more samples (or repeats or members) that lie along no axis, and a loss or an accuracy"
    caption = "Every sample by its number, with the mean and the spread of all."
    rank = 14
    narrowest = 60 * MILLIMETRE
    heeds = SCALED
    all_samples = True

    def applies(self, survey: xr.Dataset) -> bool:
        if data.count_samples(survey) < 2 or data.axes(survey):
            return False
        return bool(_list_metrics(survey))

    def describe(self, survey: xr.Dataset) -> str:
        return f"{data.samples_in_words(survey).capitalize()} by their numbers, with the mean and the spread of all."

    def describe_alternative(self, survey: xr.Dataset) -> str:
        told = []
        for metric in _list_metrics(survey):
            for field, values in _gather(survey, metric):
                mean, low, high = (float(each[0]) for each in scales.spread(values[:, None], log=False))
                told.append(f"{field.label}: mean {mean:.4g}, standard deviation {(high - low) / 2:.2g}.")
        return " ".join([self.describe(survey), *told])

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        metrics = _list_metrics(survey)
        abreast = 1 if style.is_narrower(figures.NARROW) else len(metrics)
        down = -(-len(metrics) // abreast)
        drawn = figures.figure(style, 1.0 + PANEL * abreast, 3.8 * down)
        keys, notes = {}, []
        for index, metric in enumerate(metrics):
            ax = drawn.add_subplot(down, abreast, index + 1)
            together = _gather(survey, metric)
            everything = np.stack([values for _, values in together])
            log = metric == scales.LOSS and _spans_decades(everything)
            limits = scales.limits(everything, log=log)
            if metric == scales.LOSS:
                limits = style.limit_values(everything, limits)
                notes += [limits.note, scales.invalid(everything).describe(", left out")]
                notes.append("mean and deviation of the loss are those of its logarithm" * limits.log)
            for place, (field, values) in enumerate(together):
                colour = lines.LOSS_COLOURS[place % len(lines.LOSS_COLOURS)]
                shown = np.where(np.isfinite(values), limits.shown(values), np.nan)
                mean, low, high = (float(each[0]) for each in scales.spread(shown[:, None], log=limits.log))
                ax.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
                ax.axhline(mean, color=colour, linewidth=1.6)
                ax.plot(np.arange(len(shown)), shown, "o", color=colour, markersize=3.5)
                keys[field.split] = Line2D([], [], color=colour, marker="o", markersize=3.5, label=field.split)
            lines.frame(ax, limits.shown(everything.ravel()), limits)
            ax.margins(x=0.03)
            ax.set_xlabel("sample")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_ylabel(together[0][0].scale_label(limits))
            ax.tick_params(labelsize=8)
            ax.set_title(metric, fontsize=10, color=looks.INK)
        band = Patch(color=figures.GREY, alpha=0.15, linewidth=0, label="± one standard deviation")
        figures.captioned(drawn, *notes, keys=[*keys.values(), band])
        return drawn


def _list_metrics(survey: xr.Dataset) -> list[str]:
    """The metrics that are shown, in their order."""
    first = data.take_first_sample(survey)
    return [metric for metric in METRICS if data.fields(first, metric)]


def _gather(survey: xr.Dataset, metric: str) -> list[tuple[data.Field, scales.Floats]]:
    """Per split a field of the first sample, for its words, and the values of all samples (K,)."""
    shown = data.fields(data.take_first_sample(survey), metric)
    return [(field, data.gather_samples(survey, field)) for field in shown]


def _spans_decades(values: scales.Floats) -> bool:
    """Whether values are positive and too far apart for a linear scale."""
    there = values[np.isfinite(values)]
    return bool(there.size) and bool(there.min() > 0) and bool(there.max() > DECADE * there.min())
