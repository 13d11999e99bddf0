"""Bézier surfaces and splines over grids of control vectors: where they start, what they are between and beyond."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import nn

import lossatlas as la
from lossatlas.charts import control_net, encode_chart
from lossatlas.errors import BadInput
from lossatlas.jobs.fit import run_fit
from lossatlas.recipes import FitConfig

KINDS = [
    (la.BezierSurface, {"degree": (2, 3)}),
    (la.BezierSurface, {"degree": (1,)}),
    (la.Spline, {}),
    (la.Spline, {"controls": "4x6", "degree": (1, 3)}),
    (la.Spline, {"controls": "4", "degree": (3,)}),
]
EXTENT, ANCHOR = (1.0, 0.75), (0.1, -0.2)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def make(kind: Any, module: nn.Module, options: dict[str, Any], *, held: bool = False) -> Any:
    trained = {} if not held else {"origin": la.WeightSpace(module).vector_of(module), "train_origin": False}
    places = {"anchor": ANCHOR, **({"extent": EXTENT} if kind is not la.Plane else {})}
    more = {"options": options} if options else {}
    return kind.random(module, initialiser=la.Xavier(), scale=2.0, seed=3, **places, **trained, **more)


def places(count: int = 40, axes: int = 2) -> torch.Tensor:
    """Coordinates within and beyond the domain."""
    return torch.rand(count, axes, generator=torch.Generator().manual_seed(1)).double() * 3 - 1.5


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS)
class TestEveryKind:
    def test_it_starts_as_the_plane(self, module: nn.Module, kind: Any, options: dict[str, Any], held: bool) -> None:
        plane, chart = make(la.Plane, module, {}, held=held), make(kind, module, options, held=held)
        torch.testing.assert_close(chart.points(places()), plane.points(places()), rtol=0, atol=1e-13)

    def test_coefficients_sum_to_one_everywhere(
        self, module: nn.Module, kind: Any, options: dict[str, Any], held: bool
    ) -> None:
        sums = make(kind, module, options, held=held).coefficients(places() * 2).sum(dim=1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)

    def test_derivatives_are_those_of_the_coefficients(
        self, module: nn.Module, kind: Any, options: dict[str, Any], held: bool
    ) -> None:
        chart = make(kind, module, options, held=held)
        automatic = super(la.ControlNet, chart).derivatives(places())
        torch.testing.assert_close(chart.derivatives(places()), automatic, rtol=0, atol=1e-12)

    def test_objective_and_gradient_are_those_of_the_plane(
        self, module: nn.Module, kind: Any, options: dict[str, Any], held: bool
    ) -> None:
        """The gradient by the plane's origin and frame is A^T times that by controls, which are A (origin, frame)."""
        generator = torch.Generator().manual_seed(2)
        split = la.Split.of((torch.randn(12, 6, generator=generator).double(), torch.arange(12) % 3))
        problem, sampled = la.Problem(module, la.CrossEntropy()), la.Pattern(la.picture("heart", 9), cells=5)
        found = []
        for chart in (make(la.Plane, module, {}, held=held), make(kind, module, options, held=held)):
            engine = la.engine_for(problem, chart, split, buffers=la.BatchStatistics(), plan="loop")
            points = sampled.sample(seed=0, step=0, progress=0.0, running={})
            controls = chart.controls()
            mixture = chart.mixture(points.coords, controls)
            found.append(engine.pullback(mixture, controls, split.take(torch.arange(12)), points))
        plane, curved = found
        assert curved.value == pytest.approx(plane.value, abs=1e-10)
        away = make(kind, module, options, held=held).control_coords() - torch.tensor(ANCHOR, dtype=torch.float64)
        if held:
            by_network, by_steps = curved.controls[0], curved.controls[1:]
            torch.testing.assert_close(by_network, plane.controls[0], rtol=0, atol=1e-10)
            torch.testing.assert_close(away.T @ by_steps, plane.controls[1:], rtol=0, atol=1e-10)
        else:
            shares = torch.cat([torch.ones(len(away), 1).double(), away], dim=1)
            torch.testing.assert_close(shares.T @ curved.controls, plane.controls, rtol=0, atol=1e-10)

    def test_it_is_read_back(
        self, module: nn.Module, kind: Any, options: dict[str, Any], held: bool, tmp_path: Path
    ) -> None:
        chart = make(kind, module, options, held=held)
        (tmp_path / "chart.safetensors").write_bytes(encode_chart(chart))
        again = la.load_chart(tmp_path / "chart.safetensors")
        assert again.fingerprint() == chart.fingerprint()
        assert torch.equal(again.points(places()), chart.points(places()))
        assert again.centred == chart.centred == held


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_held_network_stays_whatever_is_trained(module: nn.Module, kind: Any, options: dict[str, Any]) -> None:
    chart = make(kind, module, options, held=True)
    with torch.no_grad():
        chart.vectors += torch.randn(chart.vectors.shape, generator=torch.Generator().manual_seed(0))
    point = chart.points(torch.tensor([ANCHOR], dtype=torch.float64))[0]
    assert torch.equal(point, la.WeightSpace(module).vector_of(module))
    assert [name for name, _ in chart.named_parameters()] == ["vectors"]


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("extrapolated", [False, True])
def test_splines_are_those_of_scipy(degree: int, extrapolated: bool) -> None:
    count, spans = 7, 7 - degree
    knots = (np.arange(count + degree + 1) - degree) / spans
    x = np.linspace(-0.3, 1.3, 33) if extrapolated else np.linspace(0, 1, 33)[:-1]
    curve = BSpline(knots, np.eye(count), degree, extrapolate=True)
    chart = la.Spline(torch.eye(count).double(), (count,), (degree,))
    coords = torch.from_numpy(2 * x - 1)[:, None]
    np.testing.assert_allclose(chart.coefficients(coords), curve(x), atol=1e-12)
    slopes = curve.derivative()(x) / 2  # with respect to the coordinate, which runs from -1 to 1
    inside = np.abs(x * spans - np.round(x * spans)) > 1e-9  # not at kinks
    np.testing.assert_allclose(chart.derivatives(coords)[inside, :, 0], slopes[inside], atol=1e-11)


