"""Pictures and tables of curves between networks: the plane, what lies along them, the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from shown import show, to_png

from lossatlas.errors import BadInput
from lossatlas.schema import Along, Corner
from lossatlas.views import VIEWS, draw, write_report
from lossatlas.views.curve_table import curve_grid, keys_of_grid
from lossatlas.views.report import Grid, place_pictures, write_page
from lossatlas.views.style import PLAIN

SPLITS = ("train", "test")
POINTS = 11
T = np.linspace(0, 1, POINTS)
U, V = np.linspace(-1, 3, 9), np.linspace(-0.5, 2, 7)


def put(survey: xr.Dataset, split: str, metric: str, values: np.ndarray, dims: tuple[str, ...], units: str) -> None:
    told = {"split": split, "metric": metric, "units": units, "long_name": f"{split} {metric.replace('_', ' ')}"}
    survey[f"{split}_{metric}"] = (dims, values, told)


def plane(further: bool = True, units: str = "nat") -> xr.Dataset:
    """A loss that is lowest on a half circle, which the curve goes along; not square, and neither is its grid."""
    u, v = np.meshgrid(U, V, indexing="ij")
    survey = xr.Dataset(coords={"u": U, "v": V})
    for k, split in enumerate(SPLITS):
        loss = 0.01 + (1 + k) * (np.hypot(u - 1, v) - 1) ** 2
        put(survey, split, "loss", loss, ("u", "v"), units)
        put(survey, split, "accuracy", np.exp(-loss), ("u", "v"), "1")
        if further:
            put(survey, split, "regularised_loss", 10 * loss + 7, ("u", "v"), units)
    angle = np.pi * (1 - np.linspace(0, 1, 31))
    survey[Along.coordinate("u")] = (Along.DIMENSION, 1 + np.cos(angle))
    survey[Along.coordinate("v")] = (Along.DIMENSION, np.sin(angle))
    for axis, at in (("u", [0.0, 2.0]), ("v", [0.0, 0.0])):
        survey[Corner.coordinate(axis)] = (Corner.DIMENSION, at, {"names": ["a", "b"]})
    return survey


def titled(figure: Figure) -> dict[str, Axes]:
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def caption(figure: Figure) -> str:
    return " ".join(figure.legends[0].get_title().get_text().split())


# The plane


def test_every_quantity_in_the_loss_unit_has_a_row_of_maps_with_the_curve_on_each() -> None:
    given = plane()
    figure = show(given, kinds=["curve_plane"])["curve_plane"]
    maps = titled(figure)
    assert list(maps) == ["train loss", "test loss", "train regularised loss", "test regularised loss"]
    for ax in maps.values():
        drawn = {line.get_linestyle(): np.asarray(line.get_xydata()) for line in ax.get_lines()}
        paths = {style: points for style, points in drawn.items() if len(points) > 1}
        np.testing.assert_allclose(paths["-"], np.stack([given["along_u"], given["along_v"]], axis=1))
        np.testing.assert_allclose(paths["--"], [[0, 0], [2, 0]])
        np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [-1, 3, -0.5, 2])
    figure.draw_without_rendering()
    places = {name: ax.get_position() for name, ax in maps.items()}
    assert places["train loss"].y0 == pytest.approx(places["test loss"].y0)
    assert places["train loss"].x0 == pytest.approx(places["train regularised loss"].x0)
    assert places["train loss"].y0 > places["train regularised loss"].y1


def test_each_row_of_maps_has_its_own_levels_and_colour_bar() -> None:
    figure = show(plane(), kinds=["curve_plane"])["curve_plane"]
    levels = {}
    for name, ax in titled(figure).items():
        (filled,) = (c for c in ax.collections if isinstance(c, QuadContourSet) and c.filled)
        levels[name] = np.asarray(filled.levels)
    np.testing.assert_array_equal(levels["train loss"], levels["test loss"])
    np.testing.assert_array_equal(levels["train regularised loss"], levels["test regularised loss"])
    everything = np.stack([plane()[f"{split}_regularised_loss"].values for split in SPLITS])
    assert levels["train regularised loss"][0] == pytest.approx(everything.min())
    assert levels["train loss"][0] == pytest.approx(0.01, rel=0.3)
    bars = [ax for ax in figure.axes if not ax.get_title()]
    assert [bar.get_ylabel().split(" (")[0] for bar in bars] == ["loss", "regularised loss"]
    assert "; loss: log scale from" in caption(figure)
    assert "; regularised loss: log scale from" in caption(figure)


@pytest.mark.parametrize("stretch", [0.5, 1.1, 1.2, 2.0])
def test_titles_of_a_row_of_maps_stand_clear_of_the_row_above(stretch: float) -> None:
    figure = show(plane().assign_coords(v=stretch * V), kinds=["curve_plane"], title="A curve")["curve_plane"]
    figure.draw_without_rendering()
    maps = titled(figure)
    above = min(tick.tick1line.get_window_extent().y0 for tick in maps["train loss"].xaxis.get_major_ticks())
    assert maps["train regularised loss"].title.get_window_extent().y1 + 4 < above


def test_a_plane_without_further_quantities_has_one_scale_which_the_caption_does_not_name() -> None:
    figure = show(plane(further=False), kinds=["curve_plane"])["curve_plane"]
    assert list(titled(figure)) == ["train loss", "test loss"]
    assert len(figure.axes) == 3
    assert "; log scale from" in caption(figure)


def test_what_is_not_finite_is_counted_over_all_rows() -> None:
    given = plane()
    given["test_loss"][2, 3] = np.nan
    given["train_regularised_loss"][0, 0] = np.inf
    figure = show(given, kinds=["curve_plane"])["curve_plane"]
    assert "not finite: 1 NaN, 1 infinite" in {text.get_text() for text in figure.legends[0].get_texts()}
    assert to_png(figure, dpi=30).startswith(b"\x89PNG")


def test_other_kinds_do_not_repeat_what_the_plane_of_a_curve_shows() -> None:
    assert "others" not in show(plane())
    bare = plane().drop_vars([Along.coordinate("u"), Along.coordinate("v")])
    assert "others" in show(bare)
    sharp = plane()
    for split in SPLITS:
        put(sharp, split, "error", 1 - sharp[f"{split}_accuracy"].values, ("u", "v"), "1")
    assert set(titled(show(sharp, kinds=["others"])["others"])) == {"train error", "test error"}


def test_without_a_unit_only_losses_are_in_the_unit_of_the_loss() -> None:
    given = plane(units="1")
    for split in SPLITS:
        put(given, split, "error", 1 - given[f"{split}_accuracy"].values, ("u", "v"), "1")
    drawn = show(given, kinds=["curve_plane", "others"])
    assert [name.split()[-1] for name in titled(drawn["curve_plane"])] == ["loss"] * 4
    assert set(titled(drawn["others"])) == {"train error", "test error"}


# Along the curve

HEIGHT = {"curve": 0.0, "straight": 2.0, "radial": 3.0}
"""How high each path's wall is."""


