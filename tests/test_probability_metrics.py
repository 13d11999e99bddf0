"""The Brier score and the calibration error, against plain loops and torchmetrics, batch by batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

import lossatlas as la
from lossatlas.engine import Evaluation, Folded
from lossatlas.metrics import METRICS, choose_metrics
from lossatlas.metrics.probabilities import find_bins, score_brier

LOSS = la.CrossEntropy()


def measure(spec: str, logits: Tensor, labels: Tensor, batch: int = 7) -> Tensor:
    """The metric of p networks (p, N, ..., C), folded over batches."""
    (metric,) = choose_metrics(LOSS, [spec]).values()
    sums = sum(
        metric.sums(Evaluation.of(part, torch.zeros(part.shape[:2]), of_part, None, LOSS))
        for part, of_part in zip(logits.split(batch, dim=1), labels.split(batch), strict=True)
    )
    return metric.value(Folded(sums, len(labels), len(labels), lambda: torch.zeros(len(logits))))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 40), classes=st.integers(2, 6), scale=st.floats(0.3, 8))
def test_the_calibration_error_is_that_of_torchmetrics(seed: int, bins: int, classes: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, 53, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (53,), generator=generator)
    found = measure(f"ece:{bins}", logits, labels)
    for k in range(2):
        expected = multiclass_calibration_error(logits[k].softmax(dim=1), labels, classes, n_bins=bins)
        assert float(found[k]) == pytest.approx(float(expected), abs=1e-6)  # which is in float32


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5))
def test_the_brier_score_is_a_sum_over_classes(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, 20, classes, generator=generator)
    labels = torch.randint(classes, (20,), generator=generator)
    wanted = (logits.double().softmax(dim=2) - torch.nn.functional.one_hot(labels, classes)).square().sum(dim=2)
    torch.testing.assert_close(measure("brier", logits, labels), wanted.mean(dim=1))


def test_the_brier_score_of_a_nearly_certain_label_is_not_rounding() -> None:
    rare = torch.tensor([[1 - 1e-9, 1e-9]], dtype=torch.float64)
    assert float(score_brier(rare, torch.tensor([0]))) == pytest.approx(2e-18, rel=1e-6)


@pytest.mark.parametrize("spec", ["brier", "ece"])
def test_positions_count_alike_and_ignored_ones_do_not(spec: str) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(1, 12, 5, 3, generator=generator)
    labels = torch.randint(3, (12, 5), generator=generator)
    labels[::2, 1:4] = -100
    counted = labels != -100
    found = measure(spec, logits.where(counted[None, ..., None], torch.nan), labels)
    torch.testing.assert_close(found, measure(spec, logits[:, counted], labels[counted]))


def test_bins_have_their_lower_ends_and_the_last_has_both() -> None:
    confidences = torch.tensor([0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 1.0])
    assert find_bins(confidences, 4).tolist() == [0, 0, 1, 2, 2, 3, 3]
    certain = torch.tensor([[[900.0, 0.0], [900.0, 0.0], [900.0, 0.0], [3.0, 0.0]]])
    labels = torch.tensor([0, 0, 1, 0])
    expected = abs(3 - 3 - float(torch.tensor([3.0, 0.0]).double().softmax(0)[0])) / 4
    assert float(measure("ece", certain, labels)) == pytest.approx(expected)


@pytest.mark.parametrize("spec", ["brier", "ece"])
def test_outputs_that_are_not_numbers_have_no_score(spec: str) -> None:
    logits = torch.zeros(2, 4, 3)
    logits[1, 2, 0] = torch.nan
    found = measure(spec, logits, torch.tensor([0, 1, 2, 0]))
    assert found.isnan().tolist() == [False, True]


def test_the_record_says_how_many_bins() -> None:
    default, other = (METRICS["ece"].of(bins).quantity(LOSS) for bins in ("15", "20"))
    assert (default.name, default.record) == ("ece", "15 bins")
    assert (other.name, other.record) == ("ece_20", "20 bins")


@pytest.mark.parametrize("bins", ["0", "-3", "1.5", "many", "10001", "9" * 5000])
def test_a_number_of_bins_that_is_none_is_refused(bins: str) -> None:
    with pytest.raises(
        la.BadInput, match=r"is not a number of bins of ece; expected one from 1 to 10000, as in ece:15"
    ):
        choose_metrics(LOSS, [f"ece:{bins}"])


@pytest.mark.parametrize("spec", ["brier", "ece"])
def test_regression_has_neither(spec: str) -> None:
    with pytest.raises(la.BadInput, match="has no meaning under SquaredError"):
        choose_metrics(la.SquaredError(), [spec])


def test_a_survey_has_both() -> None:
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Linear(4, 3)
    problem = la.Problem(module, LOSS)
    split = la.Split((torch.randn(50, 4, generator=generator), torch.randint(3, (50,), generator=generator)))
    chart = la.Plane.random(module, initialiser=la.Xavier())
    survey = la.survey(
        chart, {"u": [0.0], "v": [1.0]}, problem, {"test": split}, metrics=["brier", "ece"], eval_batch_size=8
    ).load()
    weights = chart.points(torch.tensor([[0.0, 1.0]], dtype=torch.float64))[0].detach().float()
    logits = split.data[0] @ weights[:12].reshape(3, 4).T + weights[12:]
    for metric in ("brier", "ece"):
        wanted = measure(metric, logits[None], split.data[1])
        assert survey[f"test_{metric}"].item() == pytest.approx(float(wanted), rel=1e-5)
    assert survey["test_ece"].attrs["long_name"] == "test expected calibration error (15 bins)"
