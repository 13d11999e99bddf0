"""Charts whose coefficients have trained parameters: gradients against plain losses and differences, and fits."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from networks import make
from torch import Tensor, nn
from torch.func import functional_call

import lossatlas as la
from lossatlas.engine import STRATEGIES, layer as layers
from lossatlas.engine.network import Network
from lossatlas.objectives import OnCurve
from lossatlas.schema import CURVE
from lossatlas.types import Params

DECAY, TEMPERATURE, SEED = 0.7, 0.3, 5


class Warped(la.CoefficientChart):
    """A parabola whose parameter is a trained power of the coordinate, beside the length of its first control.

    ``a(t) = ((1 - s)^2 + r, 2 s (1 - s), s^2 - r)`` with ``s = t^exp(warp)`` and ``r = |w_0| / 100``, so that
    coefficients depend on a parameter of their own and on the controls.
    """

    axes = (CURVE,)
    centred = False

    def __init__(self, controls: Tensor, *, held: bool = False) -> None:
        super().__init__()
        self.warp = nn.Parameter(torch.tensor(0.4, dtype=controls.dtype))
        self.vectors = nn.Parameter(controls.clone(), requires_grad=not held)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Warped:
        chart = cls(state["vectors"])
        chart.load_state_dict(state)
        return chart

    @property
    def statistics(self) -> Params:
        return {}

    @property
    def dimension(self) -> int:
        return self.vectors.shape[1]

    def controls(self) -> Tensor:
        return self.vectors

    def coefficients(self, coords: Tensor) -> Tensor:
        s, r = coords[:, 0] ** self.warp.exp(), self.vectors[0].norm() / 100
        return torch.stack([(1 - s) ** 2 + r, 2 * s * (1 - s), s**2 - r], dim=1)


def warped(problem: la.Problem, *, held: bool = False) -> Warped:
    n = la.WeightSpace(problem.module).size
    random = torch.Generator().manual_seed(1)
    return Warped(0.4 * torch.randn(3, n, generator=random, dtype=torch.float64), held=held)


OBJECTIVES = {
    "a sum": la.Uniform(5),
    "with geometry": la.Uniform(5, weight_decay=DECAY),
    "coupled": la.Maximum(5, temperature=TEMPERATURE),
    "coupled with geometry": la.Maximum(5, temperature=TEMPERATURE, weight_decay=DECAY),
}


def by_hand(problem: la.Problem, split: la.Split, chart: la.Chart, objective: OnCurve) -> Tensor:
    """The objective at the points of the first step, by plain modules at points that autograd forms."""
    points = chart.points(objective.sample(SEED, 0, 0.0, {}).coords)
    space, (inputs, targets) = la.WeightSpace(problem.module), split.data
    losses = [
        problem.loss(functional_call(problem.module, space.unflatten(weights), (inputs,)), targets)
        for weights in points
    ]
    means = torch.stack(losses).mean(dim=1)
    decay = objective.weight_decay / 2 * points.square().sum(dim=1).mean()
    if isinstance(objective, la.Maximum):
        return TEMPERATURE * torch.log(torch.exp(means / TEMPERATURE).mean()) + decay
    return means.mean() + decay


def make_fit(
    problem: la.Problem, split: la.Split, chart: la.CoefficientChart, objective: OnCurve, strategy: str = "loop"
) -> la.Fit:
    """A fit on whole batches, in chunks of two points, whose gradients are left as they are."""
    network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart)
    engine = la.Engine(network, la.Plan.of(strategy, 2))
    optimizer = la.Momentum(lr=1e-3, max_norm=math.inf)
    return la.Fit(chart, objective, engine, split, la.Steps(9), optimizer=optimizer, batch_size=len(split), seed=SEED)


@pytest.mark.parametrize("held", [False, True], ids=["controls trained", "controls held"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_has_the_gradients_of_plain_losses_and_of_differences(
    name: str, strategy: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "OVERHEAD", 0.0)  # layers are computed at the controls, however small
    problem, split = make("mlp")
    chart, objective = warped(problem, held=held), OBJECTIVES[name]
    trained = [parameter for parameter in chart.parameters() if parameter.requires_grad]
    value = by_hand(problem, split, chart, objective)
    wanted = torch.autograd.grad(value, trained)
    value = value.detach()
    step = 1e-5
    with torch.no_grad():
        moved = []
        for way in (step, -2 * step):
            chart.warp += way
            moved.append(float(by_hand(problem, split, chart, objective)))
        chart.warp += step
    fit = make_fit(problem, split, chart, objective, strategy)
    assert fit.step()["objective"] == pytest.approx(float(value), rel=1e-12)
    for parameter, gradient in zip(trained, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    assert chart.warp.grad.item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-6)
    assert abs(chart.warp.grad.item()) > 1e-3
    assert held == (chart.vectors.grad is None)


def test_a_restored_fit_goes_on_with_its_coefficients() -> None:
    problem, split = make("mlp")
    objective = OBJECTIVES["with geometry"]
    whole = make_fit(problem, split, warped(problem), objective)
    for _ in range(2):
        whole.step()
    other = make_fit(problem, split, warped(problem), objective)
    other.restore(*copy.deepcopy(whole.state()))
    assert whole.step()["objective"] == other.step()["objective"]
    assert torch.equal(whole.chart.warp, other.chart.warp)


def test_coefficients_alone_find_the_point_of_least_loss_and_are_surveyed(tmp_path: Path) -> None:
    """On a line through (0, 0) and (4, 2) the point nearest to the examples' mean (1, 3) is (2, 1)."""

    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def forward(self, rows: Tensor) -> Tensor:
            return self.weight - rows

    class Mixture(Warped):
        """The same trained mixture of two networks wherever one looks."""

        def coefficients(self, coords: Tensor) -> Tensor:
            share = self.warp.expand(len(coords))
            return torch.stack([1 - share, share], dim=1)

    problem = la.Problem(Bowl(), la.PerExample(lambda outputs, _: outputs.square().sum(dim=-1)))
    split = la.Split((torch.tensor([[0.0, 3.0], [2.0, 3.0]]), torch.zeros(2)))
    chart = Mixture(torch.tensor([[0.0, 0.0], [4.0, 2.0]]), held=True)
    fitted = la.fit(chart, la.Uniform(2), problem, split, steps=60, optimizer=la.Adam(lr=0.05), plan="loop")
    assert chart.warp.item() == pytest.approx(0.5, abs=0.01)
    assert fitted.history[-1]["objective"] < fitted.history[0]["objective"]
    data = la.survey(chart, {CURVE: [0.0, 1.0]}, problem, {"train": split}, plan="loop", path=tmp_path / "survey.zarr")
    torch.testing.assert_close(torch.tensor(data["train_loss"].values), torch.full((2,), 6.0), rtol=1e-3, atol=0)


def test_an_arc_length_whose_gradient_would_be_in_part_is_refused() -> None:
    class Bent(la.Bezier):
        """A curve that runs through its coordinate at a trained pace."""

        def __init__(self, controls: Tensor) -> None:
            super().__init__(controls)
            self.pace = nn.Parameter(torch.ones((), dtype=torch.float64))

        def coefficients(self, coords: Tensor) -> Tensor:
            return super().coefficients(coords**self.pace)

        def velocities(self, coords: Tensor) -> Tensor:
            return super().velocities(coords**self.pace) * self.pace * coords ** (self.pace - 1)

    curve = Bent(torch.eye(3, dtype=torch.float64))
    with pytest.raises(la.BadInput, match="not differentiated in trained coefficients; hold them"):
        la.ArcLength(curve).sample(0, 0, 0.0, {})
    curve.pace.requires_grad_(False)
    assert la.ArcLength(curve).sample(0, 0, 0.0, {}).coords.shape == (4, 1)
