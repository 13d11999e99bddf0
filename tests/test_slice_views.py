"""Views of slices: levels, bands, networks, repeats, classes, further quantities, and surveys on shared axes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text
from shown import plot_of, show, to_png

from lossatlas import schema
from lossatlas.errors import BadInput
from lossatlas.views import VIEWS, Style, data, draw, scales, write_report
from lossatlas.views.contours import APART, label_places
from lossatlas.views.levels import contour_levels
from lossatlas.views.marks import rows_of_names
from lossatlas.views.networks import histograms, networks
from lossatlas.views.report import sentence

pytestmark = pytest.mark.filterwarnings("error")

U, V = np.linspace(-1, 1, 51), np.linspace(-0.4, 0.5, 21)
NAMES = ("small batch", "large batch")


def variable(dims: tuple[str, ...], values: np.ndarray, split: str, metric: str, units: str = "nat") -> xr.Variable:
    attrs = {"split": split, "metric": metric, "units": units, "long_name": f"{split} {metric.replace('_', ' ')}"}
    return xr.Variable(dims, values, attrs)


def bowl(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """From 1e-3 to 1e3: its contour at level c is the ellipse u² + 4v² = ((log10 c + 3) / 6)²."""
    return 10 ** (-3 + 6 * np.sqrt(u**2 + 4 * v**2))


def plane(**more: xr.Variable) -> xr.Dataset:
    loss = np.minimum(bowl(*np.meshgrid(U, V, indexing="ij")), 1e3)
    dims = ("u", "v")
    variables = {
        "test_loss": variable(dims, loss, "test", "loss"),
        "train_loss": variable(dims, 0.5 * loss, "train", "loss"),
        "test_accuracy": variable(dims, np.exp(-loss), "test", "accuracy", "1"),
        "test_streaming_done": xr.Variable(dims, np.ones(loss.shape, dtype=bool)),
    }
    units = {"units": "norm of the weights"}
    coords = {"u": xr.Variable("u", U, units), "v": xr.Variable("v", V, units)}
    return xr.Dataset(variables | more, coords=coords)


def line(**more: xr.Variable) -> xr.Dataset:
    at = np.linspace(-0.5, 1.5, 41)
    loss = 0.05 + 4 * np.minimum(at**2, (at - 1) ** 2)
    variables = {
        "test_loss": variable(("u",), loss, "test", "loss"),
        "test_accuracy": variable(("u",), np.exp(-loss), "test", "accuracy", "1"),
    }
    return xr.Dataset(variables | more, coords={"u": ("u", at, {"units": "1"})})


def corners(*at: tuple[float, ...], names: tuple[str, ...] = NAMES) -> dict[str, xr.Variable]:
    columns = zip(*at, strict=True)
    return {
        schema.Corner.coordinate(axis): xr.Variable(schema.Corner.DIMENSION, list(column), {"names": list(names)})
        for axis, column in zip("uv", columns, strict=False)
    }


def weights() -> dict[str, xr.Variable]:
    counts = np.array([[0, 2, 8, 2, 0], [6, 0, 0, 0, 6]])
    dims = (schema.Corner.DIMENSION, schema.Corner.BIN)
    return {
        schema.Corner.WEIGHTS: xr.Variable(dims, counts, {"names": list(NAMES)}),
        schema.Corner.WEIGHT: xr.Variable(schema.Corner.BIN, [-0.2, -0.1, 0.0, 0.1, 0.2]),
    }


def with_repeats(one: xr.Dataset, factors: tuple[float, ...]) -> xr.Dataset:
    loss = one["test_loss"]
    several = np.stack([factor * loss.values for factor in factors])
    return one[["test_loss"]].assign(test_loss=variable((schema.REPEAT, *map(str, loss.dims)), several, "test", "loss"))


def classes(one: xr.Dataset, count: int) -> xr.Dataset:
    loss = one["test_loss"]
    values = np.exp(-loss.values[..., None] * np.arange(1, count + 1))
    dims = (*map(str, loss.dims), schema.CLASSES)
    return one.assign(test_class_accuracy=variable(dims, values, "test", "class_accuracy", "1"))


def contour_sets(figure: Figure) -> list[QuadContourSet]:
    return [one for ax in figure.axes for one in ax.collections if isinstance(one, QuadContourSet)]


def words(ax: Axes) -> set[str]:
    return {text.get_text() for text in ax.texts}


def caption(figure: Figure) -> str:
    (legend,) = figure.legends
    told = " ".join([legend.get_title().get_text(), *(entry.get_text() for entry in legend.get_texts())])
    return " ".join(told.split())


# Variables


def test_variables_are_what_their_attributes_say() -> None:
    loss = plane()["test_loss"]
    odd = plane(held_out_loss=variable(("u", "v"), loss.values, "held_out", "loss"))
    assert [field.split for field in data.fields(odd, "loss")] == ["train", "test", "held_out"]
    assert [field.name for field in data.fields(odd, "out_loss")] == []


def test_without_attributes_a_split_has_no_underscore() -> None:
    old = plane(train_regularised_loss=xr.Variable(("u", "v"), plane()["test_loss"].values))
    assert [field.name for field in data.fields(old, "loss")] == ["train_loss", "test_loss"]
    (field,) = data.others(old)["regularised_loss"]
    assert (field.split, field.label, field.metric) == ("train", "train regularised loss", "regularised_loss")


def test_units_are_those_of_the_metric() -> None:
    given_units = plane(test_sharpness=variable(("u", "v"), np.ones((51, 21)), "test", "sharpness", "nat m-2"))
    (field,) = data.others(given_units)["sharpness"]
    assert field.scale_label(scales.limits(field.values, log=False)) == "sharpness (nat m-2)"
    assert data.fields(given_units, "accuracy")[0].units == ""


def test_bookkeeping_is_not_a_quantity() -> None:
    more = plane(
        test_loss_standard_error=xr.Variable(
            ("u", "v"), np.ones((51, 21)), {"split": "test", "metric": "loss", "companion": "standard_error"}
        ),
        measured=xr.Variable(("u", "v"), np.ones((51, 21), dtype=np.int8)),
        test_operator_done=xr.Variable(("u", "v"), np.ones((51, 21), dtype=np.int8)),
        **corners((0, 0), (0.5, 0.1)),
        **weights(),
    )
    assert [field.name for field in data.quantities(more)] == ["test_loss", "train_loss", "test_accuracy"]
    assert data.others(more) == {}


def test_a_band_is_two_standard_errors_either_way() -> None:
    errors = np.linspace(0.1, 0.3, 41)
    (field,) = data.fields(line(test_loss_standard_error=xr.Variable("u", errors)), "loss")
    band = field.band()
    assert band is not None
    np.testing.assert_allclose(band[0], line()["test_loss"].values - 2 * errors)
    np.testing.assert_allclose(band[1], line()["test_loss"].values + 2 * errors)
    assert data.fields(line(), "loss")[0].band() is None


def test_repeats_and_classes_are_not_axes() -> None:
    several = with_repeats(classes(plane(), 3), (1, 2))
    assert data.axes(several) == ("u", "v")
    assert data.axes(classes(plane(), 3)[["test_class_accuracy"]]) == ("u", "v")
    assert data.count_samples(several) == 2
    first, second = data.split_samples(several).values()
    np.testing.assert_array_equal(2 * first["test_loss"], second["test_loss"])
    assert data.notes(data.take_first_sample(several)) == ["the first of 2 repeats"]
    assert data.notes(first) == []


def test_notes_count_measured_points() -> None:
    some = np.zeros((51, 21), dtype=bool)
    some[:2] = True
    assert data.notes(plane(measured=xr.Variable(("u", "v"), some))) == [
        "42 of 1,071 points measured, the others interpolated"
    ]
    assert data.notes(plane(measured=xr.Variable(("u", "v"), ~some | some))) == []


@pytest.mark.parametrize(
    ("metric", "low", "high", "log"),
    [("loss", 1, 2, True), ("regularised_loss", 1, 2, True), ("gradient_norm", 0.01, 10, True),
     ("gradient_norm", 0.5, 10, False), ("error", 0.001, 1, False), ("eigenvalue", -1, 1e4, False)],
)  # fmt: skip
def test_which_metrics_are_logarithmic(metric: str, low: float, high: float, log: bool) -> None:
    assert scales.logarithmic(metric, np.array([low, high, np.nan])) is log


# Levels


def well_chosen(levels: list[float], low: float, high: float) -> bool:
    return 6 <= len(levels) <= 14 and levels == sorted(set(levels)) and low < levels[0] and levels[-1] < high


@settings(max_examples=300, deadline=None)
@given(st.floats(-12, 6), st.floats(1, 40))
def test_levels_on_a_logarithmic_scale_have_two_digits_and_even_ratios(start: float, decades: float) -> None:
    low, high = 10**start, 10 ** (start + decades)
    levels = contour_levels(scales.Limits(low, high, True, None, "neither", ""))
    assert well_chosen(levels, low, high)
    assert all(float(f"{level:.1e}") == level for level in levels)
    gaps = np.diff(np.log(levels))
    assert gaps.max() < 3.5 * gaps.min()


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-4, 6), st.booleans())
def test_levels_on_a_linear_scale_are_multiples_of_a_step(low: float, width: float, falling: bool) -> None:
    low = -abs(low) if falling else low
    high = low + 10**width
    levels = contour_levels(scales.Limits(low, high, False, None, "neither", ""))
    assert well_chosen(levels, low, high)
    step = (levels[-1] - levels[0]) / (len(levels) - 1)
    assert np.diff(levels) == pytest.approx(step, rel=1e-5)
    assert float(f"{step:.1e}") == pytest.approx(step, rel=1e-5)
    assert levels[-1] / step == pytest.approx(round(levels[-1] / step), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "log", "levels"),
    [
        (1e-3, 1e3, True, [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300]),
        (1e-8, 2.0, True, [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]),
        (0.0, 1.0, False, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (-5.0, 5.0, False, [-4, -3, -2, -1, 0, 1, 2, 3, 4]),
    ],
)
def test_levels_of_usual_limits(low: float, high: float, log: bool, levels: list[float]) -> None:
    assert contour_levels(scales.Limits(low, high, log, None, "neither", "")) == levels


def test_limits_apart_by_rounding_have_levels_all_the_same() -> None:
    low = 1.0
    levels = contour_levels(scales.Limits(low, low * (1 + 1e-13), True, None, "neither", ""))
    assert all(low < level < low * (1 + 1e-13) for level in levels)


# Contours


@pytest.mark.parametrize("kind", ["contours", "filled"])
def test_contours_lie_where_the_function_has_their_level(kind: str) -> None:
    # A plane that ascends to the right and, more slowly, upwards, so that no turn or reflection leaves it as it is.
    u, v = np.meshgrid(U, V, indexing="ij")
    loss = np.exp(3 * u + v)
    tilted = plane()[["test_loss"]].assign(test_loss=variable(("u", "v"), loss, "test", "loss"))
    # contourf is a set of contours too; the lines are the last.
    *_, lines = contour_sets(show(tilted, kinds=[kind])[kind])
    assert len(lines.levels) >= 6
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        x, y = path.vertices[:, 0], path.vertices[:, 1]
        assert len(x) > 5
        np.testing.assert_allclose(3 * x + y, np.log(level), atol=0.01)


def test_contour_panels_share_levels_inside_their_own_values() -> None:
    train, test = contour_sets(show(plane(), kinds=["contours"])["contours"])
    limits = scales.limits(np.stack([plane()["train_loss"], plane()["test_loss"]]), log=True)
    assert set(train.levels) | set(test.levels) <= set(contour_levels(limits))
    assert train.norm.vmin == test.norm.vmin
    assert train.norm.vmax == test.norm.vmax


def test_contours_mark_what_is_not_finite() -> None:
    values = plane()["test_loss"].values.copy()
    values[10, 3], values[11, 3], values[40, 15] = np.nan, -np.inf, np.inf
    broken = plane()[["test_loss"]].assign(test_loss=variable(("u", "v"), values, "test", "loss"))
    for kind, figure in show(broken, kinds=["contours", "filled"]).items():
        (cells,) = [one for one in figure.axes[0].collections if isinstance(one, PolyCollection)]
        assert cells.get_hatch() == "/////"
        centres = {tuple(path.vertices[:4].mean(axis=0).round(6)) for path in cells.get_paths()}
        expected = {(U[10], V[3]), (U[11], V[3]), (U[40], V[15])}
        assert centres == {tuple(np.round(one, 6)) for one in expected}, kind
        assert "not finite: 1 NaN, 2 infinite" in caption(figure)


@pytest.mark.parametrize("values", [np.full((51, 21), 0.7), np.full((51, 21), np.nan), np.zeros((51, 21))])
@pytest.mark.parametrize("kind", ["contours", "filled"])
def test_level_planes_are_drawn_and_said_to_be_level(values: np.ndarray, kind: str) -> None:
    level = plane()[["test_loss"]].assign(test_loss=variable(("u", "v"), values, "test", "loss"))
    figure = show(level, kinds=[kind])[kind]
    assert "no contour level lies within" in caption(figure)
    assert to_png(figure, dpi=20)


def test_labels_keep_apart_and_inside() -> None:
    angles = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lines = [[radius * circle] for radius in np.linspace(0.1, 1.0, 10)]
    frame = (np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    places = label_places(lines, frame, np.array([[0.0, 0.0], [0.5, 0.0]]))
    at = np.array([[u, v] for _, u, v in places] + [[0, 0], [0.5, 0]])
    gaps = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) + 9 * np.eye(len(at))
    assert len(places) >= 8
    assert gaps.min() >= 2 * APART
    assert np.abs(at).max() < 0.9 + 1e-9
    for level, u, v in places:
        np.testing.assert_allclose(np.hypot(u, v), np.linspace(0.1, 1.0, 10)[level])


# Networks


def test_networks_carry_names_and_those_outside_are_named() -> None:
    there = networks(plane(**corners((0.0, 0.1), (3.0, 0.0))))
    assert (there.names, there.at.tolist()) == (("small batch",), [[0.0, 0.1]])
    assert there.outside == "outside the picture: large batch"
    assert len(networks(plane())) == 0
    nameless = plane(**corners((0.0, 0.1), (0.5, 0.0), names=("one",)))
    assert networks(nameless).names == ("0", "1")


@pytest.mark.parametrize("kind", ["loss", "accuracy", "contours", "filled"])
def test_maps_mark_networks_where_they_are(kind: str) -> None:
    figure = show(plane(**corners((-0.6, 0.1), (0.3, -0.2))), kinds=[kind])[kind]
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert len(panels) == len(data.fields(plane(), "accuracy" if kind == "accuracy" else "loss"))
    for ax in panels:
        marks = [one.get_xydata()[0].tolist() for one in ax.get_lines() if one.get_marker() == "o"]
        assert marks == [[-0.6, 0.1], [0.3, -0.2]]
        assert set(NAMES) <= words(ax)


def test_lines_mark_networks_and_draw_bands() -> None:
    errors = np.full(41, 0.01)
    figure = show(line(**corners((0.0,), (1.0,)), test_loss_standard_error=xr.Variable("u", errors)))["line"]
    ax = figure.axes[0]
    upright = [one.get_xdata() for one in ax.get_lines() if len(one.get_xdata()) == 2]
    assert [list(ends) for ends in upright] == [[0, 0], [1, 1]]
    assert words(ax) == set(NAMES)
    (band,) = ax.collections
    loss = line()["test_loss"].values
    outline = band.get_paths()[0].vertices
    at_start = np.sort(np.unique(outline[outline[:, 0] == -0.5][:, 1]))
    np.testing.assert_allclose(at_start, [loss[0] - 0.02, loss[0] + 0.02])
    assert "two standard errors" in caption(figure)


def test_names_that_would_meet_stand_in_rows() -> None:
    assert rows_of_names(np.array([0.0, 5.0, 5.5]), np.array([1.0, 1.0, 1.0])) == [0, 0, 1]
    assert rows_of_names(np.array([0.2, 0.1, 0.0]), np.array([1.0, 1.0, 1.0])) == [2, 1, 0]
    assert rows_of_names(np.empty(0), np.empty(0)) == []


def test_histograms_have_the_deviation_of_their_bins() -> None:
    first, second = histograms(line(**weights()))
    np.testing.assert_allclose([first.deviation, second.deviation], [np.sqrt(4 * 0.01 / 12), 0.2])
    np.testing.assert_allclose(first.edges, [-0.25, -0.15, -0.05, 0.05, 0.15, 0.25])
    figure = show(line(**weights()), kinds=["weights"])["weights"]
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    assert "large batch (std 0.2)" in caption(figure)
    assert "small batch (std 0.0577)" in caption(figure)


# RepeatedSlice, classes, further quantities


def test_spread_is_that_of_logarithms_on_a_logarithmic_scale() -> None:
    curves = np.array([[1.0, np.nan, np.nan], [100.0, 5.0, np.inf]])
    mean, low, high = scales.spread(curves, log=True)
    np.testing.assert_allclose(mean, [10, 5, np.nan])
    factor = 10 ** np.sqrt(2)  # the sample's deviation of 0 and 2
    np.testing.assert_allclose(low, [10 / factor, 5, np.nan])
    np.testing.assert_allclose(high, [10 * factor, 5, np.nan])
    mean, low, high = scales.spread(np.array([[-1.0], [3.0]]), log=False)
    np.testing.assert_allclose([*mean, *low, *high], [1, 1 - np.sqrt(8), 1 + np.sqrt(8)])


def test_all_repeats_are_drawn_with_their_mean() -> None:
    factors = (0.5, 1.0, 2.0)
    figure = show(with_repeats(line(), factors), kinds=["repeats"])["repeats"]
    *curves, mean = [one.get_ydata() for one in figure.axes[0].get_lines()]
    loss = line()["test_loss"].values
    np.testing.assert_allclose(curves, [factor * loss for factor in factors])
    np.testing.assert_allclose(mean, loss)
    assert "3 repeats" in caption(figure)


def test_repeats_of_planes_share_levels_and_scale() -> None:
    figure = show(with_repeats(plane(), tuple(np.geomspace(0.5, 2, 14))), kinds=["repeats"])["repeats"]
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    filled = [next(one for one in ax.collections if isinstance(one, QuadContourSet)) for ax in panels]
    assert len(panels) == 12
    assert len({tuple(one.levels) for one in filled}) == 1
    assert "12 of 14 repeats" in caption(figure)


def test_other_kinds_show_the_first_repeat_and_say_so() -> None:
    drawn = show(with_repeats(plane(), (1.0, 3.0)))
    assert list(drawn) == ["repeats", "loss", "contours", "filled", "surface"]
    (mesh, *_) = drawn["loss"].axes[0].collections
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(21, 51), plane()["test_loss"].values.T)
    for kind in ("loss", "contours", "filled", "surface"):
        assert "the first of 2 repeats" in caption(drawn[kind])
    assert list(show(with_repeats(line(), (1.0, 3.0)))) == ["repeats", "line"]


def test_a_single_repeat_is_an_ordinary_slice() -> None:
    single = with_repeats(plane(), (1.0,))
    assert "repeats" not in show(single)
    with pytest.raises(BadInput, match="several repeats"):
        show(single, kinds=["repeats"])


@pytest.mark.parametrize("one", [plane(), line()])
def test_classes_have_a_panel_each_up_to_ten(one: xr.Dataset) -> None:
    few, many = (show(classes(one, count), kinds=["classes"])["classes"] for count in (3, 12))
    titles = [[ax.get_title() for ax in figure.axes if ax.get_title()] for figure in (few, many)]
    assert titles == [[f"class {k}" for k in range(3)], [f"class {k}" for k in range(10)]]
    assert "10 of 12 classes" in caption(many)
    named = classes(one, 3).assign_coords({schema.CLASSES: ["cat", "dog", "frog"]})
    ((_, fields),) = data.by_class(named).items()
    assert [field.label for field in fields] == ["cat", "dog", "frog"]
    np.testing.assert_array_equal(fields[2].values, named["test_class_accuracy"].values[..., 2])


def test_further_quantities_have_rows_of_their_own() -> None:
    loss = plane()["test_loss"].values
    dims = ("u", "v")
    more = plane(
        test_gradient_norm=variable(dims, np.sqrt(loss), "test", "gradient_norm"),
        train_gradient_norm=variable(dims, np.sqrt(loss), "train", "gradient_norm"),
        test_error=variable(dims, 1 - np.exp(-loss), "test", "error", "1"),
    )
    figure = show(more, kinds=["others"])["others"]
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["train gradient norm", "test gradient norm", "test error"]
    along = line(test_error=variable(("u",), np.linspace(0, 1, 41), "test", "error", "1"))
    assert list(show(along)) == ["line", "others"]
    assert not VIEWS["others"]().applies(plane())


# Shared axes


def test_overlaid_lines_share_axes() -> None:
    shifted = line().assign_coords(u=line()["u"] + 0.5)
    figure = show({"SGD": line(), "Adam": shifted}, title="two")["overlay_line"]
    left, right = figure.axes
    assert [one.get_label() for one in left.get_lines() if not one.get_label().startswith("_")] == ["SGD", "Adam"]
    solid, dashed = ([one for one in ax.get_lines() if len(one.get_xdata()) == 41] for ax in (left, right))
    assert {one.get_linestyle() for one in solid} == {"-"}
    assert {one.get_linestyle() for one in dashed} == {"--"}
    assert [one.get_color() for one in solid] == [one.get_color() for one in dashed]
    assert len({one.get_color() for one in solid}) == 2
    np.testing.assert_allclose(solid[1].get_xdata(), shifted["u"])
    low, high = left.get_xlim()
    assert low < -0.5
    assert high > 2.0


def test_overlaid_planes_share_levels_and_limits() -> None:
    wider = plane().assign_coords(u=("u", 2 * U, {"units": "norm of the weights"}))
    wider["test_loss"] = 3 * wider["test_loss"]
    drawn = show({"one": plane(), "other": wider})
    assert list(drawn) == ["overlay_loss", "overlay_accuracy"]
    first, second = [ax for ax in drawn["overlay_loss"].axes if ax.get_label() != "<colorbar>"]
    assert first.get_xlim() == second.get_xlim() == (-2, 2)
    assert first.get_ylim() == second.get_ylim() == (-0.4, 0.5)
    filled = [next(one for one in ax.collections if isinstance(one, QuadContourSet)) for ax in (first, second)]
    assert tuple(filled[0].levels) == tuple(filled[1].levels)
    lowest = plane()["test_loss"].values.min()
    np.testing.assert_allclose([filled[0].levels[0], filled[0].levels[-1]], [lowest, 3e3])


def test_axes_with_other_units_keep_their_own_limits() -> None:
    other = plane().assign_coords(u=("u", 2 * U, {"units": "1"}))
    figure = show({"one": plane(), "other": other})["overlay_loss"]
    first, second = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert (first.get_xlim(), second.get_xlim()) == ((-1, 1), (-2, 2))


def test_overlays_show_a_split_that_all_have() -> None:
    only_train = plane().drop_vars(["test_loss", "test_accuracy"])
    figure = show({"a": plane(), "b": only_train})["overlay_loss"]
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert bars[0].get_ylabel() == "train loss (nat, log scale)"


def test_what_cannot_be_overlaid_is_refused_in_one_line() -> None:
    volume = plane().expand_dims(w=[0.0, 1.0])
    for surveys, words in (
        ({"a": plane(), "b": line()}, "'a' has 2 (u, v), 'b' has 1 (u)"),
        ({}, "the mapping of surveys is empty"),
        ({"a": volume}, "have 3 axes"),
        ({"a": plane()[["test_loss"]], "b": plane()[["test_accuracy"]]}, "neither loss nor accuracy"),
        ({"a": plane(), "b": plane().isel(u=[3])}, "'b' has a single point"),
    ):
        with pytest.raises(BadInput) as caught:
            show(surveys)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


# Everything together


def everything() -> dict[str, xr.Dataset]:
    loss = plane()["test_loss"].values.copy()
    loss[3, 4], loss[5, 6] = np.nan, np.inf
    rich = classes(plane(**corners((0.0, 0.0), (0.5, 0.2)), **weights()), 3)
    return {
        "rich": rich.assign(test_gradient_norm=variable(("u", "v"), loss, "test", "gradient_norm")),
        "rich line": classes(line(**corners((0.0,), (1.0,), names=("<a>", "b & c")), **weights()), 3),
        "repeats": with_repeats(plane(), (1.0, 2.0)),
        "repeats of a line": with_repeats(line(), (1.0, np.inf)),
        "no loss": plane(**corners((0.0, 0.0), (0.5, 0.2)))[["test_accuracy", "corner_u", "corner_v"]],
    }


@pytest.mark.parametrize("name", everything())
def test_every_slice_has_pictures_a_sentence_and_a_report(name: str, tmp_path: Path) -> None:
    one = everything()[name]
    picture = plot_of(one)
    assert picture is not None
    assert "<" not in picture.json
    assert sentence(one).endswith(".")
    pictures = draw(one, style=Style(title=name))
    assert len(pictures) >= 1
    tables = {"Barrier <1>": {"height": 0.25, "place": {"u": 0.5}}, "Empty": {}}
    write_report(tmp_path / "report.html", one, name, {}, "seed: 0", pictures, tables)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">Measures</h2>" in page
    assert "Barrier &lt;1&gt;" in page
    assert "place.<wbr>u" in page
    assert "<td>0.250</td>" in page
    assert ">Empty</h3>" not in page


def test_the_sentence_speaks_of_the_first_repeat() -> None:
    assert "the first of 2 repeats" in sentence(with_repeats(line(), (1.0, 2.0)))
    assert "between 0.05 and" in sentence(with_repeats(line(), (1.0, 2.0)))


def test_further_quantities_are_hidden_at_first_where_they_would_flatten_accuracies() -> None:
    norm = variable(("u",), np.linspace(0, 50, 41), "test", "gradient_norm")
    for one, shown in (
        (line(test_gradient_norm=norm), {"test loss": True, "test accuracy": True, "test gradient norm": "legendonly"}),
        (line(test_gradient_norm=norm)[["test_gradient_norm"]], {"test gradient norm": True}),
    ):
        picture = plot_of(one)
        assert picture is not None
        assert {trace["name"]: trace["visible"] for trace in json.loads(picture.json)["data"]} == shown


def test_surveys_of_other_examples_say_so_side_by_side() -> None:
    line = {"u": np.linspace(-1, 1, 5)}
    surveys = {}
    for name, examples in (("one", "a"), ("other", "b")):
        told = {"split": "test", "metric": "loss", "data_hash": examples}
        survey = xr.Dataset({"test_loss": ("u", np.linspace(1, 2, 5), told)}, coords=line)
        survey["corner_u"] = ("corner", [0.0], {"names": [f"{name}.pt"]})
        surveys[name] = survey
    (figure,) = show(surveys).values()
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "test examples differ between the surveys" in " ".join(words.split())
    assert "one.pt / other.pt" in words
    surveys["other"]["test_loss"].attrs["data_hash"] = "a"
    (figure,) = show(surveys).values()
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "examples differ" not in " ".join(words.split())
