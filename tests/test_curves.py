"""Curves and their objectives against formulae, quadrature and finite differences, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from networks import make
from torch import Tensor, nn

import lossatlas as la
from lossatlas.charts import encode_chart
from lossatlas.charts.lengths import measure_length, measure_lengths_until, measure_speeds, quadrature
from lossatlas.engine import Engine
from lossatlas.linalg import form_gram
from lossatlas.objectives import CURVE_OBJECTIVES
from lossatlas.objectives.on_curve import OnCurve, spread_evenly
from lossatlas.streams import make_generator
from lossatlas.types import Outputs

KINDS = [la.Bezier, la.Chain]


def vectors(count: int, n: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(*ts: float) -> Tensor:
    return torch.tensor(ts, dtype=torch.float64)[:, None]


class TestCurves:
    @pytest.mark.parametrize("kind", KINDS)
    @given(m=st.integers(1, 7), t=st.floats(0, 1))
    @settings(deadline=None, max_examples=40)
    def test_coefficients_are_shares_of_one(self, kind: type[la.Curve], m: int, t: float) -> None:
        weights = kind(vectors(m + 1)).coefficients(at(t))
        assert weights.shape == (1, m + 1)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
        assert float(weights.min()) >= 0

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_ends_are_exact_and_stay_bit_for_bit(self, kind: type[la.Curve], dtype: torch.dtype) -> None:
        ends = vectors(2, 50).to(dtype)
        curve = kind.between(ends, bends=3)
        optimizer = torch.optim.SGD(curve.parameters(), lr=1.0, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            curve.points(at(0.0, 0.3, 1.0).to(dtype)).square().sum().backward()
            optimizer.step()
        assert torch.equal(curve.points(at(0.0, 1.0).to(dtype)), ends)
        assert not torch.equal(curve.controls()[1], torch.lerp(ends[0], ends[1], 0.25))

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("bends", [1, 2, 5])
    def test_they_start_on_the_straight_segment_evenly(self, kind: type[la.Curve], bends: int) -> None:
        ends = vectors(2)
        t = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None]
        assert torch.allclose(kind.between(ends, bends).points(t), (1 - t) * ends[0] + t * ends[1])

    def test_with_one_bend_they_are_their_formulae(self) -> None:
        w = vectors(3)
        t = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None]
        bezier = (1 - t) ** 2 * w[0] + 2 * t * (1 - t) * w[1] + t**2 * w[2]
        assert torch.allclose(la.Bezier(w).points(t), bezier, rtol=0, atol=1e-14)
        first, second = 2 * (t * w[1] + (0.5 - t) * w[0]), 2 * ((t - 0.5) * w[2] + (1 - t) * w[1])
        chain = torch.where(t <= 0.5, first, second)
        assert torch.allclose(la.Chain(w).points(t), chain, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("bends", [1, 3])
    def test_a_chain_passes_through_all_its_networks(self, bends: int) -> None:
        networks = vectors(4)
        curve = la.Chain.between(networks, bends)
        with torch.no_grad():
            curve.bends += 1
        assert curve.bends.shape == (3 * bends, 6)
        assert torch.equal(curve.points(at(*(k / 3 for k in range(4)))), networks)

    @pytest.mark.parametrize("kind", KINDS)
    def test_bends_begin_at_given_points_and_ends_can_be_let_go(self, kind: type[la.Curve]) -> None:
        start = vectors(2, seed=1)
        curve = kind.between(vectors(2), 2, start)
        assert torch.equal(curve.controls()[1:3], start)
        free = kind.between(vectors(2), 1, train_ends=True)
        assert free.bends.shape == (3, 6)
        assert torch.equal(free.points(at(0.0, 1.0)), vectors(2))

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("m", [1, 2, 5])
    def test_velocities_are_the_derivatives_of_coefficients(self, kind: type[la.Curve], m: int) -> None:
        curve, t = kind(vectors(m + 1)), at(0.03, 0.31, 0.52, 0.77, 0.99)
        step = 1e-6
        differences = (curve.coefficients(t + step) - curve.coefficients(t - step)) / (2 * step)
        assert torch.allclose(curve.velocities(t), differences, atol=1e-8)

    @pytest.mark.parametrize("kind", KINDS)
    def test_beyond_its_ends_a_curve_goes_on_as_it_came(self, kind: type[la.Curve]) -> None:
        curve, t = kind(vectors(4)), at(-0.7, -0.1, 1.1, 1.9)
        assert torch.allclose(curve.coefficients(t).sum(dim=1), torch.ones(4).double())
        if kind is la.Chain:
            straight = curve.points(at(0.0, 0.0, 1.0, 1.0)) + (t - at(0.0, 0.0, 1.0, 1.0)) * (
                curve.velocities(t) @ curve.controls()
            )
            assert torch.allclose(curve.points(t), straight)

    def test_the_arc_length_of_another_curve_is_refused(self) -> None:
        problem, split = make("mlp")
        space = la.WeightSpace(problem.module)
        curve, like, longer = (la.Bezier(vectors(m, space.size, seed=m)) for m in (3, 3, 4))
        like.bends.data += 1
        for other in (like, longer):
            with pytest.raises(la.BadInput, match="the arc length of another curve"):
                la.fit(curve, la.ArcLength(other), problem, split, steps=1, plan="loop")
        la.fit(curve, la.ArcLength(curve), problem, split, steps=1, plan="loop")

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("m", [3, 7, 11, 23, 96])
    def test_a_chain_meets_every_control_at_its_knot(self, m: int, dtype: torch.dtype) -> None:
        chain = la.Chain(vectors(m + 1).to(dtype))
        for knots in (torch.linspace(0, 1, m + 1, dtype=dtype), (torch.arange(m + 1).double() / m).to(dtype)):
            assert torch.equal(chain.coefficients(knots[:, None]), torch.eye(m + 1, dtype=dtype))
            ahead = chain.velocities(knots[:-1, None]) @ chain.controls()
            assert torch.allclose(ahead, m * chain.controls().diff(dim=0), rtol=1e-4, atol=1e-4)
        beside = chain.coefficients(torch.full((1, 1), 1 / m + 1e-5, dtype=dtype))
        assert float(beside[0, 2]) == pytest.approx(1e-5 * m, rel=0.05)

    def test_they_are_kept_in_files(self, tmp_path: Path) -> None:
        w = vectors(5)
        charts = [
            la.Bezier(w),
            la.Chain(w, [True, False, True, False, True]),
            la.Chain(w[:2], [True, True]),
            la.Grown(w[:3]),
            la.Radial(w[:2], torch.tensor([1, 1, 1, 2, 1, 2])),
        ]
        for chart in charts:
            (tmp_path / "chart").write_bytes(encode_chart(chart))
            again = la.load_chart(tmp_path / "chart")
            assert type(again) is type(chart)
            assert torch.equal(again.controls(), chart.controls())
            trained, retrained = ({k for k, p in c.named_parameters() if p.requires_grad} for c in (chart, again))
            assert trained == retrained

    @pytest.mark.parametrize(
        ("make_it", "said"),
        [
            (lambda: la.Bezier.between(vectors(2), 0), "0 bends has nothing to train"),
            (lambda: la.Bezier.between(vectors(3)), "passes through 2 networks and 3 are given; choose chain"),
            (lambda: la.Chain.between(vectors(2)[[0, 0]]), "networks 1 and 2 are equal"),
            (lambda: la.Chain.between(vectors(1)), "joins two networks at least"),
            (lambda: la.Chain.between(vectors(2), 2, vectors(3)), "begin at points of shape (2, 6)"),
            (lambda: la.Bezier(vectors(1)), "needs two control points"),
            (lambda: la.Bezier(vectors(3), [True]), "got 1 marks"),
            (lambda: la.Bezier(vectors(3)).coefficients(vectors(3)), "expected (P, 1), along t"),
        ],
    )
    def test_what_is_not_a_curve_is_refused(self, make_it: Callable[[], object], said: str) -> None:
        with pytest.raises(la.BadInput) as refused:
            make_it()
        assert said in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


class TestLengths:
    @pytest.mark.parametrize("kind", KINDS)
    def test_lengths_are_those_of_fine_polygons(self, kind: type[la.Curve]) -> None:
        curve = kind(vectors(4))
        t = torch.linspace(0, 1, 30001, dtype=torch.float64)
        steps = curve.points(t[:, None]).detach().diff(dim=0).norm(dim=1)
        assert measure_length(curve) == pytest.approx(float(steps.sum()), rel=1e-7)
        some = torch.tensor([0.0, 0.1, 0.4, 0.75, 1.0], dtype=torch.float64)
        until = torch.cat([torch.zeros(1).double(), steps.cumsum(dim=0)])
        assert torch.allclose(measure_lengths_until(curve, some), until[(some * 30000).round().long()], rtol=1e-6)

    def test_the_parabola_has_its_closed_form(self) -> None:
        # (t, t^2) as a Bezier curve: controls (0, 0), (1/2, 0), (1, 1).
        parabola = la.Bezier(torch.tensor([[0, 0], [0.5, 0], [1, 1]], dtype=torch.float64))
        assert measure_length(parabola) == pytest.approx(math.sqrt(5) / 2 + math.asinh(2) / 4, rel=1e-12)


class Bowl(nn.Module):
    """Two numbers; its loss of an example x is ``sum((w - x)^2)``."""

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        return self.weight - rows


def bowl(n: int = 2) -> tuple[la.Problem, la.Split]:
    loss = la.PerExample(lambda outputs, _: outputs.square().sum(dim=-1))
    rows = vectors(3, n, seed=4)
    return la.Problem(Bowl(n), loss), la.Split((rows, torch.zeros(3)))


def objective(name: str, curve: la.Curve, points: int, weight_decay: float = 0.0, temperature: float = 0.3) -> OnCurve:
    return CURVE_OBJECTIVES[name].of_curve(curve, points, weight_decay, temperature)


def loss_along(curve: la.Curve, split: la.Split, t: Tensor) -> Tensor:
    """(P,): what the engine should find, differentiable in the controls."""
    points = curve.points(t)
    return (points[:, None] - split.data[0]).square().sum(dim=2).mean(dim=1)


def by_hand(name: str, curve: la.Curve, split: la.Split, t: Tensor, weight_decay: float) -> Tensor:
    """The objectives as they are written down, of the drawn points, by autograd alone."""
    losses = loss_along(curve, split, t)
    controls = curve.controls()
    decay = weight_decay / 2 * curve.points(t).square().sum(dim=1).mean()
    if name == "max":
        return 0.3 * torch.log(torch.exp(losses / 0.3).mean()) + decay
    if name == "uniform":
        return losses.mean() + decay
    nodes, weights = quadrature(curve)
    whole = weights @ (curve.velocities(nodes) @ controls).norm(dim=1)
    return (losses * (curve.velocities(t) @ controls).norm(dim=1)).mean() / whole + decay


class TestObjectives:
    def test_all_are_registered(self) -> None:
        assert list(CURVE_OBJECTIVES) == ["arclength", "max", "uniform"]

    @pytest.mark.parametrize("name", list(CURVE_OBJECTIVES))
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("plan", ["loop", "vmap", "batched", "threads"])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.7])
    def test_values_and_gradients_are_those_of_autograd_and_of_differences(
        self, name: str, kind: type[la.Curve], plan: str, weight_decay: float
    ) -> None:
        problem, split = bowl()
        curve = kind.between(vectors(2, 2, seed=8), 2, vectors(2, 2, seed=9))
        engine = la.engine_for(problem, curve, split, plan=plan)
        small = Engine(engine.network, la.Plan.from_dict(_chunked(engine.plan.to_dict(), 2)))
        sampled = objective(name, curve, 5, weight_decay).sample(0, 3, 0.0, {})
        assert sampled.coords.shape == (5, 1)
        pull = small.pullback(curve.coefficients(sampled.coords), curve.controls(), split.data, sampled)
        wanted = by_hand(name, curve, split, sampled.coords, weight_decay)
        assert pull.value == pytest.approx(float(wanted.detach()), rel=1e-12)
        (gradient,) = torch.autograd.grad(wanted, curve.bends)
        held = curve.held
        assert torch.allclose(pull.controls[~held], gradient, rtol=1e-9, atol=1e-12)
        step = 1e-6
        for k in range(2):
            for i in range(2):
                moved = []
                for sign in (1, -1):
                    with torch.no_grad():
                        curve.bends[k, i] += sign * step
                        moved.append(float(by_hand(name, curve, split, sampled.coords, weight_decay)))
                        curve.bends[k, i] -= sign * step
                assert float(pull.controls[~held][k, i]) == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_estimate_of_the_arc_length_objective_has_no_bias(self, kind: type[la.Curve]) -> None:
        problem, split = bowl()
        curve = kind(torch.tensor([[0, 0], [4, 0.2], [4.2, 0.5], [0, 1]], dtype=torch.float64))
        nodes, weights = quadrature(curve)
        rates = measure_speeds(curve.velocities(nodes), form_gram(curve.controls()))
        exact = float(weights @ (loss_along(curve, split, nodes) * rates).detach()) / measure_length(curve)
        even = float(weights @ loss_along(curve, split, nodes).detach())
        assert abs(exact - even) > 0.02 * exact, "the two problems differ here"
        engine = la.engine_for(problem, curve, split, plan="loop")
        of_points = {}
        for points in (1, 3):
            kind_of = objective("arclength", curve, points)
            estimates = []
            for step in range(600):
                sampled = kind_of.sample(0, step, 0.0, {})
                losses = loss_along(curve, split, sampled.coords).detach()
                estimates.append(
                    float(sampled.value(None, losses[:, None], torch.ones(1, dtype=torch.float64), slice(0, points)))
                )
            error = np.std(estimates) / math.sqrt(len(estimates))
            assert np.mean(estimates) == pytest.approx(exact, abs=4 * error)
            of_points[points] = error
        assert of_points[3] < of_points[1] / math.sqrt(3), "evenly placed points vary less than independent ones"
        sampled = objective("arclength", curve, 3).sample(0, 0, 0.0, {})
        pull = engine.pullback(curve.coefficients(sampled.coords), curve.controls(), split.data, sampled)
        expected = sampled.value(
            None,
            loss_along(curve, split, sampled.coords).detach()[:, None],
            torch.ones(1, dtype=torch.float64),
            slice(0, 3),
        )
        assert pull.value == pytest.approx(float(expected))

    def test_an_even_draw_divided_by_its_own_mean_speed_has_the_bias_that_is_stated(self) -> None:
        _, split = bowl()
        curve = la.Bezier(torch.tensor([[0, 0], [3, 0.2], [1, 1]], dtype=torch.float64))
        nodes, weights = quadrature(curve)
        rates, losses = (
            measure_speeds(curve.velocities(nodes), form_gram(curve.controls())),
            loss_along(curve, split, nodes).detach(),
        )
        whole = float(weights @ rates)
        exact = float(weights @ (losses * rates)) / whole
        stated = -float(weights @ ((losses - exact) * rates * (rates - whole))) / whole**2
        random, points = torch.Generator().manual_seed(0), 20
        t = torch.rand(200_000, points, generator=random, dtype=torch.float64).view(-1, 1)
        rates = measure_speeds(curve.velocities(t), form_gram(curve.controls())).view(-1, points)
        losses = loss_along(curve, split, t).detach().view(-1, points)
        estimates = (losses * rates).sum(dim=1) / rates.sum(dim=1)
        error = float(estimates.std()) / math.sqrt(len(estimates))
        assert abs(stated / points) > 10 * error, "large enough to be seen"
        assert float(estimates.mean()) - exact == pytest.approx(stated / points, rel=0.15)

    def test_the_soft_maximum_lies_between_mean_and_maximum(self) -> None:
        losses = torch.tensor([0.1, 0.5, 2.0, 1.9], dtype=torch.float64)[:, None]
        found = {}
        for temperature in (1e-3, 0.1, 1.0, 1e3):
            sampled = la.Maximum(4, temperature=temperature).sample(0, 0, 0.0, {})
            found[temperature] = float(sampled.value(None, losses, torch.ones(1, dtype=torch.float64), slice(0, 4)))
            assert losses.mean() - 1e-9 <= found[temperature] <= losses.max()
            assert losses.max() - found[temperature] <= temperature * math.log(4) + 1e-12
        assert sorted(found.values(), reverse=True) == list(found.values())
        assert found[1e3] == pytest.approx(float(losses.mean()), abs=1e-3)

    def test_a_draw_has_one_point_in_each_interval(self) -> None:
        for step in range(20):
            t = spread_evenly(5, make_generator(0, "curve", step))
            assert ((t[:, 0] * 5).floor() == torch.arange(5)).all()

    @pytest.mark.parametrize(
        ("make_it", "said"),
        [
            (lambda: la.Uniform(0), "samples 0 points"),
            (lambda: la.Uniform(weight_decay=-1.0), "weight_decay is -1.0"),
            (lambda: la.Maximum(1), "a maximum over 1 point is its loss"),
            (lambda: la.Maximum(temperature=0.0), "expected a positive number"),
            (lambda: la.InSimplex(la.Grown(vectors(3)), 0), "samples 0 points"),
            (lambda: la.Momentum(momentum=1.0), "expected a number in [0, 1)"),
        ],
    )
    def test_numbers_outside_their_range_are_refused(self, make_it: Callable[[], object], said: str) -> None:
        with pytest.raises(la.BadInput) as refused:
            make_it()
        assert said in str(refused.value)


def _chunked(plan: dict[str, object], points: int) -> dict[str, object]:
    return {k: {**v, "points": points} if isinstance(v, dict) and "points" in v else v for k, v in plan.items()}


class Ring(nn.Module):
    """Two numbers; its loss is ``(|w|^2 - 1)^2``, low on a circle."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        return (self.weight.square().sum() - 1).expand(len(rows), 1)


