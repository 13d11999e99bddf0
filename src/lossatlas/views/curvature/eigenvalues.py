"""The eigenvalues at both ends of the spectrum, with residuals and the spread over subsets of examples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lossatlas.describing import join_words
from lossatlas.schema import ENDS, OPERATORS, RESIDUAL
from lossatlas.views import figures, looks, scales
from lossatlas.views.curvature._curvature import (
    NETWORK,
    SAMPLE,
    CurvatureView,
    choose_linear,
    describe_residuals,
    has_values,
    list_keys,
    name_networks,
    read_values,
    scale_signed,
    unit_of,
)
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Eigenvalues"]

PANEL, HEIGHT = 4.2, 3.8  # inches
ORDER = ("bottom", "top")
TOGETHER = 0.5  # of the distance of two places; what the networks of one place take
MARGIN = 0.08  # of the range of the values, in the coordinate of the axis


class Eigenvalues(CurvatureView):
    """A panel for each end of each operator: eigenvalues in their order, a colour for each network."""

    needs = "eigenvalues at an end of a spectrum (hessian_top, hessian_bottom, ggn_top)"
    caption = (
        "The eigenvalues found at the ends of the spectrum, in their order; bars are residuals, within which there is "
        "an eigenvalue, and dots are those on further subsets of examples."
    )
    rank = 10
    narrowest = 70 * MILLIMETRE

    def applies(self, subject: xr.Dataset) -> bool:
        return bool(_list_panels(subject))

    def describe(self, subject: xr.Dataset) -> str:
        panels = _list_panels(subject)
        ends = {
            operator: join_words([ENDS[end].words for end in ORDER if (operator, end) in panels])
            for operator, _ in panels
        }
        shown = join_words([f"the {ends[operator]} of the {OPERATORS[operator].words}" for operator in ends])
        several = subject.sizes.get(SAMPLE, 1) > 1
        dots = ", and dots are those on further subsets of examples" * several
        return (
            f"The eigenvalues found at the ends of the spectrum, {shown}, in their order; bars are residuals, within "
            f"which there is an eigenvalue{dots}."
        )

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        panels = _list_panels(subject)
        across = 1 if style.is_narrower(figures.NARROW) else min(2, len(panels))
        rows = -(-len(panels) // across)
        drawn = figures.figure(style, 0.8 + PANEL * across, 0.9 + HEIGHT * rows)
        names: list[str] = []
        several = False
        for index, (operator, end) in enumerate(panels):
            ax = drawn.add_subplot(rows, across, index + 1)
            name = f"{operator}_{end}"
            found = read_values(subject, name, NETWORK, SAMPLE, end)
            beside = read_values(subject, RESIDUAL.of(name), NETWORK, SAMPLE, end)
            names = name_networks(subject, len(found))
            several |= found.shape[1] > 1
            room = drawn.get_figwidth() / across - 0.8
            _draw(ax, found, beside if beside.shape == found.shape else np.full(found.shape, np.nan), room)
            ax.set_xlabel(f"{ENDS[end].words} eigenvalues, in order")
            label = f"eigenvalue of the {OPERATORS[operator].words}{unit_of(subject, name)}"
            ax.set_ylabel(figures.wrapped(label, drawn.get_figheight() / rows - 0.9))
        dot = Line2D([], [], linestyle="", marker=".", color=looks.GREY, label="further subsets")
        every = [f"{operator}_{end}" for operator, end in panels]
        residuals = [
            describe_residuals(subject, [one for one in every if one.startswith(operator)]) for operator in dict(panels)
        ]
        told = [
            f"{OPERATORS[operator].words}: {said}" if len(residuals) > 1 else said
            for operator, said in zip(dict(panels), residuals, strict=True)
        ]
        lost = scales.invalid(np.concatenate([subject[name].values.ravel() for name in every]))
        figures.captioned(
            drawn, *told, lost.describe(", left out"), keys=[*list_keys(names), *([dot] if several else [])]
        )
        return drawn

    def describe_alternative(self, subject: xr.Dataset) -> str:
        said = [self.describe(subject)]
        for operator, end in _list_panels(subject):
            found = read_values(subject, f"{operator}_{end}", NETWORK, SAMPLE, end)
            for name, own in zip(name_networks(subject, len(found)), found[:, 0], strict=True):
                listed = ", ".join(scales.number(float(value)) for value in own if np.isfinite(value))
                said.append(f"{name}, {ENDS[end].words} of the {OPERATORS[operator].words}: {listed or 'not finite'}.")
        return " ".join(said)


def _list_panels(subject: xr.Dataset) -> list[tuple[str, str]]:
    return [(operator, end) for operator in OPERATORS for end in ORDER if has_values(subject, f"{operator}_{end}")]


def _draw(ax: Axes, found: Floats, residuals: Floats, inches: float) -> None:
    """Draw the eigenvalues (networks, samples, k) of one end; the first sample is the stated one.

    Args:
        ax: the axes.
        found: the eigenvalues.
        residuals: their residuals; NaN where they are not known.
        inches: the width of the axes, about.
    """
    networks, _, count = found.shape
    dash = float(np.clip(0.9 * 72 * inches * TOGETHER / (count * networks), 3, 11))
    for index in range(networks):
        colour = looks.colour(index)
        off = TOGETHER * ((index + 0.5) / networks - 0.5)
        at = np.arange(1, count + 1) + off
        bars = np.where(np.isfinite(residuals[index, 0]), residuals[index, 0], 0.0)
        for other in found[index, 1:]:
            ax.plot(at, other, ".", color=colour, markersize=4, alpha=0.55, zorder=3)
        ax.errorbar(
            at, found[index, 0], yerr=bars, fmt="_", color=colour, markersize=dash, markeredgewidth=2.2,
            elinewidth=1.2, capsize=dash / 4, zorder=4,
        )  # fmt: skip
    _scale(ax, _with_bars(found, residuals), found)
    ax.set_xlim(0.4, count + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    ax.tick_params(labelsize=8)


def _with_bars(found: Floats, residuals: Floats) -> Floats:
    bars = np.nan_to_num(residuals, nan=0.0, posinf=0.0)
    bars[:, 1:] = 0.0  # only those of the stated sample are drawn
    return np.stack([found - bars, found + bars])


def _scale(ax: Axes, ends: Floats, found: Floats) -> None:
    """Choose the scale of a panel: logarithmic, or signed, where magnitudes are wide apart; zero is always in it."""
    finite = ends[np.isfinite(ends)]
    sizes = np.abs(found[np.isfinite(found) & (found != 0)])
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    if sizes.size and sizes.max() > 30 * sizes.min():
        linear = choose_linear(found)
        reach = scales.to_decades(np.array([low, high]), linear)
        pad = MARGIN * float(np.ptp(reach))
        low, high = (float(linear * np.sinh(end * np.log(10))) for end in (reach[0] - pad, reach[1] + pad))
        scale_signed(ax, low, high, linear)
        return
    pad = MARGIN * (high - low)
    figures.limit_upright(ax, low - pad, high + pad)
    ax.axhline(0, color=looks.GREY, linewidth=0.8, zorder=1)
