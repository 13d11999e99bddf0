"""Temperatures, halves and greedy orders, against dense searches, loops and brute force."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lossatlas.ensembles import calibration
from lossatlas.ensembles.averaged import AveragedClasses, AveragedValues
from lossatlas.ensembles.calibration import HIGHEST, LOWEST, fit_temperature, fit_temperatures
from lossatlas.ensembles.halves import check_halves, halve
from lossatlas.ensembles.predictions import Rows
from lossatlas.ensembles.selection import select_by_error, select_by_likelihood
from lossatlas.errors import BadInput, Caution

SEEDS = st.integers(0, 10**6)


def draw(seed: int, rows: int, classes: int, scale: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, C), somewhat right, and labels (N,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=generator)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    logits += torch.nn.functional.one_hot(labels, classes) * torch.rand(rows, 1, generator=generator)
    return (scale * logits).log_softmax(dim=1), labels


def likelihood(log_probabilities: Tensor, labels: Tensor, temperatures: Tensor) -> Tensor:
    """The mean negative log likelihood at each temperature."""
    scaled = (log_probabilities / temperatures[:, None, None]).log_softmax(dim=2)
    return -scaled[:, torch.arange(len(labels)), labels].mean(dim=1)


def search(log_probabilities: Tensor, labels: Tensor) -> float:
    """The best temperature on a grid that is refined three times."""
    low, high = math.log(LOWEST), math.log(HIGHEST)
    best = 0.0
    for _ in range(4):
        grid = torch.linspace(low, high, 101, dtype=torch.float64)
        best = float(grid[likelihood(log_probabilities, labels, grid.exp()).argmin()])
        step = float(grid[1] - grid[0])
        low, high = max(best - step, math.log(LOWEST)), min(best + step, math.log(HIGHEST))
    return math.exp(best)


class TestTemperatures:
    @settings(max_examples=60, deadline=None)
    @given(seed=SEEDS, rows=st.integers(2, 60), classes=st.integers(2, 5), scale=st.floats(0.02, 30))
    def test_equal_a_dense_search(self, seed: int, rows: int, classes: int, scale: float) -> None:
        log_probabilities, labels = draw(seed, rows, classes, scale)
        found, at_bound = fit_temperature(log_probabilities, labels)
        expected = search(log_probabilities, labels)
        at_found, at_expected, beside = likelihood(
            log_probabilities, labels, torch.tensor([found, expected, expected * (1 + 1e-3)])
        )
        assert at_found <= at_expected + 1e-12
        if abs(beside - at_expected) > 1e-13:  # else a search cannot tell them apart
            assert found == pytest.approx(expected, rel=1e-4)
        assert at_bound == (found in (LOWEST, HIGHEST))

    @pytest.mark.parametrize(
        ("margin", "right", "expected", "at_bound"),
        [
            (3.0, 1.0, LOWEST, True),
            (200.0, 1.0, LOWEST, True),
            (3.0, 0.4, HIGHEST, True),
            (0.0, 0.4, 1.0, False),
            (1e-3, 0.75, LOWEST, True),
            (40.0, 0.75, HIGHEST, True),
        ],
    )
    def test_at_bounds_say_so(self, margin: float, right: float, expected: float, at_bound: bool) -> None:
        logits = torch.tensor([margin, 0.0]).repeat(100, 1)
        labels = (torch.arange(100) >= 100 * right).long()
        assert fit_temperature(logits, labels) == (pytest.approx(expected), at_bound)

    def test_of_certain_predictions_that_are_right_change_nothing(self) -> None:
        certain = torch.tensor([[1.0, 0.0, 0.0]]).log().repeat(4, 1)
        assert fit_temperature(certain, torch.zeros(4, dtype=torch.int64)) == (1.0, False)

    @settings(max_examples=40, deadline=None)
    @given(seed=SEEDS, rows=st.integers(2, 6), scale=st.floats(1, 1e5))
    def test_of_a_few_extreme_predictions_are_found_quickly(self, seed: int, rows: int, scale: float) -> None:
        log_probabilities, labels = draw(seed, rows, 3, scale)
        calls: list[int] = []
        real = calibration._differentiate
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(calibration, "_differentiate", lambda *given: calls.append(1) or real(*given))
            found, _ = fit_temperature(log_probabilities, labels)
        at_found, *others = likelihood(
            log_probabilities, labels, torch.tensor([found, search(log_probabilities, labels)])
        )
        assert all(at_found <= other * (1 + 1e-7) + 1e-12 for other in others)
        assert len(calls) < 40

    def test_do_not_see_classes_of_probability_zero(self) -> None:
        two, labels = draw(3, 50, 2, 2.0)
        three = torch.cat([two, torch.full((50, 1), -torch.inf)], dim=1)
        assert fit_temperature(three, labels)[0] == pytest.approx(fit_temperature(two, labels)[0], rel=1e-7)

    def test_do_not_mend_a_label_of_probability_zero(self) -> None:
        log_probabilities, labels = draw(3, 50, 2, 2.0)
        log_probabilities[7, labels[7]] = -torch.inf
        found, at_bound = fit_temperature(log_probabilities, labels)
        assert math.isnan(found)
        assert not at_bound
        averaged = AveragedClasses(log_probabilities.T.contiguous(), labels)
        groups = (torch.arange(50) >= 25).long()[None]
        assert fit_temperatures(averaged, groups, 2).values.isnan().tolist() == [True, False]

    @settings(max_examples=20, deadline=None)
    @given(seed=SEEDS, start=st.floats(LOWEST, HIGHEST))
    def test_of_groups_are_those_of_their_rows_wherever_they_start(self, seed: int, start: float) -> None:
        log_probabilities, labels = draw(seed, 80, 3, 3.0)
        groups = torch.randint(2, (3, 80), generator=torch.Generator().manual_seed(seed))
        numbered = groups + 2 * torch.arange(3)[:, None]
        averaged = AveragedClasses(log_probabilities.T.contiguous(), labels)
        found = fit_temperatures(averaged, numbered, 6, torch.full((6,), start, dtype=torch.float64))
        for division in range(3):
            for side in (0, 1):
                own = groups[division] == side
                expected, at_bound = fit_temperature(log_probabilities[own], labels[own])
                assert float(found.values[2 * division + side]) == pytest.approx(expected, rel=1e-6)
                assert bool(found.at_bound[2 * division + side]) == at_bound

    def test_of_blocks_add_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        log_probabilities, labels = draw(5, 70, 4, 4.0)
        whole = fit_temperature(log_probabilities, labels)
        monkeypatch.setattr("lossatlas.ensembles.averaged.BLOCK", 40)
        assert fit_temperature(log_probabilities, labels)[0] == pytest.approx(whole[0], rel=1e-9)

    def test_of_values_are_the_best_factor_on_the_spread(self) -> None:
        generator = torch.Generator().manual_seed(0)
        mean, targets = torch.randn(2, 30, 2, generator=generator, dtype=torch.float64)
        variance = torch.rand(30, 2, generator=generator, dtype=torch.float64) + 0.1
        averaged = AveragedValues(mean, variance, targets)
        found = fit_temperatures(averaged, torch.zeros(1, 30, dtype=torch.int64), 1)
        grid = torch.linspace(0.05, 20, 40_001, dtype=torch.float64)
        squares = ((mean - targets).square() / variance).mean()
        densities = grid.log() + squares / grid.square() / 2
        assert float(found.values) == pytest.approx(float(grid[densities.argmin()]), abs=5e-4)
        narrow = AveragedValues(mean, variance * 1e-8, targets)
        at_bound = fit_temperatures(narrow, torch.zeros(1, 30, dtype=torch.int64), 1)
        assert (float(at_bound.values), bool(at_bound.at_bound)) == (HIGHEST, True)


def labelled(labels: Tensor, examples: Tensor | None = None) -> Rows:
    examples = torch.arange(len(labels)) if examples is None else examples
    return Rows("classes", labels, int(labels.max()) + 1, examples, int(examples.max()) + 1)


class TestHalves:
    @settings(max_examples=40, deadline=None)
    @given(seed=SEEDS, counts=st.lists(st.integers(2, 9), min_size=1, max_size=5))
    def test_halve_every_class(self, seed: int, counts: list[int]) -> None:
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
        if len(labels) < 4:
            return
        halves = halve(labelled(labels), 3, seed)
        assert halves.shape == (3, len(labels))
        for half in halves:
            assert abs(int(half.sum()) * 2 - len(half)) <= 1
            for k, count in enumerate(counts):
                assert abs(int(half[labels == k].sum()) * 2 - count) <= 1
        assert bool((halves == halve(labelled(labels), 3, seed)).all())
        assert bool((halves[:2] == halve(labelled(labels), 2, seed)).all()), "a halving does not depend on their number"

    def test_differ_by_seed_and_number(self) -> None:
        labels = torch.arange(100) % 5
        halves = halve(labelled(labels), 2, 0)
        assert bool((halves[0] != halves[1]).any())
        assert bool((halves[0] != halve(labelled(labels), 1, 1)[0]).any())

    def test_ignore_classes_that_are_not_there(self) -> None:
        assert halve(labelled(torch.tensor([0, 0, 7, 7])), 1, 0).sum() == 2

    def test_halve_every_class_where_some_examples_do_not_count(self) -> None:
        labels, examples = torch.arange(12) % 3, torch.arange(12) * 2
        assert bool((halve(labelled(labels, examples), 3, 0) == halve(labelled(labels), 3, 0)).all())

    def test_keep_the_rows_of_an_example_together(self) -> None:
        examples = torch.arange(40).repeat_interleave(3)
        halves = halve(labelled(torch.arange(120) % 3, examples), 4, 0).view(4, 40, 3)
        assert bool((halves == halves[:, :, :1]).all())
        assert halves[:, :, 0].sum(dim=1).tolist() == [20] * 4

    @pytest.mark.parametrize(
        ("labels", "examples", "message"),
        [
            ([0, 0, 1], None, "a split of 3 examples is too small for halves"),
            ([0, 0, 0, 1], None, "class 1 has a single example"),
            ([0, 0, 1, 2, 3], None, "class 1 has a single example"),
        ],
    )
    def test_that_cannot_be_are_refused(self, labels: list[int], examples: list[int] | None, message: str) -> None:
        given = None if examples is None else torch.tensor(examples)
        with pytest.raises(BadInput, match=message):
            check_halves(labelled(torch.tensor(labels), given), 1, 0)
        check_halves(labelled(torch.tensor(labels), given), 0, 0)
        assert halve(labelled(torch.tensor(labels), given), 0, 0).shape == (0, len(labels))

    def test_say_how_many_classes_of_tokens_are_missing_in_one(self) -> None:
        rows = labelled(torch.tensor([0, 1, 0, 2, 0, 1, 0, 1]), torch.arange(4).repeat_interleave(2))
        with pytest.warns(Caution, match="of 3 classes up to 1 are missing in one half"):
            check_halves(rows, 1, 0)
        assert halve(rows, 1, 0).shape == (1, 8)


def follow(members: int, cost: object) -> list[int]:
    """The greedy order by trying every member at every step."""
    chosen: list[int] = []
    while len(chosen) < members:
        chosen.append(min((k for k in range(members) if k not in chosen), key=lambda k: cost([*chosen, k])))  # type: ignore[operator]
    return chosen


class TestGreedyOrders:
    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, members=st.integers(1, 6))
    def test_by_likelihood_equal_brute_force(self, seed: int, members: int) -> None:
        of_label = torch.randn(members, 11, generator=torch.Generator().manual_seed(seed)).double().sigmoid().log()
        found = select_by_likelihood(of_label)
        assert found == follow(members, lambda chosen: float(-of_label[chosen].exp().mean(dim=0).log().sum()))

    @settings(max_examples=30, deadline=None)
    @given(seed=SEEDS, members=st.integers(1, 6))
    def test_by_error_equal_brute_force(self, seed: int, members: int) -> None:
        errors = torch.randn(members, 9, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        flat = errors.flatten(1)
        found = select_by_error(flat @ flat.T)
        assert found == follow(members, lambda chosen: float(errors[chosen].mean(dim=0).square().sum()))

    def test_find_members_that_mend_each_other(self) -> None:
        of_label = torch.tensor([[0.6, 0.6, 0.3], [0.7, 0.6, 0.05], [0.05, 0.3, 0.99]]).log()
        assert select_by_likelihood(of_label) == [0, 2, 1]

    def test_count_zeros_where_every_member_has_one(self) -> None:
        impossible = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]).log()
        assert select_by_likelihood(impossible) == [1, 2, 0]

    def test_take_the_first_of_equal_members(self) -> None:
        assert select_by_likelihood(torch.zeros(4, 5)) == [0, 1, 2, 3]
        assert select_by_error(torch.ones(4, 4, dtype=torch.float64)) == [0, 1, 2, 3]

    def test_do_not_depend_on_the_order_of_members(self) -> None:
        of_label = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)).sigmoid().log()
        expected = select_by_likelihood(of_label)
        for order in permutations(range(4)):
            assert [order[k] for k in select_by_likelihood(of_label[list(order)])] == expected
