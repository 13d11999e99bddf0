"""The trajectory of a training over the loss in its plane."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas import schema
from lossatlas.views import data, figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of
from lossatlas.views.scales import percent
from lossatlas.views.style import CONTOURED, MILLIMETRE, Style

__all__ = ["Trajectory"]

LINE, DROP, SWITCH = "#ffffff", "#e4572e", "#35b779"
ON_TRAJECTORY, UNDER = "#3b0f70", "#de4968"
LEVELS = 24
ELSEWHERE = 1.6  # inches; the side of a panel of another plane
NARROW = 6.5  # inches; in a narrower figure the other panels stand below the plane instead of beside it
DROPPED, STEADY = 0.9, 0.99
"""A drop is a step to less than the first fraction of the learning rate, with a step to more than the second before or
after it."""


class Trajectory(SurveyView):
    """The trajectory over filled contours of the loss and in other planes; losses, distances and angles along it."""

    needs = "two axes, a loss, and a trajectory on them"
    caption = (
        "The trajectory of the training over filled contours of the loss in its plane. Further panels show it in other "
        "planes, its loss, its distance from the plane, and the angle between its steps and steepest descent."
    )
    rank = 10
    narrowest = 80 * MILLIMETRE
    heeds = CONTOURED

    def applies(self, survey: xr.Dataset) -> bool:
        there = all(schema.OnTrajectory.coordinate(axis) in survey for axis in data.axes(survey))
        return there and has_plane_of(survey, scales.LOSS)

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return data.fields(survey, scales.LOSS)[:1]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        narrow = style.is_narrower(NARROW)
        drawn = figures.figure(style, *((6.0, 15.0) if narrow else (13.6, 9.6)))
        main, elsewhere, below = _panels(drawn, narrow=narrow)
        notes = _surface(drawn, main, survey, style)
        _elsewhere(elsewhere, survey, printed=style.width is not None)
        _losses(below[0], survey, style)
        _distances(below[1], survey)
        _angles(below[2], survey)
        figures.captioned(drawn, *notes)
        return drawn


def _panels(drawn: Figure, *, narrow: bool) -> tuple[Axes, list[Axes], list[Axes]]:
    """Make the panels of the plane, of other planes, and of measurements along the trajectory."""
    if narrow:
        grid = drawn.add_gridspec(5, 2, height_ratios=(2.2, 1, 1, 1, 1))
        main, elsewhere, below = grid[0, :], (grid[1, 0], grid[1, 1]), (grid[2, :], grid[3, :], grid[4, :])
    else:
        grid = drawn.add_gridspec(3, 3, height_ratios=(1, 1, 0.9))
        main, elsewhere, below = grid[:2, :2], (grid[0, 2], grid[1, 2]), (grid[2, 0], grid[2, 1], grid[2, 2])
    first = drawn.add_subplot(main)
    others, measured = ([drawn.add_subplot(one) for one in several] for several in (elsewhere, below))
    return first, others, measured


def _surface(drawn: Figure, ax: Axes, survey: xr.Dataset, style: Style) -> list[str]:
    """Draw the loss as filled contours, the trajectory and its marks; returns notes for the caption."""
    field = data.fields(survey, scales.LOSS)[0]
    u, v = data.axes(survey)
    limits = style.limit([field], log=True)
    values = field.plane()
    shown = np.ma.masked_where(~np.isfinite(values), np.clip(limits.shown(values), limits.low, limits.high))
    fine = (np.geomspace if limits.log else np.linspace)(limits.low, limits.high, LEVELS)
    palette = style.colour(figures.LOSS, field.metric)
    norm = figures.make_norm(limits)
    us, vs = (data.read_numbers(survey, axis) for axis in (u, v))
    filled = ax.contourf(us, vs, shown, levels=fine, norm=norm, cmap=colormaps[palette.colours])
    ax.contour(us, vs, shown, levels=limits.levels or fine[::3], colors="#ffffff", linewidths=0.4, alpha=0.5)
    bar = drawn.colorbar(filled, ax=ax, location="left", aspect=40, pad=0.02)
    if limits.log:
        figures.log_axis(bar.ax.yaxis, limits.low, limits.high)
    bar.set_label(field.scale_label(limits, field.label))
    bar.ax.tick_params(labelsize=8)
    x, y = (survey[schema.OnTrajectory.coordinate(axis)].values for axis in (u, v))
    _draw_trajectory(ax, x, y, survey)
    ax.set(xlabel=data.axis_label(survey, u), ylabel=data.axis_label(survey, v))
    ax.tick_params(labelsize=8)
    captured = survey[schema.OnTrajectory.DISTANCE].attrs.get("captured")
    together = (
        f"the plane holds {percent(captured)} of the trajectory's variance, and each axis the share in its label"
        if captured
        else ""
    )
    return [
        together,
        limits.note,
        scales.invalid(field.values).describe(),
        "coordinates are Euclidean distances",
        *data.notes(survey),
    ]


def _draw_trajectory(ax: Axes, x: scales.Floats, y: scales.Floats, survey: xr.Dataset, line: str = LINE) -> None:
    ax.plot(x, y, "-", color=line, linewidth=1.2, zorder=3)
    ax.plot(x, y, ".", color=line, markersize=4, zorder=3)
    ax.plot(x[:1], y[:1], "o", color=line, markeredgecolor="black", markersize=6, zorder=6, label="start")
    ax.plot(x[-1:], y[-1:], "*", color=line, markeredgecolor="black", markersize=11, zorder=6, label="end")
    for name, where, colour in (
        ("rate drops", _drops(survey), DROP),
        ("optimiser switches", _switches(survey), SWITCH),
    ):
        if len(where):
            ax.plot(x[where], y[where], "o", color=colour, markeredgecolor="white", markersize=6, zorder=5, label=name)
    shown = ax.legend(fontsize=8, loc="best", framealpha=0.6)
    shown.get_frame().set_linewidth(0)
    for handle in shown.legend_handles:
        if handle is not None:
            handle.set(markeredgecolor="black")  # white marks on a white legend


def _elsewhere(panels: list[Axes], survey: xr.Dataset, *, printed: bool) -> None:
    """Draw the same trajectory in other planes, with the share of its variance that each holds."""
    others = survey.get(schema.OnTrajectory.ELSEWHERE)
    for index, ax in enumerate(panels):
        ax.tick_params(labelsize=7)
        if others is None or index >= len(others):
            ax.set_axis_off()
            continue
        x, y = (np.asarray(others[index, :, k].values, dtype=np.float64) for k in range(2))
        ax.plot(x, y, "-", color=ON_TRAJECTORY, linewidth=0.9)
        ax.plot(x, y, ".", color=ON_TRAJECTORY, markersize=3)
        ax.plot(x[-1:], y[-1:], "*", color=ON_TRAJECTORY, markersize=9)
        first, _, second = schema.parse_texts(others.attrs["planes"])[index].partition(" and ")
        held = percent(others.attrs["captured"][index])
        words = f"{held}\nof the variance" if printed else f"{held} of the trajectory's variance"
        ax.set_title(words, fontsize=7.5 if printed else 9, color=figures.GREY)
        ax.set_xlabel(figures.wrapped(first, ELSEWHERE), fontsize=8)
        ax.set_ylabel(figures.wrapped(second, ELSEWHERE), fontsize=8)
        ax.locator_params(nbins=2 if printed else 4)


def _losses(ax: Axes, survey: xr.Dataset, style: Style) -> None:
    """Draw the loss of each snapshot and that of its projection to the plane."""
    field = data.fields(survey, scales.LOSS)[0]
    split, at = field.split, _clock(survey)[0]
    curves = [survey[of(split)].values for of in (schema.OnTrajectory.loss, schema.OnTrajectory.loss_under)]
    limits = scales.limits(np.stack(curves), log=style.scale != "linear")
    for values, label, colour, stroke in zip(
        curves, ("on the trajectory", "in the plane under it"), (ON_TRAJECTORY, UNDER), ("-", "--"), strict=True
    ):
        ax.plot(at, np.where(np.isfinite(values), limits.shown(values), np.nan), stroke, color=colour, label=label)
    if limits.log:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        figures.log_axis(ax.yaxis, float(low), float(high))
    _dress(ax, survey, f"{split} loss" + f" ({field.units})" * bool(field.units))
    ax.legend(fontsize=8, frameon=False)


def _distances(ax: Axes, survey: xr.Dataset) -> None:
    """Draw the distance of the trajectory from the plane, and the distance from its end within the plane."""
    at, _ = _clock(survey)
    coords = np.stack([survey[schema.OnTrajectory.coordinate(axis)].values for axis in data.axes(survey)])
    inside = np.linalg.norm(coords - coords[:, -1:], axis=0)
    ax.plot(at, survey[schema.OnTrajectory.DISTANCE].values, "-", color=ON_TRAJECTORY, label="from the plane")
    ax.plot(at, inside, "--", color=UNDER, label="from the end, in the plane")
    ax.set_ylim(bottom=0)
    _dress(ax, survey, "distance")
    ax.legend(fontsize=8, frameon=False)


def _angles(ax: Axes, survey: xr.Dataset) -> None:
    """Draw the angle between the step to the next snapshot and the negative gradient; 90 degrees is along a contour."""
    at, _ = _clock(survey)
    ax.axhline(90, color=figures.GREY, linewidth=0.8, linestyle=":")
    ax.plot(at, survey[schema.OnTrajectory.ANGLE].values, "-", color=ON_TRAJECTORY)
    ax.set_ylim(0, 180)
    ax.set_yticks([0, 45, 90, 135, 180])
    split = survey[schema.OnTrajectory.ANGLE].attrs.get("split", "")
    _dress(ax, survey, f"angle of step and\n{split} descent (\u00b0)")


def _dress(ax: Axes, survey: xr.Dataset, y: str) -> None:
    """Label the axes, and draw lines where the learning rate drops or the optimiser is switched."""
    at, name = _clock(survey)
    ax.set_xlabel(name, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.tick_params(labelsize=8)
    for where, colour in ((_drops(survey), DROP), (_switches(survey), SWITCH)):
        for index in where:
            ax.axvline(at[index], color=colour, linewidth=1, zorder=0)


def _clock(survey: xr.Dataset) -> tuple[scales.Floats, str]:
    """Return the epochs of the snapshots where recorded, otherwise their steps, with the label of the axis."""
    for name, label in ((schema.OnTrajectory.EPOCH, "epoch"), (schema.OnTrajectory.STEP, "step")):
        if name in survey and np.isfinite(survey[name].values).all():
            return data.read_numbers(survey, name), label
    return np.arange(survey.sizes[schema.SNAPSHOT], dtype=np.float64), "snapshot"


def _drops(survey: xr.Dataset) -> data.Indices:
    """Find the snapshots after which the learning rate drops, except at a switch of the optimiser."""
    if schema.OnTrajectory.RATE not in survey:
        return np.zeros(0, dtype=np.intp)
    rate = survey[schema.OnTrajectory.RATE].values
    ratio = rate[1:] / rate[:-1]
    steady = np.abs(np.log(ratio)) < -np.log(STEADY)
    # A rate that decays smoothly is not steady anywhere.
    beside = np.r_[False, steady[:-1]] | np.r_[steady[1:], False]
    return np.setdiff1d(np.flatnonzero((ratio < DROPPED) & beside), _switches(survey))


def _switches(survey: xr.Dataset) -> data.Indices:
    """Find the snapshots after which another optimiser continues."""
    if schema.OnTrajectory.PHASE not in survey:
        return np.zeros(0, dtype=np.intp)
    phase = survey[schema.OnTrajectory.PHASE].values
    return np.flatnonzero(phase[1:] > phase[:-1])
