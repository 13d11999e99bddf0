"""The engine against a plain float64 loop, for every network, strategy, policy and way of pulling back."""

from __future__ import annotations

import copy
import json
import os
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import NETWORKS, make, plane
from reference import gradients, module_at, outputs_and_losses
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import lossatlas as la
from lossatlas.engine import STRATEGIES, layer as layers
from lossatlas.engine.checking import check_network
from lossatlas.engine.engine import Engine
from lossatlas.engine.layer import StackedLayers
from lossatlas.engine.memory import find_fitting_chunk, find_memory_limit
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.engine.precisions import allow_tensor_float
from lossatlas.engine.strategy import Points
from lossatlas.machine import name_machine
from lossatlas.metrics import METRICS, choose_metrics

POINTS = 7
POLICIES = {"batch": la.BatchStatistics, "frozen": la.FrozenStatistics}
WITH_POLICIES = [
    *((name, "batch") for name in NETWORKS),
    *((name, "frozen") for name in ("mlp", "batch_norm", "resnet")),
]
"""Where a network has no statistics, one stands for all that a policy has nothing to do with."""
TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


def alike(losses: Tensor) -> Tensor:
    """Shares of examples that count alike."""
    return losses.new_full(losses.shape[-1:], 1 / losses.shape[-1])


