"""The ends of the spectrum along a trajectory, beside its loss and learning rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.schema import RESIDUAL, SNAPSHOT, OnTrajectory
from lossatlas.views import figures, lines, looks, scales
from lossatlas.views.curvature._curvature import (
    NETWORK,
    CurvatureView,
    describe_residuals,
    has_values,
    list_keys,
    name_networks,
    read_values,
    unit_of,
)
from lossatlas.views.curvature._stability import find_stability
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, SCALED, Style

__all__ = ["LambdaPath"]

LARGEST, SMALLEST, LOSS, NORM = "path_hessian_max", "path_hessian_min", "path_loss", "path_gradient_norm"
HEIGHTS = {LARGEST: 2.4, SMALLEST: 1.4, LOSS: 1.6, NORM: 1.4, OnTrajectory.RATE: 1.1}
"""The panels from top to bottom and their heights in inches."""
LABELS = {
    LARGEST: "largest\neigenvalue",
    SMALLEST: "smallest\neigenvalue",
    LOSS: "loss",
    NORM: "gradient\nnorm",
    OnTrajectory.RATE: "learning\nrate",
}
ENDS = {LARGEST: "largest", SMALLEST: "smallest"}
WIDTH = 8.0  # inches
HEADROOM = 1.25  # times the highest learning rate
UP_TO = "steps-pre"
"""How learning rates are drawn: the rate at a snapshot is that of the step which led to it."""


class LambdaPath(CurvatureView):
    """Curves against the step or the epoch, on a shared axis: the ends of the spectrum, the loss, the learning rate."""

    needs = "the largest eigenvalue along a trajectory (path_hessian_max)"
    caption = (
        "The largest and the smallest eigenvalue of the Hessian along the trajectory, beside the loss and the learning "
        "rate lr."
    )
    rank = 5
    narrowest = 80 * MILLIMETRE
    heeds = SCALED

    def applies(self, subject: xr.Dataset) -> bool:
        return has_values(subject, LARGEST)

    def describe(self, subject: xr.Dataset) -> str:
        beside = {LOSS: "the loss", NORM: "the norm of the gradient", OnTrajectory.RATE: "the learning rate lr"}
        there = [words for name, words in beside.items() if has_values(subject, name)]
        ends = [words for name, words in ENDS.items() if has_values(subject, name)]
        also = f", beside {' and '.join(filter(None, (', '.join(there[:-1]), there[-1])))}" if there else ""
        shown = f"The {' and the '.join(ends)} eigenvalue of the Hessian along the trajectory{also}."
        stability = find_stability(subject.attrs)
        drawn = np.isfinite(_find_limits(subject)).any()
        return shown if stability.factor is not None and not drawn else f"{shown} {stability.words}"

    def draw(self, subject: xr.Dataset, style: Style) -> Figure:
        rows = [name for name in HEIGHTS if has_values(subject, name)]
        heights = [HEIGHTS[name] for name in rows]
        drawn = figures.figure(style, WIDTH, 1.1 + sum(heights))
        grid = drawn.add_gridspec(len(rows), 1, height_ratios=heights)
        at, clock = _read_clock(subject)
        names = name_networks(subject, len(read_values(subject, LARGEST, NETWORK, SNAPSHOT)))
        draw: dict[str, Callable[[Axes], None]] = {
            LARGEST: lambda ax: _draw_largest(ax, subject, at),
            LOSS: lambda ax: _draw_loss(ax, subject, at, style),
        }
        first: Axes | None = None
        for index, name in enumerate(rows):
            ax = drawn.add_subplot(grid[index], sharex=first)
            first = first or ax
            draw.get(name, lambda ax, name=name: _draw_curves(ax, subject, at, name))(ax)
            label = f"{subject[name].attrs.get('split', '')} {LABELS[name]}".strip()
            ax.set_ylabel(f"{label}{unit_of(subject, name)}", fontsize=9)
            last = index == len(rows) - 1
            ax.set_xlabel(clock if last else "")
            ax.tick_params(labelsize=8, labelbottom=last)
            ax.margins(x=0.02)
        formula = find_stability(subject.attrs).formula
        edge = Line2D([], [], linestyle=":", color=looks.INK, linewidth=1.3, label=f"limit of stability, {formula}")
        keys = [*list_keys(names), *([edge] if np.isfinite(_find_limits(subject)).any() else [])]
        # The first snapshot has no rate, as no step led to it.
        measured = [name for name in rows if name != OnTrajectory.RATE]
        lost = scales.invalid(np.concatenate([subject[name].values.ravel() for name in measured]))
        residuals = describe_residuals(subject, [LARGEST, SMALLEST], within=SNAPSHOT)
        figures.captioned(drawn, residuals, lost.describe(", left out"), keys=keys)
        return drawn

    def describe_alternative(self, subject: xr.Dataset) -> str:
        found, edges = read_values(subject, LARGEST, NETWORK, SNAPSHOT), _find_limits(subject)
        said = [self.describe(subject)]
        for index, name in enumerate(name_networks(subject, len(found))):
            known = found[index][np.isfinite(found[index])]
            if not known.size:
                said.append(f"{name}: not finite.")
                continue
            first, highest, last = (scales.number(float(one)) for one in (known[0], known.max(), known[-1]))
            edge = edges[min(index, len(edges) - 1)] if edges.size else np.empty(0)
            edge = edge[np.isfinite(edge)]
            end = f"; the limit of stability at the end {scales.number(float(edge[-1]))}" if edge.size else ""
            said.append(f"{name}: the largest eigenvalue is {first} at first, {highest} at most and {last} last{end}.")
        return " ".join(said)


def _read_clock(subject: xr.Dataset) -> tuple[Floats, str]:
    """Read the epochs of the snapshots where all are known, otherwise their steps: (networks or 1, snapshots)."""
    for name, label in ((OnTrajectory.EPOCH, "epoch"), (OnTrajectory.STEP, "step")):
        if name in subject and np.isfinite(found := read_values(subject, name, NETWORK, SNAPSHOT)).all():
            return found, label
    return np.arange(subject.sizes[SNAPSHOT], dtype=np.float64)[None], "snapshot"


def _along(at: Floats, network: int) -> Floats:
    """The positions of the snapshots of one trajectory, (snapshots,)."""
    return np.asarray(at[min(network, len(at) - 1)])


def _find_limits(subject: xr.Dataset) -> Floats:
    """Find the limit of stability for each trajectory and snapshot, NaN where there is none; empty without rates."""
    return find_stability(subject.attrs).limit(read_values(subject, OnTrajectory.RATE, NETWORK, SNAPSHOT))


def _draw_largest(ax: Axes, subject: xr.Dataset, at: Floats) -> None:
    """Draw the largest eigenvalue and its limit of stability, on a logarithmic axis where all values are positive."""
    found, edges = read_values(subject, LARGEST, NETWORK, SNAPSHOT), _find_limits(subject)
    values = np.concatenate([found.ravel(), edges.ravel()])
    positive = bool((values[np.isfinite(values)] > 0).all())
    limits = scales.limits(values, log=True) if positive else scales.signed_limits(values)
    shared = len(edges) <= 1 or np.array_equal(edges, np.broadcast_to(edges[:1], edges.shape), equal_nan=True)
    for index, own in enumerate(edges[:1] if shared else edges):
        if not np.isfinite(own).any():
            continue
        colour = looks.INK if shared else looks.colour(index)
        ax.plot(_along(at, index), own, ":", color=colour, linewidth=1.3, drawstyle=UP_TO, zorder=2)
    _draw_each(ax, subject, at, LARGEST, found)
    lines.frame(ax, values, limits)


def _draw_loss(ax: Axes, subject: xr.Dataset, at: Floats, style: Style) -> None:
    found = read_values(subject, LOSS, NETWORK, SNAPSHOT)
    limits = style.limit_values(found, scales.limits(found, log=True))
    _draw_each(ax, subject, at, LOSS, limits.shown(found))
    lines.frame(ax, limits.shown(found).ravel(), limits)


def _draw_curves(ax: Axes, subject: xr.Dataset, at: Floats, name: str) -> None:
    """Draw the curves of any further quantity on a scale that suits its values."""
    found = read_values(subject, name, NETWORK, SNAPSHOT)
    if name == SMALLEST and (found[np.isfinite(found)] < 0).any():
        limits = scales.signed_limits(found)
    else:
        log = name == NORM or scales.logarithmic(name, found)
        limits = scales.limits(found, log=log)
    _draw_each(ax, subject, at, name, limits.shown(found))
    zero = [0.0] if limits.signed else []
    lines.frame(ax, np.append(limits.shown(found).ravel(), zero), limits)
    if name == OnTrajectory.RATE and not limits.log:
        figures.limit_upright(ax, 0.0, HEADROOM * float(np.nanmax(found[np.isfinite(found)], initial=0.0)) or 1.0)


def _draw_each(ax: Axes, subject: xr.Dataset, at: Floats, name: str, found: Floats) -> None:
    """Draw a curve for each trajectory, with a band of its residuals where these are known."""
    off = read_values(subject, RESIDUAL.of(name), NETWORK, SNAPSHOT)
    mark = "." if found.shape[1] <= lines.FEW else ""
    style = UP_TO if name == OnTrajectory.RATE else "default"
    for index, own in enumerate(found):
        colour, shown = looks.colour(index), np.where(np.isfinite(own), own, np.nan)
        if off.shape == found.shape and np.isfinite(off[index]).any():
            band = np.nan_to_num(off[index], nan=0.0, posinf=0.0)
            ax.fill_between(_along(at, index), shown - band, shown + band, color=colour, alpha=0.25, linewidth=0)
        ax.plot(
            _along(at, index), shown, "-", color=colour, marker=mark, markersize=4, linewidth=1.5, drawstyle=style,
            zorder=3,
        )  # fmt: skip