def test_a_surface_is_the_tensor_product_of_curves() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 4, 5, generator=generator).double()
    surface = la.BezierSurface(vectors.flatten(0, 1), net=(3, 4), degree=(2, 3))
    u, v = torch.tensor([0.2]), torch.tensor([0.7])
    rows = torch.stack([la.Bezier(row).points(v[None].double())[0] for row in vectors])
    expected = la.Bezier(rows).points(u[None].double())
    found = surface.points(torch.cat([2 * u - 1, 2 * v - 1])[None].double())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_points_of_splines_depend_on_the_controls_of_their_span() -> None:
    chart = la.Spline(torch.randn(8 * 9, 4), (8, 9), (2, 3))
    coefficients = chart.coefficients(places().clamp(-1, 1).float())
    assert set(coefficients.ne(0).sum(dim=1).tolist()) <= {3 * 4, 2 * 4, 3 * 3, 2 * 3}
    assert coefficients.min() >= 0


def test_volumes_have_three_axes(module: nn.Module) -> None:
    for kind, options in ((la.Spline, {"controls": "3"}), (la.BezierSurface, {"degree": (1, 2, 1)})):
        chart = kind.random(module, 3, initialiser=la.Xavier(), options=options)
        plane = la.Plane.random(module, 3, initialiser=la.Xavier())
        at = places(axes=3)
        torch.testing.assert_close(chart.points(at), plane.points(at), rtol=0, atol=1e-13)
        assert chart.axes == ("u", "v", "w")


def test_the_first_number_of_controls_is_that_of_the_last_axis(module: nn.Module) -> None:
    chart = la.Spline.random(module, 3, initialiser=la.Xavier(), options={"controls": "3x4x5"})
    assert chart.net.tolist() == [5, 4, 3]


def test_the_domain_is_the_extent_of_the_picture(tmp_path: Path) -> None:
    config = FitConfig(
        pattern="heart", size="12x20", chart="spline", chart_options={"controls": "4x6"}, steps=2, examples="10",
        model_options={"hidden": (4,)}, device="cpu", plan="loop",
    )  # fmt: skip
    run_fit(config, tmp_path / "run", pictures=False)
    chart = la.open_run(tmp_path / "run").chart
    assert isinstance(chart, la.Spline)
    assert chart.extent.tolist() == [1.0, 12 / 20]
    assert chart.net.tolist() == [6, 4]


