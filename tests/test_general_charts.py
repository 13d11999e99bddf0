"""Charts whose points are not coefficients times controls: surveyed like others, and never all in memory at once."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.charts import Chart
from lossatlas.surveying.path_points import locate_points


class Circle(Chart):
    """Points on a circle through the weights of a network: in polar coordinates."""

    axes = ("angle",)
    centred = True

    def __init__(self, origin: Tensor, direction: Tensor) -> None:
        super().__init__()
        self.register_buffer("origin", origin)
        self.register_buffer("direction", direction)
        self.together: list[int] = []

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["origin"], state["direction"])

    @property
    def dimension(self) -> int:
        return len(self.origin)

    def points(self, coords: Tensor) -> Tensor:
        self.together.append(len(coords))
        at = coords.to(self.origin)
        return at.cos() * self.origin + at.sin() * self.direction


ANGLES = {"angle": np.linspace(0.0, 1.5, 7)}


@pytest.fixture
def problem() -> la.Problem:
    torch.manual_seed(0)
    return la.Problem(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), la.CrossEntropy())


@pytest.fixture
def examples() -> la.Split:
    made = torch.Generator().manual_seed(1)
    return la.Split.of((torch.randn(40, 4, generator=made), torch.randint(3, (40,), generator=made)))


@pytest.fixture
def circle(problem: la.Problem) -> Circle:
    origin = la.WeightSpace(problem.module).vector_of(problem.module)
    return Circle(origin, torch.randn(len(origin), generator=torch.Generator().manual_seed(2)))


def evaluate_alone(problem: la.Problem, vector: Tensor, examples: la.Split) -> float:
    module = copy.deepcopy(problem.module)
    nn.utils.vector_to_parameters(vector, module.parameters())
    inputs, targets = examples.take(torch.arange(len(examples)))
    return float(nn.functional.cross_entropy(module(inputs), targets).detach())


def test_a_survey_of_a_general_chart_has_the_losses_of_its_networks(
    problem: la.Problem, circle: Circle, examples: la.Split
) -> None:
    found = la.survey(circle, ANGLES, problem, {"test": examples}, plan="loop")
    vectors = circle.points(torch.from_numpy(ANGLES["angle"])[:, None])
    expected = [evaluate_alone(problem, vector, examples) for vector in vectors]
    assert np.allclose(found["test_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("metric", ["loss", "gradient_norm"])
def test_a_general_chart_agrees_with_the_same_points_as_controls(
    problem: la.Problem, circle: Circle, examples: la.Split, metric: str
) -> None:
    line = la.Slice(circle.origin, circle.direction[None])

    class Line(Circle):
        def points(self, coords: Tensor) -> Tensor:
            return self.origin + coords.to(self.origin) * self.direction

    found = [
        la.survey(chart, {chart.axes[0]: ANGLES["angle"]}, problem, {"test": examples}, metrics=[metric])
        for chart in (line, Line(circle.origin, circle.direction))
    ]
    assert np.allclose(found[0][f"test_{metric}"], found[1][f"test_{metric}"], rtol=1e-4)


def test_no_more_weight_vectors_than_the_plan_allows_are_formed_at_a_time(
    problem: la.Problem, circle: Circle, examples: la.Split
) -> None:
    plan = la.engine_for(problem, circle, examples, plan="loop").plan
    plan = replace(plan, evaluate=replace(plan.evaluate, points=4))
    la.survey(circle, ANGLES, problem, {"test": examples}, plan=plan)
    assert max(circle.together) == 2
    assert [(block.points, len(block.controls)) for block in circle.blocks(torch.zeros(5, 1), 4)] == [
        (slice(0, 2), 2), (slice(2, 4), 2), (slice(4, 5), 1),
    ]  # fmt: skip


def test_coefficient_charts_yield_one_block_and_form_no_point() -> None:
    chart = la.Slice(torch.zeros(3), torch.eye(2, 3))
    coords = torch.rand(5, 2)
    (block,) = chart.blocks(coords, 2)
    assert block.points == slice(0, 5)
    assert torch.equal(block.controls, chart.controls())
    assert torch.equal(block.coefficients, chart.coefficients(coords))


def test_a_point_without_finite_weights_leaves_those_beside_it(
    problem: la.Problem, circle: Circle, examples: la.Split
) -> None:
    class Pole(Circle):
        def points(self, coords: Tensor) -> Tensor:
            return self.origin + self.direction / (coords.to(self.origin) - 0.5).abs()

    grid = {"angle": np.array([0.0, 0.5, 1.0])}
    found = la.survey(Pole(circle.origin, circle.direction), grid, problem, {"test": examples}, plan="batched")
    assert np.isfinite(found["test_loss"]).values.tolist() == [True, False, True]


def test_points_of_another_shape_are_refused_in_one_line(
    problem: la.Problem, circle: Circle, examples: la.Split
) -> None:
    class Flat(Circle):
        def points(self, coords: Tensor) -> Tensor:
            return self.origin

    with pytest.raises(la.BadInput, match=r"the points of Flat at 1 place are \(51,\); expected \(1, 51\)"):
        la.survey(Flat(circle.origin, circle.direction), ANGLES, problem, {"test": examples})


def test_what_needs_controls_refuses_a_general_chart(problem: la.Problem, circle: Circle, examples: la.Split) -> None:
    with pytest.raises(la.BadInput, match="a fit needs a chart of coefficients and controls, which Circle is not"):
        la.fit(circle, la.Pattern(la.picture("heart", 8)), problem, examples, steps=1)
    with pytest.raises(la.BadInput, match="a path of points needs a chart of coefficients and controls"):
        locate_points(circle, torch.zeros(1, 1))
