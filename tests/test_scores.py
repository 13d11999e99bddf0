"""The summary numbers of a picture, against plain loops and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings, strategies as st

from lossatlas.errors import BadInput
from lossatlas.pictures import LOSS_FLOOR, GreyPicture, Picture, score_accuracy, score_loss

CELLS = np.array(
    [
        [1, 1, 1, -1, -1, 0],
        [1, 1, 1, -1, -1, 0],
        [1, 1, 1, -1, -1, -1],
        [1, 1, 1, -1, -1, -1],
    ]
)
PICTURE = Picture(CELLS, "test")


def random_picture(seed: int) -> tuple[Picture, np.random.Generator]:
    generator = np.random.default_rng(seed)
    cells = generator.integers(-1, 2, (5, 7))
    cells[0, :2] = -1, 1
    return Picture(cells, "random"), generator


def test_a_perfect_map_of_accuracies() -> None:
    accuracy = np.select([CELLS > 0, CELLS < 0], [0.9, 0.1], np.nan)
    scores = score_accuracy(PICTURE, accuracy, PICTURE.find_boundary())
    assert scores["low_accuracy"] == pytest.approx(0.9)
    assert scores["high_accuracy"] == pytest.approx(0.1)
    assert scores["gap"] == pytest.approx(0.8)
    assert scores["iou"] == 1
    assert scores["high_accuracy_undrawn"] is not None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_accuracies_against_a_loop(seed: int) -> None:
    picture, generator = random_picture(seed)
    accuracy, drawn = generator.random(picture.shape), generator.random(picture.shape) < 0.5
    sums: dict[str, list[float]] = {}
    for index, cell in np.ndenumerate(picture.cells):
        if cell:
            name = "low_accuracy" if cell > 0 else "high_accuracy"
            sums.setdefault(name, []).append(accuracy[index])
            sums.setdefault(f"{name}_{'drawn' if drawn[index] else 'undrawn'}", []).append(accuracy[index])
    means = {name: sum(values) / len(values) for name, values in sums.items()}
    middle = (means["low_accuracy"] + means["high_accuracy"]) / 2
    both = either = 0
    for index, cell in np.ndenumerate(picture.cells):
        seen = accuracy[index] > middle
        both += cell > 0 and seen
        either += cell != 0 and (cell > 0 or seen)

    scores = score_accuracy(picture, accuracy, drawn)
    assert scores["gap"] == pytest.approx(means["low_accuracy"] - means["high_accuracy"])
    assert scores["iou"] == pytest.approx(both / either)
    for kind in ("low", "high"):
        for suffix in ("", "_drawn", "_undrawn"):
            name = f"{kind}_accuracy{suffix}"
            assert scores[name] == (pytest.approx(means[name]) if name in means else None)


def test_a_constant_map_shows_nothing() -> None:
    for value in (0.0, 0.1, 0.3, 1 / 3):
        scores = score_accuracy(PICTURE, np.full(CELLS.shape, value), PICTURE.find_boundary())
        assert scores["gap"] == pytest.approx(0)
        assert scores["iou"] == 0


def test_accuracies_of_an_empty_set_are_none() -> None:
    scores = score_accuracy(PICTURE, np.ones(CELLS.shape), np.ones(CELLS.shape, bool))
    assert scores["low_accuracy_undrawn"] is None
    assert scores["high_accuracy_undrawn"] is None


def test_unfinished_or_misshapen_accuracies_are_refused() -> None:
    accuracy = np.full(CELLS.shape, 0.5)
    accuracy[0, 0] = np.nan
    with pytest.raises(BadInput, match="1 cells of picture 'test' is not finite.*finish the survey"):
        score_accuracy(PICTURE, accuracy, PICTURE.find_boundary())
    with pytest.raises(BadInput, match=r"accuracy of picture 'test' has shape \(6, 4\); expected .*\(4, 6\)"):
        score_accuracy(PICTURE, accuracy.T, PICTURE.find_boundary())
    with pytest.raises(BadInput, match="mask of sampled cells"):
        score_accuracy(PICTURE, np.ones(CELLS.shape), PICTURE.find_boundary().T)
    with pytest.raises(BadInput, match="loss of picture"):
        score_loss(PICTURE, np.ones((6, 4)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([1, 8]))
def test_correlations_are_those_of_scipy(seed: int, decimals: int) -> None:
    picture, generator = random_picture(seed)
    loss = np.round(generator.gamma(1, 1, picture.shape), decimals)  # one decimal: ties and zeros
    counted = picture.cells != 0
    logs, target = np.log(np.maximum(loss[counted], LOSS_FLOOR)), -picture.cells[counted]
    scores = score_loss(picture, loss)
    assert scores["log_loss_correlation"] == pytest.approx(scipy.stats.pearsonr(logs, target).statistic)
    assert scores["log_loss_rank_correlation"] == pytest.approx(scipy.stats.spearmanr(logs, target).statistic)
    assert scores["log_loss_gap"] == pytest.approx(logs[target > 0].mean() - logs[target < 0].mean())
    assert scores["low_loss"] == pytest.approx(loss[picture.low].mean())
    assert scores["high_loss"] == pytest.approx(loss[picture.high].mean())
    assert scores["non_finite"] == 0


def test_a_perfect_map_of_losses() -> None:
    scores = score_loss(PICTURE, np.where(CELLS > 0, 0.01, 1.0))
    assert scores["log_loss_gap"] == pytest.approx(np.log(100))
    assert scores["log_loss_correlation"] == pytest.approx(1)
    assert scores["log_loss_rank_correlation"] == pytest.approx(1)


def test_the_log_loss_scores_do_not_depend_on_the_unit_of_the_loss() -> None:
    loss = np.random.default_rng(0).gamma(1, 1, CELLS.shape)
    one, other = score_loss(PICTURE, loss), score_loss(PICTURE, 1000 * loss)
    for name in ("log_loss_gap", "log_loss_correlation", "log_loss_rank_correlation"):
        assert one[name] == pytest.approx(other[name])


def test_a_zero_loss_counts_as_the_floor() -> None:
    scores = score_loss(PICTURE, np.where(CELLS > 0, 0.0, 1.0))
    assert scores["log_loss_gap"] == pytest.approx(-np.log(LOSS_FLOOR))


def test_losses_that_are_not_finite_are_counted_and_left_out() -> None:
    loss = np.where(CELLS > 0, 0.5, 2.0)
    loss[0, :2] = np.nan
    loss[3, 4:] = np.inf
    loss[0, 5] = np.nan  # ignored
    scores = score_loss(PICTURE, loss.astype(np.float32))
    assert scores["non_finite"] == 4
    assert (scores["low_loss"], scores["high_loss"]) == (0.5, 2.0)
    assert scores["log_loss_gap"] == pytest.approx(np.log(4))


def test_what_is_not_defined_is_none() -> None:
    constant = score_loss(PICTURE, np.full(CELLS.shape, 0.1))
    assert constant["log_loss_gap"] == pytest.approx(0)
    assert constant["log_loss_correlation"] is None
    assert constant["log_loss_rank_correlation"] is None
    no_low = score_loss(PICTURE, np.where(CELLS > 0, np.inf, 1.0))
    assert (no_low["low_loss"], no_low["log_loss_gap"], no_low["non_finite"]) == (None, None, 12)
    negative = score_loss(PICTURE, np.where(CELLS > 0, -1.0, 1.0))
    assert (negative["low_loss"], negative["log_loss_gap"]) == (-1.0, None)


def test_losses_against_a_grey_picture() -> None:
    generator = np.random.default_rng(0)
    wanted, loss = generator.gamma(1, 1, (5, 7)), generator.gamma(1, 1, (5, 7))
    wanted[0, 0] = np.nan
    loss[0, :3] = np.nan, np.inf, 0.0
    grey = GreyPicture(wanted, "grey")
    scores = score_loss(grey, loss)
    counted = np.ones((5, 7), bool)
    counted[0, :2] = False
    logs, target = np.log(np.maximum(loss[counted], LOSS_FLOOR)), np.log(wanted[counted])
    assert scores["log_loss_correlation"] == pytest.approx(scipy.stats.pearsonr(logs, target).statistic)
    assert scores["log_loss_rank_correlation"] == pytest.approx(scipy.stats.spearmanr(logs, target).statistic)
    assert scores["log_loss_rmse"] == pytest.approx(np.sqrt(np.mean((logs - target) ** 2)))
    assert scores["non_finite"] == 1
    assert not {"low_loss", "high_loss", "log_loss_gap"} & set(scores)
    assert "log_loss_rmse" not in score_loss(PICTURE, np.ones(CELLS.shape))


def test_a_perfect_grey_map() -> None:
    grey = GreyPicture(np.geomspace(0.05, 2.3, 24).reshape(4, 6), "ramp")
    scores = score_loss(grey, grey.losses)
    assert scores["log_loss_rmse"] == pytest.approx(0)
    assert scores["log_loss_correlation"] == pytest.approx(1)
    doubled = score_loss(grey, 2 * grey.losses)
    assert doubled["log_loss_rmse"] == pytest.approx(np.log(2))
    assert score_loss(grey, -grey.losses)["log_loss_rmse"] is None
    assert score_loss(grey, np.full((4, 6), np.nan))["log_loss_rmse"] is None