class SquaredSum(la.Functional):
    """A sum over points that is not linear in the losses and looks at the outputs, too."""

    coupled = False
    geometric = False

    def value(self, outputs: Tensor, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        numbers = torch.arange(points.start, points.stop, dtype=torch.float64) - 2.5
        return (numbers * (losses.square() @ shares)).sum() + 0.1 * outputs.sin().sum()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        raise AssertionError("not asked for")


class SoftMaximum(la.Functional):
    """Couples all points and all examples."""

    coupled = True
    geometric = True

    def value(self, outputs: Tensor, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        assert points == slice(0, POINTS)
        return (losses @ shares).logsumexp(dim=0) + outputs.var(dim=0).sum()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return 0.3 * torch.einsum("pi,ij,pj->", coefficients, gram, coefficients)


@pytest.fixture(autouse=True)
def controls_wherever_possible(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks as small as these never pay at the controls; unless a test says so they are computed there all the same.

    A test that wants the engine's own choice has the mark ``own_choice``.
    """
    if "own_choice" not in request.keywords:
        monkeypatch.setattr(layers, "OVERHEAD", 0.0)


def engine(problem: la.Problem, strategy: str = "loop", chunk: int = 4, policy: str = "batch") -> Engine:
    """Of 7 points with 3 controls: a chunk of more points than controls, and one of as many."""
    network = Network(problem, la.WeightSpace(problem.module), POLICIES[policy](), plane(problem))
    return Engine(network, Plan.of(strategy, chunk))


def coordinates() -> Tensor:
    return torch.randn(POINTS, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("name", "policy"), WITH_POLICIES)
class TestAgainstTheLoop:
    def test_evaluate(self, name: str, strategy: str, policy: str) -> None:
        problem, split = make(name)
        chart = plane(problem)
        coords = coordinates()
        got = engine(problem, strategy, policy=policy).evaluate(
            chart.coefficients(coords), chart.controls(), split, choose_metrics(problem.loss), eval_batch_size=5
        )
        for i, weights in enumerate(chart.points(coords).detach()):
            module = module_at(problem, weights, policy)
            losses, hits = [], []
            with torch.no_grad():
                for batch in split.eval_batches(5):
                    outputs, loss = outputs_and_losses(problem, module, batch)
                    losses.append(loss)
                    if problem.loss.classifies:
                        hits.append((outputs.argmax(dim=-1) == problem.feed.targets(batch)).double().reshape(-1))
            torch.testing.assert_close(got["loss"][i], torch.cat(losses).mean(), **TOLERANCE)
            if problem.loss.classifies:
                torch.testing.assert_close(got["accuracy"][i], torch.cat(hits).mean(), **TOLERANCE)

    @pytest.mark.parametrize("functional", [SquaredSum(), SoftMaximum()], ids=["one-pass", "two-pass"])
    def test_pullback(self, name: str, strategy: str, policy: str, functional: la.Functional) -> None:
        problem, split = make(name)
        chart = plane(problem)
        coefficients = chart.coefficients(coordinates()).requires_grad_()
        controls = chart.controls().detach()
        got = engine(problem, strategy, policy=policy).pullback(coefficients, controls, split.data, functional)

        value, rows = gradients(problem, coefficients.detach() @ controls, split.data, functional, policy)
        expected_controls, expected_coefficients = coefficients.detach().T @ rows, rows @ controls.T
        if functional.geometric:
            positions, vectors = coefficients.detach().requires_grad_(), controls.clone().requires_grad_()
            extra = functional.geometry(positions, vectors @ vectors.T)
            extra.backward()
            value = value + extra.detach()
            expected_controls = expected_controls + vectors.grad
            expected_coefficients = expected_coefficients + positions.grad
        assert got.value == pytest.approx(float(value), rel=1e-9)
        torch.testing.assert_close(got.controls, expected_controls, **TOLERANCE)
        torch.testing.assert_close(got.coefficients, expected_coefficients, **TOLERANCE)

    def test_derivatives(self, name: str, strategy: str, policy: str) -> None:
        problem, split = make(name)
        chart = plane(problem)
        coefficients = chart.coefficients(coordinates()[:2])
        vectors = torch.randn(2, chart.dimension, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        motor = engine(problem, strategy, chunk=1, policy=policy)
        for points, derivatives in motor.derivatives(coefficients, chart.controls(), split, eval_batch_size=5):
            weights = (coefficients @ chart.controls()).detach()[points.start]
            mean_loss = _mean_loss(problem, split, policy)
            slope = torch.autograd.functional.jacobian(mean_loss, weights)
            torch.testing.assert_close(derivatives.gradient()[0], slope, **TOLERANCE)
            if policy == "batch" and name in ("batch_norm", "resnet"):
                with pytest.raises(la.BadInput, match="under statistics of the batch a loss belongs to a group"):
                    derivatives.hessian_product(vectors[points])
                continue
            with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivatives
                _, product = torch.autograd.functional.vhp(mean_loss, weights, vectors[points.start])
            torch.testing.assert_close(derivatives.hessian_product(vectors[points])[0], product, **TOLERANCE)


def _mean_loss(problem: la.Problem, split: la.Split, policy: str):
    """The mean loss over the split as a function of weights, module call by module call."""
    module = module_at(problem, la.WeightSpace(problem.module).vector_of(problem.module), policy)
    space = la.WeightSpace(module)

    def mean_loss(weights: Tensor) -> Tensor:
        total = weights.new_zeros(())
        for batch in split.eval_batches(5):
            args, kwargs = problem.feed.inputs(batch)
            buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
            returned = torch.func.functional_call(module, {**space.unflatten(weights), **buffers}, args, kwargs)
            total = total + problem.loss(problem.feed.output(returned), problem.feed.targets(batch)).sum()
        return total / len(split)

    return mean_loss


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("name", "policy"), WITH_POLICIES)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 6e-2)])
def test_precisions_agree_with_the_loop_in_doubles(
    name: str, strategy: str, policy: str, precision: str, tolerance: float
) -> None:
    """To within a tolerance of the largest entry; and bfloat16 is what it says, so it differs by a thousandth."""
    problem, split = make(name)
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates()).detach(), chart.controls().detach()
    value, rows = gradients(problem, coefficients @ controls, split.data, SquaredSum(), policy)

    problem.module.float()
    plan = Plan.of(strategy, 4, precision=precision)
    network = Network(problem, la.WeightSpace(problem.module), POLICIES[policy](), plane(problem))
    batch = tree_map(lambda leaf: leaf.float() if leaf.is_floating_point() else leaf, split.data)
    got = Engine(network, plan).pullback(coefficients.float(), controls.float(), batch, SquaredSum())

    expected = coefficients.T @ rows
    error = float((got.controls - expected).abs().max() / expected.abs().max())
    # Normalised by 12 images, layer after layer, rounding grows and flips ReLUs.
    tolerance *= 2.5 if (name, precision) == ("resnet", "bf16") else 1.0
    assert error < tolerance
    assert abs(got.value - float(value)) < tolerance * max(1.0, abs(float(value)))
    assert got.controls.dtype == torch.float32
    assert (error > 1e-4) == (precision == "bf16")


def test_derivatives_stay_in_full_precision() -> None:
    problem, split = make("mlp")
    problem.module.float()
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates().float()), chart.controls()
    network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart)
    floats = la.Split((split.data[0].float(), split.data[1]))
    found = [
        next(Engine(network, Plan.of("loop", 3, precision=p)).derivatives(coefficients, controls, floats, 12))[1]
        for p in ("fp32", "bf16")
    ]
    torch.testing.assert_close(found[0].gradient(), found[1].gradient(), rtol=0, atol=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_tf32_without_a_gpu_says_what_to_take() -> None:
    problem, _ = make("mlp")
    network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), plane(problem))
    with pytest.raises(la.BadInput, match="NVIDIA GPUs from Ampere on, this is cpu; use fp32 or bf16"):
        network.at("tf32")
    with pytest.raises(la.BadInput, match="fp16.*bf16, fp32, tf32"):
        network.at("fp16")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunks_do_not_change_results(strategy: str) -> None:
    problem, split = make("batch_norm")
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates()), chart.controls()
    results = [engine(problem, strategy, chunk) for chunk in (1, 2, POINTS)]
    values = [e.evaluate(coefficients, controls, split, choose_metrics(problem.loss), 5)["loss"] for e in results]
    slopes = [e.pullback(coefficients.detach(), controls, split.data, SquaredSum()).controls for e in results]
    for value, slope in zip(values[1:], slopes[1:], strict=True):
        torch.testing.assert_close(value, values[0], **TOLERANCE)
        torch.testing.assert_close(slope, slopes[0], **TOLERANCE)


def test_policies_differ_on_a_net_with_statistics() -> None:
    problem, split = make("batch_norm")
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates()), chart.controls()
    batch, frozen = (
        engine(problem, policy=policy).evaluate(coefficients, controls, split, choose_metrics(problem.loss), 12)["loss"]
        for policy in POLICIES
    )
    assert not torch.allclose(batch, frozen, rtol=1e-3)


def test_gradient_norm_is_that_of_finite_differences() -> None:
    problem, split = make("regression")
    chart = plane(problem)
    point = torch.zeros(1, 2, dtype=torch.float64)
    motor = engine(problem)
    ((_, derivatives),) = motor.derivatives(chart.coefficients(point), chart.controls(), split, eval_batch_size=100)
    norm = METRICS["gradient_norm"]().value(derivatives.gradient())[0]
    direction = derivatives.gradient()[0] / norm
    step = 1e-5
    controls = torch.stack([chart.origin.detach(), direction])
    ends = torch.tensor([[1.0, step], [1.0, -step]], dtype=torch.float64)
    up, down = motor.evaluate(ends, controls, split, choose_metrics(problem.loss), 100)["loss"]
    assert float((up - down) / (2 * step)) == pytest.approx(float(norm), rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("two_threads")
def test_the_users_module_is_never_changed(name: str) -> None:
    problem, split = make(name)
    problem.module.train()
    next(problem.module.parameters()).requires_grad_(False)
    before = copy.deepcopy(problem.module.state_dict())
    flags = [p.requires_grad for p in problem.module.parameters()]
    chart = plane(problem)
    for strategy in STRATEGIES:
        motor = engine(problem, strategy)
        check_network(motor.network, split)
        motor.pullback(chart.coefficients(coordinates()), chart.controls(), split.data, SquaredSum())
    assert problem.module.training
    assert flags == [p.requires_grad for p in problem.module.parameters()]
    assert all(p.grad is None for p in problem.module.parameters())
    for key, value in problem.module.state_dict().items():
        assert torch.equal(value, before[key])


def test_frozen_statistics_need_a_centre_only_where_there_are_statistics() -> None:
    normalised, plain = make("batch_norm")[0], make("conv")[0]
    with pytest.raises(la.BadInput, match="frozen buffers need a trained network"):
        la.FrozenStatistics().check(normalised.module, uncentred(normalised))
    la.FrozenStatistics().check(normalised.module, plane(normalised))
    la.FrozenStatistics().check(plain.module, uncentred(plain))


def uncentred(problem: la.Problem) -> la.Plane:
    return la.Plane.random(problem.module, initialiser=la.Xavier())


class InstanceNet(nn.Module):
    """Normalises each example by itself, with running statistics, in two dimensions of images."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, affine=True, track_running_stats=True), nn.ReLU(),
            nn.Flatten(), nn.Linear(36, 3),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


def in_training_mode_over(module: nn.Module, batches: list[Tensor]) -> nn.Module:
    """A copy whose running statistics are cumulative averages over the batches, as torch makes them."""
    module = copy.deepcopy(module)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d):
            part.reset_running_stats()
            part.momentum = None if isinstance(part, nn.BatchNorm2d) else 1.0
    module.train()
    for batch in batches:
        module(batch)
    return module.eval()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["batch norm", "instance norm"])
def test_reestimated_statistics_are_what_training_mode_leaves_at_each_point(kind: str, strategy: str) -> None:
    problem, split = make("batch_norm")
    if kind == "instance norm":
        # torch has no cumulative average for instance normalisation: one batch.
        torch.manual_seed(0)
        problem = la.Problem(InstanceNet().double(), la.CrossEntropy())
    batches, size = (3, 4) if kind == "batch norm" else (1, 12)
    chart = plane(problem)
    policy = la.ReestimatedStatistics(split, batches, size)
    network = Network(problem, la.WeightSpace(problem.module), policy, chart)
    coords = coordinates()
    metrics = choose_metrics(problem.loss)
    got = Engine(network, Plan.of(strategy, 4)).evaluate(
        chart.coefficients(coords), chart.controls(), split, metrics, eval_batch_size=5
    )
    before = copy.deepcopy(problem.module.state_dict())
    for i, weights in enumerate(chart.points(coords).detach()):
        module = in_training_mode_over(module_at(problem, weights, "frozen"), list(split.data[0].split(size)))
        with torch.no_grad():
            expected = problem.loss(module(split.data[0]), split.data[1]).mean()
        torch.testing.assert_close(got["loss"][i], expected, **TOLERANCE)
    torch.testing.assert_close(problem.module.state_dict(), before, rtol=0, atol=0)


def own_statistics(policy: str, split: la.Split) -> la.BuffersPolicy:
    return la.ReestimatedStatistics(split, 3, 4) if policy == "reestimated" else la.InterpolatedStatistics()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("policy", ["reestimated", "interpolated"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 6e-2)])
