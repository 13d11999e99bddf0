"""Spectral densities: nodes and weights smoothed on a signed logarithmic axis, with the spread of the probes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from lossatlas.schema import InCurvature
from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import choose_linear, has_values, read_values, scale_signed
from lossatlas.views.scales import Floats

__all__ = ["Smoothed", "draw_densities", "has_density", "read_density", "smooth_nodes"]

POINTS = 1200  # of a curve
NARROWEST, WIDEST = 0.05, 0.25  # decades; bounds on the standard deviation of the smoothing
TIMES = 1.5  # smoothing widths in mean distances of the nodes
BEYOND = 4.0  # smoothing widths by which the axis goes beyond the nodes
DEEPEST = 1e-6  # of the highest density; the least that is shown
FINEST = 1e-3  # of the largest magnitude; Lanczos' nodes do not resolve what is nearer to zero
MERGED = 0.75  # of the distance of the nodes at zero; Gaussians so wide merge into one, without a dip between


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Densities of several networks on one axis.

    Attributes:
        at: The positions on the axis in decades, (points,).
        each: The densities per decade of every probe, (networks, probes, points); NaN for a network without nodes.
        linear: The magnitude below which the axis is about linear.
        width: The standard deviation of the Gaussians, in decades.
    """

    at: Floats
    each: Floats
    linear: float
    width: float

    @property
    def eigenvalues(self) -> Floats:
        """The eigenvalues (points,) at the positions."""
        return np.asarray(self.linear * np.sinh(self.at * np.log(10)))


def smooth_nodes(nodes: Floats, weights: Floats) -> Smoothed:
    """Smooth the nodes of every probe by Gaussians on the signed logarithmic axis."""
    gap = _find_gap(nodes, weights)
    linear = choose_linear(nodes, weights, FINEST)
    if gap > linear:
        linear = float(10 ** np.ceil(np.log10(gap)))
    places = scales.to_decades(nodes, linear)
    held = np.isfinite(places) & (weights > 0)
    low, high = (float(end) for end in (places[held].min(), places[held].max()))
    per_probe = max(1.0, float(held.sum(axis=2).max()))
    width = float(np.clip(TIMES * (high - low) / per_probe, NARROWEST, WIDEST))
    width = max(width, MERGED * float(np.arcsinh(gap / linear)) / np.log(10))
    at = np.linspace(low - BEYOND * width, high + BEYOND * width, POINTS)
    each = np.full((*nodes.shape[:2], POINTS), np.nan)
    for network, probe in np.ndindex(*nodes.shape[:2]):
        if (own := held[network, probe]).any():
            apart = (at - places[network, probe][own][:, None]) / width
            bells = np.exp(-0.5 * apart**2) / (width * np.sqrt(2 * np.pi))
            each[network, probe] = weights[network, probe][own] @ bells
    return Smoothed(at, each, linear, width)


def _find_gap(nodes: Floats, weights: Floats) -> float:
    """How far the node next to zero is from its nearest neighbour, in the median over the probes; 0 without two nodes.

    Nodes of all probes lie close together there, so that a density that is finer than this would look certain and is an
    artefact of their number.
    """
    gaps = []
    for network, probe in np.ndindex(*nodes.shape[:2]):
        own = nodes[network, probe][np.isfinite(nodes[network, probe]) & (weights[network, probe] > 0)]
        if len(own) > 1:
            own = np.sort(own)
            middle = int(np.abs(own).argmin())
            gaps.append(float(np.diff(own)[max(0, middle - 1) : middle + 1].min()))
    return float(np.median(gaps)) if gaps else 0.0


def draw_densities(ax: Axes, found: Smoothed, most: int = 9) -> None:
    """Draw the mean over the probes of each network and the band of its probes, on axes with at most so many ticks."""
    values = found.eigenvalues
    means = [np.nanmean(own, axis=0) if np.isfinite(own).any() else None for own in found.each]
    highest = max(float(mean.max()) for mean in means if mean is not None)
    floor = highest * DEEPEST
    lowest = highest
    for index, (own, mean) in enumerate(zip(found.each, means, strict=True)):
        if mean is None:
            continue
        colour = looks.colour(index)
        if len(own) > 1:
            band = np.nanpercentile(own, [10, 90], axis=0)
            ax.fill_between(values, *np.maximum(band, floor / 10), color=colour, alpha=0.2, linewidth=0)
        ax.plot(values, mean, color=colour, linewidth=1.5)
        # Between clusters the density is that of the Gaussians' tails, which says nothing.
        peaks = (mean[1:-1] > mean[:-2]) & (mean[1:-1] >= mean[2:])
        lowest = min(lowest, float(mean[1:-1][peaks].min(initial=highest)))
    bottom = max(floor, lowest / 30)
    ax.set_yscale("log")
    ax.set_ylim(bottom, highest * 3)
    figures.log_axis(ax.yaxis, bottom, highest * 3)
    scale_signed(ax, float(values[0]), float(values[-1]), found.linear, most, across=True)
    ax.tick_params(labelsize=8)


def has_density(subject: xr.Dataset, of: str) -> bool:
    """Whether the subject has at least one node with a weight among the variables that begin with a name."""
    if not (has_values(subject, f"{of}_node") and has_values(subject, f"{of}_weight")):
        return False
    return bool((np.isfinite(subject[f"{of}_node"]) & (subject[f"{of}_weight"] > 0)).any())


def read_density(subject: xr.Dataset, of: str, *dims: str) -> tuple[Floats, Floats]:
    """Read nodes and weights with dimensions of their own and then those of probes and nodes.

    Nodes that have no weight are NaN, and weights are 0 where there is no node.
    """
    nodes, weights = (
        read_values(subject, f"{of}_{part}", *dims, InCurvature.PROBE, InCurvature.NODE) for part in ("node", "weight")
    )
    weights = np.where(np.isfinite(nodes), np.nan_to_num(weights), 0.0)
    return np.where(weights > 0, nodes, np.nan), weights
