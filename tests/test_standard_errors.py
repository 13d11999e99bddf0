"""Standard errors of ensembles' scores, against examples that are drawn again and against formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ensembles_by_hand import draw_classes
from torch import Tensor

from lossatlas.ensembles import ScoringSettings, score_ensemble
from lossatlas.ensembles.averaged import start_average
from lossatlas.ensembles.crossing import measure
from lossatlas.ensembles.predictions import Predictions
from lossatlas.ensembles.sampling import Measured, Sampling, join_measured
from lossatlas.ensembles.scores import make_scores

DRAWN = 4000
"""How often examples are drawn again: standard errors are then off by about 1.1 per cent."""
BINS = 10


def numbers_of(predictions: Predictions, member: int) -> dict[str, Measured]:
    running = start_average(predictions)
    running.add(predictions.of(member))
    return measure(running.average(), make_scores("classes", BINS))


def draw_scores(sampling: Sampling, measured: Measured, seed: int = 0) -> Tensor:
    """The score of examples that are drawn with replacement, DRAWN times."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.arange(sampling.rows) if sampling.own is None else sampling.own
    found = []
    for _ in range(DRAWN):
        drawn = torch.randint(sampling.examples, (sampling.examples,), generator=generator)
        weights = drawn.bincount(minlength=sampling.examples)[own].double()
        if measured.places is None:
            sums = (measured.numbers * weights).sum(dim=1)
        else:
            bins = torch.zeros(len(measured.numbers), BINS, dtype=torch.float64)
            sums = bins.scatter_add_(1, measured.places, measured.numbers * weights).abs().sum(dim=1)
        found.append(float(sums.mean() / weights.sum()))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("examples", ["one", "four", "uneven"])
@pytest.mark.parametrize("score", ["nll", "brier", "ece"])
class TestAgainstDrawingExamplesAgain:
    """With one row of each example, with four, and with one to five; labels of an example differ."""

    def sampling(self, rows: int, kind: str) -> tuple[Sampling, Predictions]:
        sizes = {"one": [1], "four": [4], "uneven": [1, 5, 1, 2, 3]}[kind]
        repeats = torch.tensor(sizes).repeat(rows // sum(sizes))
        examples = torch.arange(len(repeats)).repeat_interleave(repeats)
        predictions = draw_classes(rows=rows, examples=examples)
        return Sampling(rows, predictions.examples, BINS, bootstrap=8000), predictions

    def test_of_a_score(self, score: str, examples: str) -> None:
        sampling, predictions = self.sampling(600, examples)
        own = numbers_of(predictions, 0)[score]
        assert sampling.standard_error(own) == pytest.approx(float(draw_scores(sampling, own).std()), rel=0.06)

    def test_of_a_difference(self, score: str, examples: str) -> None:
        sampling, predictions = self.sampling(600, examples)
        own, other = (numbers_of(predictions, member)[score] for member in (0, 1))
        expected = (draw_scores(sampling, own) - draw_scores(sampling, other)).std()
        assert sampling.standard_error(own, other) == pytest.approx(float(expected), rel=0.06)

    def test_of_several_halvings(self, score: str, examples: str) -> None:
        sampling, predictions = self.sampling(600, examples)
        own = join_measured([numbers_of(predictions, member)[score] for member in range(3)], dim=0)
        assert sampling.standard_error(own) == pytest.approx(float(draw_scores(sampling, own).std()), rel=0.06)


def test_of_a_mean_is_the_textbook_s() -> None:
    values = torch.randn(1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Sampling(50, None, BINS).standard_error(Measured(values))
    assert found == pytest.approx(float(values.std()) / np.sqrt(50))


def test_of_rows_that_are_copies_is_that_of_examples() -> None:
    values = torch.randn(1, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    copies, examples = values.repeat_interleave(3, dim=1), torch.arange(50).repeat_interleave(3)
    one, other = Sampling(50, None, BINS), Sampling(150, examples, BINS)
    assert other.standard_error(Measured(copies)) == pytest.approx(one.standard_error(Measured(values)))
    places = (values > 0).long()
    binned = one.standard_error(Measured(values, places))
    thrice = other.standard_error(Measured(copies, places.repeat_interleave(3, dim=1)))
    assert thrice == pytest.approx(binned, rel=1e-6)


def test_of_a_difference_from_itself_is_zero() -> None:
    own = numbers_of(draw_classes(), 0)
    sampling = Sampling(60, None, BINS)
    for measured in own.values():
        assert sampling.standard_error(measured, measured) == pytest.approx(0, abs=1e-7)  # the root of rounding


def test_of_examples_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = draw_classes(rows=90, examples=torch.arange(90) // 3)
    own = numbers_of(predictions, 0)["ece"]
    whole = Sampling(90, predictions.examples, BINS).standard_error(own)
    monkeypatch.setattr("lossatlas.ensembles.averaged.BLOCK", 70)
    assert Sampling(90, predictions.examples, BINS).standard_error(own) == pytest.approx(whole, rel=1e-6)


def test_shares_of_a_score_have_it_as_their_mean() -> None:
    own = numbers_of(draw_classes(), 0)
    sampling = Sampling(60, None, BINS)
    for measured in own.values():
        assert float(sampling.find_shares(measured).mean()) == pytest.approx(sampling.value(measured))


def test_cover_what_a_split_is_a_sample_of() -> None:
    """Of 60 splits, about two thirds have a score within a standard error of that of all."""
    whole = draw_classes(members=2, rows=6000, seed=1)
    settings = ScoringSettings(halvings=0, pairs=False)
    all_of_them = score_ensemble(whole, settings)
    near = dict.fromkeys(("nll", "error", "brier", "nll_difference"), 0)
    for k in range(60):
        rows = torch.arange(100 * k, 100 * (k + 1))
        part = draw_classes(members=2, rows=100)
        part.rows.targets.copy_(whole.targets[rows])
        part.put(slice(None), slice(None), whole.some(rows))
        own = score_ensemble(part, settings).sel(count=2)
        for name in near:
            error = own[f"{name}_standard_error"].item()
            near[name] += abs(own[name].item() - all_of_them[name].sel(count=2).item()) < error
    for name, count in near.items():
        assert 29 <= count <= 53, name  # 41 expected, and 3.3 standard deviations either way
