"""Views: the logic without pixels, then that every kind draws what it should, then the report."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from PIL import Image
from shown import plot_of, show, to_png

from lossatlas.errors import BadInput
from lossatlas.views import VIEWS, data, draw, draw_interactive, save_pictures, scales, write_report
from lossatlas.views.report import Grid, sentence, text
from lossatlas.views.shrink import shrink_to_fit

pytestmark = pytest.mark.filterwarnings("error")

WIDTH, HEIGHT = 17, 23
AXES = ("u", "v", "w")


def coordinates(*sizes: int) -> dict[str, np.ndarray]:
    half = max(sizes) / 2
    return {axis: (np.arange(n) - (n - 1) / 2) / half for axis, n in zip(AXES, sizes, strict=False)}


def survey(loss: np.ndarray, **others: np.ndarray) -> xr.Dataset:
    dims = AXES[: loss.ndim]
    attrs = {"long_name": "loss", "units": "nat"}
    variables = {"test_loss": (dims, loss, attrs), **{name: (dims, values) for name, values in others.items()}}
    done = {"test_streaming_done": (dims, np.ones(loss.shape, dtype=bool))}
    return xr.Dataset({**variables, **done}, coords=coordinates(*loss.shape))


def heart() -> xr.Dataset:
    u, v = np.meshgrid(*coordinates(WIDTH, HEIGHT).values(), indexing="ij")
    x, y = 1.75 * u, 1.5 * v + 0.15
    ink = (x**2 + y**2 - 1) ** 3 - x**2 * y**3 < 0
    loss = np.where(ink, 0.03, 2.5) * (1 + 0.3 * np.cos(9 * u + 5 * v))
    return survey(
        loss,
        train_loss=0.5 * loss,
        test_accuracy=np.where(ink, 0.96, 0.3),
        train_accuracy=np.where(ink, 0.99, 0.3),
        target=np.where(ink, 1, -1).astype(np.int8),
    )


def line() -> xr.Dataset:
    t = np.linspace(-1, 1, 21)
    return survey(np.exp(3 * t**2), test_accuracy=1 - 0.8 * t**2, target=np.sign(0.3 - abs(t)).astype(np.int8))


def volume(depth: int = 4) -> xr.Dataset:
    u, v, w = np.meshgrid(*coordinates(5, 7, depth).values(), indexing="ij")
    return survey(0.01 + u**2 + v**2 + w**2, test_accuracy=np.exp(-(u**2)))


def grey(*shape: int) -> xr.Dataset:
    wanted = np.geomspace(0.05, 2.0, int(np.prod(shape))).reshape(shape).astype(np.float32)
    wanted[0] = np.nan
    given = survey(1.2 * wanted + 0.1, target_loss=wanted, test_accuracy=1 / (1 + wanted))
    given["target_loss"].attrs = {"long_name": "target loss: a ramp", "units": "nat"}
    given["test_loss"][0] = 1.0
    return given


def with_loss(values: np.ndarray) -> xr.Dataset:
    return heart().assign(test_loss=(("u", "v"), values)).drop_vars(["train_loss", "train_accuracy"])


def broken() -> xr.Dataset:
    values = heart()["test_loss"].values.copy()
    values[3, 4], values[-1, 0], values[-2, 0] = np.nan, np.inf, -np.inf
    return with_loss(values)


def lone_value() -> xr.Dataset:
    values = np.full((WIDTH, HEIGHT), np.nan)
    values[2, 3] = 0.7
    return with_loss(values)


SURVEYS = {
    "heart": heart(),
    "line": line(),
    "volume": volume(),
    "many slices": volume(20),
    "no accuracy": heart().drop_vars(["test_accuracy", "train_accuracy"]),
    "no target": heart().drop_vars("target"),
    "only accuracy": heart().drop_vars(["test_loss", "train_loss"]),
    "only train": heart().drop_vars(["test_loss", "test_accuracy"]),
    "broken": broken(),
    "broken line": survey(np.array([1.0, np.nan, 0.0, np.inf, 2.0])),
    "lone value": lone_value(),
    "no finite value": with_loss(np.full((WIDTH, HEIGHT), np.nan)),
    "all equal": with_loss(np.full((WIDTH, HEIGHT), 0.7)),
    "all zero": with_loss(np.zeros((WIDTH, HEIGHT))),
    "negative": with_loss(np.linspace(-1, 1, WIDTH * HEIGHT).reshape(WIDTH, HEIGHT)),
    "outlier": with_loss(np.where(np.arange(WIDTH * HEIGHT) == 5, 1e30, 1.5).reshape(WIDTH, HEIGHT)),
    "grey": grey(9, 12),
    "grey line": grey(9),
    "grey volume": grey(5, 6, 4),
    "solid": volume().assign(target=(AXES, np.sign(volume()["test_loss"].values - 1).astype(np.int8))),
    "grey first": grey(9, 12)[["target_loss", "test_loss"]],
    "one cell": survey(np.array([[0.5]]), target=np.array([[1]], dtype=np.int8)),
    "one row": survey(np.linspace(1, 2, 6)[:, None]),
    "one point": survey(np.array([0.5])),
}


def meshes(figure: Figure) -> list[QuadMesh]:
    """The heat maps of a figure without its colour bars, which have a single column or row."""
    found = [(ax, mesh) for ax in figure.axes for mesh in ax.collections if isinstance(mesh, QuadMesh)]
    return [mesh for ax, mesh in found if ax.get_label() != "<colorbar>"]


def caption(figure: Figure) -> str:
    (legend,) = figure.legends
    return " ".join([legend.get_title().get_text(), *(entry.get_text() for entry in legend.get_texts())])


# What is shown, without pixels


def test_axes_put_u_first_whatever_the_order_of_dimensions() -> None:
    turned = heart().transpose("v", "u", ...)
    assert data.axes(turned) == ("u", "v")
    assert data.fields(turned, "loss")[0].values.shape == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(data.fields(turned, "loss")[1].values, heart()["test_loss"].values)


def test_fields_are_train_then_test_and_quantities_begin_with_the_test_loss() -> None:
    assert [field.name for field in data.fields(heart(), "loss")] == ["train_loss", "test_loss"]
    names = [field.name for field in data.quantities(heart().assign(test_gradient_norm=heart()["test_loss"]))]
    assert names == ["test_loss", "train_loss", "test_accuracy", "train_accuracy", "test_gradient_norm"]


def test_variables_with_further_dimensions_are_left_out() -> None:
    more = heart().assign(test_class_accuracy=(("u", "v", "class"), np.ones((WIDTH, HEIGHT, 3))))
    assert [field.name for field in data.fields(more, "accuracy")] == ["train_accuracy", "test_accuracy"]


def test_labels_name_the_split_once() -> None:
    assert data.fields(heart(), "loss")[1].label == "test loss"
    named = heart()
    named["test_loss"].attrs["long_name"] = "Test cross-entropy"
    assert data.fields(named, "loss")[1].label == "Test cross-entropy"


def test_edges_cover_the_picture_exactly() -> None:
    u, v = data.edges(heart())
    assert (len(u), len(v)) == (WIDTH + 1, HEIGHT + 1)
    np.testing.assert_allclose([v[0], v[-1]], [-1, 1])
    np.testing.assert_allclose([u[0], u[-1]], [-WIDTH / HEIGHT, WIDTH / HEIGHT])


def test_edges_of_uneven_and_lone_cells() -> None:
    np.testing.assert_allclose(data.cell_edges(np.array([0.0, 1.0, 3.0])), [-0.5, 0.5, 2.0, 4.0])
    u, v = data.edges(survey(np.ones((1, 5))))
    np.testing.assert_allclose(np.diff(u), np.diff(v)[0])


def test_coordinates_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(BadInput, match="ascend"):
        data.edges(heart().isel(u=slice(None, None, -1)))


def test_limits_are_the_smallest_and_largest_finite_value() -> None:
    limits = scales.limits(np.array([np.nan, 0.02, 3.0, np.inf]), log=True)
    assert (limits.low, limits.high, limits.log, limits.floor, limits.extend) == (0.02, 3.0, True, None, "neither")
    assert "0.02 to 3" in limits.note


def test_limits_cut_an_outlier_and_say_so() -> None:
    values = np.append(np.geomspace(0.1, 1, 999), 1e30)
    limits = scales.limits(values, log=True)
    assert limits.high < 1
    assert limits.extend == "both"
    assert "percentile" in limits.note
    assert "values beyond it: 20" in limits.note


def test_zero_loss_is_drawn_at_a_floor_that_the_note_states() -> None:
    values = np.array([0.0, 2e-5, 1.0, np.nan])
    limits = scales.limits(values, log=True)
    assert limits.floor == 2e-5
    assert "zero is drawn at 2e-05" in limits.note
    np.testing.assert_array_equal(limits.shown(values), [2e-5, 2e-5, 1.0, np.nan])
    assert scales.limits(np.zeros(3), log=True).floor == scales.ALL_ZERO_FLOOR


def test_negative_losses_have_a_linear_scale() -> None:
    assert not scales.limits(np.array([-1.0, 2.0]), log=True).log


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0, 1e9])
@pytest.mark.parametrize("log", [True, False])
def test_equal_values_have_limits_around_them(value: float, log: bool) -> None:
    limits = scales.limits(np.full(4, value), log=log)
    drawn = limits.shown(np.array([value]))[0]
    assert limits.low < drawn < limits.high
    assert "equal" in limits.note


def test_heights_are_log10_and_holes_where_not_finite() -> None:
    values = np.array([0.01, 1.0, np.inf, np.nan])
    np.testing.assert_allclose(scales.limits(values, log=True).heights(values), [-2, 0, np.nan, np.nan])


def test_what_is_not_finite_is_counted() -> None:
    count = scales.invalid(np.array([1, np.nan, np.inf, -np.inf]))
    assert count == scales.Invalid(nan=1, inf=2)
    assert str(count) == "not finite: 1 NaN, 2 infinite"
    assert not scales.invalid(np.ones(3))


@pytest.mark.parametrize("low", [1e-9, 0.03, 0.6931, 5.0])
@pytest.mark.parametrize("ratio", [1.0001, 1.3, 4.0, 1e2, 1e5, 1e40])
def test_log_ticks_are_few_distinct_and_inside(low: float, ratio: float) -> None:
    ticks = scales.log_ticks(low, low * ratio)
    assert 2 <= len(set(ticks)) == len(ticks) <= 8
    assert all(low <= tick <= low * ratio * (1 + 1e-12) for tick in ticks)


def test_refining_a_surface_keeps_its_points() -> None:
    grid = np.random.default_rng(0).normal(size=(3, 4))
    fine = data.refined(grid, 5)
    assert fine.shape == (11, 16)
    np.testing.assert_array_equal(fine[::5, ::5], grid)
    np.testing.assert_allclose(fine[1, 0], 0.8 * grid[0, 0] + 0.2 * grid[1, 0])


def test_runs() -> None:
    starts, ends = data.runs(np.array([True, False, True, True]))
    assert (starts.tolist(), ends.tolist()) == ([0, 2], [1, 4])


# What is drawn


@pytest.mark.parametrize("name", SURVEYS)
def test_everything_that_applies_draws_and_renders(name: str) -> None:
    for kind, figure in show(SURVEYS[name], title=name).items():
        assert to_png(figure, dpi=30).startswith(b"\x89PNG"), kind


def test_kinds_by_number_of_axes() -> None:
    assert list(show(heart())) == ["target", "loss", "contours", "filled", "accuracy", "surface"]
    assert list(show(line())) == ["line"]
    assert list(show(volume())) == ["slices"]
    assert list(show(SURVEYS["no accuracy"])) == ["target", "loss", "contours", "filled", "surface"]
    assert list(show(SURVEYS["grey"])) == ["target_loss", "loss", "contours", "filled", "accuracy", "surface"]
    assert list(show(SURVEYS["grey line"])) == ["line"]
    assert list(show(SURVEYS["grey volume"])) == list(show(SURVEYS["solid"])) == ["slices"]


@pytest.mark.parametrize("name", ["grey", "grey line", "grey volume", "grey first"])
def test_the_requested_loss_is_not_a_measured_loss(name: str) -> None:
    given = SURVEYS[name]
    assert [field.name for field in data.fields(given, "loss")] == ["test_loss"]
    assert "target_loss" not in [field.name for field in data.quantities(given)]
    assert "requested loss" not in sentence(given)


def test_the_requested_loss_is_drawn_on_a_logarithmic_scale() -> None:
    figure = show(SURVEYS["grey"], kinds=["target_loss"])["target_loss"]
    (mesh,) = (mesh for mesh in meshes(figure) if np.asarray(mesh.get_array()).size == 9 * 12)
    shown = np.ma.masked_invalid(mesh.get_array()).reshape(12, 9)
    np.testing.assert_array_equal(shown.filled(np.nan), SURVEYS["grey"]["target_loss"].values.T)
    assert "no loss requested" in {text.get_text() for text in figure.legends[0].get_texts()}


@pytest.mark.parametrize("kind", ["loss", "accuracy", "target"])
def test_u_max_v_min_is_at_the_bottom_right(kind: str) -> None:
    marked = heart()
    marked["test_loss"][-1, 0] = marked["train_loss"][-1, 0] = 99.0
    marked["test_accuracy"][-1, 0] = marked["train_accuracy"][-1, 0] = 0.01
    marked["target"][:] = 1
    marked["target"][-1, 0] = -1
    figure = show(marked, kinds=[kind])[kind]
    for mesh in meshes(figure):
        shown = np.asarray(mesh.get_array()).reshape(HEIGHT, WIDTH)
        assert shown[0, -1] == (shown.max() if kind == "loss" else shown.min())
        corner = np.asarray(mesh.get_coordinates())[0, -1]
        np.testing.assert_allclose(corner, [WIDTH / HEIGHT, -1])
        assert mesh.axes is not None
        assert mesh.axes.get_aspect() == 1
        assert not mesh.axes.xaxis_inverted()
        assert not mesh.axes.yaxis_inverted()
        np.testing.assert_allclose(mesh.axes.get_xlim(), [-WIDTH / HEIGHT, WIDTH / HEIGHT])
        np.testing.assert_allclose(mesh.axes.get_ylim(), [-1, 1])


def test_splits_share_one_colour_scale() -> None:
    train, test = meshes(show(heart(), kinds=["loss"])["loss"])
    assert train.get_clim() == test.get_clim()
    together = np.stack([heart()["train_loss"], heart()["test_loss"]])
    assert train.get_clim() == (together.min(), together.max())


def test_cells_that_are_not_finite_stay_masked_and_are_counted() -> None:
    figure = show(broken(), kinds=["loss"])["loss"]
    (mesh,) = meshes(figure)
    assert np.ma.count_masked(mesh.get_array()) == 3
    assert "not finite: 1 NaN, 2 infinite" in caption(figure)


def test_caption_states_the_floor() -> None:
    assert "zero is drawn at" in caption(show(SURVEYS["all zero"], kinds=["loss"])["loss"])


def test_line_shades_the_target_and_marks_what_is_lost() -> None:
    figure = show(line(), kinds=["line"])["line"]
    assert "low loss requested" in caption(figure)
    assert "high loss requested" in caption(figure)
    figure = show(SURVEYS["broken line"], kinds=["line"])["line"]
    (marks,) = [one for one in figure.axes[0].get_lines() if one.get_marker() == "x"]
    np.testing.assert_allclose(marks.get_xdata(), SURVEYS["broken line"]["u"].values[[1, 3]])
    assert "1 NaN, 1 infinite" in caption(figure)


def test_slices_follow_w_and_share_limits() -> None:
    slices = meshes(show(volume(), kinds=["slices"])["slices"])
    assert len(slices) == 4
    assert len({mesh.get_clim() for mesh in slices}) == 1
    for k, mesh in enumerate(slices):
        np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(7, 5), volume()["test_loss"].values[:, :, k].T)
    assert "12 of 20 slices" in caption(show(volume(20), kinds=["slices"])["slices"])


def test_a_title_is_not_mathematics() -> None:
    title = show(heart(), kinds=["target"], title="from $5 to $6 at 20% \\frac")["target"]
    assert to_png(title, dpi=30)


def test_files_are_written_whole(tmp_path: Path) -> None:
    written = save_pictures(draw(heart(), ["loss", "target"]), tmp_path / "new" / "run", dpi=40)
    assert [path.name for path in written] == ["loss.png", "target.png"]
    names = ["loss.caption.txt", "loss.png", "target.caption.txt", "target.png"]
    assert sorted(path.name for path in (tmp_path / "new" / "run").iterdir()) == names


def test_pictures_repeat_to_the_byte() -> None:
    assert to_png(show(heart(), kinds=["loss"])["loss"]) == to_png(show(heart(), kinds=["loss"])["loss"])


def test_refusals_are_one_line_and_name_what_applies() -> None:
    with pytest.raises(BadInput, match="'los' is not a view; did you mean 'loss'"):
        show(heart(), kinds=["los"])
    with pytest.raises(
        BadInput, match=r"needs one axis.*what applies: accuracy, contours, filled, loss, surface, target"
    ) as caught:
        show(heart(), kinds=["line"])
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="no numeric variables"):
        show(xr.Dataset())


def test_a_survey_from_disk_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    heart().to_zarr(tmp_path / "survey.zarr", zarr_format=3, consolidated=False)
    with xr.open_zarr(tmp_path / "survey.zarr", chunks=None, consolidated=False) as opened:
        assert list(show(opened)) == ["target", "loss", "contours", "filled", "accuracy", "surface"]


def test_importing_views_is_light() -> None:
    heavy = "('torch', 'matplotlib', 'plotly', 'jinja2')"
    code = f"import sys, lossatlas.views; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_kind_says_what_it_is() -> None:
    asked = {"accuracy", "line", "loss", "slices", "surface", "target", "target_loss", "trajectory"}
    added = {"classes", "contours", "curve", "curve_plane", "ensembles", "filled", "others", "repeats", "weights"}
    added |= {"colour", "distortion", "hessian_ratio", "samples", "several_values"}
    assert set(VIEWS.names()) == asked | added
    assert all(VIEWS[name].needs and VIEWS[name].caption.endswith(".") for name in VIEWS)


# The report


class Page(HTMLParser):
    """The elements of a page, with their attributes, and what is said outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open = ""
        self.source = page
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open = tag

    def handle_endtag(self, tag: str) -> None:
        self.open = "" if tag in ("script", "style") else self.open

    def handle_data(self, data: str) -> None:
        self.words += "" if self.open in ("script", "style") else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


