"""Pictures of curvature: in surveys, and of curvature runs; with numbers of small networks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.colors import AsinhNorm
from matplotlib.container import ErrorbarContainer
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text
from shown import plot_of, show
from test_slice_views import caption, line, plane, variable

import lossatlas as la
from lossatlas import engine, schema
from lossatlas.curvatures import CurvatureSettings, find_density, find_spectrum, find_trace
from lossatlas.engine import Derivatives
from lossatlas.errors import BadInput
from lossatlas.jobs.curvature_summary import summarise_curvature
from lossatlas.provenance import FORMAT
from lossatlas.recipes.measured import describe_measurement
from lossatlas.recipes.trained_with import describe_training
from lossatlas.rundir import RunDirectory
from lossatlas.schema import CURVATURE, SNAPSHOT, OnTrajectory, TrainedWith
from lossatlas.training import parse_optimizer
from lossatlas.views import CURVATURE_VIEWS, Style, data, draw, scales, write_report
from lossatlas.views.curvature._densities import smooth_nodes
from lossatlas.views.curving import write_curvature
from lossatlas.views.style import MILLIMETRE, parse_width

pytestmark = pytest.mark.filterwarnings("error")

NETWORKS, LAYERS = {"narrow": 4, "wide": 9}, ("0.weight", "2.weight")
SETTINGS = CurvatureSettings(tolerance=1e-3, products=100)
SGD = {TrainedWith.OPTIMIZER: "sgd", TrainedWith.MOMENTUM: 0.0}
"""What a trajectory says that plain gradient descent made it."""
RECORDED = (
    "Spectrum(operator='hessian', settings=CurvatureSettings(parameters=('matrices',), tolerance=0.001, products=40, "
    "second_start=True, seed=7))"
)


# The data of curvature runs, put together by hand from the numbers of two small networks


def derive(hidden: int, examples: slice = slice(None)) -> Derivatives:
    """Derivatives of a tanh network at random weights, on some of 60 random examples of 3 classes."""
    torch.manual_seed(hidden)
    module = torch.nn.Sequential(torch.nn.Linear(6, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 3))
    inputs, labels = torch.randn(60, 6)[examples], torch.randint(3, (60,))[examples]
    split, problem = la.Split((inputs, labels)), la.Problem(module, la.CrossEntropy())
    chart = la.slice_around(module, ("random",))
    engine = la.engine_for(problem, chart, split, buffers=la.FrozenStatistics(), plan="loop")
    ((_, found),) = engine.derivatives(torch.tensor([[1.0, 0.0]]), chart.controls(), split, 60, (40, 80))
    return found


def put(run: xr.Dataset, name: str, dims: tuple[str, ...], values: object) -> None:
    run[name] = (dims, np.asarray(values, dtype=np.float64), {"long_name": name.replace("_", " "), "units": "nat"})


def stack(found: list[list[dict[str, np.ndarray]]], name: str) -> np.ndarray:
    return np.stack([[one[name] for one in samples] for samples in found])


def find_ends(
    hidden: int, examples: slice, parameters: tuple[str, ...] = ("*",), count: int = 3
) -> dict[str, np.ndarray]:
    settings = CurvatureSettings(parameters=parameters, products=100)
    derivatives = derive(hidden, examples)
    trace = find_trace(derivatives, settings)  # first, as eigenvalues let graphs go
    ends = find_spectrum(derivatives, settings, top=count, bottom=count)
    return {
        "top": ends.top[0].numpy(), "top_residual": ends.top_residuals[0].numpy(),
        "bottom": ends.bottom[0].numpy(), "bottom_residual": ends.bottom_residuals[0].numpy(),
        "trace": trace.value[0].numpy(), "trace_probe_error": trace.standard_error[0].numpy(),
    }  # fmt: skip


@cache
def measure_run() -> xr.Dataset:
    run = xr.Dataset(
        coords={"network": list(NETWORKS), "layer": list(LAYERS)},
        attrs={CURVATURE: "1", "operator": "hessian", "split": "train", "examples": 60},
    )
    parts = (slice(None), slice(30), slice(30, None))
    found = [[find_ends(hidden, part) for part in parts] for hidden in NETWORKS.values()]
    per_layer = [[find_ends(hidden, parts[0], (name,), 1) for name in LAYERS] for hidden in NETWORKS.values()]
    for end in ("top", "bottom"):
        for suffix in ("", "_residual"):
            put(run, f"hessian_{end}{suffix}", ("network", "sample", end), stack(found, end + suffix))
            put(run, f"layer_{end}{suffix}", ("network", "layer"), stack(per_layer, end + suffix)[..., 0])
    for suffix in ("", "_probe_error"):
        put(run, f"hessian_trace{suffix}", ("network", "sample"), stack(found, f"trace{suffix}"))
        put(run, f"layer_trace{suffix}", ("network", "layer"), stack(per_layer, f"trace{suffix}"))
    put(run, "layer_size", ("layer",), [24, 12])
    densities = [find_density(derive(hidden), SETTINGS, probes=4, steps=20) for hidden in NETWORKS.values()]
    put(run, "hessian_node", ("network", "probe", "node"), [each.nodes.numpy() for each in densities])
    put(run, "hessian_weight", ("network", "probe", "node"), [each.weights.numpy() for each in densities])
    return run


def measure_path(networks: int = 2) -> xr.Dataset:
    """Trajectories with largest eigenvalues that rise to 2/lr and stay there."""
    steps, rates = np.arange(0, 50, 5), np.array([0.4, 0.1])
    path = xr.Dataset(attrs={CURVATURE: "1", "split": "train", "examples": 60, **SGD})
    largest = np.minimum(0.5 + 0.2 * steps, 2 / rates[:, None])
    dims = ("network", SNAPSHOT)
    put(path, OnTrajectory.STEP, (SNAPSHOT,), steps)
    put(path, OnTrajectory.RATE, dims, np.broadcast_to(rates[:, None], largest.shape))
    put(path, "path_loss", dims, 2 / (1 + steps + 0 * largest))
    put(path, "path_hessian_max", dims, largest)
    put(path, "path_hessian_max_residual", dims, 1e-3 * largest)
    put(path, "path_hessian_min", dims, -0.1 * largest)
    put(path, "path_hessian_min_residual", dims, 2e-3 * largest)
    return path if networks == 2 else path.isel(network=0)


# Surveys


def with_ratio(survey: xr.Dataset) -> xr.Dataset:
    """A survey with the ratio of the Hessian, not resolved in 8 points and not finite in 2 more."""
    dims = tuple(map(str, survey["test_loss"].dims))
    shape = survey["test_loss"].shape
    ratio, residual = np.linspace(0, 0.8, int(np.prod(shape))).reshape(shape), np.full(shape, 0.001)
    residual.ravel()[-8:] = [0.021, 0.5, np.inf, np.nan, 0.03, 1.0, 0.2, 0.1]
    ratio.ravel()[:2], residual.ravel()[:2] = np.nan, np.nan
    beside = variable(dims, residual, "test", "hessian_ratio", "1")
    beside.attrs["companion"] = "residual"
    return survey.assign(
        test_hessian_ratio=variable(dims, ratio, "test", "hessian_ratio", "1"), test_hessian_ratio_residual=beside
    )


def meshes(figure: Figure) -> list[QuadMesh]:
    return [
        one
        for ax in figure.axes
        if ax.get_label() != "<colorbar>"
        for one in ax.collections
        if isinstance(one, QuadMesh)
    ]


def test_a_ratio_is_masked_where_its_residual_is_large_and_the_caption_counts() -> None:
    given = with_ratio(plane())
    figure = show(given, ["hessian_ratio"])["hessian_ratio"]
    (mesh,) = meshes(figure)
    (other,) = meshes(draw(given, style=Style(limits=(0.01, 10.0)))["hessian_ratio"].figure)
    assert (other.norm.vmin, other.norm.vmax) == (0.0, 1.0)  # these limits are about the loss
    mask = np.ma.getmaskarray(mesh.get_array()).reshape(21, 51).T
    residual = given["test_hessian_ratio_residual"].values
    np.testing.assert_array_equal(mask, ~(residual <= data.RESOLVED))
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.0, 1.0)
    said = caption(figure)
    assert "resolved (residual at most 0.02) at 1,061 of 1,071 points" in said
    assert "not finite at 2" in said
    assert "not resolved: 10 of 1,071 points" in said


def test_contours_over_the_ratio_are_those_of_the_loss_of_its_split() -> None:
    given = with_ratio(plane())
    for survey, lines in ((given, 1), (given.drop_vars("test_loss"), 0)):
        figure = show(survey, ["hessian_ratio"])["hessian_ratio"]
        crossing = [one for one in figure.axes[0].collections if isinstance(one, QuadContourSet)]
        assert len(crossing) == lines
        assert ("contours of the loss" in caption(figure)) is bool(lines)
    (crossing,) = [one for one in show(given, ["hessian_ratio"])["hessian_ratio"].axes[0].collections
                   if isinstance(one, QuadContourSet)]  # fmt: skip
    level, path = next((lv, p) for lv, p in zip(crossing.levels, crossing.get_paths(), strict=True) if lv == 0.1)
    u, v = path.vertices.T
    np.testing.assert_allclose(np.hypot(u, 2 * v), (np.log10(level) + 3) / 6, atol=0.05)


def test_a_ratio_along_a_line_has_gaps_which_pale_dots_fill() -> None:
    given = with_ratio(line())
    figure = show(given, ["hessian_ratio"])["hessian_ratio"]
    pale, solid = figure.axes[0].get_lines()[:2]
    resolved = given["test_hessian_ratio_residual"].values <= data.RESOLVED
    np.testing.assert_array_equal(np.isfinite(solid.get_ydata()), resolved)
    np.testing.assert_array_equal(np.isfinite(pale.get_ydata()), np.isfinite(given["test_hessian_ratio"].values))
    assert "31 of 41 points" in caption(figure)


def test_what_is_not_resolved_is_nowhere_stated_as_a_number() -> None:
    given = with_ratio(plane())
    alt = draw(given, ["hessian_ratio"])["hessian_ratio"].alt
    assert "0.8 " not in alt.partition("ranges")[2]
    plot = plot_of(given)
    assert plot is not None
    assert "not resolved" in plot.json
    surface = next(
        one for one, name in zip(json.loads(plot.json)["data"], plot.choices, strict=True) if "ratio" in name
    )
    packed = surface["z"]
    heights = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]) if isinstance(packed, dict) else packed
    assert (
        int(np.isnan(np.array(heights, dtype=float)).sum()) == 10
    )  # plotly would show them in the colour of the lowest ratio


def signed(values: np.ndarray, metric: str = "hessian_min") -> xr.Dataset:
    return plane(test_signed=variable(("u", "v"), values, "test", metric))


@pytest.mark.parametrize(("low", "high", "wide"), [(-5.0, -1.0, False), (-30.0, 90.0, False), (-1e3, -1e-3, True)])
def test_zero_is_in_the_middle_of_signed_colours(low: float, high: float, wide: bool) -> None:
    values = -np.geomspace(-low, -high, 51 * 21) if wide else np.linspace(low, high, 51 * 21)
    (mesh,) = meshes(show(signed(values.reshape(51, 21)), ["others"])["others"])
    assert mesh.norm(0.0) == pytest.approx(0.5)
    assert mesh.get_cmap().name == "PuOr"
    assert isinstance(mesh.norm, AsinhNorm) is wide
    linear = draw(signed(values.reshape(51, 21)), ["others"], Style(scale="linear"))["others"].figure
    assert type(meshes(linear)[0].norm).__name__ == "Normalize"


@pytest.mark.parametrize(
    ("low", "high", "linear"), [(-10, 10, 1e-3), (-0.02, 3.0, 1e-3), (-0.12, 0.0, 0.01), (-1, 1, 0.5)]
)
def test_signed_ticks_are_few_and_alike_on_both_sides(low: float, high: float, linear: float) -> None:
    ticks = scales.signed_ticks(low, high, linear)
    assert 3 <= len(ticks) <= 7
    assert ticks == sorted(ticks)
    assert 0.0 in ticks
    assert all(-tick in ticks for tick in ticks if low <= -tick <= high)


def test_captions_state_the_largest_residual_as_a_share_of_the_largest_eigenvalue_at_the_point() -> None:
    at = ("u", "v")
    top, bottom = np.full((51, 21), 8.0), np.full((51, 21), -2.0)
    top[0, 0] = 4.0
    off = np.full((51, 21), 0.001)
    off[0, 0] = 0.02
    more = {}
    for metric, values in (("hessian_max", top), ("hessian_min", bottom)):
        more[f"test_{metric}"] = variable(at, values, "test", metric)
        more[f"test_{metric}_residual"] = variable(at, off, "test", metric)
        more[f"test_{metric}_residual"].attrs["companion"] = "residual"
    assert "largest eigenvalue of the Hessian 0.5 %, smallest eigenvalue of the Hessian 0.5 %" in caption(
        show(plane(**more), ["others"])["others"]
    )


def eigenvalues(survey: xr.Dataset, count: int) -> xr.Dataset:
    loss = survey["test_loss"]
    values = -loss.values[..., None] / np.arange(1, count + 1)
    held = variable((*map(str, loss.dims), "bottom_eigenvalue"), values, "test", "hessian_bottom")
    held.attrs["dimension"] = "bottom_eigenvalue"
    return survey.assign(test_hessian_bottom=held)


def test_several_eigenvalues_at_a_point_are_curves_or_the_first_few_maps() -> None:
    along = eigenvalues(line(), 12)
    figure = show(along, ["several_values"])["several_values"]
    curves = [one for one in figure.axes[0].get_lines() if len(one.get_xdata()) == 41]
    assert len(curves) == 10
    np.testing.assert_array_equal(curves[2].get_ydata(), along["test_hessian_bottom"].values[:, 2])
    assert "the first 10 of 12 values" in caption(figure)
    assert "2nd smallest" in caption(figure)
    maps = show(eigenvalues(plane(), 6), ["several_values"])["several_values"]
    assert len(meshes(maps)) == 4
    assert "the first 4 of 6 values" in caption(maps)


@pytest.mark.parametrize("width", [85, 170, None])
@pytest.mark.parametrize(("make", "metrics", "maps"), [(plane, 1, 4), (plane, 4, 2), (line, 4, 0)])
def test_several_values_of_several_metrics_fit_a_page(
    make: Callable[[], xr.Dataset], metrics: int, maps: int, width: int | None
) -> None:
    survey = eigenvalues(make(), 6)
    for number in range(1, metrics):
        held = survey["test_hessian_bottom"].copy()
        held.attrs["metric"] = f"mine_{number}"
        survey[f"test_mine_{number}"] = held
    style = Style(width=None if width is None else width * MILLIMETRE)
    picture = draw(survey, ["several_values"], style)["several_values"]
    picture.figure.draw_without_rendering()
    panels = [ax for ax in picture.figure.axes if ax.get_label() != "<colorbar>" and ax.axison]
    assert picture.figure.get_figheight() <= 220 * MILLIMETRE
    assert len(panels) == (metrics * (maps if width == 85 else 4) if maps else metrics)
    boxes = [ax.get_window_extent() for ax in panels]
    assert not [1 for k, one in enumerate(boxes) for other in boxes[:k] if one.overlaps(other)]
    assert len({round(box.width) for box in boxes}) == 1
    if maps:
        assert "mine" in picture.alt or metrics == 1
        assert "test 2nd smallest eigenvalue of the Hessian ranges" in picture.alt


# Curvature runs


def test_every_kind_of_a_curvature_run_says_what_it_is() -> None:
    assert set(CURVATURE_VIEWS) == {"density", "eigenvalues", "lambda_path", "layer_density", "layers"}
    assert all(CURVATURE_VIEWS[name].needs and CURVATURE_VIEWS[name].caption.endswith(".") for name in CURVATURE_VIEWS)
    assert list(draw(measure_run())) == ["eigenvalues", "density", "layers"]
    assert list(draw(measure_path())) == ["lambda_path"]
    with pytest.raises(BadInput, match="curvature run: it needs nodes and weights.*what applies: lambda_path$"):
        draw(measure_path(), ["density"])


def test_a_density_integrates_to_one_in_the_coordinate_that_is_drawn() -> None:
    ax = show(measure_run(), ["density"])["density"].axes[0]
    assert ax.get_xscale() == "asinh"
    curves = [one for one in ax.get_lines() if len(one.get_xdata()) > 100]
    assert len(curves) == 2
    for one in curves:
        at = scales.to_decades(np.asarray(one.get_xdata()), ax.xaxis.get_transform().linear_width)
        heights = np.asarray(one.get_ydata())
        assert ((heights[1:] + heights[:-1]) / 2 * np.diff(at)).sum() == pytest.approx(1, abs=1e-4)
    low, high = ax.get_xlim()
    extremes = [measure_run()[name].values for name in ("hessian_bottom", "hessian_top")]
    assert low < min(one[:, 0].min() for one in extremes)
    assert high > max(one[:, 0].max() for one in extremes)
    ticks = ax.get_xticks()
    assert 0 in ticks
    assert len(ticks) >= 3


def test_bars_of_eigenvalues_are_residuals_and_dots_are_further_samples() -> None:
    run = measure_run().copy(deep=True)
    run["hessian_top_residual"][0, 0] = [0.1, 0.2, 0.3]
    figure = show(run, ["eigenvalues"])["eigenvalues"]
    bottom, top = figure.axes
    assert top.get_xlabel().startswith("largest")
    bars = [one for one in top.containers if isinstance(one, ErrorbarContainer)]
    (lengths,) = bars[0].lines[2]
    np.testing.assert_allclose([np.ptp(one[:, 1]) for one in lengths.get_segments()], [0.2, 0.4, 0.6], rtol=1e-5)
    dots = [one for one in bottom.get_lines() if one.get_marker() == "."]
    assert len(dots) == 4  # two networks, two further samples
    np.testing.assert_allclose(dots[0].get_ydata(), run["hessian_bottom"].values[0, 1])
    share = 0.3 / np.abs(run["hessian_top"].values[0, 0]).max()
    assert f"among the eigenvalues found: {scales.percent(share)}" in caption(figure)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_eigenvalues_are_numbered_by_integers(count: int) -> None:
    run = measure_run().isel(top=slice(count), bottom=slice(count))
    for ax in show(run, ["eigenvalues"])["eigenvalues"].axes:
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == list(range(1, count + 1))


def test_a_layer_is_a_bar_between_its_ends_with_its_mean() -> None:
    run = measure_run()
    figure = show(run, ["layers"])["layers"]
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0.weight (24)", "2.weight (12)"]
    bars = ax.patches
    np.testing.assert_allclose([bar.get_x() for bar in bars[:2]], run["layer_bottom"].values[0])
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars[:2]], run["layer_top"].values[0])
    means = next(one for one in ax.get_lines() if one.get_marker() == "D")
    np.testing.assert_allclose(means.get_xdata(), run["layer_trace"].values[0] / [24, 12])


def test_densities_of_layers_share_their_axes() -> None:
    run = measure_run().copy()
    for part in ("node", "weight"):
        held = run[f"hessian_{part}"]
        run[f"layer_{part}"] = held.expand_dims(layer=list(LAYERS)).transpose("network", "layer", "probe", "node")
    run["layer_node"] = run["layer_node"] * xr.DataArray([1.0, 0.1], dims="layer")
    assert list(draw(run)) == ["eigenvalues", "density", "layers", "layer_density"]
    first, second = show(run, ["layer_density"])["layer_density"].axes
    assert [first.get_title(), second.get_title()] == [f"layer {name}" for name in LAYERS]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    peaks = [one.get_xdata()[np.argmax(one.get_ydata())] for one in (first.get_lines()[0], second.get_lines()[0])]
    assert abs(peaks[1]) <= abs(peaks[0])


def of_another_operator(operator: str) -> xr.Dataset:
    """The same numbers as if they were those of another operator, with densities of the layers."""
    run = measure_run().copy()
    for part in ("node", "weight"):
        run[f"layer_{part}"] = (
            run[f"hessian_{part}"].expand_dims(layer=list(LAYERS)).transpose("network", "layer", "probe", "node")
        )
    named = {name: str(name).replace("hessian_", f"{operator}_") for name in run.data_vars}
    return run.rename(named).assign_attrs(
        operator=json.dumps([operator]),
        dimension=36,
        verdict=json.dumps(["", ""]),
        subsets="disjoint",
        curvature_tolerance=1e-3,
    )


def test_every_operator_of_the_engine_has_its_words() -> None:
    assert list(schema.OPERATORS) == list(engine.operators.OPERATORS)
    words = [operator.words for operator in schema.OPERATORS.values()]
    assert all(words)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(("operator", "words"), [("ggn", "Gauss-Newton matrix"), ("fisher", "Fisher matrix")])
def test_pictures_and_report_speak_of_the_operator_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operator: str, words: str
) -> None:
    monkeypatch.setitem(schema.OPERATORS, operator, schema.Operator(words, signed=False))
    run = of_another_operator(operator)
    pictures = draw(run)
    assert list(pictures) == ["eigenvalues", "density", "layers", "layer_density"]
    for name, picture in pictures.items():
        labels = [ax.get_xlabel() + ax.get_ylabel() for ax in picture.figure.axes]
        assert any(words in " ".join(label.split()) for label in labels), name
        assert words in picture.caption, name
        assert words in picture.alt, name
        assert "Hessian" not in " ".join([*labels, picture.caption, picture.alt]), name
    said = " ".join(describe_measurement(run))
    assert f"Curvature: {words} of the mean loss" in said
    assert "Hessian" not in said
    summary = summarise_curvature(run.assign({f"{operator}_products": run[f"{operator}_trace"]}).pipe(with_probes))
    write_curvature(tmp_path / "report.html", run, summary, "", pictures)
    page = (tmp_path / "report.html").read_text()
    assert f"largest eigenvalue of the {words}" in page
    assert f"{words} of each layer" in page
    assert "Hessian" not in page


def with_probes(run: xr.Dataset) -> xr.Dataset:
    for name in run.data_vars:
        if str(name).endswith("_probe_error"):
            run[name].attrs["probes"] = 10
    return run


@pytest.mark.parametrize("networks", [1, 2])
def test_a_trajectory_stands_beside_two_over_the_learning_rate(networks: int) -> None:
    path = measure_path(networks)
    picture = draw(path)["lambda_path"]
    largest, smallest, loss, rate = picture.figure.axes
    edges = [one for one in largest.get_lines() if one.get_linestyle() == ":"]
    assert [float(np.unique(one.get_ydata())[0]) for one in edges] == [5.0, 20.0][:networks]
    assert loss.get_yscale() == "log"
    assert smallest.get_ylim()[1] >= 0
    assert rate.get_xlabel() == "step"
    assert "full-batch gradient descent without momentum" in picture.caption
    assert (
        "largest residual, as a share of the largest magnitude among the eigenvalues found: 0.2 %"
        in picture.caption.lower()
    )


@pytest.mark.parametrize("rate", [None, 0.0])
def test_a_trajectory_without_a_learning_rate_has_no_edge(rate: float | None) -> None:
    path = measure_path()
    path = path.drop_vars(OnTrajectory.RATE) if rate is None else path.assign({OnTrajectory.RATE: 0 * path["path_lr"]})
    picture = draw(path)["lambda_path"]
    assert "/lr" not in picture.caption + picture.alt
    assert "stab" not in picture.caption + picture.alt


@pytest.mark.parametrize(
    ("trained", "factor", "why"),
    [
        ("sgd,momentum=0.5", 3.0, "with momentum 0.5"),
        ("sgd,momentum=0.5,dampening=0.25", 4.0, "with momentum 0.5"),
        ("sgd,momentum=0.5,nesterov=True", 1.5, "with Nesterov momentum 0.5"),
        ("torch.optim.SGD", 2.0, "without momentum"),
        ("adam", None, "but on its preconditioner, too"),
    ],
)
def test_the_limit_of_stability_is_that_of_the_optimiser(
    tmp_path: Path, trained: str, factor: float | None, why: str
) -> None:
    run = write_training(tmp_path, optimizer=trained, weight_decay=0.5)
    picture = draw(measure_path(1).drop_attrs(deep=False).assign_attrs({CURVATURE: "1", **describe_training(run)}))[
        "lambda_path"
    ]
    dotted = [one for one in picture.figure.axes[0].get_lines() if one.get_linestyle() == ":"]
    assert re.search(why, picture.caption)
    assert ("Adam" in picture.caption or "adam" in picture.caption) is (factor is None)
    if factor is None:
        assert not dotted
        return
    limit = factor / 0.4 - 0.5
    np.testing.assert_allclose(dotted[0].get_ydata(), limit)
    # On a parabola the steps of torch itself shrink just below the limit and grow just above it.
    for times, grows in ((0.98, False), (1.02, True)):
        weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        steps = parse_optimizer(trained).with_options(lr=0.4, weight_decay=0.5).build([weight])
        for _ in range(600):
            steps.zero_grad()
            (times * limit * weight.square().sum() / 2).backward()
            steps.step()
        assert bool(weight.abs() > 1) is grows, times


@pytest.mark.parametrize(("settings", "why"), [({"switch": ["3:adam"]}, "changed its optimiser"), (None, "recorded")])
def test_no_limit_of_stability_is_drawn_where_none_is_known(
    tmp_path: Path, settings: dict[str, object] | None, why: str
) -> None:
    trained = {} if settings is None else describe_training(write_training(tmp_path, optimizer="sgd", **settings))
    picture = draw(trained_with(trained))["lambda_path"]
    assert not [one for one in picture.figure.axes[0].get_lines() if one.get_linestyle() == ":"]
    assert why in picture.caption


def trained_with(attributes: dict[str, object]) -> xr.Dataset:
    return measure_path(1).drop_attrs(deep=False).assign_attrs({CURVATURE: "1", **attributes})


def write_training(folder: Path, **settings: object) -> Path:
    run = RunDirectory(folder / "run")
    run.create(json.dumps({"lr": 0.4, "batch_size": 8, **settings}), {"format": FORMAT}, replace=False)
    run.close()
    return run.path


def test_a_rate_leads_to_its_snapshot_and_is_not_missed_at_the_first() -> None:
    path = measure_path(1).copy(deep=True)
    path[OnTrajectory.RATE][0] = np.nan
    picture = draw(path)["lambda_path"]
    assert "NaN" not in picture.caption
    largest, *_, rate = picture.figure.axes
    stepped = [*rate.get_lines(), *(one for one in largest.get_lines() if one.get_linestyle() == ":")]
    assert {one.get_drawstyle() for one in stepped} == {"steps-pre"}
    assert rate.get_ylim() == pytest.approx((0, 0.5))
    path["path_loss"][3] = np.nan
    assert "1 NaN" in draw(path)["lambda_path"].caption


@pytest.mark.parametrize("make", [measure_run, measure_path])
def test_networks_that_are_not_finite_are_left_out_and_a_run_without_numbers_is_refused(make: object) -> None:
    assert callable(make)
    run = make().copy(deep=True)
    for name, values in run.data_vars.items():
        if "network" in values.dims:
            run[name][{"network": 1}] = np.nan
    for picture in draw(run).values():
        picture.render("png", 60)
        assert "not finite" in picture.caption
    for name, values in run.data_vars.items():
        run[name] = values * np.nan
    assert dict(draw(run)) == {}
    kind = "density" if make is measure_run else "lambda_path"
    with pytest.raises(BadInput, match="what applies: none$") as refused:
        draw(run, [kind])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["run", "path", "ratio", "line"])
def test_a_narrow_picture_of_curvature_keeps_its_width_and_letters(name: str) -> None:
    subjects = {
        "run": measure_run, "path": measure_path, "ratio": lambda: eigenvalues(with_ratio(plane()), 3),
        "line": lambda: eigenvalues(with_ratio(line()), 3),
    }  # fmt: skip
    kinds = ["hessian_ratio", "several_values"] if name in ("ratio", "line") else None
    for kind, picture in draw(subjects[name](), kinds, Style(width=85 * MILLIMETRE)).items():
        assert picture.figure.get_figwidth() == pytest.approx(85 * MILLIMETRE), kind
        picture.figure.draw_without_rendering()
        texts = [one for one in picture.figure.findobj(Text) if one.get_text() and one.get_visible()]
        assert min(one.get_fontsize() for one in texts) >= 6 - 1e-6, kind


def test_a_report_of_a_survey_shows_its_curvature(tmp_path: Path) -> None:
    survey = eigenvalues(with_ratio(plane()), 3)
    write_report(tmp_path / "report.html", survey, "title", {}, "", draw(survey, ["hessian_ratio", "several_values"]))
    page = (tmp_path / "report.html").read_text()
    assert "hessian ratio" in page
    assert "not resolved" in page


# How it was measured


def test_captions_say_how_curvature_was_measured() -> None:
    survey = with_ratio(plane())
    assert not [said for said in describe_measurement(plane()) if "Curvature" in said]
    largest = variable(("u", "v"), np.ones((51, 21)), "test", "hessian_max")
    largest.attrs["computation"] = RECORDED
    off = variable(("u", "v"), np.full((51, 21), 0.02), "test", "hessian_max")
    off.attrs |= {"companion": "residual", "computation": RECORDED}
    said = " ".join(describe_measurement(survey.assign(test_hessian_max=largest, test_hessian_max_residual=off)))
    assert "Curvature: Hessian of the mean loss over the sample in the parameters matrices." in said
    assert "residuals of at most 0.001 of the largest magnitude" in said
    assert "at most 40 products, with a second random start; largest residual 0.02 nat." in said
    assert "Seed of starts and probes 7." in said


def test_infinite_residuals_are_told_of_and_not_counted_as_small() -> None:
    run = measure_run().copy(deep=True)
    run["hessian_top_residual"][0, 0, :2] = np.inf
    share = "where finite, infinite in 2 places"
    assert share in caption(show(run, ["eigenvalues"])["eigenvalues"])
    assert "infinite residuals of 2 eigenvalues" in " ".join(describe_measurement(run))
    survey = plane()
    off = np.full((51, 21), np.inf)
    values = variable(("u", "v"), np.ones((51, 21)), "test", "hessian_max")
    beside = variable(("u", "v"), off, "test", "hessian_max")
    beside.attrs["companion"] = "residual"
    survey = survey.assign(test_hessian_max=values, test_hessian_max_residual=beside)
    assert "infinite in 1,071 places" in caption(show(survey, ["others"])["others"])
    assert "not known" not in caption(show(survey, ["others"])["others"])


def test_captions_of_a_curvature_run_say_its_sample_and_settings() -> None:
    run = measure_run().assign_attrs(curvature_tolerance=1e-3, curvature_parameters=json.dumps(["0.*", "2.*"]))
    said = " ".join(describe_measurement(run))
    assert "Sample: 60 train examples" in said
    assert "Curvature: Hessian of the mean loss over the sample in the parameters 0.*, 2.*; quantities" in said
    assert "also over each of 2 further subsets of as many examples." in said
    alone = " ".join(describe_measurement(run.isel(sample=[0])))
    assert "subsets" not in alone
    members = plane(train_hessian_max=variable(("u", "v"), np.ones((51, 21)), "train", "hessian_max"))
    assert "subsets" not in " ".join(describe_measurement(members.expand_dims(sample=3)))
    assert "Traces by Hutch++" in said


def test_a_density_shows_nothing_finer_than_the_nodes_at_zero() -> None:
    """Of 20 probes with nodes at 0.001 and 0.009 there: between these is no gap, though all probes agree on it."""
    spread = np.linspace(0.02, 1.7, 38)
    nodes = np.tile(np.concatenate([-spread[::-1], [0.001, 0.009], spread]), (1, 20, 1))
    found = smooth_nodes(nodes, np.where(np.abs(nodes) < 0.01, 0.4, 0.2 / 76))
    mean, values = found.each[0].mean(axis=0), found.eigenvalues
    between = mean[(values >= 0.001) & (values <= 0.009)]
    assert between.min() > 0.9 * min(between[0], between[-1])


def test_widths_at_the_ends_of_their_range_are_widths() -> None:
    assert parse_width("60mm") == pytest.approx(60 / 25.4)
