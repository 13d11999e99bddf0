"""Objectives, clips, schedules and budgets."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import lossatlas as la
from lossatlas.objectives import CLIPS
from lossatlas.schedules import SCHEDULES


def alike(losses: torch.Tensor) -> torch.Tensor:
    """Shares of examples that count alike."""
    return losses.new_full(losses.shape[-1:], 1 / losses.shape[-1])


def picture() -> la.Picture:
    cells = -np.ones((9, 12), dtype=np.int8)
    cells[2:7, 1:8] = 1
    cells[0, :3] = 0
    return la.Picture(cells, "block")


class TestPattern:
    def test_equation_3(self) -> None:
        losses = torch.rand(8, 5, dtype=torch.float64) * 6
        low, high = losses[:4], losses[4:]
        bounded = high.clamp(max=2.5)
        for clip, climbed in ((la.ClipPerExample(), bounded), (None, (bounded + 0.01).log())):
            objective = la.Pattern(picture(), cells=4, clip=clip)
            sampled = objective.sample(seed=0, step=0, progress=0.0, running={})
            found = sampled.value(None, losses, alike(losses), slice(0, 8))
            torch.testing.assert_close(found, low.mean() - climbed.mean())

    def test_shares_of_any_chunks_add_up(self) -> None:
        sampled = la.Pattern(picture(), cells=4, clip=la.ClipPerCell(1.0)).sample(
            seed=0, step=0, progress=0.0, running={}
        )
        losses = torch.rand(8, 5, dtype=torch.float64) * 3
        parts = [slice(0, 3), slice(3, 5), slice(5, 8)]
        total = sum(sampled.value(None, losses[part], alike(losses), part) for part in parts)
        torch.testing.assert_close(total, sampled.value(None, losses, alike(losses), slice(0, 8)))

    def test_cells_come_from_their_class_without_replacement_and_from_the_boundary(self) -> None:
        wanted = picture()
        place = {tuple(c): (int(v), bool(d)) for c, v, d in zip(
            wanted.coords().reshape(-1, 2), wanted.cells.ravel(), wanted.find_boundary().ravel(), strict=True
        )}  # fmt: skip
        for step in range(20):
            coords = (
                la.Pattern(wanted, cells=6, boundary_only=True)
                .sample(seed=3, step=step, progress=0.5, running={})
                .coords
            )
            found = [place[tuple(c)] for c in coords.tolist()]
            assert [value for value, _ in found] == [1] * 6 + [-1] * 6
            assert all(drawn for _, drawn in found)
            assert len({tuple(c) for c in coords.tolist()}) == 12

    def test_all_cells_when_asked(self) -> None:
        everything = la.Pattern(picture(), cells=1000)
        assert everything.most_points == int((picture().cells != 0).sum())
        assert la.Pattern(picture(), cells=1000, boundary_only=True).most_points == int(picture().find_boundary().sum())

    def test_draws_are_functions_of_seed_and_step(self) -> None:
        pattern = la.Pattern(picture(), cells=5)
        one, again = (pattern.sample(1, 7, 0.0, {}).coords for _ in range(2))
        assert torch.equal(one, again)
        assert not torch.equal(one, pattern.sample(1, 8, 0.0, {}).coords)
        assert not torch.equal(one, pattern.sample(2, 7, 0.0, {}).coords)


def grey() -> la.GreyPicture:
    losses = np.geomspace(0.1, 2.0, 42).reshape(6, 7)
    losses[0, :2] = np.nan
    return la.GreyPicture(losses, "ramp")


class TestLevels:
    def test_value_and_gradient_against_plain_float64(self) -> None:
        wanted = grey()
        sampled = la.Levels(wanted, cells=5).sample(seed=0, step=0, progress=0.0, running={})
        place = {tuple(c): t for c, t in zip(wanted.coords().reshape(-1, 2), wanted.losses.ravel(), strict=True)}
        targets = np.array([place[tuple(c)] for c in sampled.coords.tolist()])
        numbers = np.random.default_rng(0).gamma(1, 1, (5, 4))
        numbers[2] = 0.0
        losses = torch.tensor(numbers, requires_grad=True)
        value = sampled.value(None, losses, alike(losses), slice(0, 5))
        means = numbers.mean(axis=1)
        miss = np.log(np.maximum(means, 1e-12)) - np.log(targets)
        assert value.item() == pytest.approx(np.mean(miss**2), rel=1e-12)
        (gradient,) = torch.autograd.grad(value, losses)
        slope = np.where(means > 1e-12, 2 * miss / (5 * 4 * np.maximum(means, 1e-12)), 0.0)
        np.testing.assert_allclose(gradient.numpy(), slope[:, None].repeat(4, 1), rtol=1e-12)
        report = sampled.report({"loss": torch.tensor(means), "accuracy": torch.full((5,), 0.5)})
        assert report["log_loss_rmse"] == pytest.approx(np.sqrt(np.mean(miss**2)))
        assert report["mean_loss"] == pytest.approx(means.mean())

    def test_shares_of_any_chunks_add_up(self) -> None:
        sampled = la.Levels(grey(), cells=8).sample(seed=0, step=0, progress=0.0, running={})
        losses = torch.rand(8, 5, dtype=torch.float64) * 3
        parts = [slice(0, 3), slice(3, 8)]
        total = sum(sampled.value(None, losses[part], alike(losses), part) for part in parts)
        torch.testing.assert_close(total, sampled.value(None, losses, alike(losses), slice(0, 8)))

    def test_cells_that_count_are_drawn_without_replacement(self) -> None:
        everything = la.Levels(grey(), cells=1000)
        assert everything.most_points == 40 == everything.sampled.sum()
        coords = everything.sample(1, 2, 0.0, {}).coords
        counted = grey().coords()[everything.sampled]
        assert {tuple(c) for c in coords.tolist()} == {tuple(c) for c in counted.tolist()}
        some = la.Levels(grey(), cells=7)
        one, again, next_one = (some.sample(1, step, 0.0, {}).coords for step in (7, 7, 8))
        assert torch.equal(one, again)
        assert not torch.equal(one, next_one)
        assert len({tuple(c) for c in one.tolist()}) == 7
        with pytest.raises(la.BadInput, match="0 cells"):
            la.Levels(grey(), cells=0)


class TestClips:
    losses = torch.tensor([[0.0, 6.0], [1.0, 2.0]])

    def test_logarithms_grow_up_to_the_threshold(self) -> None:
        losses = torch.tensor([[0.0, 1.0], [2.5, 90.0]], requires_grad=True)
        found = la.ClipLogarithm(2.5).mean(losses, alike(losses))
        expected = [(math.log(0.01) + math.log(1.01)) / 2, math.log(2.51)]
        assert found.tolist() == pytest.approx(expected)
        found.sum().backward()
        # A loss of zero is where the gradient is largest, not where it vanishes with the network's.
        assert losses.grad is not None
        assert losses.grad[0].tolist() == pytest.approx([50.0, 0.5 / 1.01])
        assert losses.grad[1, 1] == 0

    def test_below_zero_logarithms_go_on_along_their_tangent_so_that_losses_may_rise(self) -> None:
        losses = torch.tensor([[-3.0, -1e-6]], requires_grad=True)
        found = la.ClipLogarithm(1.0).mean(losses, torch.tensor([1.0, 0.0]))
        assert found.item() == pytest.approx(math.log(1 / 250) - 750, rel=1e-6)
        la.ClipLogarithm(1.0).mean(losses, alike(losses)).sum().backward()
        assert losses.grad is not None
        assert losses.grad[0].tolist() == pytest.approx([125.0, 125.0])

    def test_per_example(self) -> None:
        assert la.ClipPerExample(2.5).mean(self.losses, alike(self.losses)).tolist() == [1.25, 1.5]

    def test_per_cell(self) -> None:
        assert la.ClipPerCell(2.5).mean(self.losses, alike(self.losses)).tolist() == [2.5, 1.5]

    @pytest.mark.parametrize("name", list(CLIPS))
    def test_threshold_must_be_positive(self, name: str) -> None:
        with pytest.raises(la.BadInput, match="expected a positive loss"):
            CLIPS[name](0.0)


class TestCoarseToFine:
    def make(self, there: float = 0.8) -> la.CoarseToFine:
        sizes = ((4, 6), (6, 8), (9, 12))
        cells = [np.pad(np.ones((h - 2, w - 2), dtype=bool), 1) for h, w in sizes]
        stages = [
            la.Stage(la.Pattern(la.Picture(c, "x"), cells=h), 1.0) for c, (h, _) in zip(cells, sizes, strict=True)
        ]
        return la.CoarseToFine(stages, there)

    def test_moves_on_with_the_budget(self) -> None:
        objective = self.make()
        seen = []
        for progress in (0.0, 0.3, 0.34, 0.6, 0.67, 1.0):
            objective.sample(0, 0, progress, {})
            seen.append(objective.stage)
        assert seen == [0, 0, 1, 1, 2, 2]
        assert objective.final

    def test_moves_on_when_the_picture_is_there(self) -> None:
        objective = self.make(there=0.8)
        seen = []
        for gap in (0.0, 0.79, 0.8, 0.0, 0.95, 0.95):
            objective.sample(0, 0, 0.0, {"gap": gap, "loss": 9.0})
            seen.append(objective.stage)
        assert seen == [0, 0, 1, 1, 2, 2]

    def test_the_criterion_is_any_number_that_is_reported(self) -> None:
        objective = la.CoarseToFine(self.make().stages, there=-1.5, criterion="score")
        for numbers, stage in (({}, 0), ({"gap": 1.0}, 0), ({"score": -1.6}, 0), ({"score": -1.5}, 1)):
            objective.sample(0, 0, 0.0, numbers)
            assert objective.stage == stage

    def test_state_round_trip(self) -> None:
        objective, other = self.make(), self.make()
        objective.sample(0, 0, 0.5, {})
        other.restore(objective.state())
        assert other.state() == objective.state()
        assert other.stage == 1

    def test_stages_along_different_axes_are_refused(self) -> None:
        line = la.Pattern(la.Picture(np.arange(8) % 4 < 2, "line"))
        with pytest.raises(la.BadInput, match="different axes"):
            la.CoarseToFine([la.Stage(line, 1.0), la.Stage(la.Pattern(picture()), 1.0)])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_schedules_start_at_one_and_are_lowest_where_they_say(name: str) -> None:
    schedule = SCHEDULES[name]()
    values = [schedule(k / 1000) for k in range(1001)]
    assert values[0] == 1
    assert all(0 <= value <= 1 for value in values)
    assert list(schedule.lowest()) == sorted(set(schedule.lowest()))
    for place in schedule.lowest():
        assert schedule(max(0.0, place - 1e-9)) == pytest.approx(min(values), abs=1e-4)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "steps"])
def test_schedules_without_cycles_never_rise(name: str) -> None:
    values = [SCHEDULES[name]()(k / 100) for k in range(101)]
    assert all(after <= before for before, after in pairwise(values))


def test_cycles_of_growing_length_fill_the_budget() -> None:
    schedule = SCHEDULES["warm_restarts"](cycles=3, growth=2.0)
    assert schedule.lowest() == pytest.approx((1 / 7, 3 / 7, 1.0))
    assert [schedule(place) for place in schedule.lowest()] == [1.0, 1.0, 0.0]  # the next cycle has begun
    assert schedule(2 / 7) == pytest.approx(0.5)
    assert SCHEDULES["cyclic"](cycles=2, low=0.1).lowest() == (0.25, 0.75)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("steps", {"at": (0.5, 0.2)}, "rising numbers between 0 and 1"),
        ("steps", {"factor": 0.0}, "steps's factor is 0.0; expected a number in"),
        ("linear", {"begin": 0.9, "end": 0.5}, "begin < end"),
        ("cyclic", {"cycles": 0}, "cycles is 0; expected 1 to 1,000"),
        ("warm_restarts", {"growth": 1e30, "cycles": 20}, "would have no step"),
        ("warm_restarts", {"growth": -1.0}, "growth is -1.0; expected a positive number"),
    ],
)
def test_schedules_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(la.BadInput, match=message):
        SCHEDULES[name](**options)


def test_budgets() -> None:
    assert la.Steps(4).progress(3, 100.0) == 0.75
    assert la.Seconds(8.0).progress(100, 2.0) == 0.25
    for wrong in (la.Steps, la.Seconds):
        with pytest.raises(la.BadInput, match="budget"):
            wrong(-1)
