"""The spectrum of the operator in each layer: its ends, and its mean."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.schema import RESIDUAL
from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import (
    LAYER,
    NETWORK,
    CurvatureView,
    choose_linear,
    describe_residuals,
    has_values,
    list_keys,
    name_layer_operator,
    name_layers,
    name_networks,
    read_values,
    scale_signed,
    unit_of,
)
from lossatlas.views.networks import short
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Layers"]

WIDTH, ROW, LEAST = 7.6, 0.3, 2.4  # inches; a row is that of one network in one layer
NAMES = 1.6  # inches; about what the names of layers take
LABEL = 0.14  # inches; the height of the name of a layer
TALLEST = 16.0  # inches; of all rows
APART = 0.6  # rows between layers
MARGIN = 0.04  # of the range


class Layers(CurvatureView):
    """A bar from the smallest to the largest eigenvalue of each layer and network, with a mark at the mean."""

    needs = "eigenvalues per layer (layer_top, layer_bottom)"
    caption = (
        "For each layer by itself, a bar from the smallest to the largest eigenvalue, both with their residuals, and a "
        "diamond at the mean of all eigenvalues, the trace over the number of parameters."
    )
    rank = 30
    narrowest = 80 * MILLIMETRE

    def applies(self, subject: xr.Dataset) -> bool:
        return has_values(subject, "layer_top") or has_values(subject, "layer_bottom")

    def describe(self, subject: xr.Dataset) -> str:
        _, _, means = _read(subject)
        diamonds = ", and a diamond at the mean of all its eigenvalues, the trace over the number of parameters"
        return (
            f"The {name_layer_operator(subject)} in the parameters of each layer, others held fixed: a bar from the "
            f"smallest to the largest eigenvalue, both with their residuals{diamonds * (means.size > 0)}."
        )

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        tops, bottoms, means = _read(subject)
        networks, layers = max(tops.shape, bottoms.shape)
        names = name_networks(subject, networks)
        rows = layers * (networks + APART)
        height = 1.5 + min(max(LEAST, ROW * rows), TALLEST)
        # Rows keep their height whatever the width, unlike curves.
        drawn = figures.figure(style, WIDTH, height)
        drawn.set_figheight(height)
        ax = drawn.add_subplot()
        places = np.arange(layers)[:, None] * (networks + APART) + np.arange(networks)[None]
        for index in range(networks):
            colour = looks.colour(index)
            _draw_bars(ax, places[:, index], bottoms, tops, index, colour)
            for end in ("bottom", "top"):
                _draw_residuals(ax, subject, places[:, index], end, index)
            if means.size:
                ax.plot(
                    means[index], places[:, index], "D", color=looks.PAPER, markeredgecolor=looks.INK, markersize=4.5,
                    zorder=5,
                )  # fmt: skip
        _label_rows(ax, subject, places, every=max(1, round(LABEL * layers / (height - 1.5))))
        every = np.concatenate([*_find_ends(subject, tops, bottoms), means.ravel()])
        _scale(ax, every)
        label = f"eigenvalue of the {name_layer_operator(subject)} in one layer{unit_of(subject, 'layer_top')}"
        ax.set_xlabel(figures.wrapped(label, drawn.get_figwidth() - NAMES))
        mean = Line2D(
            [], [], linestyle="", marker="D", color=looks.PAPER, markeredgecolor=looks.INK, markersize=5,
            label="mean (trace / parameters)",
        )  # fmt: skip
        keys = [*list_keys(names), *([mean] if means.size else [])]
        lost = scales.invalid(np.concatenate([tops.ravel(), bottoms.ravel()])).describe(", left out")
        residuals = describe_residuals(subject, ["layer_top", "layer_bottom"], within=LAYER)
        figures.captioned(drawn, residuals, lost, keys=keys)
        return drawn

    def describe_alternative(self, subject: xr.Dataset) -> str:
        tops, bottoms, _ = _read(subject)
        networks, layers = max(tops.shape, bottoms.shape)
        said = [self.describe(subject)]
        for index, name in enumerate(name_networks(subject, networks)):
            listed = [
                f"{layer} {_say(bottoms, index, k)} to {_say(tops, index, k)}"
                for k, layer in enumerate(name_layers(subject, layers))
            ]
            said.append(f"{name}: {'; '.join(listed)}.")
        return " ".join(said)


def _read(subject: xr.Dataset) -> tuple[Floats, Floats, Floats]:
    """Read the largest and the smallest eigenvalues and the means, each (networks, layers) or empty."""
    tops, bottoms, traces = (read_values(subject, f"layer_{of}", NETWORK, LAYER) for of in ("top", "bottom", "trace"))
    sizes = read_values(subject, "layer_size", LAYER)
    known = np.where(sizes > 0, sizes, np.nan)
    return tops, bottoms, traces / known if traces.size and sizes.size else np.empty((0, 0))


def _find_ends(subject: xr.Dataset, tops: Floats, bottoms: Floats) -> list[Floats]:
    """The ends of all bars (networks * layers,), moved outwards by their residuals, which are drawn as well."""
    found = []
    for values, end, sign in ((tops, "top", 1), (bottoms, "bottom", -1)):
        off = read_values(subject, RESIDUAL.of(f"layer_{end}"), NETWORK, LAYER)
        known = np.nan_to_num(off, nan=0.0, posinf=0.0) if off.shape == values.shape else 0.0
        found.append((values + sign * known).ravel())
    return found


def _say(values: Floats, network: int, layer: int) -> str:
    value = float(values[network, layer]) if values.size else float("nan")
    return scales.number(value) if np.isfinite(value) else "not known"


def _draw_bars(ax: Axes, at: Floats, bottoms: Floats, tops: Floats, network: int, colour: str) -> None:
    """Draw a bar for each layer from the smallest to the largest eigenvalue, or from zero where one is not known."""
    high = tops[network] if tops.size else np.zeros(at.shape)
    low = bottoms[network] if bottoms.size else np.zeros(at.shape)
    known = np.isfinite(high) & np.isfinite(low)
    ax.barh(at[known], (high - low)[known], left=low[known], height=0.72, color=colour, alpha=0.85, zorder=3)


def _draw_residuals(ax: Axes, subject: xr.Dataset, at: Floats, end: str, network: int) -> None:
    values, off = (read_values(subject, name, NETWORK, LAYER) for name in (f"layer_{end}", RESIDUAL.of(f"layer_{end}")))
    if not values.size or off.shape != values.shape:
        return
    known = np.isfinite(values[network]) & np.isfinite(off[network])
    ax.errorbar(
        values[network][known], at[known], xerr=off[network][known], fmt="none", ecolor=looks.INK, elinewidth=1,
        capsize=2, zorder=4,
    )  # fmt: skip


def _label_rows(ax: Axes, subject: xr.Dataset, places: Floats, every: int) -> None:
    """Name the layers, or every so many of them, with their numbers of parameters; the first one is on top."""
    sizes = read_values(subject, "layer_size", LAYER)
    named = [short(name) for name in name_layers(subject, len(places))]
    if sizes.size:
        named = [f"{name} ({int(size):,})" for name, size in zip(named, sizes, strict=True)]
    ax.set_yticks(places.mean(axis=1)[::every], named[::every])
    ax.set_ylim(places.max() + 0.8, -0.8)
    ax.tick_params(labelsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set_ylabel("layer (parameters)" if sizes.size else "layer")


def _scale(ax: Axes, every: Floats) -> None:
    linear = choose_linear(every)
    finite = every[np.isfinite(every)]
    ends = scales.to_decades(np.array([min(0.0, finite.min()), max(0.0, finite.max())]), linear)
    pad = MARGIN * max(float(np.ptp(ends)), 1e-3)
    low, high = (float(linear * np.sinh(end * np.log(10))) for end in (ends[0] - pad, ends[1] + pad))
    scale_signed(ax, low, high, linear, across=True)