def test_precisions_agree_where_points_have_statistics_of_their_own(
    precision: str, tolerance: float, policy: str, strategy: str
) -> None:
    """With the loop in doubles, in losses and in gradients."""
    found = []
    plans = {torch.float64: Plan.of("loop", 4), torch.float32: Plan.of(strategy, 4, precision=precision)}
    for kind, plan in plans.items():
        problem, split = make("batch_norm")
        split = la.Split((split.data[0].to(kind), split.data[1]))
        problem.module.to(kind)
        chart = la.Simplex.between([copy.deepcopy(problem.module) for _ in range(3)])
        noise = torch.randn(chart.corners.shape, generator=torch.Generator().manual_seed(3))
        chart.corners += 0.3 * noise.to(chart.corners)
        network = Network(problem, la.WeightSpace(problem.module), own_statistics(policy, split), chart)
        motor = Engine(network, plan)
        coefficients, controls = chart.coefficients(coordinates().to(chart.corners)), chart.controls()
        loss = motor.evaluate(coefficients, controls, split, choose_metrics(problem.loss), 5)["loss"]
        slope = motor.pullback(coefficients.detach(), controls, split.data, SquaredSum()).controls
        found.append((loss.double(), slope.double()))
    for exact, got in zip(*found, strict=True):
        error = float((got - exact).abs().max() / exact.abs().max())
        assert error < tolerance
        assert (error > 1e-4) == (precision == "bf16")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("policy", ["reestimated", "interpolated"])