SUMMARY = {"gap": 0.612345, "iou": 0.9, "seconds": 192.3, "points": 1600, "plan": "stacked", "extra": {"rate": 0.01}}
EVIL = "<script>alert('x')</script>"


def report(
    tmp_path: Path, given: xr.Dataset, title: str = "A heart", kinds: list[str] | None = None, **more: Any
) -> str:
    pictures = draw(given, kinds)
    write_report(tmp_path / "report.html", given, title, SUMMARY, f"seed: 0 # {EVIL}\n", pictures, **more)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_report_needs_no_network(tmp_path: Path) -> None:
    page = Page(report(tmp_path, heart()))
    for _tag, attrs in page.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attrs.get(key) or "data:").startswith(("data:", "#"))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_report_is_a_proper_page(tmp_path: Path) -> None:
    page = Page(report(tmp_path, heart()))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("title")) == 1 == len(page.all("h1"))
    assert len(page.all("img")) == len(show(heart()))
    assert all(image["alt"] and image["width"] for image in page.all("img"))
    for said in ("0.612", "3 min 12 s", "extra.rate", "1,600", "seed: 0"):
        assert said in page.words
    options = page.all("option")
    assert len(options) == 4


def test_report_escapes_what_it_is_given(tmp_path: Path) -> None:
    named = heart()
    named["test_loss"].attrs["long_name"] = f"test {EVIL}"
    source = report(tmp_path, named, title=f"{EVIL} & more")
    assert EVIL not in source
    assert f"{EVIL} & more" in Page(source).words
    assert len(Page(source).all("script")) == 3