def along(
    radial: bool = True, further: bool = True, accuracy: bool = True, splits: tuple[str, ...] = SPLITS
) -> xr.Dataset:
    """Quadratic walls above a line that rises slowly, on all paths."""
    survey = xr.Dataset(coords={"t": T})
    wall = T * (1 - T)
    for k, split in enumerate(splits):
        for path, height in HEIGHT.items():
            if path == "radial" and not radial:
                continue
            loss = 0.1 * (k + 1) + 0.02 * T + height * wall
            values = {"loss": loss}
            values |= {"regularised_loss": loss + 0.3} if further else {}
            values |= {"accuracy": np.exp(-loss)} if accuracy else {}
            for metric, numbers in values.items():
                if path == "curve":
                    put(survey, split, metric, numbers, ("t",), "1" if metric == "accuracy" else "nat")
                else:
                    survey[Along.of(path, split, metric)] = (Along.DIMENSION, numbers)
    survey[Along.T] = (Along.DIMENSION, T)
    survey[Along.LENGTH] = (Along.DIMENSION, 8 * (T + T**2))
    survey[Along.NORM] = (Along.DIMENSION, 5 + wall)
    survey[Along.norm_on("straight")] = (Along.DIMENSION, 5 - wall)
    if radial:
        survey[Along.norm_on("radial")] = (Along.DIMENSION, 5 * np.abs(1 - 2 * T))
        survey[Along.RADIAL_DISTANCE] = (Along.DIMENSION, 4 * wall)
    survey[Corner.coordinate("t")] = (Corner.DIMENSION, [0.0, 1.0], {"names": ["a", "b"]})
    return survey


def strands(ax: Axes) -> dict[str, np.ndarray]:
    """The named lines of a panel."""
    every = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=np.float64) for line in ax.get_lines()}
    return {label: values for label, values in every.items() if not label.startswith("_")}


def below(figure: Figure) -> dict[str, Axes]:
    """Panels without a title, by the first words of their upright axis."""
    return {ax.get_ylabel().split("\n")[0]: ax for ax in figure.axes if not ax.get_title()}


