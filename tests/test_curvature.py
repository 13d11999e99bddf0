"""Curvature at many points at once, against dense Hessians and Gauss-Newton matrices of plain modules."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from curvature_cases import CASES, Case, make_case
from oracles import curvlinops_operator
from torch import Tensor, nn

import lossatlas as la
from lossatlas.curvatures import CurvatureSettings, count_vectors, find_density, find_spectrum, find_trace
from lossatlas.engine import Derivatives
from lossatlas.engine.derivatives import Operator, Room
from lossatlas.engine.footprint import measure_peak_bytes
from lossatlas.engine.plan import Service
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.errors import Caution
from lossatlas.linalg import find_half_width
from lossatlas.metrics import choose_metrics, curvature

PRECISE = CurvatureSettings(tolerance=1e-9, products=1000)
COORDS = torch.tensor([[0.0, 0.0], [0.4, -0.3], [-0.2, 0.5]])
"""Of a plane of two directions, each of which is as long as 5 for ten weights."""

KEPT, KEPT_IN_PART = Room(graphs=10**9, example_bytes=1), Room(graphs=16, example_bytes=1)


@functools.cache
def case_of(name: str) -> Case:
    return make_case(name)


@functools.cache
def matrix_of(name: str, operator: str, point: int) -> Tensor:
    """The Hessian or the Gauss-Newton matrix (n, n) at a row of COORDS."""
    case = case_of(name)
    theta = chart_of(case).points(COORDS[point : point + 1].to(case.theta))[0]
    return case.dense(theta) if operator == "hessian" else case.dense_ggn(theta)


def chart_of(case: Case) -> la.Slice:
    theta = case.theta
    drawn = torch.randn(2, len(theta), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    turned = torch.linalg.qr(drawn.T)[0].T * (1.5 * len(theta) ** 0.5)
    return la.Slice(theta, turned.to(theta))


def plan_of(strategy: str = "loop", points: int = 8, memory: int | None = None, **options: int) -> la.Plan:
    plan = la.Plan.of(strategy, points)
    return replace(plan, derivatives=Service(strategy, points, **options), memory=memory)


def derivatives_of(
    case: Case, plan: la.Plan | None = None, coords: Tensor = COORDS, batch: int = 100, **options: object
) -> list[Derivatives]:
    """The derivatives at the points, one for each chunk."""
    chart = chart_of(case)
    options.setdefault("buffers", la.FrozenStatistics())
    engine = la.engine_for(
        case.problem, chart, case.split, plan=plan or plan_of(), eval_batch_size=batch, steps=False, **options
    )
    coefficients = chart.coefficients(coords.to(case.theta))
    return [each for _, each in engine.derivatives(coefficients, chart.controls(), case.split, batch, (4, 8))]


def vectors_of(count: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def multiplied(matrix: Tensor, vector: Tensor) -> Tensor:
    return matrix @ vector.double()


class TestProducts:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("name", CASES)
    def test_are_those_of_dense_matrices(self, name: str, strategy: str) -> None:
        """Of three points in two chunks, of batches of 12 in parts of 8, whether or not graphs are kept."""
        case = case_of(name)
        vectors = vectors_of(3, len(case.theta))
        start = 0
        for chunk in derivatives_of(case, plan_of(strategy, 2, examples=8), batch=12):
            points = range(start, start + chunk.count)
            start += chunk.count
            for operator in ("hessian", "ggn"):
                matrices = [matrix_of(name, operator, point) for point in points]
                expected = torch.stack([m @ vectors[point] for m, point in zip(matrices, points, strict=True)])
                scale = max(float(torch.linalg.matrix_norm(m)) for m in matrices)
                tolerance = {"rtol": 0.0, "atol": 1e-12 * scale * len(case.theta) ** 0.5}
                for room, least, most in ((KEPT, 1, 100), (KEPT_IN_PART, 1, 3), (Room(), 0, 0)):
                    matrix = Operator(chunk._of, operator, chunk.space, room)
                    torch.testing.assert_close(
                        matrix(vectors[points], torch.arange(chunk.count)), expected, **tolerance
                    )
                    assert least <= len(matrix._kept) <= most
                    assert room is not KEPT or len(matrix._kept) == matrix._parts
                    last = torch.tensor([chunk.count - 1])  # a product with fewer points after one with all
                    torch.testing.assert_close(matrix(vectors[points][last], last), expected[last], **tolerance)
        assert start == 3

    @pytest.mark.parametrize("batch", [10, 3, 1])
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_of_means_of_batches_are_those_of_the_mean_over_all_tokens(self, strategy: str, batch: int) -> None:
        """The last sequence has no labels: a batch of it alone counts nothing, and has a product of zero."""
        case = case_of("transformer")
        loss = la.BatchMean(
            lambda logits, labels: nn.functional.cross_entropy(logits.movedim(-1, 1), labels),
            weights=lambda labels: (labels != -100).sum(dim=1),
        )
        own = replace(case, problem=la.Problem(case.problem.module, loss))
        (chunk,) = derivatives_of(own, plan_of(strategy, 2), coords=COORDS[:2], batch=batch)
        vectors = vectors_of(2, len(case.theta))
        for operator in ("hessian", "ggn"):
            expected = torch.stack([matrix_of("transformer", operator, k) @ vectors[k] for k in range(2)])
            torch.testing.assert_close(chunk.operator(operator)(vectors, torch.arange(2)), expected)

    @pytest.mark.parametrize("operator", ["hessian", "ggn"])
    @pytest.mark.parametrize("name", CASES)
    def test_are_those_of_curvlinops(self, name: str, operator: str) -> None:
        """In float32. Where a LayerNorm has weights curvlinops' Hessian is wrong, and the dense one is what counts."""
        case = make_case(name, torch.float32)
        vectors = vectors_of(1, len(case.theta)).float()
        (chunk,) = derivatives_of(case, coords=COORDS[:1])
        found = chunk.operator(operator)(vectors, torch.arange(1))[0]
        if (name, operator) == ("transformer", "hessian"):
            expected = (matrix_of(name, operator, 0) @ vectors[0].double()).float()
        else:
            expected = curvlinops_operator(case, case.theta, operator) @ vectors[0]
        assert float((found - expected).norm() / expected.norm()) < 1e-5

    @pytest.mark.parametrize("name", ["conv", "batch_norm", "transformer"])
    def test_are_differences_of_gradients(self, name: str) -> None:
        case, step = case_of(name), 1e-5
        (chunk,) = derivatives_of(case, batch=7)
        vectors = vectors_of(3, len(case.theta))
        vectors /= vectors.norm(dim=1, keepdim=True)
        ahead, behind = (chunk.move(sign * step * vectors).gradient() for sign in (1, -1))
        found = chunk.operator()(vectors, torch.arange(3))
        torch.testing.assert_close(found, (ahead - behind) / (2 * step), rtol=0.0, atol=1e-8 * float(found.norm()))

    @pytest.mark.parametrize("patterns", [["matrices"], ["head.*"], ["feed.0.bias", "norms.*"]])
    @pytest.mark.parametrize("operator", ["hessian", "ggn"])
    def test_of_some_parameters_are_those_of_a_block(self, patterns: list[str], operator: str) -> None:
        """Tied weights are known by either name."""
        case = case_of("transformer")
        (chunk,) = derivatives_of(case, coords=COORDS[:1])
        matrix = chunk.operator(operator, patterns)
        space, n = chunk.space, len(case.theta)
        chosen = {entry.name for entry in matrix.space.entries}
        marks = space.unflatten(torch.arange(n)[None].double())
        inside = torch.cat([value.flatten() for name, value in marks.items() if name in chosen]).long()
        assert 0 < len(inside) == matrix.space.size < n
        vectors = vectors_of(1, len(inside))
        expected = matrix_of("transformer", operator, 0)[inside][:, inside] @ vectors[0]
        torch.testing.assert_close(matrix(vectors, torch.arange(1))[0], expected)
        whole = matrix.embed(vectors)[0]
        assert whole[inside].equal(vectors[0])
        assert int(whole.count_nonzero()) == len(inside)

    def test_at_points_out_of_order_are_refused(self) -> None:
        case = case_of("mlp")
        (derivatives,) = derivatives_of(case)
        operator = derivatives.operator("hessian")
        vectors = vectors_of(2, operator.space.size)
        for numbers in ([1, 0], [0, 0]):
            with pytest.raises(la.BadInput, match="expected ascending indices, each once"):
                operator(vectors, torch.tensor(numbers))

    def test_in_a_pattern_that_matches_nothing_are_refused(self) -> None:
        (derivatives,) = derivatives_of(case_of("mlp"))
        with pytest.raises(la.BadInput, match=r"no parameters that vary match nope\.\*"):
            derivatives.operator("hessian", ["matrices", "nope.*"])

    def test_hold_the_statistics_that_are_estimated_at_each_point(self) -> None:
        case = case_of("batch_norm")
        policy = la.ReestimatedStatistics(case.split, batches=1, size=len(case.split))
        (chunk,) = derivatives_of(case, coords=COORDS[:2], buffers=policy)
        vectors = vectors_of(2, len(case.theta))
        with pytest.warns(Caution, match=r"hold the statistics of .*fixed \(reestimated from 24 .*frozen"):
            operator = chunk.operator()
        found = operator(vectors, torch.arange(2))
        for point, theta in enumerate(chart_of(case).points(COORDS[:2].double())):
            module = case.module_at(theta)
            for layer in module:
                if isinstance(layer, nn.BatchNorm2d):
                    layer.reset_running_stats()
                    layer.momentum = None
            module.train()(*case.inputs)
            own = replace(case, problem=la.Problem(module.eval(), case.problem.loss))
            torch.testing.assert_close(found[point], own.dense(theta.detach()) @ vectors[point])
            assert not torch.allclose(found[point], matrix_of("batch_norm", "hessian", point) @ vectors[point])