def test_gradients_hold_the_statistics_that_points_have_of_their_own(policy: str, strategy: str) -> None:
    problem, split = make("batch_norm")
    chart = la.Simplex.between([copy.deepcopy(problem.module) for _ in range(3)])
    chart.corners += 0.3 * torch.randn(chart.corners.shape, generator=torch.Generator().manual_seed(3)).double()
    network = Network(problem, la.WeightSpace(problem.module), own_statistics(policy, split), chart)
    there = Engine(network, Plan.of(strategy, 4))
    coefficients = chart.coefficients(coordinates())
    got = there.pullback(coefficients, chart.controls(), split.data, SquaredSum())
    rows = []
    for i, weights in enumerate(chart.points(coordinates())):
        module = module_at(problem, weights, "frozen")
        if policy == "reestimated":
            module = in_training_mode_over(module, list(split.data[0].split(4)))
        outputs, losses = outputs_and_losses(problem, module, split.data)
        module.zero_grad()
        SquaredSum().value(outputs[None], losses[None], alike(losses), slice(i, i + 1)).backward()
        rows.append(torch.cat([p.grad.reshape(-1) for p in module.parameters()]))
    torch.testing.assert_close(got.controls, coefficients.T @ torch.stack(rows), **TOLERANCE)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _, derivatives in there.derivatives(coefficients, chart.controls(), split, eval_batch_size=12):
            gradient = derivatives.gradient()
            assert derivatives.hessian_product(gradient).shape == gradient.shape
    assert [("hold the statistics of normalisation" in str(each.message)) for each in said] == [True]
    with pytest.raises(la.BadInput, match="gradients of coefficients are not known"):
        there.pullback(coefficients.requires_grad_(), chart.controls(), split.data, SquaredSum())


