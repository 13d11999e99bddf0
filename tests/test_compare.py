"""Comparisons of trained networks: what outputs say, closed forms between networks, and how they are carried out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.errors import BadInput, Interrupted
from lossatlas.exchange.comparison import COMPARISON
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.train import run_train
from lossatlas.recipes import CompareConfig, TrainConfig
from lossatlas.recipes.compare import name_groups
from lossatlas.reproduce import STUDIES
from lossatlas.studies import (
    disagreement,
    histogram_weights,
    jensen_shannon,
    measure_differences,
    pearson,
    spearman,
    spread,
)
from lossatlas.surveying.standing import Standing
from lossatlas.views import draw
from lossatlas.weights.files import load_state, read_state

QUICK: dict[str, Any] = {"model_options": {"hidden": (8,)}, "batch_size": 64, "epochs": 1, "device": "cpu"}
SMALL: dict[str, Any] = {
    "grid": (5,), "line": 9, "slice_points": 7, "repeats": 2, "radius": 0.5, "examples": "100", "plan": "loop",
}  # fmt: skip

ROUNDED = 1e-7
"""What is left of losses that stores hold in single precision."""


def logits_of(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


# --- weights ---------------------------------------------------------------------------------------------------------


def test_a_histogram_has_every_finite_weight_in_the_bin_nearest_to_it() -> None:
    networks = [torch.tensor([-0.3, 0.001, torch.nan, 2.02]), torch.tensor([torch.inf, -1.0, 0.0, 0.0]).double()]
    middles, counts = histogram_weights(networks)
    assert middles.shape == (101,)
    np.testing.assert_allclose(middles, np.linspace(-2, 2, 101), atol=1e-6)
    for weights, row in zip(([-0.3, 0.001, 2.02], [-1.0, 0.0, 0.0]), counts, strict=True):
        nearest = [np.abs(middles - weight).argmin() for weight in weights]
        np.testing.assert_array_equal(row, np.bincount(nearest, minlength=101))


def test_a_histogram_of_weights_that_are_all_zero_has_bins_all_the_same() -> None:
    middles, counts = histogram_weights([torch.zeros(7)])
    assert np.ptp(middles) == pytest.approx(2 * 100 / 101)
    assert counts[0, 50] == counts.sum() == 7


# --- outputs ---------------------------------------------------------------------------------------------------------


def test_the_divergence_of_two_known_distributions() -> None:
    """JS((1/2, 1/2), (1/4, 3/4)) from the definition, by hand."""
    p, q, m = (0.5, 0.5), (0.25, 0.75), (0.375, 0.625)
    by_hand = sum(a * math.log(a / c) + b * math.log(b / c) for a, b, c in zip(p, q, m, strict=True)) / 2
    assert jensen_shannon(logits_of(*p), logits_of(*q)) == pytest.approx(by_hand, rel=1e-12)


def test_distributions_that_share_no_class_are_log_2_apart() -> None:
    certain = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    other = torch.tensor([[-torch.inf, 0.0, 0.0]])
    assert jensen_shannon(certain, other) == pytest.approx(math.log(2), rel=1e-12)
    far = torch.tensor([[500.0, 0.0]])  # whose probabilities underflow in single precision
    assert jensen_shannon(far, far.flip(1)) == pytest.approx(math.log(2), rel=1e-12)


def test_labels_that_disagree_are_counted_over_examples_and_positions() -> None:
    one = torch.eye(4)
    assert disagreement(one, one[[0, 1, 3, 2]]) == 0.5
    assert disagreement(one.reshape(2, 2, 4), one[[0, 1, 2, 0]].reshape(2, 2, 4)) == 0.25


@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([0.1, 3.0, 80.0]))
@settings(max_examples=40, deadline=None)
def test_differences_are_symmetric_bounded_and_nothing_from_itself(seed: int, classes: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = {name: scale * torch.randn(7, classes, generator=generator) for name in "abc"}
    for difference, most in zip(measure_differences(outputs, classifies=True), (1.0, math.log(2)), strict=True):
        assert np.array_equal(difference.values, difference.values.T)
        assert np.array_equal(np.diag(difference.values), np.zeros(3))
        assert (difference.values >= 0).all()
        assert (difference.values <= most).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_root_of_the_divergence_of_one_example_is_a_metric(seed: int) -> None:
    """Endres & Schindelin 2003."""
    a, b, c = torch.randn(3, 1, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).unbind()
    assert jensen_shannon(a, c) ** 0.5 <= jensen_shannon(a, b) ** 0.5 + jensen_shannon(b, c) ** 0.5 + 1e-12


def test_outputs_that_are_not_finite_have_no_difference() -> None:
    broken = torch.tensor([[float("nan"), 1.0]])
    for difference in measure_differences({"a": broken, "b": torch.zeros(1, 2)}, classifies=True):
        assert np.isnan(difference.values[0, 1])


def test_regressions_differ_by_the_squared_distance_of_their_outputs() -> None:
    one, other = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    (difference,) = measure_differences({"a": one, "b": other}, classifies=False)
    assert difference.values[0, 1] == (4 + 25) / 2


def test_networks_that_answer_other_questions_are_refused() -> None:
    with pytest.raises(BadInput, match=r"outputs of a have shape \(2, 3\) and those of b \(2, 4\)"):
        measure_differences({"a": torch.zeros(2, 3), "b": torch.zeros(2, 4)}, classifies=True)


# --- numbers over runs -----------------------------------------------------------------------------------------------


def test_correlations_against_closed_forms() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert pearson(x, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(math.sqrt(3) / 2)
    assert pearson(x[:2], x[:2]) is None
    assert pearson(x, np.ones(4)) is None
    assert pearson(np.array([1.0, np.nan, 3.0]), x[:3]) is None


def test_spearman_agrees_with_scipy() -> None:
    from scipy.stats import spearmanr

    generator = np.random.default_rng(3)
    x, y = generator.integers(0, 5, (2, 30)).astype(float)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_spread_within_and_between_groups() -> None:
    values = np.array([[0, 1, 5, np.nan], [1, 0, 7, 6], [5, 7, 0, 3], [np.nan, 6, 3, 0]], dtype=float)
    found = spread(values, ["a", "a", "b", "b"], ["s", "t", "s", "t"])
    assert set(found) == {"within_other_start", "between_same_start", "between_other_start"}
    within, same, other = found["within_other_start"], found["between_same_start"], found["between_other_start"]
    assert (within.mean, within.pairs, within.deviation) == (2.0, 2, pytest.approx(math.sqrt(2)))
    assert (same.mean, same.pairs) == (5.5, 2)
    assert (other.mean, other.pairs, other.deviation) == (7.0, 1, None)  # the other pair has no number
    assert spread(values, ["a"] * 4, ["s"] * 4)["within_same_start"].pairs == 5


def test_groups_are_runs_that_differ_by_the_seed_alone() -> None:
    base = TrainConfig(optimizer="sgd", model_options={"batch_norm": False})
    named = name_groups(
        [
            base,
            replace(base, seed=3),
            replace(base, optimizer="adam"),
            replace(base, switch=("5:adam",)),
            replace(base, model_options={"batch_norm": True}),
        ]
    )
    assert named == ["sgd no batch_norm"] * 2 + ["adam no batch_norm", "sgd 5:adam no batch_norm", "sgd batch_norm"]


# --- between networks ------------------------------------------------------------------------------------------------


class TwoLayers(nn.Module):
    """y = V W x in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(3, 3, bias=False, dtype=torch.float64) for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs))


