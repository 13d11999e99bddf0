"""The fit and the survey in memory."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from networks import make
from torch import nn

import lossatlas as la
from lossatlas.data import Batches
from lossatlas.fitting import Fit

QUICK = {"lr": 5e-3, "betas": (0.9, 0.99)}


def digits() -> la.Split:
    return la.load_data("digits").train


def fitted(picture: la.Picture, steps: int, seed: int = 0) -> tuple[la.Plane, la.Problem]:
    module = la.MLP(hidden=(32, 32)).build((1, 8, 8), 10)
    problem = la.Problem(module, la.CrossEntropy())
    chart = la.Plane.random(module, len(picture.axes), initialiser=la.Xavier(), scale=2.0, seed=seed)
    pattern = la.Pattern(picture, cells=24)
    la.fit(chart, pattern, problem, digits(), steps=steps, optimizer=la.Adam(**QUICK), batch_size=32, plan="vmap")
    return chart, problem


@pytest.mark.parametrize(
    "picture",
    [
        la.Picture(np.arange(16) // 4 % 2 == 0, "two hills"),
        la.picture("heart", (12, 16)),
        la.picture("ball", (12, 12, 12)),
    ],
    ids=["line", "plane", "solid"],
)
def test_pictures_of_one_two_and_three_dimensions_are_found(picture: la.Picture) -> None:
    chart, problem = fitted(picture, 150)
    test = la.load_data("digits").test
    survey = la.survey(chart, picture, problem, {"test": test}, padding=1, plan="vmap")
    accuracy = picture.from_grid(survey["test_accuracy"].values, 1)
    scores = la.score_accuracy(picture, accuracy, picture.find_boundary())
    assert scores["gap"] > 0.5
    assert scores["iou"] > 0.75
    assert tuple(survey.sizes) == picture.axes


def test_a_users_module_with_squared_error() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 3, generator=generator)
    targets = torch.stack([inputs.prod(dim=1), inputs.sum(dim=1).sin()], dim=1)
    module = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 2))
    problem = la.Problem(module, la.SquaredError())
    picture = la.picture("ring", (9, 12))
    chart = la.Plane.random(module, initialiser=la.ModuleDefault(), scale=2.0)
    pattern = la.Pattern(picture, cells=16, clip=la.ClipPerExample(1.5))
    split = la.Split((inputs, targets))
    result = la.fit(chart, pattern, problem, split, steps=150, optimizer=la.Adam(**QUICK), plan="vmap")
    survey = la.survey(chart, picture, problem, {"train": split}, padding=0, plan="vmap")
    scores = la.score_loss(picture, picture.from_grid(survey["train_loss"].values, 0))
    assert "train_accuracy" not in survey
    assert scores["log_loss_gap"] > 0.5
    assert scores["log_loss_correlation"] > 0.6
    assert "gap" not in result.history[-1]
    assert result.history[-1]["low_loss"] < result.history[-1]["high_loss"]


def test_a_grey_picture_is_approached() -> None:
    down, right = np.mgrid[0:8, 0:11]
    grey = la.GreyPicture(np.geomspace(0.2, 2.0, 8 * 11).reshape(11, 8).T[down, right], "ramp")
    module = la.MLP(hidden=(32, 32)).build((1, 8, 8), 10)
    problem = la.Problem(module, la.CrossEntropy())
    chart = la.Plane.random(module, initialiser=la.Xavier(), scale=2.0)
    levels = la.Levels(grey, cells=24)
    result = la.fit(chart, levels, problem, digits(), steps=150, optimizer=la.Adam(**QUICK), batch_size=32, plan="vmap")
    first, last = (
        np.mean([line["log_loss_rmse"] for line in part]) for part in (result.history[:5], result.history[-5:])
    )
    assert last < 0.5 * first
    survey = la.survey(chart, grey, problem, {"train": digits()}, padding=1, plan="vmap")
    np.testing.assert_array_equal(grey.from_grid(survey["target_loss"].values, 1), grey.losses.astype(np.float32))
    assert np.isnan(survey["target_loss"].values[0]).all()
    scores = la.score_loss(grey, grey.from_grid(survey["train_loss"].values, 1))
    assert scores["log_loss_correlation"] > 0.7
    assert scores["log_loss_rmse"] < 0.5 * first


def make_fit(seed: int = 0, steps: int = 12) -> Fit:
    problem, split = make("mlp")
    chart = la.Plane.random(problem.module, initialiser=la.Xavier(), seed=seed)
    coarse, fine = (la.Pattern(la.picture("heart", size), cells=4) for size in (6, 10))
    objective = la.CoarseToFine([la.Stage(coarse, 0.5), la.Stage(fine, 0.5)])
    engine = la.engine_for(problem, chart, split, plan="loop", points=8)
    return Fit(chart, objective, engine, split, la.Steps(steps), optimizer=la.Adam(), batch_size=5, seed=seed)


@pytest.mark.parametrize("stop", [0, 1, 5, 6, 11])
def test_stored_and_restored_anywhere_it_ends_with_the_same_chart(stop: int) -> None:
    whole, first, second = make_fit(), make_fit(), make_fit()
    while not whole.done:
        whole.step()
    for _ in range(stop):
        first.step()
    tensors, scalars = first.state()
    second.restore({name: value.clone() for name, value in tensors.items()}, scalars)
    while not second.done:
        second.step()
    for name, value in whole.chart.state_dict().items():
        assert torch.equal(value, second.chart.state_dict()[name])
    assert whole.running == second.running


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, s: s.update(steps="3"), "Expected `int`, got `str`"),
        (lambda _, s: s.update(steps=-1), "Expected `int` >= 0"),
        (lambda _, s: s.update(seconds=None), "Expected `float`, got `null`"),
        (lambda _, s: s.update(running={"gap": "x"}), "Expected `float`, got `str`"),
        (lambda _, s: s.update(running=[]), "Expected `object`, got `array`"),
        (lambda _, s: s.pop("objective"), "missing required field `objective`"),
        (lambda _, s: s["objective"].update(stage=7), "stage 7 of 2"),
        (lambda _, s: s["objective"].update(stages=[{}]), "stage 0 of 1; there are 2"),
        (lambda _, s: s["objective"].update(stages=[[], {}]), "Expected `object`, got `array`"),
        (lambda t, _: t.pop("chart.origin"), "'origin' is missing"),
        (lambda t, _: t.update({"chart.odd": torch.ones(1)}), "'odd' is unknown"),
        (lambda t, _: t.update({"chart.origin": t["chart.origin"][:1]}), r"'origin' is .* of shape \(1,\)"),
        (lambda t, _: t.update({"chart.origin": t["chart.origin"].half()}), "'origin' is torch.float16"),
        (
            lambda t, _: t.update({"optimizer.0.exp_avg": torch.ones(1).double()}),
            "a exp_avg of torch.float64 and shape",
        ),
        (lambda t, _: t.update({"optimizer.0.step": torch.ones(2)}), r"a step of torch.float32 and shape \(2,\)"),
        (lambda t, _: t.pop("optimizer.0.step"), "of parameter 0 is exp_avg, exp_avg_sq; expected step, exp_avg"),
        (lambda t, _: t.update({"optimizer.9.step": torch.ones(())}), "remembers parameter 9 of 3"),
        (lambda t, _: t.update({"optimizer.x.step": torch.ones(())}), "'optimizer.x.step' is unknown"),
        (lambda _, s: s["optimizer"].update({"optimizer.0.step": 3}), "has step = 3; expected one like"),
    ],
)
def test_the_state_of_something_else_is_refused(change: Any, message: str) -> None:
    fit = make_fit()
    fit.step()
    tensors, scalars = fit.state()
    tensors, scalars = dict(tensors), json.loads(json.dumps(scalars))
    change(tensors, scalars)
    with pytest.raises(ValueError, match=message):
        make_fit().restore(tensors, scalars)


def test_what_separate_networks_would_hold_is_what_one_with_its_adam_holds() -> None:
    fit = make_fit()
    module = make("mlp")[0].module
    optimizer = torch.optim.Adam(module.parameters())
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = [value for p in module.parameters() for value in (p, p.grad, *optimizer.state[p].values())]
    # A module's optimiser counts steps for each parameter.
    counters = 4 * (len(list(module.parameters())) - 1)
    one = sum(value.numel() * value.element_size() for value in held) - counters
    assert fit.measure_separate_bytes(1) == one
    assert fit.measure_separate_bytes(100) == 100 * one


def test_batches_run_through_epochs_without_replacement() -> None:
    batches = Batches(la.Split(torch.arange(12)), 5, seed=0)
    assert batches.per_epoch == 2
    rows = [batches.at(step).tolist() for step in range(4)]
    for epoch in (rows[:2], rows[2:]):
        assert len({*epoch[0], *epoch[1]}) == 10
    assert rows[:2] != rows[2:]
    assert [Batches(la.Split(torch.arange(12)), 5, seed=0).at(step).tolist() for step in (3, 0)] == [rows[3], rows[0]]
    assert len(Batches(la.Split(torch.arange(12)), 50, seed=0).at(7)) == 12


def test_not_finite_stops_before_the_chart_is_spoiled() -> None:
    fit = make_fit()
    with torch.no_grad():
        fit.chart.scale.fill_(1e300)
    before = {name: value.clone() for name, value in fit.chart.state_dict().items()}
    with pytest.raises(la.CannotFinish, match=r"at step 0; use a lower learning rate"):
        fit.step()
    assert all(torch.equal(value, before[name]) for name, value in fit.chart.state_dict().items())


def test_the_gradient_is_clipped_to_its_norm() -> None:
    fit = make_fit()
    fit._max_norm = 1e-3
    norm = fit.step()["gradient_norm"]
    trained = [p.grad for p in fit.chart.parameters() if p.grad is not None]
    assert norm > 1e-3
    assert float(torch.cat([g.reshape(-1) for g in trained]).norm()) == pytest.approx(1e-3, rel=1e-4)


def test_a_target_ends_the_fit_early() -> None:
    module = la.MLP(hidden=(32,)).build((1, 8, 8), 10)
    chart = la.Plane.random(module, 1, initialiser=la.Xavier(), scale=2.0)
    cells = np.arange(10) < 5
    pattern = la.Pattern(la.Picture(cells, "half"), cells=5)
    result = la.fit(
        chart, pattern, la.Problem(module, la.CrossEntropy()), digits(),
        steps=400, target_gap=0.4, optimizer=la.Adam(**QUICK), plan="vmap",
    )  # fmt: skip
    assert result.steps < 400


def test_the_gap_of_a_coarser_picture_does_not_stop_a_fit() -> None:
    fit = make_fit(steps=400)
    fit._target_gap = 0.5
    steps = 0
    while not fit.done:
        fit.step()
        steps += 1
        fit.running["gap"] = 1.0  # as if each picture were there at once
    assert fit.objective.stage == 1
    assert steps >= 40, "twenty steps of each picture before its gap counts"


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5])
def test_a_target_that_cannot_be_is_refused(target: float) -> None:
    problem, split = make("mlp")
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match="is not a target gap"):
        la.fit(chart, la.Pattern(la.picture("heart", 8)), problem, split, steps=1, target_gap=target, plan="loop")


@pytest.mark.parametrize("budget", [{}, {"steps": 3, "seconds": 3.0}])
def test_the_budget_is_one_of_two(budget: dict[str, float]) -> None:
    problem, split = make("mlp")
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match="in both steps and seconds, or in neither"):
        la.fit(chart, la.Pattern(la.picture("heart", 8)), problem, split, **budget)


def test_axes_of_picture_and_chart_must_agree() -> None:
    problem, split = make("mlp")
    chart = la.Plane.random(problem.module, 3, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match=r"the objective has 2 axes \(u, v\), the chart 3 \(u, v, w\)"):
        la.fit(chart, la.Pattern(la.picture("heart", 8)), problem, split, steps=1, plan="loop")


class TestSurvey:
    def test_values_sit_at_their_coordinates_on_a_grid_that_is_not_square(self) -> None:
        problem, split = make("regression")
        chart = la.Plane.random(problem.module, initialiser=la.ModuleDefault())
        grid = la.make_grid(chart, (5, 3))
        survey = la.survey(chart, grid, problem, {"train": split}, metrics=["loss", "gradient_norm"], plan="loop")
        assert dict(survey.sizes) == {"u": 5, "v": 3}
        engine = la.engine_for(problem, chart, split, plan="loop")
        for u in survey.u.values:
            for v in survey.v.values:
                at = torch.tensor([[u, v]], dtype=torch.float64)
                from lossatlas.metrics import choose_metrics

                loss = engine.evaluate(
                    chart.coefficients(at), chart.controls(), split, choose_metrics(problem.loss), 500
                )
                assert float(survey["train_loss"].sel(u=u, v=v)) == pytest.approx(float(loss["loss"]), rel=1e-6)
        assert survey["train_loss"].attrs["units"] == "1"
        assert bool((survey["train_gradient_norm"] > 0).all())

    def test_a_store_cut_off_is_completed_with_the_same_values(self, tmp_path) -> None:
        problem, split = make("mlp")
        chart = la.Plane.random(problem.module, initialiser=la.ModuleDefault())
        grid = la.make_grid(chart, (40, 36))
        whole = la.survey(chart, grid, problem, {"train": split}, plan="loop")
        path = tmp_path / "survey.zarr"
        la.survey(chart, grid, problem, {"train": split}, plan="loop", path=path)
        import zarr

        group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        group["done/train_streaming"][:, 32:] = False  # as if killed before the last tiles
        group["train_loss"][:, 32:] = 7.0
        again = la.survey(chart, grid, problem, {"train": split}, plan="loop", path=path)
        assert again["train_loss"].equals(whole["train_loss"])

    @pytest.mark.filterwarnings("ignore:.*bf16 does not pay on this machine")
    def test_a_metric_can_be_added_later_and_another_chart_is_refused(self, tmp_path) -> None:
        problem, split = make("mlp")
        chart, other = (la.Plane.random(problem.module, initialiser=la.Xavier(), seed=s) for s in (0, 1))
        grid = la.make_grid(chart, (3, 2))
        path = tmp_path / "survey.zarr"
        first = la.survey(chart, grid, problem, {"train": split}, plan="loop", path=path).load()
        both = la.survey(chart, grid, problem, {"train": split}, metrics=["gradient_norm"], plan="loop", path=path)
        assert both["train_loss"].equals(first["train_loss"])
        assert "train_gradient_norm" in both
        with pytest.raises(la.BadInput, match="has chart = "):
            la.survey(other, grid, problem, {"train": split}, plan="loop", path=path)
        with pytest.raises(la.BadInput, match="has precision = 'fp32', this one 'bf16'; choose another path"):
            la.survey(chart, grid, problem, {"train": split}, plan="loop", precision="bf16", path=path)
        with pytest.raises(la.BadInput, match="another grid: 3 points along u that the 4 wanted do not hold; .* 5"):
            la.survey(chart, la.make_grid(chart, (4, 2)), problem, {"train": split}, plan="loop", path=path)
        half = la.Split(split.take(torch.arange(6)))
        joined = la.survey(chart, grid, problem, {"train": split}, metrics=["loss", "accuracy"], plan="loop", path=path)
        assert joined["train_loss"].equals(first["train_loss"])
        with pytest.raises(la.BadInput, match="examples = 12, this one 6"):
            la.survey(chart, grid, problem, {"train": half}, plan="loop", path=path)

    def test_a_metric_joins_its_group(self, tmp_path) -> None:
        problem, split = make("mlp")
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        grid = la.make_grid(chart, (3, 2))
        options = {"plan": "loop", "path": tmp_path / "survey.zarr"}
        alone = la.survey(chart, grid, problem, {"train": split}, metrics=["loss"], **options).load()
        both = la.survey(chart, grid, problem, {"train": split}, metrics=["loss", "accuracy"], **options)
        assert both["train_loss"].equals(alone["train_loss"])
        assert bool(np.isfinite(both["train_accuracy"]).all())

    def test_files_of_others_are_not_touched(self, tmp_path) -> None:
        problem, split = make("mlp")
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "a.txt").write_text("years of work")
        with pytest.raises(la.BadInput, match="not a survey that can be continued"):
            la.survey(
                chart, la.make_grid(chart, (3, 2)), problem, {"train": split}, plan="loop", path=tmp_path / "thesis"
            )
        assert (tmp_path / "thesis" / "a.txt").read_text() == "years of work"

    def test_a_store_whose_making_was_cut_off_is_completed(self, tmp_path) -> None:
        problem, split = make("mlp")
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        grid = la.make_grid(chart, (3, 2))
        path = tmp_path / "survey.zarr"
        whole = la.survey(chart, grid, problem, {"train": split}, plan="loop", path=path).load()
        import shutil

        shutil.rmtree(path / "done" / "train_streaming")  # killed after the values' arrays and before the mark
        again = la.survey(chart, grid, problem, {"train": split}, plan="loop", path=path)
        assert again["train_loss"].equals(whole["train_loss"])

    def test_unknown_metrics_are_refused(self) -> None:
        problem, split = make("regression")
        chart = la.Plane.random(problem.module, initialiser=la.ModuleDefault())
        grid = la.make_grid(chart, (3, 2))
        with pytest.raises(la.BadInput, match="'los' is not a metric; did you mean 'loss'"):
            la.survey(chart, grid, problem, {"train": split}, metrics=["los"])
        with pytest.raises(la.BadInput, match="'accuracy' has no meaning under SquaredError"):
            la.survey(chart, grid, problem, {"train": split}, metrics=["accuracy"])


def test_groups_differ_by_one_example_at_most() -> None:
    sizes = [len(batch[0]) for batch in la.Split((torch.zeros(11, 2), torch.zeros(11))).eval_batches(5)]
    assert sorted(sizes) == [3, 4, 4]