class CalledTwice(nn.Module):
    """One normalisation in two places, and a buffer that no mean may touch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.head = nn.Linear(90, 3)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -torch.inf]))

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.second(torch.relu(self.norm(self.first(images))))))
        return self.head(features.flatten(1)) + self.mask.clamp(min=-1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shared_normalisations_and_other_buffers(strategy: str) -> None:
    _, split = make("batch_norm")
    torch.manual_seed(0)
    problem = la.Problem(CalledTwice().double(), la.CrossEntropy())
    space, chart = la.WeightSpace(problem.module), la.Simplex.between([problem.module, problem.module])
    coords = torch.tensor([[0.3]], dtype=torch.float64)
    expected = {
        "reestimated": in_training_mode_over(problem.module, list(split.data[0].split(4))),
        "interpolated": copy.deepcopy(problem.module).eval(),
    }
    for name, policy in (
        ("reestimated", la.ReestimatedStatistics(split, 3, 4)),
        ("interpolated", la.InterpolatedStatistics()),
    ):
        network = Network(problem, space, policy, chart)
        got = Engine(network, Plan.of(strategy, 4)).evaluate(
            chart.coefficients(coords), chart.controls(), split, choose_metrics(problem.loss), eval_batch_size=12
        )
        with torch.no_grad():
            loss = problem.loss(expected[name](split.data[0]), split.data[1]).mean()
        torch.testing.assert_close(got["loss"][0], loss, **TOLERANCE)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_interpolated_statistics_are_the_networks_own_at_the_corners_of_a_simplex(strategy: str) -> None:
    problem, split = make("batch_norm")
    modules = []
    for seed in range(3):
        torch.manual_seed(seed)
        module = copy.deepcopy(problem.module)
        for part in module.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        modules.append(in_training_mode_over(module, [torch.randn(8, 2, 5, 6, dtype=torch.float64)]))
    chart = la.Simplex.between(modules)
    network = Network(problem, la.WeightSpace(problem.module), la.InterpolatedStatistics(), chart)
    coords = torch.tensor([[0, 0], [1, 0], [0, 1], [0.5, 0.25]], dtype=torch.float64)
    got = Engine(network, Plan.of(strategy, 4)).evaluate(
        chart.coefficients(coords), chart.controls(), split, choose_metrics(problem.loss), eval_batch_size=5
    )
    mixed = copy.deepcopy(modules[0])
    states = [module.state_dict() for module in modules]
    weights = (0.25, 0.5, 0.25)
    mixed.load_state_dict(
        {
            name: sum(w * state[name] for w, state in zip(weights, states, strict=True))
            if value.is_floating_point()
            else value
            for name, value in states[0].items()
        }
    )
    for i, module in enumerate([*modules, mixed]):
        with torch.no_grad():
            expected = problem.loss(module(split.data[0]), split.data[1]).mean()
        torch.testing.assert_close(got["loss"][i], expected, **TOLERANCE)


def test_policies_without_a_meaning_are_refused() -> None:
    problem, split = make("batch_norm")
    chart = plane(problem)
    with pytest.raises(la.BadInput, match="need a chart between trained networks"):
        la.engine_for(problem, chart, split, buffers=la.InterpolatedStatistics(), plan="loop")
    with pytest.raises(la.BadInput, match="running statistics that are reestimated from 12 examples, 4 together"):
        la.fit(
            chart, la.Pattern(la.picture("heart", 8)), problem, split, steps=1, plan="loop",
            buffers=la.ReestimatedStatistics(split, 3, 4),
        )  # fmt: skip
    with pytest.raises(la.BadInput, match="expected at least 1 of 2"):
        la.ReestimatedStatistics(split, 0)


class TestRefusals:
    def check(self, problem: la.Problem, data: object) -> None:
        network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), plane(problem))
        check_network(network, la.Split(data))

    def test_labels_beyond_the_outputs(self) -> None:
        problem = la.Problem(nn.Linear(3, 4), la.CrossEntropy())
        labels = torch.zeros(20, dtype=torch.int64)
        labels[19] = 4  # beyond the examples that the network is called on
        with pytest.raises(la.BadInput, match=r"labels run from 0 to 4, but the model has 4 outputs"):
            self.check(problem, (torch.zeros(20, 3), labels))

    def test_an_output_that_does_not_fit_the_loss(self) -> None:
        with pytest.raises(la.BadInput, match=r"output \(8, 4\) does not fit squared error with targets \(8,\)"):
            self.check(la.Problem(nn.Linear(3, 4), la.SquaredError()), (torch.zeros(8, 3), torch.zeros(8)))

    def test_a_loss_that_is_one_mean(self) -> None:
        problem = la.Problem(nn.Linear(3, 4), nn.functional.cross_entropy)
        with pytest.raises(la.BadInput, match=r"the loss returned shape \(\) for 8 examples"):
            self.check(problem, (torch.zeros(8, 3), torch.zeros(8, dtype=torch.int64)))

    def test_a_module_that_fails_on_the_data(self) -> None:
        with pytest.raises(la.BadInput, match="the model fails on these data"):
            self.check(la.Problem(nn.Linear(3, 4), la.CrossEntropy()), (torch.zeros(8, 5), torch.zeros(8).long()))


def test_the_loop_takes_modules_that_cannot_take_channels_last() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4 * 4 * 3, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.convolution(images).view(len(images), -1))

    problem = la.Problem(Views(), la.SquaredError())
    split = la.Split((torch.randn(6, 3, 6, 5), torch.randn(6, 2)))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    survey = la.survey(chart, la.make_grid(chart, (2, 2)), problem, {"train": split}, plan="loop")
    assert bool(np.isfinite(survey["train_loss"]).all())


@pytest.mark.parametrize("strategy", ["loop", "threads"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_reach_the_network_with_channels_last_whatever_their_number(strategy: str, channels: int) -> None:
    seen: list[tuple[int, ...]] = []

    class Probe(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            if type(images) is Tensor:  # which it is not where calls are followed
                seen.append(images.stride())
            return super().forward(images).mean((2, 3))

    problem = la.Problem(Probe(channels, 4, 3), la.CrossEntropy())
    images = torch.randn(5, channels, 6, 6)
    engine(problem, strategy).evaluate(
        torch.eye(3), plane(problem).controls().detach(), la.Split((images, torch.arange(5) % 4)),
        choose_metrics(problem.loss), 5,
    )  # fmt: skip
    assert set(seen) == {(36 * channels, 1, 6 * channels, channels)}


def test_frozen_statistics_around_a_random_start_are_refused_in_python_too() -> None:
    problem, split = make("batch_norm")
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match="frozen buffers"):
        la.engine_for(problem, chart, split, buffers=la.FrozenStatistics(), plan="loop")


def test_an_automatic_plan_serves_the_network_and_says_why() -> None:
    problem, split = make("mlp")
    chart = plane(problem)
    made = la.engine_for(problem, chart, split, points=5)
    assert made.plan.pullback.strategy in STRATEGIES
    assert made.plan.pullback.points <= 5
    assert "us/point" in made.plan.reason
    assert made.plan.machine == name_machine(torch.device("cpu"))
    assert Plan.from_dict(made.plan.to_dict()) == made.plan


def test_a_slow_network_is_measured_on_fewer_examples() -> None:
    """A run on all of them would use the time up before anybody is measured warm."""
    calls = []

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            time.sleep(1e-3 * len(x))
            return self.linear(x)

    problem = la.Problem(Slow(), la.CrossEntropy())
    split = la.Split((torch.randn(400, 3), torch.arange(400) % 2))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    plan = la.engine_for(problem, chart, split, batch_size=16, eval_batch_size=400).plan
    assert plan.evaluate.examples == 128
    (taken,) = re.findall(r"loop/32 (\d+) us/point", plan.reason)
    assert int(taken) >= 400_000, "a point on all examples takes 0.4 seconds, and longer on a busy machine"
    assert re.search(r"evaluate without vmap: of \d{3,} ms a point \d% is calls", plan.reason)
    assert calls.count(400) == 0
    assert calls.count(32) > 10


def test_a_network_that_cannot_be_vectorised_is_called_point_by_point() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x)
            return y if bool(y.sum() > 0) else -y

    problem = la.Problem(Branching(), la.SquaredError())
    split = la.Split((torch.randn(6, 3), torch.randn(6, 2)))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    plan = la.engine_for(problem, chart, split).plan
    assert {plan.pullback.strategy, plan.evaluate.strategy} <= {"plain", "loop", "threads"}
    assert "pullback without vmap: " in plan.reason
    with pytest.raises(la.BadInput, match="no strategy can evaluate this model: vmap"):
        la.engine_for(problem, chart, split, plan="vmap")


def test_memory_bounds_the_chunk_and_less_than_one_point_is_refused() -> None:
    problem, split = make("conv")
    chart = plane(problem)
    roomy, tight = (
        la.engine_for(problem, chart, split, plan="vmap", memory=memory).plan for memory in ("1GiB", "200kB")
    )
    assert roomy.evaluate.points == 256
    assert 1 <= tight.pullback.points <= tight.evaluate.points < 30
    with pytest.raises(la.BadInput, match=r"chunk is 0\.001 MB, one point takes 0\.\d+ MB; allow more \(--memory\)"):
        la.engine_for(problem, chart, split, plan="vmap", memory="1kB")
    with pytest.raises(la.BadInput, match="memory is 'lots'; expected auto, or a positive number of bytes such as"):
        la.engine_for(problem, chart, split, memory="lots")


@pytest.mark.parametrize(
    ("text", "expected"), [("500MB", 500_000_000), ("2GiB", 2**31), ("1.5 k", 1500), ("7", 7), ("3b", 3)]
)
def test_memory_is_given_with_a_unit_or_without(text: str, expected: int) -> None:
    assert find_memory_limit(text, torch.device("cpu")) == expected


@pytest.mark.parametrize("text", ["", "0", "-1GB", "2TB5", "GiB"])
def test_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(la.BadInput, match="expected auto, or a positive number of bytes"):
        find_memory_limit(text, torch.device("cpu"))


def test_by_default_a_chunk_takes_a_share_of_what_is_free() -> None:
    assert (
        2**20
        < find_memory_limit("auto", torch.device("cpu"))
        < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )


def test_a_chunk_is_halved_until_it_fits() -> None:
    tried = []

    def run(points: int) -> None:
        tried.append(points)
        if points > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert find_fitting_chunk(run, 100) == 12
    assert tried == [100, 50, 25, 12]
    with pytest.raises(la.BadInput, match="one point does not fit into the device's memory"):
        find_fitting_chunk(lambda points: run(points + 12), 4)


class Impure(nn.Module):
    """A network that is one, but for a layer that is not."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), layer, nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class AlwaysDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class InPlaceNoise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(torch.randn_like(x))


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