def test_each_quantity_is_drawn_on_all_paths_with_a_panel_per_split() -> None:
    given = along()
    figure = show(given, kinds=["curve"])["curve"]
    panels = titled(figure)
    wanted = [f"{split} {metric}" for metric in ("loss", "regularised loss", "accuracy") for split in SPLITS]
    assert list(panels) == wanted
    for name, ax in panels.items():
        split, metric = name.split(" ", 1)
        metric = metric.replace(" ", "_")
        shown = strands(ax)
        assert set(shown) == {"curve", "straight line", "through the origin"}
        np.testing.assert_allclose(shown["curve"], given[f"{split}_{metric}"])
        np.testing.assert_allclose(shown["straight line"], given[f"along_straight_{split}_{metric}"])
        np.testing.assert_allclose(shown["through the origin"], given[f"along_radial_{split}_{metric}"])
        low, high = ax.get_ylim()
        assert all(low < values.min() and values.max() < high for values in shown.values())
    assert panels["train loss"].get_ylim() == panels["test loss"].get_ylim()
    assert panels["train regularised loss"].get_ylim() != panels["train loss"].get_ylim()


def test_losses_stand_above_what_else_has_their_unit_in_whatever_order_they_are_stored() -> None:
    given = along()
    put(given, "test", "gradient_norm", 1 + T, ("t",), "nat")
    names = list(given.data_vars)
    for order in (names, names[::-1]):
        shown = [name for name in titled(show(given[order], kinds=["curve"])["curve"]) if name.startswith("test")]
        assert shown == ["test loss", "test regularised loss", "test gradient norm", "test accuracy"]


def test_norms_are_drawn_on_all_paths_and_lengths_beside_a_constant_speed() -> None:
    given = along()
    panels = below(show(given, kinds=["curve"])["curve"])
    assert list(panels) == ["norm of the weights", "distance from the path", "length so far"]
    norms = strands(panels["norm of the weights"])
    np.testing.assert_allclose(norms["straight line"], given["along_straight_norm"])
    np.testing.assert_allclose(norms["through the origin"], given["along_radial_norm"])
    lengths = strands(panels["length so far"])
    np.testing.assert_allclose(lengths["curve"], 8 * (T + T**2))
    np.testing.assert_allclose(lengths["at constant speed"], 16 * T)
    assert set(strands(panels["distance from the path"])) == {"curve"}
    assert all(ax.get_ylim()[0] == 0 for ax in panels.values())


@pytest.mark.parametrize("radial", [True, False])
@pytest.mark.parametrize("splits", [("test",), SPLITS, (*SPLITS, "other", "last")])
def test_no_panel_is_empty_and_all_rows_are_as_wide(radial: bool, splits: tuple[str, ...]) -> None:
    figure = show(along(radial, splits=splits), kinds=["curve"])["curve"]
    assert len(figure.axes) == 3 * len(splits) + (3 if radial else 2)
    assert all(ax.has_data() for ax in figure.axes)
    figure.draw_without_rendering()
    rows: dict[float, list[Axes]] = {}
    for ax in figure.axes:
        rows.setdefault(round(ax.get_position().y0, 3), []).append(ax)
    assert len(rows) == 4
    assert all(min(ax.get_position().x0 for ax in row) < 0.15 for row in rows.values())
    assert all(max(ax.get_position().x1 for ax in row) > 0.9 for row in rows.values())


def test_a_survey_written_before_norms_of_other_paths_were_is_drawn() -> None:
    given = along().drop_vars([Along.norm_on("straight"), Along.norm_on("radial")])
    panels = below(show(given, kinds=["curve"])["curve"])
    assert set(strands(panels["norm of the weights"])) == {"curve"}


def test_standard_errors_and_what_is_not_finite_are_shown_along_the_curve() -> None:
    given = along()
    given["test_loss_standard_error"] = ("t", np.full(POINTS, 0.02))
    given["test_loss"][3] = np.nan
    given["along_straight_train_loss"][5] = np.inf
    figure = show(given, kinds=["curve"])["curve"]
    assert len(titled(figure)["test loss"].collections) == 1
    assert len(titled(figure)["train loss"].collections) == 0
    assert "two standard errors" in caption(figure)
    assert "not finite: 1 NaN, 1 infinite" in caption(figure)
    marks = [line for line in titled(figure)["train loss"].get_lines() if line.get_marker() == "x"]
    np.testing.assert_allclose(np.concatenate([np.asarray(line.get_xdata()) for line in marks]), T[[5]])