GRID = Grid("Paths", ["path", "highest loss"], [["curve", "0.5"]], "The loss in nats.")
TABLE = "u,test_loss\n0.5,1.25\n"


@pytest.mark.parametrize(("name", "kind"), [("heart", "loss"), ("line", "line"), ("volume", "slices")])
def test_a_report_can_be_read_without_eyes_and_used_without_a_mouse(name: str, kind: str, tmp_path: Path) -> None:
    more = {"tables": {"What the loss looks like": {"centre": 0.5}}, "grids": [GRID], "points": TABLE}
    page = Page(report(tmp_path, SURVEYS[name], kinds=[kind], **more))
    for landmark in ("header", "nav", "main"):
        assert len(page.all(landmark)) == 1, landmark
    assert page.all("a")[0] == {"class": "skip", "href": "#content"}
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))

    every = [attrs for _, attrs in page.elements]
    known = Counter(attrs["id"] for attrs in every if "id" in attrs)
    assert set(known.values()) == {1}
    named = [attrs.get(key) for attrs in every for key in ("aria-labelledby", "aria-describedby")]
    named += [link["href"].removeprefix("#") for link in page.all("a") if (link["href"] or "").startswith("#")]
    assert {name for name in named if name} <= set(known)

    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    for box in (attrs for attrs in every if "scroll" in (attrs.get("class") or "").split()):
        assert (box["tabindex"], box["role"]) == ("0", "region")
        assert box["aria-label"]
    assert {button.get("type") for button in page.all("button")} == {"button"}
    captions = re.findall("<figcaption[^>]*>(.*?)</figcaption>", page.source)
    assert len(captions) == len(page.all("img"))
    assert not {image["alt"] for image in page.all("img")} & {html.unescape(caption) for caption in captions}
    assert "ranges from" in page.source[page.source.index("Description of the plot in words") :]
    assert len(page.all("input")) == {"heart": 0, "line": 2, "volume": 1}[name]


