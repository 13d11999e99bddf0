"""Which examples break first: against closed forms, and against a search with very small steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lossatlas as la
from lossatlas.studies import Breaks, cast_rays

EXAMPLES = 60
BOX = {"u": (-1.0, 1.0), "v": (-1.0, 1.0)}


def make_inputs(width: int = 4) -> Tensor:
    return torch.randn(EXAMPLES, width, generator=torch.Generator().manual_seed(1))


def search(module: nn.Module, chart: la.Chart, data: Any, centre: tuple[float, ...], **options: Any) -> Breaks:
    loss = options.pop("loss", la.CrossEntropy())
    buffers = options.pop("buffers", None)
    engine = la.engine_for(la.Problem(module, loss), chart, data, plan="loop", buffers=buffers)
    return la.find_breaks(engine, chart, centre, data, 32, **options)


def make_linear() -> tuple[nn.Module, la.Slice, tuple[Tensor, Tensor]]:
    """A linear classifier that is right about all but five examples, and a plane through it."""
    torch.manual_seed(0)
    module, inputs = nn.Linear(4, 3), make_inputs()
    with torch.no_grad():
        labels = module(inputs).argmax(dim=1)
    labels[:5] = (labels[:5] + 1) % 3
    return module, la.slice_around(module), (inputs, labels)


def solve_linear(chart: la.Slice, data: tuple[Tensor, Tensor], directions: np.ndarray) -> np.ndarray:
    """The distances (R, B) at which examples break: logits are affine along rays, and so are their differences."""
    inputs, labels = data
    space = la.WeightSpace(nn.Linear(4, 3))
    columns = [space.unflatten(vector.double()) for vector in (chart.origin, *chart.directions)]
    centre, *slopes = (inputs.double() @ each["weight"].T + each["bias"] for each in columns)
    rows = torch.arange(EXAMPLES)
    margins = centre[rows, labels][:, None] - centre
    found = []
    for direction in directions:
        slope = sum(part * each for part, each in zip(direction, slopes, strict=True))
        rate = slope[rows, labels][:, None] - slope
        crossing = torch.where((rate < 0) & (margins >= 0), -margins / rate, torch.inf)
        crossing[rows, labels] = torch.inf
        found.append(crossing.min(dim=1).values)
    return torch.stack(found).numpy()


@pytest.fixture(scope="module")
def linear() -> tuple[Breaks, np.ndarray]:
    module, chart, data = make_linear()
    breaks = search(module, chart, data, (0.0, 0.0), directions=8, steps=5, reach=2.0, earliest=20, tolerance=1e-4)
    return breaks, solve_linear(chart, data, breaks.rays.directions)


class TestALinearClassifier:
    def test_breaks_where_the_closed_form_says(self, linear: Any) -> None:
        breaks, distances = linear
        expected = distances[:, 5:].min(axis=0)
        order = np.argsort(expected)[:20]
        assert [each.example for each in breaks.earliest] == (order + 5).tolist()
        for each, k in zip(breaks.earliest, order, strict=True):
            assert 0 < each.resolution <= 2e-4
            assert each.distance - each.resolution - 1e-6 <= expected[k] <= each.distance + 1e-6
            assert each.direction == distances[:, k + 5].argmin()

    def test_lists_them_in_order_with_what_is_there(self, linear: Any) -> None:
        breaks, _ = linear
        module, chart, (inputs, labels) = make_linear()
        distances = [each.distance for each in breaks.earliest]
        assert distances == sorted(distances)
        for each in breaks.earliest[:5]:
            weights = chart.points(torch.tensor([each.coords], dtype=torch.float64))[0]
            logits = torch.func.functional_call(
                module, la.WeightSpace(module).unflatten(weights), (inputs[each.example],)
            )
            assert each.prediction == int(logits.argmax()) != int(labels[each.example]) == each.target
            assert each.loss == pytest.approx(float(functional.cross_entropy(logits, labels[each.example])), rel=1e-4)
            assert each.weight_distance == pytest.approx(float((weights - chart.origin).norm()), rel=1e-5)
            assert np.linalg.norm(each.coords) == pytest.approx(each.distance)

    def test_counts_what_is_broken_at_each_radius(self, linear: Any) -> None:
        breaks, distances = linear
        assert (breaks.whole, breaks.left_out, breaks.unlabelled) == (55, 5, 0)
        expected = (distances[:, 5:, None] < breaks.radii[:, None, :]).sum(axis=1)
        np.testing.assert_array_equal(breaks.broken, expected)
        within = (distances[:, 5:].min(axis=0) < 2).sum()
        assert breaks.broken_within == within == np.isfinite(breaks.distances).sum()
        assert breaks.unbroken == 55 - within

    def test_says_at_which_radius_a_share_is_broken_and_where_it_is_not(self, linear: Any) -> None:
        breaks, distances = linear
        for share in (0.01, 0.1, 1.0):
            found = breaks.find_radii(share)
            # By the closed form the k-th example along a ray; the radii that were looked at are not far from it.
            k = math.ceil(share * 55) - 1
            expected = np.sort(distances[:, 5:], axis=1)[:, k]
            np.testing.assert_array_equal(np.isnan(found), expected > 2)
            near = 0.4 if share == 1 else 0.4 / 2**4
            reached = ~np.isnan(found)
            assert (np.abs(found - expected)[reached] <= near + 1e-9).all()
        assert breaks.find_most_fragile(0.1) == np.nanargmin(breaks.find_radii(0.1))
        # A share of less than one example means one, which is not broken before the first one is.
        one = breaks.find_radii(0.1 / 55)
        np.testing.assert_array_equal(one, breaks.find_radii(1 / 55))
        for ray, (radii, counts) in enumerate(breaks.curves):
            if np.isfinite(one[ray]):
                assert one[ray] > radii[counts == 0].max()
        for wrong in (0, 1.5):
            with pytest.raises(la.BadInput, match="share of examples"):
                breaks.find_radii(wrong)


def brute(chart: la.Chart, module: nn.Module, data: Any, breaks: Breaks, count: int) -> np.ndarray:
    """The smallest of many radii at which each example is wrong on each ray, (R, B); infinite where at none."""
    inputs, labels = data
    space, rays = la.WeightSpace(module), breaks.rays
    found = np.full((len(rays), len(labels)), np.inf)
    for ray in range(len(rays)):
        for radius in np.linspace(0, rays.reaches[ray], count)[1:]:
            place = rays.locate(np.array([ray]), np.array([radius]))
            params = space.unflatten(chart.points(torch.from_numpy(place)).detach()[0])
            with torch.no_grad():
                wrong = torch.func.functional_call(module, params, (inputs,)).argmax(dim=1) != labels
            new = wrong.numpy() & np.isinf(found[ray])
            found[ray, new] = radius
    return found


def make_curved() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    module, inputs = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), make_inputs()
    with torch.no_grad():
        return module, (inputs, module(inputs).argmax(dim=1))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_search_with_very_small_steps_finds_the_same(axes: int) -> None:
    module, data = make_curved()
    chart = la.slice_around(module, kinds=("random",) * axes)
    breaks = search(module, chart, data, (0.0,) * axes, directions=5, steps=10, earliest=12, tolerance=1e-3)
    assert len(breaks.rays) == {1: 2, 2: 5, 3: 5}[axes]
    found = brute(chart, module, data, breaks, 201)
    best = found.min(axis=0)
    order = np.argsort(best, kind="stable")
    assert len(breaks.earliest) == 12
    for each in breaks.earliest:
        step = breaks.rays.reaches.max() / 200
        assert abs(each.distance - best[each.example]) <= step + each.resolution
        assert found[each.direction, each.example] <= best[each.example] + 2 * step
    last = max(each.distance for each in breaks.earliest)
    assert {each.example for each in breaks.earliest} >= {int(k) for k in order if best[k] < last - 2 * step}


def test_rays_lead_to_the_edge_of_the_box() -> None:
    module, chart, data = make_linear()
    breaks = search(module, chart, data, (0.5, 0.0), directions=4, steps=2, reach=BOX)
    np.testing.assert_allclose(breaks.rays.angles, [0, 90, 180, 270])
    np.testing.assert_allclose(breaks.rays.reaches, [0.5, 1, 1.5, 1])
    ends = breaks.rays.locate(np.arange(4), breaks.rays.reaches)
    np.testing.assert_allclose(ends, [[1, 0], [0.5, 1], [-1, 0], [0.5, -1]], atol=1e-15)


def test_rays_that_lead_out_of_the_box_at_once_are_left_out() -> None:
    rays = cast_rays(("t",), (0.0,), 16, {"t": (0.0, 1.0)})
    assert (rays.directions.tolist(), rays.angles.tolist()) == ([[1.0]], [0.0])


@pytest.mark.parametrize("count", [1, 7, 40])
def test_directions_in_space_are_unit_vectors_all_over_the_sphere(count: int) -> None:
    rays = cast_rays(("u", "v", "w"), (0.0,) * 3, count, 1.0)
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=1), 1)
    assert rays.angles is None
    if count == 40:
        # No direction in space is far from one of them: forty caps of this radius cover the sphere.
        anywhere = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).numpy()
        anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
        nearest = np.degrees(np.arccos((anywhere @ rays.directions.T).max(axis=1)))
        assert nearest.max() < 30
        assert np.linalg.norm(rays.directions.mean(axis=0)) < 0.05


@pytest.mark.parametrize(
    ("axes", "centre", "reach", "told"),
    [
        (("sample",), (0.0,), 1.0, "its axis 'sample' numbers networks"),
        (("u", "v"), (0.0,), 1.0, "expected a finite number for each of u, v"),
        (("u", "v"), (0.0, 2.0), BOX, "lies outside of the box"),
        (("u", "v"), (0.0, 0.0), {"u": (-1.0, 1.0)}, "no ends along v"),
        (("u", "v"), (0.0, 0.0), 0.0, "expected a finite number above 0"),
    ],
)
def test_rays_that_lead_nowhere_are_refused(axes: Any, centre: Any, reach: Any, told: str) -> None:
    with pytest.raises(la.BadInput, match=told):
        cast_rays(axes, centre, 4, reach)


def test_the_number_of_a_repeat_stays() -> None:
    module, data = make_curved()
    space = la.WeightSpace(module)
    directions = torch.randn(3, 2, space.size, generator=torch.Generator().manual_seed(0)) / 5
    chart = la.RepeatedSlice(space.vector_of(module), directions)
    third = search(module, chart, data, (0.0, 0.0, 2.0), directions=4, steps=3, reach=1.0)
    assert third.rays.axes == ("u", "v")
    assert all(each.coords[2] == 2 for each in third.earliest)
    alone = la.Slice(space.vector_of(module), directions[2])
    same = search(module, alone, data, (0.0, 0.0), directions=4, steps=3, reach=1.0)
    np.testing.assert_array_equal(third.broken, same.broken)
    assert [each.example for each in third.earliest] == [each.example for each in same.earliest]


def test_without_classes_an_example_breaks_above_the_losses_at_the_centre() -> None:
    torch.manual_seed(0)
    module, inputs = nn.Linear(4, 1), make_inputs()
    targets = inputs.sum(dim=1, keepdim=True) / 3
    chart = la.slice_around(module)
    breaks = search(
        module, chart, (inputs, targets), (0.0, 0.0), loss=la.SquaredError(), directions=4, steps=6, earliest=5
    )
    with torch.no_grad():
        losses = (module(inputs) - targets).square()[:, 0].numpy()
    assert breaks.threshold == pytest.approx(np.quantile(losses, 0.95), rel=1e-6)
    assert (breaks.whole, breaks.left_out) == (57, 3)
    assert "95th percentile" in breaks.criterion
    for each in breaks.earliest:
        assert (each.target, each.prediction) == (None, None)
        assert each.centre_loss <= breaks.threshold < each.loss == pytest.approx(breaks.threshold, rel=0.1)


def test_where_nothing_breaks_within_reach_nothing_is_invented() -> None:
    module, chart, data = make_linear()
    breaks = search(module, chart, data, (0.0, 0.0), directions=4, steps=2, reach=1e-6)
    assert (breaks.earliest, breaks.broken_within, breaks.unbroken) == ((), 0, 55)
    assert np.isnan(breaks.distances).all()
    assert (breaks.directions == -1).all()
    assert np.isnan(breaks.find_radii(0.01)).all()
    assert breaks.find_most_fragile() is None


def test_where_all_is_wrong_at_the_centre_it_is_refused() -> None:
    module, chart, (inputs, _) = make_linear()
    with torch.no_grad():
        wrong = (module(inputs).argmax(dim=1) + 1) % 3
    with pytest.raises(la.BadInput, match="none of 60 examples is whole at the centre"):
        search(module, chart, (inputs, wrong), (0.0, 0.0))


def test_a_loss_with_one_mean_is_refused() -> None:
    module, chart, data = make_linear()
    with pytest.raises(la.BadInput, match="one value for a whole batch"):
        search(module, chart, data, (0.0, 0.0), loss=la.BatchMean(functional.cross_entropy))


def test_under_batch_statistics_examples_are_narrowed_down_with_all_others() -> None:
    torch.manual_seed(0)
    module, inputs = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), make_inputs()
    with torch.no_grad():
        labels = module(inputs).argmax(dim=1)  # in training mode: by the statistics of all
    chart = la.slice_around(module)
    engine = la.engine_for(
        la.Problem(module, la.CrossEntropy()), chart, (inputs, labels), plan="loop", buffers=la.BatchStatistics(),
        eval_batch_size=EXAMPLES,
    )  # fmt: skip
    breaks = la.find_breaks(engine, chart, (0.0, 0.0), (inputs, labels), EXAMPLES, directions=4, steps=4, earliest=4)
    assert breaks.whole == EXAMPLES
    assert "depends on the others in its batch" in breaks.notes[0]
    module.train()
    for each in breaks.earliest:
        for distance, whole in ((each.distance, False), (each.distance - each.resolution, True)):
            place = breaks.rays.locate(np.array([each.direction]), np.array([distance]))
            params = la.WeightSpace(module).unflatten(chart.points(torch.from_numpy(place)).detach()[0])
            with torch.no_grad():
                predicted = torch.func.functional_call(module, params, (inputs,)).argmax(dim=1)
            assert bool(predicted[each.example] == labels[each.example]) is whole


def test_it_tells_how_far_it_is_and_can_be_stopped() -> None:
    module, chart, data = make_linear()
    told: list[tuple[int, int]] = []
    search(module, chart, data, (0.0, 0.0), directions=4, steps=3, on_points=lambda *each: told.append(each))
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert done[-1] == told[-1][1]
    assert {total for _, total in told} == {told[0][1]}

    def stop(done: int, total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(module, chart, data, (0.0, 0.0), directions=4, steps=3, on_points=stop)


def test_rays_beyond_the_domain_of_the_chart_are_told() -> None:
    module, data = make_curved()
    space = la.WeightSpace(module)
    plane = la.Plane(space.vector_of(module), torch.eye(2, space.size))
    chart = la.Spline(torch.stack([plane.origin.detach()] * 9) + torch.eye(9, space.size), (3, 3), (2, 2))
    with pytest.warns(la.Caution, match="lead beyond the domain"):
        breaks = search(module, chart, data, (0.0, 0.0), directions=4, steps=2, reach=2.0)
    assert breaks.notes == ("4 of 4 directions lead beyond the domain that the chart was made for",)