def regression() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return (x[:20], y[:20]), (x[20:], y[20:])


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two-layer linear networks: two optimisers from one start, and one from another."""
    folder = tmp_path_factory.mktemp("linear")
    shared: dict[str, Any] = {
        "data": f"{__name__}:regression", "model": f"{__name__}:TwoLayers", "batch_size": 10, "epochs": 4,
        "device": "cpu",
    }  # fmt: skip
    for name, optimizer, seed in (("a", "sgd,lr=0.05", 0), ("b", "adam,lr=0.03", 0), ("c", "adam,lr=0.03", 1)):
        run_train(TrainConfig(optimizer=optimizer, seed=seed, snapshots="none", **shared), folder / name)
    config = CompareConfig(runs=tuple(str(folder / name) for name in "abc"), **SMALL)
    run_compare(config, folder / "compared", pictures=False)
    return folder


def opened(folder: Path) -> xr.Dataset:
    found: xr.Dataset = xr.open_dataset(folder / COMPARISON, engine="scipy").load()
    return found


def linear_loss(weights: list[np.ndarray], split: int) -> float:
    x, y = (part.numpy() for part in regression()[split])
    first, second = weights
    return float(((x @ first.T @ second.T - y) ** 2).mean())


def test_two_layer_linear_networks_have_their_closed_form(linear: Path) -> None:
    data = opened(linear / "compared")
    final = {
        name: [value.numpy() for _, value in sorted(read_state(linear / name / "model.safetensors").items())]
        for name in "abc"
    }
    starts = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(seed)
        starts[name] = [value.detach().numpy() for _, value in sorted(TwoLayers().state_dict().items())]

    def combined(*parts: tuple[float, list[np.ndarray]]) -> list[np.ndarray]:
        return [sum(share * weights[k] for share, weights in parts) for k in (0, 1)]  # type: ignore[misc]

    for one, other in combinations("abc", 2):
        pair = {"run": one, "other_run": other}
        line = [linear_loss(combined((1 - t, final[one]), (t, final[other])), 0) for t in data["alpha"].values]
        np.testing.assert_allclose(data["line_train_loss"].sel(pair).values, line, rtol=ROUNDED)
        inside = [(t, loss) for t, loss in zip(data["alpha"].values, line, strict=True) if 0 <= t <= 1]
        ends = [linear_loss(final[name], 0) for name in (one, other)]
        rise = max(0.0, max(loss - (1 - t) * ends[0] - t * ends[1] for t, loss in inside))
        assert float(data["barrier"].sel(pair)) == pytest.approx(rise, abs=4 * ROUNDED)
        for u in data["u"].values:
            for v in data["v"].values:
                if (one, other) == ("a", "b"):
                    point = combined((1 - u - v, starts["a"]), (u, final["a"]), (v, final["b"]))
                else:
                    point = combined(
                        ((1 - u) * (1 - v), starts[one]),
                        (u * (1 - v), final[one]),
                        (u * v, final[other]),
                        ((1 - u) * v, starts[other]),
                    )
                found = float(data["surface_train_loss"].sel(pair).sel(u=u, v=v))
                assert found == pytest.approx(linear_loss(point, 0), rel=ROUNDED)
        flat = [np.concatenate([value.ravel() for value in final[name]]) for name in (one, other)]
        assert float(data["distance"].sel(pair)) == pytest.approx(np.linalg.norm(flat[0] - flat[1]), rel=1e-12)
        x = regression()[1][0].numpy()
        outputs = [x @ final[name][0].T @ final[name][1].T for name in (one, other)]
        apart = float(((outputs[0] - outputs[1]) ** 2).sum(axis=1).mean())
        assert float(data["squared_difference"].sel(pair)) == pytest.approx(apart, rel=1e-10)
    assert list(data["chart"].sel(run="a").values) == ["", "simplex", "quadrilateral"]
    assert "disagreement" not in data


def test_a_regression_has_its_pictures_too(linear: Path) -> None:
    assert {"matrix", "slices", "lines", "weights", "differences"} <= set(draw(opened(linear / "compared")))


# --- a comparison on digits ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    for name, changes in {
        "sgd-0": {"optimizer": "sgd,lr=0.1"},
        "sgd-1": {"optimizer": "sgd,lr=0.1", "seed": 1, "snapshots": "none"},
        "adam-0": {"optimizer": "adam"},
        "wide": {"optimizer": "adam", "model_options": {"hidden": (9,)}},
    }.items():
        run_train(TrainConfig(**{**QUICK, **changes}), folder / name)
    return folder


def config_of(folder: Path, *names: str, **changes: Any) -> CompareConfig:
    return CompareConfig(runs=tuple(str(folder / name) for name in names), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def compared(digits: Path) -> Path:
    run_compare(config_of(digits, "sgd-0", "sgd-1", "adam-0", "wide"), digits / "compared")
    return digits / "compared"


def test_a_comparison_is_one_page_and_the_data(compared: Path) -> None:
    data, summary = opened(compared), json.loads((compared / "summary.json").read_text())
    page = (compared / "report.html").read_text()
    for name in ("matrix", "slices", "lines", "weights", "differences", "sharpness"):
        assert (compared / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64") == 6
    assert "Within and between groups" in page
    assert list(summary["groups"].values()) == [["sgd-0", "sgd-1"], ["adam-0"], ["wide"]]
    for name in ("distance", "barrier", "disagreement", "js_divergence"):
        values = data[name].values
        np.testing.assert_array_equal(values, values.T)
    pairs = {
        name: {kind: found["pairs"] for kind, found in summary["spread"][name].items()}
        for name in ("disagreement", "distance")
    }
    assert pairs["disagreement"] == {"within_other_start": 1, "between_same_start": 1, "between_other_start": 4}
    assert pairs["distance"] == {"within_other_start": 1, "between_same_start": 1, "between_other_start": 1}
    assert summary["sharpness_and_test_error"]["runs"] == 4


def test_networks_of_other_architectures_have_no_surface_and_keep_their_functional_difference(compared: Path) -> None:
    data = opened(compared)
    row = data.sel(run="sgd-0", other_run="wide")
    assert str(row["chart"].values) == ""
    assert str(row["reason"].values) == "other architecture"
    assert np.isnan(row["surface_train_loss"].values).all()
    assert np.isnan(float(row["distance"]))
    assert 0 < float(row["disagreement"]) <= 1
    assert str(data["chart"].sel(run="sgd-0", other_run="adam-0").values) == "simplex"
    assert str(data["chart"].sel(run="sgd-0", other_run="sgd-1").values) == "quadrilateral"


def test_networks_stand_where_they_are_on_surfaces_lines_and_slices(digits: Path, compared: Path) -> None:
    """The loss of each network is that at its corner, wherever it is drawn (a subset of 100 examples)."""
    data = opened(compared)
    for run in ("sgd-0", "sgd-1", "adam-0", "wide"):
        centre = data["slice_train_loss"].sel(run=run, x=0).values
        assert np.ptp(centre) == 0
        for other in ("sgd-0", "sgd-1", "adam-0"):
            line = data["line_train_loss"]
            first, last = line.sel(run=run, other_run=other, alpha=0), line.sel(run=other, other_run=run, alpha=1)
            for value in (float(first), float(last)):
                assert np.isnan(value) or value == pytest.approx(float(centre[0]), rel=1e-5)


def test_disagreement_is_that_of_the_networks_themselves(digits: Path, compared: Path) -> None:
    split = la.load_data("digits").test
    labels = {}
    for name in ("sgd-0", "adam-0"):
        module = la.MLP(hidden=(8,)).build(tuple(split.take(torch.arange(1))[0].shape[1:]), 10)
        load_state(module, read_state(digits / name / "model.safetensors"), name)
        problem = la.Problem(module, la.CrossEntropy())
        outputs, _ = Standing(problem, la.WeightSpace(module), split, eval_batch_size=100).predictions(split)
        with torch.no_grad():
            plain = module.eval()(split.take(torch.arange(len(split)))[0])
        torch.testing.assert_close(outputs, plain)
        labels[name] = plain.argmax(dim=1)
    share = float((labels["sgd-0"] != labels["adam-0"]).double().mean())
    found = opened(compared)["disagreement"].sel(run="sgd-0", other_run="adam-0")
    assert float(found) == pytest.approx(share, abs=1e-12)


def test_an_interrupted_comparison_resumes_to_the_same_summary(digits: Path, tmp_path: Path) -> None:
    config = config_of(digits, "sgd-0", "adam-0")
    whole = run_compare(config, tmp_path / "whole", pictures=False)
    asked = 0

    def after_a_few() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    with pytest.raises(Interrupted, match=rf"continue with --out {tmp_path / 'parts'} --resume"):
        run_compare(config, tmp_path / "parts", pictures=False, stop=after_a_few)
    assert not (tmp_path / "parts" / "summary.json").exists()
    resumed = run_compare(config, tmp_path / "parts", resume=True, pictures=False)
    for summary in (whole, resumed):
        summary.pop("seconds"), summary.pop("peak_memory_bytes")
    assert resumed == whole
    xr.testing.assert_identical(opened(tmp_path / "whole"), opened(tmp_path / "parts"))


def test_a_measured_plan_serves_all_surveys_of_an_architecture(digits: Path, tmp_path: Path) -> None:
    run_compare(config_of(digits, "sgd-0", "adam-0", plan="auto"), tmp_path / "out", pictures=False)
    plans = [
        json.loads((path / "provenance.json").read_text())["plan"] for path in (tmp_path / "out/surveys").iterdir()
    ]
    assert len(plans) == 4
    assert all(plan == plans[0] for plan in plans)


# --- bad input -------------------------------------------------------------------------------------------------------


def refused(config: CompareConfig, out: Path, match: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        run_compare(config, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_one_run_or_the_same_twice(digits: Path, tmp_path: Path) -> None:
    refused(config_of(digits), tmp_path / "out", "a comparison needs two or more runs; got 0")
    refused(config_of(digits, "sgd-0"), tmp_path / "out", "a comparison needs two or more runs; got 1")
    refused(config_of(digits, "sgd-0", "adam-0", "./sgd-0"), tmp_path / "out", "sgd-0 is named twice")


def test_what_is_not_a_finished_training(digits: Path, compared: Path, tmp_path: Path) -> None:
    refused(config_of(digits, "sgd-0", "nowhere"), tmp_path / "out", "nowhere is not a lossatlas run")
    slice_run = str(next((compared / "surveys").iterdir()))
    refused(CompareConfig(runs=(str(digits / "sgd-0"), slice_run)), tmp_path / "out", "is not a run of lossatlas train")
    with pytest.raises(Interrupted):
        run_train(TrainConfig(**QUICK), tmp_path / "begun", stop=lambda: True)
    begun = CompareConfig(runs=(str(digits / "sgd-0"), str(tmp_path / "begun")))
    refused(begun, tmp_path / "out", "begun is not finished; continue it with lossatlas train")


def test_runs_on_different_data(digits: Path, linear: Path, tmp_path: Path) -> None:
    mixed = CompareConfig(runs=(str(digits / "sgd-0"), str(linear / "a")))
    refused(mixed, tmp_path / "out", "sgd-0 and a were trained on different data: data is 'digits' for the first and")


def test_a_damaged_model_file(digits: Path, tmp_path: Path) -> None:
    run_train(TrainConfig(**QUICK), tmp_path / "damaged")
    model = tmp_path / "damaged" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-40])
    config = CompareConfig(runs=(str(digits / "sgd-0"), str(tmp_path / "damaged")))
    refused(config, tmp_path / "out", r"damaged/model\.safetensors cannot be read, it may be truncated")
    assert model.exists()


def test_settings_that_no_survey_could_have(digits: Path, tmp_path: Path) -> None:
    refused(config_of(digits, "sgd-0", "adam-0", plan="fastest"), tmp_path / "out", "'fastest' is not a plan")
    refused(config_of(digits, "sgd-0", "adam-0", precision="fp8"), tmp_path / "out", "'fp8' is not a precision")
    refused(config_of(digits, "sgd-0", "adam-0", normalize="rows"), tmp_path / "out", "'rows'")
    refused(
        config_of(digits, "sgd-0", "adam-0", splits=("validation",)), tmp_path / "out", "'validation' is not a split"
    )
    with pytest.raises(BadInput, match="radius is 2 and slices end at 1.5"):
        CompareConfig(radius=2.0)
    with pytest.raises(BadInput, match="grid is 1"):
        CompareConfig(grid=(1,))


def test_runs_that_changed_since_are_not_continued_with(digits: Path, tmp_path: Path) -> None:
    run_train(TrainConfig(**QUICK), tmp_path / "other")
    config = CompareConfig(runs=(str(digits / "sgd-0"), str(tmp_path / "other")), **SMALL)
    with pytest.raises(Interrupted):
        run_compare(config, tmp_path / "out", stop=lambda: True)
    run_train(replace(TrainConfig(**QUICK), epochs=2), tmp_path / "other", overwrite=True)
    with pytest.raises(BadInput, match="was started with other inputs: other was"):
        run_compare(config, tmp_path / "out", resume=True)


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1])
def test_runs_stand_before_or_behind_the_options(
    order: int, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, options = [str(digits / "sgd-0"), str(digits / "adam-0")], ["--line=5", "--plan", "loop", "--no_pictures"]
    tokens = [*runs, *options] if order == 0 else [*options, *runs]
    tokens += ["--print_config", "--splits", "test"]
    assert main(["compare", *tokens]) == 0
    printed = capsys.readouterr().out
    assert f"runs:\n- {runs[0]}\n- {runs[1]}\n" in printed
    assert "splits:\n- test\n" in printed


def test_a_dry_run_writes_nothing_and_says_what_there_is_to_do(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = [str(digits / name) for name in ("sgd-0", "sgd-1", "adam-0")]
    out = tmp_path / "out"
    assert main(["compare", *tokens, "--out", str(out), "--plan=loop", "--examples=50", "--dry_run"]) == 0
    assert "3 surfaces, 3 lines, 3 slices" in capsys.readouterr().out
    assert not out.exists()


def test_the_matrix_study_compares_what_it_trains_from_common_starts() -> None:
    for scale in ("small", "paper"):
        runs = STUDIES["im-matrix"].runs(scale)
        for place, config in enumerate(runs.values()):
            if isinstance(config, CompareConfig):
                trained = [runs[name] for name in config.runs]
                assert set(config.runs) <= set(list(runs)[:place])
                assert len({run.optimizer for run in trained}) == 5  # type: ignore[attr-defined]
                assert len(set(name_groups(trained))) == 5  # type: ignore[arg-type]
                assert len({run.seed for run in trained}) >= 2  # type: ignore[attr-defined]