def test_texts_and_controls_of_a_report_stand_out_in_light_and_in_dark(tmp_path: Path) -> None:
    style = re.sub(r"\s+", " ", report(tmp_path, line(), kinds=[]).partition("</style>")[0])
    colours = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", rules)) for rules in re.findall(r":root \{(.*?)\}", style)]
    assert len(colours) == 2
    assert colours[0].keys() == colours[1].keys() == {"page", "card", "ink", "grey", "line", "edge", "accent"}
    for scheme in colours:
        for ground in ("page", "card"):
            for ink, least in (("ink", 4.5), ("grey", 4.5), ("accent", 4.5), ("edge", 3.0)):
                assert contrast(scheme[ink], scheme[ground]) >= least, (ink, ground)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2.2, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_report_offers_all_points_as_a_file_or_says_how_to_write_one(tmp_path: Path) -> None:
    page = Page(report(tmp_path, line(), kinds=[], points=TABLE))
    (link,) = [link for link in page.all("a") if "download" in link]
    assert unquote((link["href"] or "").removeprefix("data:text/csv;charset=utf-8,")) == TABLE
    without = Page(report(tmp_path, line(), kinds=[]))
    assert not [link for link in without.all("a") if "download" in link]
    assert "lossatlas view RUN --export points.csv" in without.words