SERVICE = {"strategy": "loop", "points": 4}
PLAN = {"evaluate": SERVICE, "pullback": SERVICE, "derivatives": SERVICE, "threads": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "Expected `object`, got `int`"),
        ([1, 2], "Expected `object`, got `array`"),
        ({}, "missing required field"),
        ({"plan": 3, "data": 4}, "this is not a plan .*got `int`"),
        ({"plan": [PLAN]}, "this is not a plan .*got `array`"),
        ({**PLAN, "evaluate": []}, "got `array` - at `\\$.evaluate`"),
        ({**PLAN, "threads": 0}, "at least one thread, and 1024 at most; got 0"),
        ({**PLAN, "threads": 10**9}, "at least one thread, and 1024 at most"),
        ({**PLAN, "threads": "2"}, "Expected `int`, got `str`"),
        ({**PLAN, "reason": None}, "Expected `str`, got `null`"),
        ({**PLAN, "odd": 1}, "'odd' is unknown"),
        ({**PLAN, "pullback": {**SERVICE, "odd": 1}}, "'odd' is unknown"),
        *(
            ({**PLAN, "pullback": {**SERVICE, **change}}, message)
            for change, message in (
                ({"points": 0}, "at least one point at a time"),
                ({"points": -3}, "at least one point at a time"),
                ({"points": 10**30}, "2147483648 at most; got 1000000000"),
                ({"points": 2.5}, "Expected `int`, got `float`"),
                ({"points": True}, "Expected `int`, got `bool`"),
                ({"examples": 0}, "at least one example at a time"),
                ({"strategy": "lop"}, "'lop' is not an engine strategy; did you mean 'loop'"),
                ({"precision": "fp8"}, "'fp8' is not a precision"),
            )
        ),
    ],
)
def test_what_is_not_a_plan_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for whole in (PLAN, {"format": "lossatlas run 2", "plan": PLAN}):
        path.write_text(json.dumps(whole))
        assert la.Plan.read(path) == la.Plan.of("loop", 4)
    path.write_text(json.dumps(content))
    with pytest.raises(la.BadInput, match=f"plan file {path}.*{message}") as caught:
        la.Plan.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (AlwaysDropout(), r"layer 'body\.1' \(AlwaysDropout\) is random in evaluation mode"),
        (InPlaceNoise(), r"is random in evaluation mode"),
        (Counter(), r"writes to buffer 'body\.1\.calls' in evaluation mode"),
    ],
)
def test_what_is_not_a_function_of_weights_and_inputs_is_refused_by_name(layer: nn.Module, message: str) -> None:
    problem = la.Problem(Impure(layer), la.CrossEntropy())
    split = la.Split((torch.randn(6, 3), torch.arange(6) % 2))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    state = torch.random.get_rng_state()
    with pytest.raises(la.BadInput, match=message):
        la.engine_for(problem, chart, split)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dropout_that_knows_evaluation_mode_is_a_function() -> None:
    problem = la.Problem(Impure(nn.Dropout(0.5)), la.CrossEntropy())
    split = la.Split((torch.randn(6, 3), torch.arange(6) % 2))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    check_network(la.engine_for(problem, chart, split, plan="loop").network, split)