def test_names_of_many_networks_leave_room_for_the_title() -> None:
    given = along().drop_vars(Corner.coordinate("t"))
    names = [f"runs/a-long-name-of-network-{k}" for k in range(5)]
    given[Corner.coordinate("t")] = (Corner.DIMENSION, np.linspace(0, 1, 5), {"names": names})
    figure = show(given, kinds=["curve"])["curve"]
    figure.draw_without_rendering()
    ax = titled(figure)["train loss"]
    assert len(ax.texts) == 5
    assert max(text.get_window_extent().y1 for text in ax.texts) <= ax.title.get_window_extent().y0 + 1


def test_a_caption_names_only_the_paths_and_quantities_that_the_picture_has() -> None:
    kind = VIEWS["curve"]()
    said = kind.describe(along())  # type: ignore[attr-defined]
    assert said.startswith("Loss, regularised loss and accuracy along the curve (solid), on the straight line")
    assert "on the path through the origin (dotted); below, norms" in said
    without = kind.describe(along(radial=False, further=False, accuracy=False))  # type: ignore[attr-defined]
    assert without == (
        "Loss along the curve (solid) and on the straight line (dashed); below, norms of the weights and length of "
        "the curve so far."
    )
    assert "origin" not in kind.caption


def test_a_curve_is_not_drawn_again_as_a_line_or_among_others() -> None:
    given = along()
    assert list(show(given)) == ["curve"]
    wanted = r"needs one axis.*no curve.*which the view curve draws.*what applies: curve$"
    with pytest.raises(BadInput, match=wanted) as caught:
        show(given, kinds=["line"])
    assert "\n" not in str(caught.value)
    assert "along_" not in str(caught.value)
    assert list(show(given.drop_vars(Along.T))) == ["line", "others"]
    for split in SPLITS:
        put(given, split, "error", 1 - given[f"{split}_accuracy"].values, ("t",), "1")
    drawn = show(given)
    assert list(drawn) == ["curve", "others"]
    assert set(strands(drawn["others"].axes[0])) == {"train error", "test error"}
    assert len(drawn["others"].axes) == 1


# The table and the report

SCORES = {
    "curve_max": 0.5, "curve_min": 0.1, "curve_mean": 0.25, "curve_barrier": 0.0, "worse_end": 0.5,
    "curve_integral": 0.375, "straight_max": 2.0, "straight_mean": 1.5, "straight_barrier": 1.5,
}  # fmt: skip
WITH_ERRORS = {**SCORES, "curve_error_max": 0.125, "curve_error_mean": 0.0625, "straight_error_max": None}


def test_the_table_has_a_row_for_each_split_and_path_that_has_scores() -> None:
    grid = curve_grid({"test_scores": SCORES, "train_scores": {**SCORES, "radial_max": 2.25}, "length": 3.0})
    assert grid.head[1:] == [
        "highest loss", "lowest loss", "mean loss over t", "mean loss over length", "loss barrier",
    ]  # fmt: skip
    assert grid.rows == [
        ["train, curve", "0.500", "0.100", "0.250", "0.375", "0"],
        ["train, straight line", "2", "\u2013", "1.5", "\u2013", "1.5"],
        ["train, through the origin", "2.25", "\u2013", "\u2013", "\u2013", "\u2013"],
        ["test, curve", "0.500", "0.100", "0.250", "0.375", "0"],
        ["test, straight line", "2", "\u2013", "1.5", "\u2013", "1.5"],
    ]
    assert "(train 0.500; test 0.500)" in grid.note


def test_errors_are_percent_where_there_are_accuracies() -> None:
    grid = curve_grid({"test_scores": WITH_ERRORS})
    assert grid.head[-2:] == ["highest error, %", "mean error over t, %"]
    assert [row[-2:] for row in grid.rows] == [["12.5", "6.25"], ["\u2013", "\u2013"]]
    worse = curve_grid({"test_scores": {**WITH_ERRORS, "worse_end_error": 0.125}})
    assert "(test 0.500, error 12.5 %)" in worse.note


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_a_dash_in_the_table(value: float | None) -> None:
    (curve, _) = curve_grid({"test_scores": {**SCORES, "curve_max": value}}).rows
    assert curve[:4] == ["test, curve", "\u2013", "0.100", "0.250"]


def test_a_summary_without_scores_has_an_empty_table() -> None:
    assert curve_grid({"length": 1.0}).rows == []


