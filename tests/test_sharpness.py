"""Sharpness: rises of the loss against closed forms, and what a survey holds of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import lossatlas as la
from lossatlas.curvatures import Rises
from lossatlas.curvatures.spectrum import make_numbered
from lossatlas.engine import Derivatives
from lossatlas.engine.setup import engine_for
from lossatlas.errors import BadInput
from lossatlas.metrics import choose_metrics
from lossatlas.weights import WeightSpace

EXAMPLES, INPUTS = 24, 6
RADIUS = 1.5


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


INPUT = random(EXAMPLES, INPUTS) * torch.linspace(0.3, 2, INPUTS, dtype=torch.float64)
DATA = INPUT, random(EXAMPLES, 1, seed=1)


def derivatives_at(module: nn.Module, weights: Tensor, data: tuple[Tensor, Tensor] = DATA) -> Derivatives:
    """Derivatives of the mean squared error at the points ``weights`` (p, n)."""
    space = WeightSpace(module)
    chart = la.Plane(weights[0], torch.eye(2, space.size).double())
    split = la.Split.of(data)
    engine = engine_for(
        la.Problem(module, la.SquaredError()), chart, split, space=space, plan="vmap", eval_batch_size=10
    )
    points = torch.eye(len(weights)).double()
    ((_, derivatives),) = engine.derivatives(points, weights, split, 10, (6, 6), graphs=False)
    return derivatives


LINEAR = nn.Linear(INPUTS, 1, bias=False).double()
POINTS = random(3, INPUTS, seed=2)


def quadratic() -> tuple[Tensor, Tensor]:
    """The Hessian (n, n) and the gradients (p, n) of the mean squared error of the linear model."""
    x, y = DATA
    hessian = 2 * x.T @ x / EXAMPLES
    return hessian, 2 * (POINTS @ x.T - y.T) @ x / EXAMPLES


def highest_in_ball(hessian: Tensor, slope: Tensor, radius: float) -> Tensor:
    """The maximum of ``g d + d H d / 2`` over ``|d| <= radius``: where ``(m - H) d = g``, for a positive definite H."""
    values, vectors = torch.linalg.eigh(hessian)
    along = vectors.T @ slope
    low, high = float(values[-1]), float(values[-1] + slope.norm() / radius)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (along / (middle - values)).norm() > radius else (low, middle)
    step = along / (high - values)
    return along @ step + (values * step) @ step / 2


def test_one_ascent_step_and_several_on_a_quadratic() -> None:
    hessian, slopes = quadratic()
    rises = Rises(derivatives_at(LINEAR, POINTS))
    steps = RADIUS * slopes / slopes.norm(dim=1, keepdim=True)
    expected = (slopes * steps).sum(dim=1) + ((steps @ hessian) * steps).sum(dim=1) / 2
    one = rises.by_one_step(RADIUS)
    torch.testing.assert_close(one, expected, rtol=1e-9, atol=0)
    best = torch.stack([highest_in_ball(hessian, slope, RADIUS) for slope in slopes])
    several = rises.by_steps(RADIUS)
    assert (several >= one).all()
    assert (several <= best * (1 + 1e-9)).all()
    torch.testing.assert_close(several, best, rtol=1e-3, atol=0)
    assert ((best - one) / best > 0.01).any()  # so that one step would not have done


def test_an_ascent_leaves_a_minimum() -> None:
    x, y = DATA
    minimum = torch.linalg.lstsq(x, y).solution.T
    hessian, _ = quadratic()
    rises = Rises(derivatives_at(LINEAR, minimum, (x, x @ minimum.T)))
    assert float(rises.by_steps(RADIUS)) == pytest.approx(
        float(torch.linalg.eigvalsh(hessian)[-1]) * RADIUS**2 / 2, 0.02
    )


def test_random_steps_rise_by_the_trace() -> None:
    hessian, _ = quadratic()
    found = Rises(derivatives_at(LINEAR, POINTS)).on_average(RADIUS)
    expected = RADIUS**2 * hessian.trace() / (2 * INPUTS)
    assert (found.standard_error > 0).all()
    assert (found.standard_error < 0.2 * expected).all()
    assert ((found.value - expected).abs() < 3 * found.standard_error).all()


def test_adaptive_sharpness_does_not_change_with_the_scale_of_layers_and_the_plain_one_does() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(INPUTS, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    own = WeightSpace(module).vector_of(module)
    factors = torch.ones_like(own)
    factors[: 5 * INPUTS + 5], factors[5 * INPUTS + 5 : -1] = 7.0, 1 / 7.0
    rises = Rises(derivatives_at(module, torch.stack([own, own * factors])))
    adaptive, plain = rises.adaptively(0.05), rises.by_one_step(0.05)
    assert float(adaptive[0]) > 0
    torch.testing.assert_close(adaptive[0], adaptive[1], rtol=1e-9, atol=0)
    assert abs(float(plain[1] / plain[0]) - 1) > 0.2


def test_only_the_chosen_parameters_are_moved() -> None:
    module = nn.Sequential(nn.Linear(INPUTS, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    own = WeightSpace(module).vector_of(module)[None]
    derivatives = derivatives_at(module, own)
    slopes = derivatives.gradient()
    slopes[:, : 3 * INPUTS + 3] = 0  # held: all but the last layer
    step = RADIUS * slopes / slopes.norm()
    expected = derivatives.move(step).losses() - derivatives.losses()
    torch.testing.assert_close(Rises(derivatives, ["2.*"]).by_one_step(RADIUS), expected)


def test_a_survey_holds_several_radii_and_goes_on_past_points_that_are_not_finite() -> None:
    module = nn.Sequential(nn.Linear(INPUTS, 4), nn.ReLU(), nn.Linear(4, 1))
    data = tuple(part.float() for part in DATA)
    own = WeightSpace(module).vector_of(module)
    chart = la.Plane(own, torch.stack([own, -own.flip(0)]))
    grid = {"u": np.array([0.0, 1e30]), "v": np.array([0.0, 0.5])}
    names = ["sam_sharpness:1e-3", "sam_sharpness:0.05", "worst_sharpness:0.05", "average_sharpness:0.05"]
    found = la.survey(
        chart, grid, la.Problem(module, la.SquaredError()), {"test": data}, metrics=["loss", *names], plan="loop"
    )
    assert {"test_sam_sharpness_0_001", "test_sam_sharpness_0_05", "test_average_sharpness_0_05_probe_error"} <= {
        *found
    }
    for name in ("test_sam_sharpness_0_001", "test_worst_sharpness_0_05", "test_average_sharpness_0_05"):
        assert np.isfinite(found[name][0]).all()
        assert np.isnan(found[name][1]).all()
    assert (found["test_worst_sharpness_0_05"] >= found["test_sam_sharpness_0_05"])[0].all()
    assert (found["test_sam_sharpness_0_05"] > found["test_sam_sharpness_0_001"])[0].all()
    assert "0.05" in found["test_sam_sharpness_0_05"].attrs["long_name"]
    alone = la.survey(
        chart, grid, la.Problem(module, la.SquaredError()), {"test": data}, metrics=names[1:2], plan="loop"
    )
    np.testing.assert_array_equal(alone["test_sam_sharpness_0_05"], found["test_sam_sharpness_0_05"])


def test_a_rise_that_rounding_hides_is_told_once_and_not_with_a_small_standard_error() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(INPUTS, 4), nn.Tanh(), nn.Linear(4, 1))
    data = tuple(part.float() for part in DATA)
    chart, grid = la.Plane(WeightSpace(module).vector_of(module), torch.eye(1, 33)), {"u": np.array([0.0, 0.5])}

    def survey(*metrics: str) -> xr.Dataset:
        return la.survey(
            chart, grid, la.Problem(module, la.SquaredError()), {"test": data}, metrics=["loss", *metrics], plan="loop"
        )

    with pytest.warns(la.Caution) as said:
        found = survey("sam_sharpness:1e-9", "sam_sharpness:0.05", "average_sharpness:1e-6")
    (line,) = (str(each.message) for each in said)
    assert line.startswith("test: the loss at 2 of 2 points rises by no more than its own rounding within a radius ")
    assert "the smallest is 1e-09" in line
    rounding = 2.0**-23 * found["test_loss"]
    assert (found["test_average_sharpness_0_000001_probe_error"] >= rounding).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        survey("sam_sharpness:0.05", "average_sharpness:0.05")


def test_random_steps_do_not_depend_on_the_default_dtype() -> None:
    usual = make_numbered(0, "noise", 20)(3)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(make_numbered(0, "noise", 20)(3), usual)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", ["sam_sharpness", "sam_sharpness:-1", "worst_sharpness:x", "average_sharpness:nan"])
def test_a_radius_is_needed(name: str) -> None:
    with pytest.raises(BadInput, match=r"radius.* as in \w+_sharpness:0\.05") as caught:
        choose_metrics(la.SquaredError(), [name])
    assert "\n" not in str(caught.value)


def test_an_ascent_that_does_not_move_at_an_exact_minimum_is_told() -> None:
    """Where the gradient is zero, the step of a single ascent is as well: 0 is not flatness."""
    module = nn.Linear(2, 1, bias=False)
    nn.init.ones_(module.weight)
    inputs = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    chart = la.Plane(torch.ones(2), torch.eye(2)[:1])
    with pytest.warns(la.Caution, match="the loss at 1 of 1 point rises by no more than its own rounding"):
        found = la.survey(
            chart, {"u": np.array([0.0])}, la.Problem(module, la.SquaredError()),
            {"test": (inputs, inputs.sum(dim=1, keepdim=True))},
            metrics=["sam_sharpness:0.05", "worst_sharpness:0.05"], plan="loop",
        )  # fmt: skip
    assert float(found["test_sam_sharpness_0_05"][0]) == 0
    assert float(found["test_worst_sharpness_0_05"][0]) > 1e-3