def ring() -> tuple[la.Problem, la.Split]:
    def loss(outputs: Outputs, _: Tensor) -> Tensor:
        return outputs[:, 0].square()

    return la.Problem(Ring(), la.PerExample(loss)), la.Split((torch.zeros(4, 1).double(), torch.zeros(4)))


class TestFits:
    @pytest.mark.parametrize("name", list(CURVE_OBJECTIVES))
    @pytest.mark.parametrize("optimizer", [la.Adam(lr=0.05), la.Momentum(lr=0.05)])
    def test_a_curve_goes_round_the_hill(self, name: str, optimizer: la.Adam | la.Momentum) -> None:
        problem, split = ring()
        ends = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        curve = la.Bezier.between(ends)
        t = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]

        def highest() -> float:
            return float((curve.points(t).detach().square().sum(dim=1) - 1).square().max())

        before = highest()
        result = la.fit(curve, objective(name, curve, 8, temperature=0.01), problem, split, steps=120,
                        optimizer=optimizer, batch_size=4, plan="vmap")  # fmt: skip
        assert before == pytest.approx(0.25)
        assert highest() < 0.02
        assert torch.equal(curve.points(at(0.0, 1.0)), ends)
        assert {"mean_loss", "highest_loss"} <= set(result.history[0])

    def test_the_maximum_objective_ends_at_a_lower_maximum_than_the_uniform_one(self) -> None:
        problem, split = ring()
        ends = torch.tensor([[1.0, 0.0], [-0.6, 0.8]], dtype=torch.float64)
        t = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
        highest = {}
        for name in ("uniform", "max"):
            curve = la.Bezier.between(ends, start=torch.tensor([[0.9, 1.3]], dtype=torch.float64))
            la.fit(curve, objective(name, curve, 16, temperature=1e-3), problem, split, steps=400,
                   optimizer=la.Adam(lr=0.04), batch_size=4, plan="vmap")  # fmt: skip
            highest[name] = float((curve.points(t).detach().square().sum(dim=1) - 1).square().max())
        assert highest["max"] < 0.95 * highest["uniform"]

    def test_a_simplex_grows_with_a_low_interior(self) -> None:
        # Low near the plane of the first two of three coordinates.
        loss = la.PerExample(lambda outputs, _: 25 * outputs[:, 2].square())
        problem, split = la.Problem(Bowl(3), loss), la.Split((torch.zeros(2, 3).double(), torch.zeros(2)))
        random = torch.Generator().manual_seed(3)
        simplex = la.Grown.from_network(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), random, spread=0.5)
        for count in (2, 3):
            assert simplex.controls().shape == (count, 3)
            before = simplex.controls()[:-1].clone()
            la.fit(simplex, la.InSimplex(simplex, 8, volume=0.02), problem, split, steps=200,
                   optimizer=la.Adam(lr=0.02), batch_size=2, plan="vmap")  # fmt: skip
            assert torch.equal(simplex.controls()[:-1], before), "the others stay"
            if count < 3:
                simplex = simplex.grown(random, spread=0.5)
        assert simplex.volume() > 0.1
        shares = torch.distributions.Dirichlet(torch.ones(3)).sample((200,)).double()[:, 1:]
        assert float(25 * simplex.points(shares).detach()[:, 2].square().max()) < 0.1

    def test_the_volume_of_a_simplex(self) -> None:
        corners = torch.tensor([[0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 4]], dtype=torch.float64)
        assert la.Grown(corners + 1).volume() == pytest.approx(2 * 3 * 4 / 6)

    def test_simplex_draws_are_uniform_and_the_volume_has_its_slope(self) -> None:
        simplex = la.Grown(vectors(3))
        sampled = torch.cat([la.InSimplex(simplex, 50).sample(0, step, 0.0, {}).coords for step in range(200)])
        inside = torch.cat([1 - sampled.sum(dim=1, keepdim=True), sampled], dim=1)
        assert float(inside.min()) >= 0
        assert torch.allclose(inside.mean(dim=0), torch.full((3,), 1 / 3).double(), atol=0.01)
        assert torch.allclose(inside.var(dim=0), torch.full((3,), 1 / 18).double(), atol=0.005)  # Dirichlet(1, 1, 1)
        sampled = la.InSimplex(simplex, volume=0.3).sample(0, 0, 0.0, {})
        controls = simplex.controls().detach().requires_grad_()
        value = sampled.geometry(torch.zeros(0), controls @ controls.T)
        assert float(value.detach()) == pytest.approx(-0.3 * math.log(2 * simplex.volume()))


