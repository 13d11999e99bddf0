"""The spectral density of an operator, smoothed when it is drawn."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.describing import join_words
from lossatlas.schema import ENDS, OPERATORS, SAMPLE
from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import (
    NETWORK,
    CurvatureView,
    describe_lost,
    has_values,
    list_keys,
    name_networks,
    read_values,
    unit_of,
)
from lossatlas.views.curvature._densities import draw_densities, has_density, read_density, smooth_nodes
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Density"]

WIDTH, HEIGHT = 8.4, 4.6  # inches; the height of a panel
LOWEST = 3.4  # inches; of a panel of a narrow figure, whose legend takes some of it
RUG = 0.035  # of the height; the distance of the ticks at eigenvalues of two networks


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

    def describe(self, subject: xr.Dataset) -> str:
        of = join_words([OPERATORS[operator].words for operator in _list_operators(subject)])
        known = [f"{operator}_{end}" for operator in _list_operators(subject) for end in ENDS]
        ticks = ", and ticks at the bottom are the extreme eigenvalues found"
        return (
            f"The density of the eigenvalues of the {of} by stochastic Lanczos quadrature, per decade of a signed "
            "logarithmic axis that is linear around zero; a band spans the probes between their 10th and 90th "
            f"percentile{ticks * any(has_values(subject, name) for name in known)}."
        )

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        operators = _list_operators(subject)
        drawn = figures.figure(style, WIDTH, HEIGHT * len(operators))
        drawn.set_figheight(max(drawn.get_figheight(), LOWEST * len(operators)))
        notes, lost, names = [], dict[str, None](), list[str]()
        for index, operator in enumerate(operators):
            ax = drawn.add_subplot(len(operators), 1, index + 1)
            nodes, weights = read_density(subject, operator, NETWORK)
            names = name_networks(subject, len(nodes))
            found = smooth_nodes(nodes, weights)
            draw_densities(ax, found)
            _mark_extremes(ax, subject, operator)
            label = f"eigenvalue of the {OPERATORS[operator].words}{unit_of(subject, f'{operator}_node')}"
            ax.set_xlabel(figures.wrapped(label, drawn.get_figwidth() - 0.8))
            ax.set_ylabel(
                figures.wrapped("density per decade (log scale)", drawn.get_figheight() / len(operators) - 1.2)
            )
            notes.append(
                f"{OPERATORS[operator].words}: {nodes.shape[1]} probes of up to {nodes.shape[2]} nodes, smoothed by "
                f"Gaussians of {scales.number(found.width)} decades; about linear below {scales.number(found.linear)}"
            )
            lost |= {name: None for name, own in zip(names, nodes, strict=True) if not np.isfinite(own).any()}
        figures.captioned(drawn, *notes, describe_lost([*lost]), keys=list_keys(names))
        return drawn

    def describe_alternative(self, subject: xr.Dataset) -> str:
        said = [self.describe(subject)]
        for operator in _list_operators(subject):
            nodes, weights = read_density(subject, operator, NETWORK)
            for name, own, held in zip(name_networks(subject, len(nodes)), nodes, weights, strict=True):
                if np.isfinite(own).any():
                    said.append(_describe_shares(name, operator, own, held))
        return " ".join(said)


def _list_operators(subject: xr.Dataset) -> list[str]:
    return [operator for operator in OPERATORS if has_density(subject, operator)]


def _mark_extremes(ax: Axes, subject: xr.Dataset, operator: str) -> None:
    """Draw ticks at the extreme eigenvalues of the first sample, a row for each network."""
    for end in ENDS:
        found = read_values(subject, f"{operator}_{end}", NETWORK, SAMPLE, end)
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
        f"{name}, {OPERATORS[operator].words}: {scales.percent(negative)} of the eigenvalues are below "
        f"-{scales.number(small)}, {scales.percent(positive)} above {scales.number(small)}; nodes from "
        f"{scales.number(float(known.min()))} to {scales.number(float(known.max()))}."
    )