def test_pictures_of_a_page_shrink_where_they_would_not_fit_and_look_the_same() -> None:
    images = {name: to_png(figure, dpi=60) for name, figure in show(heart(), ["loss", "contours"]).items()}
    assert shrink_to_fit(images, sum(map(len, images.values()))) == images
    largest = max(images, key=lambda name: len(images[name]))
    fitted = shrink_to_fit(images, sum(map(len, images.values())) - 1)
    assert list(fitted) == list(images)
    assert {name for name in images if fitted[name] != images[name]} == {largest}
    assert len(fitted[largest]) < len(images[largest]) / 2
    before, after = (np.asarray(Image.open(BytesIO(one[largest])).convert("RGB"), int) for one in (images, fitted))
    assert np.abs(after - before).max() < 16


def test_what_is_lowest_and_highest_is_said_in_words() -> None:
    picture = draw_interactive(survey(np.array([1.0, np.nan, 0.25, np.inf, 2.0]), test_accuracy=np.full(5, np.nan)))
    assert picture is not None
    assert picture.alt == (
        "5 points along u. The test loss ranges from 0.25 nat at u = 0 to 2 nat at u = 0.8. "
        "The test accuracy is not finite at any point."
    )


@pytest.mark.parametrize("name", SURVEYS)
def test_every_survey_has_an_interactive_picture_and_a_sentence(name: str) -> None:
    picture = plot_of(SURVEYS[name])
    assert picture is not None
    assert "<" not in picture.json
    assert sentence(SURVEYS[name]).endswith(".")


def test_numbers_are_short() -> None:
    assert [text("x", value) for value in (0.123456, 1.23456, 12345.6, 1e-9, float("nan"), np.float32(0.5), None)] == [
        "0.123",
        "1.23",
        "12,346",
        "1e-09",
        "nan",
        "0.500",
        "\u2013",
    ]
    assert (text("seconds", 7322), text("fit_seconds", 3.14159)) == ("2 h 2 min", "3.14 s")