def page(tmp_path: Path, given: xr.Dataset) -> str:
    scores = {"train_scores": WITH_ERRORS, "test_scores": WITH_ERRORS}
    summary = {**WITH_ERRORS, **scores, "length_ratio": 1.25, "norm_max": 7.5}
    pictures = draw(given) | draw(plane(), ["curve_plane"])
    write_report(
        tmp_path / "report.html", given, "A curve", summary, "seed: 0", pictures,
        grids=[curve_grid(summary)], shown_elsewhere=keys_of_grid(summary),
    )  # fmt: skip
    return read(tmp_path / "report.html")


def read(path: Path) -> str:
    """A page without marks of where a name may break."""
    return path.read_text(encoding="utf-8").replace("<wbr>", "")


def test_a_report_shows_the_table_between_tiles_and_pictures_and_repeats_none_of_it(tmp_path: Path) -> None:
    written = page(tmp_path, along())
    order = ["on the straight line</dt>", ">The curve and other paths</h2>", ">Explore</h2>", ">Pictures</h2>"]
    order += [">All other numbers</h2>", '<th scope="row">norm_max', ">All points</h2>"]
    places = [written.index(said) for said in order]
    assert places == sorted(places)
    assert "<dd>1.25</dd>" in written
    assert written.startswith("<!doctype html>")
    shown = (
        "train_scores",
        "test_scores",
        "curve_min",
        "curve_mean",
        "straight_max",
        "curve_error_max",
        "curve_barrier",
    )
    for key in shown:
        assert f'<th scope="row">{key}' not in written


def test_numbers_that_are_shown_nowhere_else_are_listed_with_what_is_nested(tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", along(), "", {"a": {"b": 1.0}, "ab": 2.0}, "", {}, shown_elsewhere=["a"])
    written = read(tmp_path / "a.html")
    assert '<th scope="row">ab</th>' in written
    assert '<th scope="row">a.b</th>' not in written
    write_report(tmp_path / "b.html", along(), "", {"a": {"b": 1.0}}, "", {})
    assert '<th scope="row">a.b</th>' in read(tmp_path / "b.html")
    listed = {"minima": [{"at": [0.5, 1.0], "loss": 2.0}, {"loss": None}]}
    write_report(tmp_path / "c.html", along(), "", {}, "", {}, {"Minima": listed})
    for row in ("minima.1.at</th><td>0.500, 1", "minima.1.loss</th><td>2", "minima.2.loss</th><td>\u2013"):
        assert row in read(tmp_path / "c.html")


def test_captions_in_a_report_say_what_its_pictures_show(tmp_path: Path) -> None:
    with_origin, without = (page(tmp_path, along(radial=radial)) for radial in (True, False))
    assert "on the path through the origin (dotted)" in with_origin
    assert ">Loss, regularised loss and accuracy along the curve (solid) and on the straight" in without
    assert "origin" not in without[without.index(">Pictures</h2>") : without.index(">All other numbers</h2>")]
    assert f">{VIEWS['curve_plane'].caption}" in without
    assert "A curve through weight space" in without


def test_pictures_of_many_panels_are_as_wide_as_the_page(tmp_path: Path) -> None:
    written = page(tmp_path, along())
    assert written.count('class="card wide whole">') == 2


def test_tables_of_other_pages_stay_under_their_pictures(tmp_path: Path) -> None:
    (picture,) = place_pictures(draw(plane(), ["curve_plane"]))
    write_page(
        tmp_path / "page.html", title="", lead="", tiles=[("networks", "2")], images=[picture], config_yaml="",
        grids=[Grid("Networks", ["run"], [["a"]])],
    )  # fmt: skip
    written = (tmp_path / "page.html").read_text()
    assert written.index("<dt>networks") < written.index("the curve (solid)") < written.index(">Networks</h2>")


# Ensembles


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_ensembles_that_are_all_alike_are_drawn_without_a_warning(value: float) -> None:
    """As on a few examples that all of them get right."""
    survey = xr.Dataset(coords={"t": T})
    for split in SPLITS:
        put(survey, split, "loss", np.exp(T), ("t",), "nat")
    for path in ("curve", "straight", "random"):
        for split in SPLITS:
            for metric in ("loss", "accuracy"):
                survey[Along.ensemble(path, split, metric)] = (
                    (Along.PAIR, Along.DIMENSION),
                    np.full((3, POINTS), value),
                )
    for ax in VIEWS["ensembles"]().draw(survey, PLAIN).axes:
        low, high = ax.get_ylim()
        assert low < value < high or low < 1 - value < high
