"""The spectral density in each layer."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import (
    LAYER,
    NETWORK,
    CurvatureView,
    list_keys,
    name_layer_operator,
    name_layers,
    name_networks,
    unit_of,
)
from lossatlas.views.curvature._densities import Smoothed, draw_densities, has_density, read_density, smooth_nodes
from lossatlas.views.networks import short
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["LayerDensity"]

MOST = 12  # layers
ABREAST = 3
PANEL, HEIGHT = 3.0, 2.2  # inches


class LayerDensity(CurvatureView):
    """A panel for each layer, on shared axes: the densities of the eigenvalues of several networks."""

    needs = "nodes and weights of the spectral density of each layer (layer_node, layer_weight)"
    caption = (
        "The density of the eigenvalues of each layer by itself, per decade of a signed logarithmic axis that is "
        "linear around zero; bands span the probes between their 10th and 90th percentile."
    )
    rank = 35
    narrowest = 70 * MILLIMETRE

    def applies(self, subject: xr.Dataset) -> bool:
        return has_density(subject, "layer")

    def describe(self, subject: xr.Dataset) -> str:
        return (
            f"The density of the eigenvalues of the {name_layer_operator(subject)} in the parameters of each layer, "
            "all others held fixed, per decade of a signed logarithmic axis that is linear around zero; bands span the "
            "probes between their 10th and 90th percentile."
        )

    def describe_alternative(self, subject: xr.Dataset) -> str:
        nodes, _ = read_density(subject, "layer", NETWORK, LAYER)
        said = [self.describe(subject)]
        for index, name in enumerate(name_networks(subject, len(nodes))):
            spans = [
                f"{layer} {scales.number(float(np.nanmin(own)))} to {scales.number(float(np.nanmax(own)))}"
                for layer, own in zip(name_layers(subject, nodes.shape[1]), nodes[index], strict=True)
                if np.isfinite(own).any()
            ]
            said.append(f"{name}, nodes from the lowest to the highest: {'; '.join(spans) or 'not finite'}.")
        return " ".join(said)

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        nodes, weights = read_density(subject, "layer", NETWORK, LAYER)
        networks, layers = nodes.shape[:2]
        # All panels share one axis, so that all layers are smoothed together.
        whole = smooth_nodes(*(part.reshape(networks * layers, *part.shape[2:]) for part in (nodes, weights)))
        each = whole.each.reshape(networks, layers, *whole.each.shape[1:])
        named = [short(name) for name in name_layers(subject, layers)]
        shown = [k for k in range(layers) if np.isfinite(nodes[:, k]).any()][:MOST]
        across = 1 if style.is_narrower(figures.NARROW) else min(ABREAST, len(shown))
        rows = -(-len(shown) // across)
        drawn = figures.figure(style, 0.8 + PANEL * across, 1.2 + HEIGHT * rows)
        ends = []
        for index, layer in enumerate(shown):
            ax = drawn.add_subplot(rows, across, index + 1)
            draw_densities(ax, Smoothed(whole.at, each[:, layer], whole.linear, whole.width), 5)
            ax.set_title(f"layer {named[layer]}", fontsize=9, color=looks.INK)
            ax.tick_params(labelleft=index % across == 0, labelbottom=index + across >= len(shown))
            ends.append(ax.get_ylim())
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        for ax in drawn.axes:
            ax.set_ylim(low, high)
            figures.log_axis(ax.yaxis, low, high, 5)
        # A label of the figure as a whole would lie on the legend.
        place = (len(shown) - 1) % across // 2
        middle = drawn.axes[(rows - 1) * across + place]
        # As wide as fits around the middle of this panel.
        room = (2 * min(place, across - 1 - place) + 1) * drawn.get_figwidth() / across - 0.4
        label = f"eigenvalue of the {name_layer_operator(subject)} in one layer{unit_of(subject, 'layer_node')}"
        middle.set_xlabel(figures.wrapped(label, room))
        drawn.supylabel(figures.wrapped("density per decade (log scale)", drawn.get_figheight() - 1.4), fontsize=10)
        smoothed = (
            f"smoothed by Gaussians of {scales.number(whole.width)} decades; about linear below "
            f"{scales.number(whole.linear)}"
        )
        left_out = f"{len(shown)} of {layers} layers" * (len(shown) < layers)
        figures.captioned(drawn, smoothed, left_out, keys=list_keys(name_networks(subject, networks)))
        return drawn