class TestRadial:
    def test_logits_are_a_power_times_the_ends_and_labels_stay(self) -> None:
        for name, layers in (("mlp", 3), ("conv", 4)):
            problem, split = make(name)
            problem.module.double()
            space = la.WeightSpace(problem.module)
            ends = vectors(2, space.size) / 3
            orders = la.find_radial_orders(problem, space, ends, split.take(torch.arange(4)))
            path = la.Radial(ends, orders)
            assert torch.equal(path.points(at(0.0, 1.0)), ends)
            assert not path.points(at(0.5)).any()
            inputs = split.data[0]

            def logits(t: float, space: la.WeightSpace = space, path: la.Radial = path) -> Tensor:
                params = space.unflatten(path.points(at(t))[0])
                return torch.func.functional_call(problem.module.eval(), params, (inputs,))  # noqa: B023

            for t, s, end in ((0.1, 0.8, 0.0), (0.3, 0.4, 0.0), (0.9, 0.8, 1.0)):
                assert torch.allclose(logits(t), s**layers * logits(end), rtol=1e-9)
                assert torch.equal(logits(t).argmax(dim=1), logits(end).argmax(dim=1))

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("batch_norm", "it has normalisation layers"),
            ("resnet", "it has normalisation layers"),
            ("dict_batches", "its outputs are not multiplied"),
            ("tied", "is not a weight or bias"),
            ("skips", "skips layers, or has other activations than ReLU"),
        ],
    )
    def test_where_it_is_not_defined_it_says_why(self, name: str, why: str) -> None:
        if name == "skips":
            _, split = make("conv")
            module = la.Conv(channels=(3, 3), hidden=4, skips=True, max_pool=False).build((2, 8, 7), 3).double()
            problem = la.Problem(module, la.CrossEntropy())
        else:
            problem, split = make(name)
        space = la.WeightSpace(problem.module)
        with pytest.raises(la.BadInput, match="the radial path is not defined for this network") as refused:
            la.find_radial_orders(problem, space, vectors(2, space.size), split.take(torch.arange(4)))
        assert why in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