class Operations(TorchDispatchMode):
    """Remembers the names of what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("policy", POLICIES)
def test_batched_uses_its_rules_where_vmap_groups_convolutions(policy: str) -> None:
    problem, split = make("batch_norm")
    chart = plane(problem)
    seen = {}
    for strategy in ("vmap", "batched"):
        with Operations() as operations:
            engine(problem, strategy, policy=policy).pullback(
                chart.coefficients(coordinates()).detach(), chart.controls().detach(), split.data, SquaredSum()
            )
        seen[strategy] = {name for name in operations.names if "convolution" in name or "batch_norm" in name}
    assert {"convolution", "convolution_backward"} <= seen["vmap"]
    assert seen["batched"] == set()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "options", [{"stride": (2, 1), "padding": (0, 2)}, {"stride": (3,), "padding": (1,)}, {"padding": 3}, {"stride": 2}]
)
def test_unfolded_convolutions_are_torchs_for_any_stride_and_padding(options: dict[str, object], bias: bool) -> None:
    """Two layers, so that gradients go through images that all networks share and through those of their own."""
    module = nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), padding=2, bias=bias), nn.Tanh(), nn.Conv2d(3, 4, (2, 3), bias=bias, **options),
        nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip
    images = torch.randn(5, 2, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    module.double()(images)
    problem = la.Problem(module, la.CrossEntropy())
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates()).detach(), chart.controls().detach()
    batch = (images, torch.arange(5) % 3)
    loop, batched = (
        engine(problem, strategy).pullback(coefficients, controls, batch, SquaredSum()).controls
        for strategy in ("loop", "batched")
    )
    torch.testing.assert_close(batched, loop, **TOLERANCE)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batched_normalises_groups_of_channels_by_a_rule(groups: int, affine: bool) -> None:
    """Before a layer with weights, so that all networks share its input, and behind one."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.GroupNorm(2, 2), nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(groups, 4, affine=affine), nn.Tanh(),
        nn.Conv2d(4, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(48, 8), nn.GroupNorm(groups, 8),
        nn.Linear(8, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    images = torch.randn(5, 2, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    problem = la.Problem(module, la.CrossEntropy())
    chart = plane(problem)
    coefficients, controls = chart.coefficients(coordinates()).detach(), chart.controls().detach()
    split = la.Split((images, torch.arange(5) % 3))
    found = {}
    for strategy in ("loop", "batched"):
        made = engine(problem, strategy, policy="frozen")
        with Operations() as operations:
            pulled = made.pullback(coefficients, controls, split.data, SquaredSum()).controls
        _, derivatives = next(made.derivatives(coefficients, controls, split, eval_batch_size=5))
        product = derivatives.hessian_product(torch.ones(4, controls.shape[1], dtype=torch.float64))
        found[strategy] = pulled, product
        assert any("group_norm" in name for name in operations.names) == (strategy == "loop")
    torch.testing.assert_close(found["batched"], found["loop"], **TOLERANCE)


def test_normalisation_in_bfloat16_is_exact_far_from_zero() -> None:
    """What a rounded scale and shift would lose: with features of 30 +- 1, a fifth of a standard deviation."""
    torch.manual_seed(0)
    module = nn.BatchNorm2d(4)
    module.running_mean.fill_(30.0)
    features = (30 + torch.randn(64, 4, 3, 3)).bfloat16()
    params = {"weight": torch.rand(3, 4) + 0.5, "bias": torch.randn(3, 4)}

    def one(point: dict[str, Tensor]) -> Tensor:
        with StackedLayers(point, torch.ones(1), {}):
            return torch.func.functional_call(module.eval(), point, (features,))

    got = torch.vmap(one)(params)
    assert got.dtype == torch.bfloat16
    for i in range(3):
        point = {name: value[i] for name, value in params.items()}
        exact = torch.func.functional_call(module.eval(), point, (features.float(),))
        torch.testing.assert_close(got[i].float(), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(2, 4, 3)])
def test_layers_computed_at_the_controls_round_no_coefficients(layer: nn.Module) -> None:
    """Controls that nearly cancel: with coefficients or values in bfloat16 the rest would drown in their rounding."""
    images = torch.randn(5, 6) if isinstance(layer, nn.Linear) else torch.randn(5, 2, 4, 4)
    space = la.WeightSpace(layer)
    rest, large = torch.randn(2, space.size)
    controls = torch.stack([300 * large + rest, -300 * large])
    coefficients = torch.ones(3, 2) + torch.tensor([[0.0, 0.0], [0.01, 0.01], [0.3, 0.3]])
    params, of_controls = space.combine(coefficients, controls), space.unflatten(controls)

    def one(point: dict[str, Tensor], coefficients: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16), StackedLayers(point, coefficients, of_controls):
            return torch.func.functional_call(layer, point, (images,))

    got = torch.vmap(one)(params, coefficients)
    assert got.dtype == torch.bfloat16
    for i in range(3):
        exact = torch.func.functional_call(layer, {name: value[i] for name, value in params.items()}, (images,))
        torch.testing.assert_close(got[i].float(), exact, rtol=2**-7, atol=1e-2)


class SharedInputs(nn.Module):
    """Layers of what all networks share: of rows of three dimensions, without a bias, and used again on features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, rows: Tensor) -> Tensor:
        shared = torch.tanh(self.first(rows))
        features = self.again(shared) + self.again(torch.tanh(self.again(shared)))
        return (self.head(shared) + self.head(features)).mean(dim=1)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-5), ("bf16", 6e-2)])
@pytest.mark.parametrize(
    "patterns", [("*",), ("*.weight",), ("again*", "head*"), ("head*",)], ids=["all", "no biases", "not first", "head"]
)
def test_shared_inputs_of_every_kind_and_held_parameters(
    patterns: tuple[str, ...], precision: str, tolerance: float, strategy: str
) -> None:
    """Behind a held layer the features that all networks share are bfloat16 already."""
    results = []
    for kind, plan in ((torch.float64, Plan.of("loop", 7)), (torch.float32, Plan.of(strategy, 7, precision=precision))):
        torch.manual_seed(0)
        problem = la.Problem(SharedInputs().to(kind), la.CrossEntropy())
        rows = torch.randn(9, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(kind)
        space = la.WeightSpace(problem.module, patterns)
        vectors = torch.randn(3, space.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(kind)
        controls = torch.cat([space.vector_of(problem.module)[None], 0.2 * vectors[1:]])
        coefficients = torch.cat([torch.ones(POINTS, 1, dtype=torch.float64), coordinates()], dim=1).to(kind)
        network = Network(problem, space, la.BatchStatistics(), plane(problem))
        motor, batch = Engine(network, plan), (rows, torch.arange(9) % 3)
        loss = motor.evaluate(coefficients, controls, la.Split(batch), choose_metrics(problem.loss), 9)["loss"]
        results.append((loss, motor.pullback(coefficients, controls, batch, SquaredSum()).controls))
    for exact, got in zip(*results, strict=True):
        assert float((got.double() - exact).abs().max() / exact.abs().max()) < tolerance


@pytest.mark.own_choice
@pytest.mark.parametrize(("points", "inputs", "paid"), [(4, 5, False), (12, 5, False), (4, 400, False), (12, 60, True)])
def test_layers_go_by_the_controls_where_these_are_few(points: int, inputs: int, paid: bool) -> None:
    """And either way the gradient is that of the loop."""
    torch.manual_seed(0)
    problem = la.Problem(nn.Sequential(nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, 3)).double(), la.CrossEntropy())
    chart, space = plane(problem), la.WeightSpace(problem.module)
    network = Network(problem, space, la.BatchStatistics(), chart)
    coefficients = chart.coefficients(torch.randn(points, 2, dtype=torch.float64)).detach()
    controls, batch = chart.controls().detach(), (torch.randn(6, inputs, dtype=torch.float64), torch.arange(6) % 3)
    made = Points(space.combine(coefficients, controls), coefficients, space.unflatten(controls))

    def term(outputs: Tensor, losses: Tensor, points: slice) -> Tensor:
        return losses.sum()

    parts = STRATEGIES["batched"]().pullback(network, made, batch, term)
    assert set(parts.controls) == ({"0.weight", "0.bias"} if paid else set())
    loop, batched = (
        Engine(network, Plan.of(strategy, points)).pullback(coefficients, controls, batch, SquaredSum()).controls
        for strategy in ("loop", "batched")
    )
    torch.testing.assert_close(batched, loop, **TOLERANCE)


def test_layers_computed_at_the_controls_round_no_products_on_a_gpu() -> None:
    seen = []

    def layer(images: Tensor) -> Tensor:
        seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
        return images

    with allow_tensor_float(True):
        layers.combine_layers(torch.ones(4, 3), layer, torch.ones(3, 2))
        assert torch.backends.cuda.matmul.allow_tf32
    assert seen == [(False, False)]


@pytest.mark.usefixtures("two_threads")
def test_whether_products_are_rounded_is_stated_while_a_strategy_works_and_restored() -> None:
    seen = []

    class Watching(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return super().forward(x)

    problem = la.Problem(Watching(3, 2), la.CrossEntropy())
    chart = plane(problem)
    batch = (torch.randn(4, 3), torch.arange(4) % 2)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    motor = engine(problem, "threads")
    seen.clear()
    motor.pullback(chart.coefficients(coordinates().float()).detach(), chart.controls().detach(), batch, SquaredSum())
    assert set(seen) == {(False, False)}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_an_unknown_plan_lists_the_choices() -> None:
    problem, split = make("mlp")
    with pytest.raises(la.BadInput, match=r"'lop' is not a plan; did you mean 'loop'"):
        la.engine_for(problem, plane(problem), split, plan="lop")


class LargestTensor(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.numel() * leaf.element_size())
        return result


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("service", ["evaluate", "pullback"])
def test_no_tensor_grows_with_the_number_of_points(strategy: str, service: str) -> None:
    problem, split = make("mlp")
    chart = plane(problem)
    controls = chart.controls().detach()
    sizes = []
    for points in (6, 60):
        coefficients = torch.rand(points, 3, dtype=torch.float64)
        with LargestTensor() as largest:
            if service == "evaluate":
                engine(problem, strategy).evaluate(
                    coefficients, controls, split, choose_metrics(problem.loss), eval_batch_size=6
                )
            else:
                engine(problem, strategy).pullback(coefficients, controls, split.data, SquaredSum())
        sizes.append(largest.bytes)
    assert sizes[0] == sizes[1] < 6 * 8 * len(controls[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_agrees_with_the_cpu(name: str, strategy: str) -> None:
    problem, split = make(name)
    chart = plane(problem)
    coefficients = chart.coefficients(coordinates()).detach().requires_grad_()
    controls = chart.controls().detach()
    results = []
    for device in ("cpu", "cuda"):
        network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart, device)
        on_device = Engine(network, Plan.of(strategy, 4))
        there = coefficients.detach().to(device).requires_grad_(), controls.to(device)
        examples = split.to(device)
        values = on_device.evaluate(*there, examples, choose_metrics(problem.loss), eval_batch_size=5)
        pull = on_device.pullback(*there, examples.data, SoftMaximum())
        results.append((values, pull.controls.cpu(), pull.coefficients.cpu()))
    torch.testing.assert_close(results[1], results[0], **TOLERANCE)


class Renormed(nn.Module):
    """A network with an operation that torch has no rule for under ``vmap``."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.renorm(self.inner(x), 2, 0, 5.0)


@pytest.mark.parametrize("strategy", ["vmap", "batched", "auto"])
def test_torch_warns_of_lacking_rules_in_calls_of_users_alone(strategy: str) -> None:
    torch.manual_seed(0)
    net, examples = Renormed(), la.Split((torch.randn(12, 4), torch.arange(12) % 3))
    chart = la.slice_around(net)
    problem, options = la.Problem(net, la.CrossEntropy()), {"metrics": ["loss", "gradient_norm"], "plan": strategy}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = la.survey(chart, la.make_grid(chart, (3, 2)), problem, {"a": examples}, **options)
    assert not [str(each.message) for each in told]
    assert bool(np.isfinite(found["a_gradient_norm"]).all())
    with pytest.warns(UserWarning, match="There is a performance drop"):
        torch.vmap(lambda x: torch.renorm(x, 2, 0, 5.0))(torch.randn(2, 3, 3))