@pytest.mark.parametrize(
    ("chart", "options", "said"),
    [
        ("spline", {"controls": "2"}, "2 controls along u cannot have degree 2; give 3 controls or more"),
        ("spline", {"controls": "5x1", "degree": (1,)}, "1 control along u cannot have degree 1; give 2"),
        ("spline", {"controls": "5x5x5"}, "chart.controls has 3 numbers and the chart 2 axes"),
        ("spline", {"controls": "many"}, "expected a number"),
        ("spline", {"degree": (4,)}, "3"),
        ("spline", {"degree": (1, 2, 3)}, "chart.degree has 3 numbers"),
        ("bezier_surface", {"degree": (0,)}, ">= 1"),
        ("bezier_surface", {"degree": (1, 2, 3)}, "chart.degree has 3 numbers and the chart 2 axes"),
        ("bezier_surface", {"controls": "5"}, "'controls'"),
    ],
)
def test_wrong_options_are_refused(chart: str, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        run_fit(FitConfig(chart=chart, chart_options=options, steps=1, size="8"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_controls_than_the_memory_holds_are_refused(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_net, "free_memory", lambda _: 4 * 53 * 8 * 20)
    make(la.Spline, module, {"controls": "4x5"})
    with pytest.raises(BadInput, match="30 controls of 53 weights take .* at most 20 fit, such as 4 x 4"):
        make(la.Spline, module, {"controls": "5x6"})


def test_wrong_shapes_are_refused() -> None:
    vectors = torch.zeros(9, 4)
    for arguments, said in (
        ({"net": (3, 2), "degree": (2, 1)}, "has 6 vectors"),
        ({"net": (3, 3), "degree": (2,)}, "1 degrees"),
        ({"net": (3, 3), "degree": (2, 2), "extent": (1.0, 0.0)}, "positive lengths"),
        ({"net": (3, 3), "degree": (2, 2), "extent": (1.0, float("inf"))}, "positive lengths"),
        ({"net": (3, 3), "degree": (2, 2), "anchor": (0.0, float("nan"))}, "expected finite coordinates"),
        ({"net": (3, 3), "degree": (2, 2), "origin": torch.zeros(5)}, "R\\^4"),
        ({"net": (3, 3), "degree": (2, 2), "vectors": vectors.long()}, "are torch.int64; expected a tensor of float"),
        ({"net": (3, 3), "degree": (2, 2), "vectors": vectors.numpy()}, "are ndarray; expected a tensor of float"),
    ):
        with pytest.raises(BadInput, match=said):
            la.Spline(**{"vectors": vectors, **arguments})


def test_a_bezier_surface_has_the_controls_of_its_degrees() -> None:
    """Polynomials of a degree are as many as it says, so that further controls would stand beside none of them."""
    with pytest.raises(BadInput, match="4 controls along u are not those of degree 2; a Bézier surface has 3 there"):
        la.BezierSurface(torch.zeros(12, 5), (4, 3), (2, 2))


def test_training_goes_down_and_a_copy_made_anew_agrees(module: nn.Module) -> None:
    """Losses at the points of a fitted spline are those of modules with these weights in place."""
    generator = torch.Generator().manual_seed(2)
    inputs, targets = torch.randn(24, 6, generator=generator).double(), torch.arange(24) % 3
    chart = make(la.Spline, module, {"controls": "4"})
    problem = la.Problem(module, la.CrossEntropy())
    result = la.fit(
        chart,
        la.Pattern(la.picture("heart", 8), cells=8),
        problem,
        (inputs, targets),
        steps=40,
        plan="loop",
        optimizer=la.Adam(2e-2),
    )
    assert result.history[-1]["objective"] < result.history[0]["objective"] - 0.5
    at = torch.tensor([[0.3, -0.2], [-1.2, 0.4]]).double()
    engine = la.engine_for(problem, chart, la.Split.of((inputs, targets)), buffers=la.BatchStatistics(), plan="loop")
    controls = chart.controls().detach()
    metrics = la.metrics.choose_metrics(problem.loss, ["loss"])
    found = engine.evaluate(chart.mixture(at, controls), controls, la.Split.of((inputs, targets)), metrics, 24)["loss"]
    for vector, loss in itertools.zip_longest(chart.points(at).detach(), found):
        twin = copy.deepcopy(module)
        nn.utils.vector_to_parameters(vector, twin.parameters())
        assert nn.functional.cross_entropy(twin(inputs), targets).item() == pytest.approx(float(loss), abs=1e-10)