def test_the_radial_path_takes_all_parameters_to_the_origin() -> None:
    problem, split = make("mlp")
    space = la.WeightSpace(problem.module, ["*weight"])
    with pytest.raises(la.BadInput, match="bias' does not vary, and the path takes all of them to the origin"):
        la.find_radial_orders(problem, space, vectors(2, space.size), split.take(torch.arange(4)))


@pytest.mark.parametrize(
    "controls", [[[0, 0], [5, 0.01], [0, 0.02]], [[0, 0], [3, 0], [1, 0]], [[0, 0], [1, 1], [2, 0]]]
)
def test_lengths_hold_on_curves_that_turn_round_on_the_spot(controls: list[list[float]]) -> None:
    curve = la.Bezier(torch.tensor(controls, dtype=torch.float64))
    t = torch.linspace(0, 1, 2_000_001, dtype=torch.float64)[:, None]
    steps = curve.points(t).detach().diff(dim=0).norm(dim=1)
    assert measure_length(curve) == pytest.approx(float(steps.sum()), rel=1e-5)
    until = measure_lengths_until(curve, torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64))
    expected = [0.0, float(steps[:600_000].sum()), float(steps[:1_400_000].sum()), float(steps.sum())]
    assert until.tolist() == pytest.approx(expected, rel=1e-5)
