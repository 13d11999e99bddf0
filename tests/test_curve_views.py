"""Pictures and tables of curves between networks: the plane, what lies along them, the report."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from lossatlas.schema import Along, Corner
from lossatlas.views import png, view

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
    figure = view(given, kinds=["curve_plane"])["curve_plane"]
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
    figure = view(plane(), kinds=["curve_plane"])["curve_plane"]
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
    assert "; loss: scale from" in caption(figure)
    assert "; regularised loss: scale from" in caption(figure)


@pytest.mark.parametrize("stretch", [0.5, 1.1, 1.2, 2.0])
def test_titles_of_a_row_of_maps_stand_clear_of_the_row_above(stretch: float) -> None:
    figure = view(plane().assign_coords(v=stretch * V), kinds=["curve_plane"], title="A curve")["curve_plane"]
    figure.draw_without_rendering()
    maps = titled(figure)
    above = min(tick.tick1line.get_window_extent().y0 for tick in maps["train loss"].xaxis.get_major_ticks())
    assert maps["train regularised loss"].title.get_window_extent().y1 + 4 < above


def test_a_plane_without_further_quantities_has_one_scale_which_the_caption_does_not_name() -> None:
    figure = view(plane(further=False), kinds=["curve_plane"])["curve_plane"]
    assert list(titled(figure)) == ["train loss", "test loss"]
    assert len(figure.axes) == 3
    assert "; scale from" in caption(figure)


def test_what_is_not_finite_is_counted_over_all_rows() -> None:
    given = plane()
    given["test_loss"][2, 3] = np.nan
    given["train_regularised_loss"][0, 0] = np.inf
    figure = view(given, kinds=["curve_plane"])["curve_plane"]
    assert "not finite: 1 NaN, 1 infinite" in {text.get_text() for text in figure.legends[0].get_texts()}
    assert png(figure, dpi=30).startswith(b"\x89PNG")


def test_other_kinds_do_not_repeat_what_the_plane_of_a_curve_shows() -> None:
    assert "others" not in view(plane())
    bare = plane().drop_vars([Along.coordinate("u"), Along.coordinate("v")])
    assert "others" in view(bare)
    sharp = plane()
    for split in SPLITS:
        put(sharp, split, "error", 1 - sharp[f"{split}_accuracy"].values, ("u", "v"), "1")
    assert set(titled(view(sharp, kinds=["others"])["others"])) == {"train error", "test error"}


def test_without_a_unit_only_losses_are_in_the_unit_of_the_loss() -> None:
    given = plane(units="1")
    for split in SPLITS:
        put(given, split, "error", 1 - given[f"{split}_accuracy"].values, ("u", "v"), "1")
    drawn = view(given, kinds=["curve_plane", "others"])
    assert [name.split()[-1] for name in titled(drawn["curve_plane"])] == ["loss"] * 4
    assert set(titled(drawn["others"])) == {"train error", "test error"}
