"""The term that keeps a curved chart near isometric: its value, its gradient, and where it leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.engine import stretching
from lossatlas.errors import BadInput
from lossatlas.objectives.objective import SingleStage
from lossatlas.recipes import FitConfig
from lossatlas.recipes.fit import build_fit

SAMPLE = {"seed": 0, "step": 0, "progress": 0.0, "running": {}}


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()


def bent(module: nn.Module, controls: str = "4x5") -> Any:
    chart = la.Spline.random(module, initialiser=la.Xavier(), scale=2.0, seed=3, options={"controls": controls})
    with torch.no_grad():
        noise = torch.randn(chart.vectors.shape, generator=torch.Generator().manual_seed(0))
        chart.vectors += 1.0 * float(chart.vectors.norm()) / float(noise.norm()) * noise.to(chart.vectors)
    return chart


def pattern(cells: int = 6) -> la.Pattern:
    return la.Pattern(la.picture("heart", 9), cells=cells)


def split() -> la.Split:
    inputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(2)).double()
    return la.Split.of((inputs, torch.arange(12) % 3))


def pull(module: nn.Module, chart: Any, objective: la.Objective, policy: str = "loop") -> tuple[Any, Any]:
    problem = la.Problem(module, la.CrossEntropy())
    engine = la.engine_for(problem, chart, split(), buffers=la.BatchStatistics(), plan=policy)
    sampled = objective.sample(**SAMPLE)
    controls = chart.controls()
    batch = split().take(torch.arange(12))
    return engine.pullback(chart.mixture(sampled.coords, controls), controls, batch, sampled), sampled


def isometry(chart: Any, coords: Tensor) -> Tensor:
    """The term as its formula says, from automatic derivatives of the points."""
    forms = []
    for c in coords:
        jacobian = torch.autograd.functional.jacobian(lambda at: chart.points(at[None])[0], c, create_graph=True)
        forms.append(jacobian.T @ jacobian)
    grams = torch.stack(forms)
    scale = sum(torch.trace(gram) for gram in grams) / len(grams) / grams.shape[1]
    eye = torch.eye(grams.shape[1]).to(grams)
    return torch.stack([torch.linalg.matrix_norm(gram / scale - eye).square() for gram in grams]).mean()


class Nothing(SingleStage):
    """Points of a grid, of whose losses nothing is asked."""

    def __init__(self, axes: tuple[str, ...] = ("u", "v")) -> None:
        sides = [torch.linspace(-0.9, 0.9, 5).double()] * len(axes)
        self.axes, self._coords = axes, torch.cartesian_prod(*sides).view(-1, len(axes))
        self.most_points = len(self._coords)

    def sample(self, seed: int, step: int, progress: float, running: Any) -> la.SampledPoints:
        return _Nothing(self._coords)


class _Nothing(la.SampledPoints):
    coupled = False
    geometric = False

    def __init__(self, coords: Tensor) -> None:
        self.coords = coords

    def value(self, outputs: Any, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return 0 * losses.sum()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        return {}


class TestTheTerm:
    @pytest.mark.parametrize("controls", ["3", "4x5", "6x7", "9"])
    def test_value_and_gradient_are_those_of_the_formula(self, module: nn.Module, controls: str) -> None:
        """With fewer controls than vectors along the axes, and with more: 12 points have 24; and with sparse ones."""
        chart = bent(module, controls)
        plain, sampled = pull(module, chart, pattern())
        found, points = pull(module, chart, la.Isometric(pattern(), chart, 0.7))
        term = isometry(chart, sampled.coords)
        (gradient,) = torch.autograd.grad(term, chart.vectors)
        assert term.item() > 0.01
        assert found.value == pytest.approx(plain.value + 0.7 * term.item(), rel=1e-10)
        torch.testing.assert_close(found.controls, plain.controls + 0.7 * gradient, rtol=1e-9, atol=1e-10)
        assert points.report({})["isometry"] == pytest.approx(term.item(), rel=1e-10)

    def test_around_a_network_that_is_held(self, module: nn.Module) -> None:
        origin = la.WeightSpace(module).vector_of(module)
        vectors = torch.randn(12, len(origin), generator=torch.Generator().manual_seed(5)).double()
        chart = la.BezierSurface(vectors, (3, 4), (2, 3), origin=origin)
        plain, sampled = pull(module, chart, pattern())
        found, _ = pull(module, chart, la.Isometric(pattern(), chart, 1.0))
        (gradient,) = torch.autograd.grad(isometry(chart, sampled.coords), chart.vectors)
        torch.testing.assert_close(found.controls[1:], plain.controls[1:] + gradient, rtol=1e-9, atol=1e-10)

    def test_slices_make_no_difference(self, module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        for controls in ("4", "6", "9"):
            chart = bent(module, controls)
            whole, _ = pull(module, chart, la.Isometric(pattern(), chart, 1.0))
            with monkeypatch.context() as patched:
                patched.setattr(stretching, "ENTRIES", 200)
                sliced, _ = pull(module, chart, la.Isometric(pattern(), chart, 1.0))
            assert sliced.value == pytest.approx(whole.value, rel=1e-12)
            torch.testing.assert_close(sliced.controls, whole.controls, rtol=1e-10, atol=1e-12)

    def test_it_does_not_depend_on_the_scale_of_the_chart(self, module: nn.Module) -> None:
        chart = bent(module)
        one, _ = pull(module, chart, la.Isometric(Nothing(), chart, 1.0))
        radial = (one.controls * chart.vectors.detach()).sum()
        assert abs(radial.item()) < 1e-10 * float(one.controls.norm() * chart.vectors.detach().norm())
        with torch.no_grad():
            chart.vectors.mul_(5.0)
        other, _ = pull(module, chart, la.Isometric(Nothing(), chart, 1.0))
        assert other.value == pytest.approx(one.value, rel=1e-10)
        torch.testing.assert_close(5 * other.controls, one.controls, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("kind", [la.Plane, la.Spline, la.BezierSurface])
    @pytest.mark.parametrize("axes", [1, 2, 3])
    def test_it_is_zero_on_a_plane(self, module: nn.Module, kind: Any, axes: int) -> None:
        chart = kind.random(module, axes=axes, initialiser=la.Xavier(), scale=2.0, seed=1)
        found, _ = pull(module, chart, la.Isometric(Nothing(chart.axes), chart, 1.0))
        assert found.value == pytest.approx(0, abs=1e-12)
        assert float(found.controls.norm()) < 1e-9

    def test_a_chart_that_is_one_point_has_no_gradient(self, module: nn.Module) -> None:
        chart = la.Spline(torch.zeros(16, la.WeightSpace(module).size).double(), (4, 4), (2, 2))
        found, _ = pull(module, chart, la.Isometric(Nothing(), chart, 1.0))
        assert found.value == 2
        assert float(found.controls.abs().max()) == 0

    def test_descent_on_it_alone_makes_a_bent_spline_isometric(self, module: nn.Module) -> None:
        chart = bent(module, "4")
        problem = la.Problem(module, la.CrossEntropy())
        before = la.measure_distortion(chart, {axis: np.linspace(-0.9, 0.9, 7) for axis in "uv"})
        objective = la.Isometric(Nothing(), chart, 1.0)
        result = la.fit(
            chart, objective, problem, split(), steps=120, plan="loop", batch_size=2, optimizer=la.Adam(0.05),
            progress=False,
        )  # fmt: skip
        after = la.measure_distortion(chart, {axis: np.linspace(-0.9, 0.9, 7) for axis in "uv"})
        assert result.history[0]["isometry"] > 0.1
        assert result.history[-1]["isometry"] < 0.01
        assert np.log(after.area).std() < 0.2 * np.log(before.area).std()
        assert np.abs(after.angles["u", "v"] - 90).max() < 10


class TestEveryObjective:
    def test_stages_and_state_are_those_of_the_objective(self, module: nn.Module) -> None:
        chart = bent(module)
        stages = [la.Stage(la.Pattern(la.picture("heart", n), cells=3), share) for n, share in ((8, 0.3), (16, 0.7))]
        inner = la.CoarseToFine(stages)
        objective = la.Isometric(inner, chart, 0.1)
        assert (objective.stage, objective.final) == (0, False)
        objective.sample(0, 5, 0.5, {})
        assert (objective.stage, objective.final) == (1, True)
        again = la.Isometric(la.CoarseToFine(stages), chart, 0.1)
        again.restore(objective.state())
        assert again.stage == 1
        assert again.state() == inner.state()
        last = objective.last
        assert isinstance(last, la.Isometric)
        assert last.objective is stages[1].objective

    def test_coupled_ones(self, module: nn.Module) -> None:
        chart = bent(module)
        members = la.Decorrelated(la.MemberGrid(6), weight=0.5, cells=6)
        plain, sampled = pull(module, chart, members)
        found, _ = pull(module, chart, la.Isometric(members, chart, 0.3))
        assert found.value == pytest.approx(plain.value + 0.3 * isometry(chart, sampled.coords).item(), rel=1e-9)

    def test_grey_pictures(self, module: nn.Module) -> None:
        chart = bent(module)
        levels = la.Levels(la.GreyPicture(np.linspace(0.5, 2, 30).reshape(5, 6), "ramp"), cells=7)
        plain, sampled = pull(module, chart, levels)
        found, _ = pull(module, chart, la.Isometric(levels, chart, 0.3))
        assert found.value == pytest.approx(plain.value + 0.3 * isometry(chart, sampled.coords).item(), rel=1e-9)

    def test_the_best_chart_is_kept_by_the_score_of_the_objective(self, module: nn.Module) -> None:
        chart = bent(module)
        colours = la.ColourPicture(np.geomspace(0.05, 2.0, 90).reshape(3, 5, 6).transpose(1, 2, 0), "ramps")
        for inner in (pattern(), la.ColourLevels(colours.settle(3), cells=7)):
            objective = la.Isometric(inner, chart, 0.3)
            assert objective.scored_by == inner.scored_by
            problem, keep = la.Problem(module, la.CrossEntropy()), la.KeepBest(split())
            found = la.fit(chart, objective, problem, split(), steps=2, plan="loop", keep_best=keep)
            assert found.kept is not None
            assert found.kept.looks == 1


class TestRefusals:
    def test_weights_and_charts(self, module: nn.Module) -> None:
        chart = bent(module)
        with pytest.raises(BadInput, match="isometry weight is -1"):
            la.Isometric(pattern(), chart, -1.0)
        with pytest.raises(BadInput, match="expected the same axes"):
            la.Isometric(Nothing(("u",)), chart, 1.0)
        with pytest.raises(BadInput, match="make the objective of the chart that is fitted"):
            pull(module, chart, la.Isometric(pattern(), bent(module, "6"), 1.0))

    def test_the_option(self) -> None:
        with pytest.raises(BadInput, match="isometry is -0.1"):
            FitConfig(isometry=-0.1)
        made = build_fit(FitConfig(isometry=0.2, chart="spline", pattern="heart", size="8", steps=3))
        assert isinstance(made.objective, la.Isometric)
        assert made.objective.weight == 0.2
        assert made.objective.chart is made.chart
        assert not isinstance(
            build_fit(FitConfig(chart="spline", size="8", steps=3, isometry=0.0)).objective, la.Isometric
        )