def surveyed(case: Case, metrics: list[str], path: Path | None = None, **options: object) -> xr.Dataset:
    options = {
        "curvature": PRECISE,
        "plan": "loop",
        "buffers": la.FrozenStatistics(),
        "chart": chart_of(case),
    } | options
    grid = options.pop("grid", {"u": np.array([0.0, 0.4]), "v": np.array([0.0, 0.5])})
    return la.survey(
        options.pop("chart"), grid, case.problem, {"test": case.split}, metrics=metrics, path=path, **options
    ).load()


def spectrum_at(case: Case, u: float, v: float) -> np.ndarray:
    """All eigenvalues of the dense Hessian, ascending."""
    theta = chart_of(case).points(torch.tensor([[u, v]], dtype=case.theta.dtype))[0].detach()
    return torch.linalg.eigvalsh(case.dense(theta)).numpy()


class TestEigenvalues:
    @pytest.mark.parametrize("name", CASES)
    def test_of_both_ends_are_those_of_the_dense_hessian(self, name: str) -> None:
        case = case_of(name)
        k = min(5, len(case.theta))
        grid = {"u": np.array([0.0, 0.4]), "v": np.array([0.0])}
        found = surveyed(case, [f"hessian_top:{k}", f"hessian_bottom:{k}"], grid=grid, plan=plan_of("vmap"))
        for u in grid["u"]:
            exact, at = spectrum_at(case, u, 0.0), found.sel(u=u, v=0.0)
            norm = np.abs(exact).max()
            np.testing.assert_allclose(at.test_hessian_top, exact[::-1][:k], rtol=0, atol=1e-6 * norm)
            np.testing.assert_allclose(at.test_hessian_bottom, exact[:k], rtol=0, atol=1e-6 * norm)
            assert (at.test_hessian_top_residual < 2e-9 * norm).all()

    def test_of_a_linear_model_are_those_of_its_inputs(self) -> None:
        """Each as often as there are outputs, and the same everywhere."""
        case = case_of("linear_regression")
        found = surveyed(case, ["hessian_top:21"])
        inputs = torch.cat([case.inputs[0], torch.ones(20, 1).double()], dim=1)
        of_inputs = torch.linalg.eigvalsh(inputs.T @ inputs * 2 / (20 * 3)).flip(0)
        expected = np.broadcast_to(of_inputs.repeat_interleave(3).numpy(), (2, 2, 21))
        np.testing.assert_allclose(found.test_hessian_top, expected, rtol=0, atol=1e-9 * float(of_inputs[0]))

    def test_of_softmax_regression_at_zero_come_as_often_as_classes_but_one(self) -> None:
        case = case_of("softmax_regression")
        (chunk,) = derivatives_of(case, coords=COORDS[:1])
        found = find_spectrum(chunk, PRECISE, top=24, bottom=6)
        inputs = torch.cat([case.inputs[0], torch.ones(30, 1).double()], dim=1)
        of_inputs = torch.linalg.eigvalsh(inputs.T @ inputs / (30 * 4)).flip(0)
        expected = torch.cat([of_inputs.repeat_interleave(3), torch.zeros(6).double()])
        torch.testing.assert_close(found.top[0], expected, rtol=0.0, atol=1e-9)
        torch.testing.assert_close(found.bottom[0], torch.zeros(6).double(), rtol=0.0, atol=1e-9)

    def test_of_a_product_of_two_numbers(self) -> None:
        """At (0, 0) the Hessian is [[0, -y], [-y, 0]]: the ratio of its ends is 1."""
        case, y = case_of("product"), 0.4
        chart = la.Slice(torch.zeros(2).double(), torch.eye(2).double())
        axes = {"u": np.linspace(-1, 1, 5), "v": np.linspace(-0.5, 1, 4)}
        found = surveyed(case, ["hessian_max", "hessian_min", "hessian_ratio"], chart=chart, grid=axes)
        a, b = np.meshgrid(*axes.values(), indexing="ij")
        middle, across = (a**2 + b**2) / 2, np.hypot((a**2 - b**2) / 2, 2 * a * b - y)
        np.testing.assert_allclose(found.test_hessian_max, middle + across, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found.test_hessian_min, middle - across, rtol=0, atol=1e-8)
        ratio = found.test_hessian_ratio.sel(u=0.0, v=0.0)
        assert float(ratio) == pytest.approx(1.0, abs=1e-12)
        assert (found.test_hessian_ratio_residual < 1e-8).all()

    def test_of_some_parameters_are_those_of_a_block(self) -> None:
        case = case_of("conv")
        only = replace(PRECISE, parameters=("matrices",))
        found = surveyed(case, ["hessian_max", "hessian_min", "ggn_max"], curvature=only)
        matrices = [p.ndim > 1 for p in case.problem.module.parameters() for _ in range(p.numel())]
        inside = torch.tensor(matrices).nonzero()[:, 0]
        theta = chart_of(case).points(torch.tensor([[0.4, 0.5]], dtype=torch.float64))[0].detach()
        exact = torch.linalg.eigvalsh(case.dense(theta)[inside][:, inside])
        at = found.sel(u=0.4, v=0.5)
        assert float(at.test_hessian_max) == pytest.approx(float(exact[-1]), rel=1e-7)
        assert float(at.test_hessian_min) == pytest.approx(float(exact[0]), rel=1e-7)
        ggn = torch.linalg.eigvalsh(case.dense_ggn(theta)[inside][:, inside])
        assert float(at.test_ggn_max) == pytest.approx(float(ggn[-1]), rel=1e-7)


