"""The spectral density of an operator, smoothed when it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import (
    NETWORK,
    OPERATORS,
    CurvatureView,
    choose_linear,
    describe_lost,
    has_values,
    list_keys,
    name_networks,
    read_values,
    scale_signed,
    unit_of,
)
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Density"]

WIDTH, HEIGHT = 8.4, 4.6  # inches; the height of a panel
LOWEST = 3.4  # inches; of a panel of a narrow figure, whose legend takes some of it
POINTS = 1200  # of a curve
NARROWEST, WIDEST = 0.05, 0.25  # decades; bounds on the standard deviation of the smoothing
TIMES = 1.5  # smoothing widths in mean distances of the nodes
BEYOND = 4.0  # smoothing widths by which the axis goes beyond the nodes
DEEPEST = 1e-6  # of the highest density; the least that is shown
FINEST = 1e-3  # of the largest magnitude; Lanczos' nodes do not resolve what is nearer to zero
RUG = 0.035  # of the height; the distance of the ticks at eigenvalues of two networks


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


class Density(CurvatureView):
    """The densities of the eigenvalues of several networks on a signed logarithmic axis, with their extreme ends."""

    needs = "nodes and weights of a spectral density (hessian_node, hessian_weight)"
    caption = (
        "The density of eigenvalues by stochastic Lanczos quadrature, per decade of a signed logarithmic axis that is "
        "linear around zero; a band spans the probes between their 10th and 90th percentile, and ticks at the bottom "
        "are the extreme eigenvalues found."
    )
    rank = 20
    narrowest = 70 * MILLIMETRE

    def applies(self, subject: xr.Dataset) -> bool:
        return bool(_list_operators(subject))

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        operators = _list_operators(subject)
        drawn = figures.figure(style, WIDTH, HEIGHT * len(operators))
        drawn.set_figheight(max(drawn.get_figheight(), LOWEST * len(operators)))
        notes, lost, names = [], dict[str, None](), list[str]()
        for index, operator in enumerate(operators):
            ax = drawn.add_subplot(len(operators), 1, index + 1)
            nodes, weights = _read(subject, operator)
            names = name_networks(subject, len(nodes))
            found = _smooth(nodes, weights)
            _draw(ax, found)
            _mark_extremes(ax, subject, operator)
            label = f"eigenvalue of the {OPERATORS[operator]}{unit_of(subject, f'{operator}_node')}"
            ax.set_xlabel(figures.wrapped(label, drawn.get_figwidth() - 0.8))
            ax.set_ylabel(
                figures.wrapped("density per decade (log scale)", drawn.get_figheight() / len(operators) - 1.2)
            )
            notes.append(
                f"{OPERATORS[operator]}: {nodes.shape[1]} probes of up to {nodes.shape[2]} nodes, smoothed by "
                f"Gaussians of {scales.number(found.width)} decades; about linear below {scales.number(found.linear)}"
            )
            lost |= {name: None for name, own in zip(names, nodes, strict=True) if not np.isfinite(own).any()}
        figures.captioned(drawn, *notes, describe_lost([*lost]), keys=list_keys(names))
        return drawn

    def describe_alternative(self, subject: xr.Dataset) -> str:
        said = [self.caption]
        for operator in _list_operators(subject):
            nodes, weights = _read(subject, operator)
            for name, own, held in zip(name_networks(subject, len(nodes)), nodes, weights, strict=True):
                if np.isfinite(own).any():
                    said.append(_describe_shares(name, operator, own, held))
        return " ".join(said)


def _list_operators(subject: xr.Dataset) -> list[str]:
    return [one for one in OPERATORS if has_values(subject, f"{one}_node") and has_values(subject, f"{one}_weight")]


def _read(subject: xr.Dataset, operator: str) -> tuple[Floats, Floats]:
    """Read nodes and weights, (networks, probes, nodes); a weight is 0 where there is no node."""
    dims = (NETWORK, "probe", "node")
    nodes, weights = (read_values(subject, f"{operator}_{part}", *dims) for part in ("node", "weight"))
    return nodes, np.where(np.isfinite(nodes), np.nan_to_num(weights), 0.0)


def _smooth(nodes: Floats, weights: Floats) -> Smoothed:
    """Smooth the nodes of every probe by Gaussians on the signed logarithmic axis."""
    linear = choose_linear(nodes, weights, FINEST)
    places = scales.to_decades(nodes, linear)
    held = np.isfinite(places) & (weights > 0)
    low, high = (float(end) for end in (places[held].min(), places[held].max()))
    per_probe = max(1.0, float(held.sum(axis=2).max()))
    width = float(np.clip(TIMES * (high - low) / per_probe, NARROWEST, WIDEST))
    at = np.linspace(low - BEYOND * width, high + BEYOND * width, POINTS)
    each = np.full((*nodes.shape[:2], POINTS), np.nan)
    for network, probe in np.ndindex(*nodes.shape[:2]):
        if (own := held[network, probe]).any():
            apart = (at - places[network, probe][own][:, None]) / width
            bells = np.exp(-0.5 * apart**2) / (width * np.sqrt(2 * np.pi))
            each[network, probe] = weights[network, probe][own] @ bells
    return Smoothed(at, each, linear, width)


def _draw(ax: Axes, found: Smoothed) -> None:
    """Draw the mean over the probes of each network and the band of its probes."""
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
    scale_signed(ax, float(values[0]), float(values[-1]), found.linear, 9, across=True)
    ax.tick_params(labelsize=8)


def _mark_extremes(ax: Axes, subject: xr.Dataset, operator: str) -> None:
    """Draw ticks at the extreme eigenvalues of the first sample, a row for each network."""
    for end in ("top", "bottom"):
        found = read_values(subject, f"{operator}_{end}", NETWORK, "sample", end)
        for index, own in enumerate(found[:, 0] if found.size else ()):
            there = own[np.isfinite(own)]
            row = 0.01 + RUG * index
            ax.vlines(
                there, row, row + 0.8 * RUG, color=looks.colour(index), linewidth=1.1, zorder=5,
                transform=ax.get_xaxis_transform(),
            )  # fmt: skip


def _describe_shares(name: str, operator: str, nodes: Floats, weights: Floats) -> str:
    """State which shares of the eigenvalues of a network are negative, about zero, and positive."""
    known = nodes[np.isfinite(nodes)]
    small = 1e-3 * float(np.abs(known).max())
    total = weights.sum()
    negative, positive = (float(weights[side].sum() / total) for side in (nodes < -small, nodes > small))
    return (
        f"{name}, {OPERATORS[operator]}: {scales.percent(negative)} of the eigenvalues are below "
        f"-{scales.number(small)}, {scales.percent(positive)} above {scales.number(small)}; nodes from "
        f"{scales.number(float(known.min()))} to {scales.number(float(known.max()))}."
    )