class TestTraceAndDensity:
    def test_of_a_network_are_those_of_its_hessian(self) -> None:
        (chunk,) = derivatives_of(case_of("mlp"), coords=COORDS[1:2])
        exact = matrix_of("mlp", "hessian", 1)
        n = len(exact)
        density = find_density(chunk, CurvatureSettings(), probes=8, steps=20)
        for power, expected in ((1, float(exact.trace())), (2, float(exact.square().sum()))):
            moment, error = density.find_moment(power)
            assert abs(n * moment - expected) < 3 * n * error
            assert n * error < expected
        trace = find_trace(chunk, CurvatureSettings(), probes=20)
        width = find_half_width(float(trace.standard_error), trace.probes)
        assert abs(float(trace.value) - float(exact.trace())) < 1.5 * width

    def test_of_several_points_are_refused_together(self) -> None:
        (chunk,) = derivatives_of(case_of("conv"))
        with pytest.raises(la.BadInput, match="density is that of one point, and there are 3"):
            find_density(chunk, CurvatureSettings())


METRICS = ["hessian_max", "hessian_min", "hessian_ratio", "hessian_trace", "loss"]


class TestStores:
    @pytest.fixture
    def case(self) -> Case:
        return make_case("conv", torch.float32)

    def test_have_residuals_that_hold(self, case: Case) -> None:
        found = surveyed(case, METRICS, curvature=CurvatureSettings())
        for row, column in np.ndindex(2, 2):
            at = found.isel(u=row, v=column)
            exact = spectrum_at(case, float(at.u), float(at.v))
            norm = np.abs(exact).max()
            for name, value in (("max", exact[-1]), ("min", exact[0])):
                residual = float(at[f"test_hessian_{name}_residual"])
                assert 0 < residual <= 1e-3 * norm
                assert abs(float(at[f"test_hessian_{name}"]) - value) <= residual + 1e-6 * norm
            ratio = abs(exact[0] / exact[-1])
            assert abs(float(at.test_hessian_ratio) - ratio) <= float(at.test_hessian_ratio_residual) < 0.02
            error = float(at.test_hessian_trace_probe_error)
            assert 0 < abs(float(at.test_hessian_trace) - exact.sum()) < 4 * error

    def test_that_are_resumed_are_those_of_one_go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Interrupted in the second of its tiles, and continued: bit for bit the same."""
        case = make_case("linear_regression", torch.float32)
        grid = {"u": np.linspace(-1, 1, 40), "v": np.array([0.0, 0.5])}
        options = {"grid": grid, "plan": plan_of("vmap", 16), "curvature": CurvatureSettings()}
        whole = surveyed(case, METRICS, tmp_path / "whole.zarr", **options)
        calls, find = [], curvature.find_spectrum

        def interrupted(derivatives: Derivatives, *args: object, **more: object) -> object:
            calls.append(derivatives.count)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return find(derivatives, *args, **more)

        with monkeypatch.context() as patched:
            patched.setattr(curvature, "find_spectrum", interrupted)
            with pytest.raises(KeyboardInterrupt):
                surveyed(case, METRICS, tmp_path / "part.zarr", **options)
        assert len(calls) == 3
        resumed = surveyed(case, METRICS, tmp_path / "part.zarr", **options)
        xr.testing.assert_identical(resumed.drop_attrs(), whole.drop_attrs())

    def test_take_further_eigenvalues(self, case: Case, tmp_path: Path) -> None:
        options = {"curvature": CurvatureSettings(), "path": tmp_path / "s.zarr"}
        first = surveyed(case, ["hessian_max"], **options)
        both = surveyed(case, ["hessian_max", "hessian_top:3"], **options)
        np.testing.assert_allclose(both.test_hessian_max, first.test_hessian_max, rtol=1e-3)
        assert both.test_hessian_top.shape == (2, 2, 3)
        np.testing.assert_array_equal(both.test_hessian_top[..., 0], both.test_hessian_max)

    @pytest.mark.parametrize("strategy", ["loop", "vmap"])
    def test_hold_what_is_not_finite_beside_the_rest(self, case: Case, strategy: str) -> None:
        axis, options = np.array([-0.5, 0.0, 1e30]), {"curvature": CurvatureSettings(), "plan": plan_of(strategy)}
        found = surveyed(case, METRICS, grid={"u": axis, "v": np.zeros(1)}, **options)
        alone = surveyed(case, METRICS, grid={"u": axis[:2], "v": np.zeros(1)}, **options)
        for name, values in alone.items():
            assert found[name].isel(u=2).isnull().all() or name == "test_loss"
            np.testing.assert_allclose(found[name].isel(u=slice(2)), values, rtol=1e-3, atol=1e-6)

    def test_are_refined_with_curvature_in_them(self) -> None:
        chart = la.Slice(torch.zeros(2).double(), torch.eye(2).double())
        axes = {"u": np.linspace(-1, 1, 33), "v": np.linspace(-1, 1, 33)}
        options = {"chart": chart, "grid": axes, "budget": 400}
        found = surveyed(case_of("product"), ["loss", "hessian_max"], **options)
        u, v = np.meshgrid(*axes.values(), indexing="ij")
        exact = (u**2 + v**2) / 2 + np.hypot((u**2 - v**2) / 2, 2 * u * v - 0.4)
        off = np.abs(found.test_hessian_max.values - exact)
        evaluated = off < 1e-8
        assert 289 <= evaluated.sum() <= 400, "of each point that was evaluated the eigenvalue is exact"
        assert off.max() < 0.1, "the others are interpolated"


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_memory_does_not_grow_with_the_points(strategy: str) -> None:
    """Beyond a chunk's, with its Krylov bases and graphs: these are gone before those of the next one are made."""
    case, limit = make_case("conv", torch.float32), 600_000
    chart = chart_of(case)
    measured = la.engine_for(case.problem, chart, case.split, plan=strategy, buffers=la.FrozenStatistics(), steps=False)
    plan = plan_of(strategy, 64, limit, example_bytes=measured.plan.derivatives.example_bytes)
    engine = la.engine_for(case.problem, chart, case.split, plan=plan, buffers=la.FrozenStatistics(), steps=False)

    def find_all(count: int) -> None:
        coefficients = chart.coefficients(torch.linspace(-1, 1, count)[:, None] * torch.tensor([[1.0, 0.5]]))
        for _, each in engine.derivatives(coefficients, chart.controls(), case.split, 500, count_vectors(2, False)):
            find_spectrum(each, CurvatureSettings(products=6))

    few, many = (measure_peak_bytes(functools.partial(find_all, count)) for count in (3, 12))
    assert many < 1.1 * few < limit


def test_lists_of_different_lengths_are_told_apart_by_them() -> None:
    with pytest.raises(la.BadInput, match="of 5 eigenvalues and of 2 eigenvalues are both called"):
        choose_metrics(la.CrossEntropy(), ["hessian_top:5", "hessian_top:2"])
