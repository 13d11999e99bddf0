"""Which weights a chart has at the end of a fit: the best on held-out examples, or an average of the last ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from networks import make

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.fitting import Fit
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.objectives import Levels, Objective, Pattern
from lossatlas.recipes import FitConfig
from lossatlas.recipes.fit import build_fit
from lossatlas.rundir import CONFIG
from lossatlas.schema import GROUP_LOSS

HEART = la.picture("heart", (8, 10))
GROUPED = {GROUP_LOSS: la.GroupLoss(((0,), (1,), (2,)))}
RAMP = la.GreyPicture(np.geomspace(0.2, 2.0, 80).reshape(8, 10), "ramp")


def begin(
    objective: Objective | None = None, *, keeps: bool = True, steps: int = 40, average: float = 0.0, **options: Any
) -> Fit:
    problem, split = make("mlp")
    train, held_out = split.divide(torch.arange(0, len(split), 3))
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    objective = objective or la.CoarseToFine(
        [la.Stage(Pattern(la.picture("heart", 6), cells=4), 0.25), la.Stage(Pattern(HEART, cells=4), 0.75)], there=1.0
    )
    engine = la.engine_for(problem, chart, train, plan="loop", points=8)
    keep = la.KeepBest(held_out, **{"share": 0.9, "looks": 8, "points": 20, **options}) if keeps else None
    return Fit(
        chart, objective, engine, train, la.Steps(steps), optimizer=la.Adam(5e-2), batch_size=5, keep_best=keep,
        average_last=average,
    )  # fmt: skip


def trained(fit: Fit) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in fit.chart.named_parameters() if p.requires_grad}


def finish(fit: Fit) -> list[dict[str, float]]:
    records = []
    while not fit.done:
        records.append(fit.step())
    return records


@cache
def finished(keeps: bool, average: float) -> Fit:
    """One that was never stopped, for several tests to compare with."""
    fit = begin(keeps=keeps, average=average)
    finish(fit)
    return fit


def follow(fit: Fit) -> list[dict[str, torch.Tensor]]:
    """Finish a fit that neither averages nor keeps; returns the parameters after each step."""
    found = []
    while not fit.done:
        fit.step()
        found.append(trained(fit))
    return found


def average(steps: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([step[name] for step in steps]).mean(0) for name in steps[0]}


def score(fit: Fit, parameters: dict[str, torch.Tensor]) -> float:
    """The gap at all points that looks see, from losses and accuracies of a survey of them, one by one."""
    problem, split = make("mlp")
    held_out = split.divide(torch.arange(0, len(split), 3))[1]
    metrics = choose_streaming_metrics(problem.loss)
    scoring = fit.objective.make_scoring(20, metrics)
    assert scoring is not None
    with torch.no_grad():
        for name, value in fit.chart.named_parameters():
            if name in parameters:
                value.copy_(parameters[name])
        controls = fit.chart.controls()
        rows = fit.chart.coefficients(scoring.coords).to(controls) @ controls
    engine = la.engine_for(problem, fit.chart, held_out, plan="loop", points=8)
    values = [engine.evaluate(torch.ones_like(row[:1])[None], row[None], held_out, metrics, 500) for row in rows]
    return scoring.compute({name: torch.cat([value[name] for value in values]) for name in ("loss", "accuracy")})


@pytest.mark.parametrize(("keeps", "average_last"), [(True, 0.0), (True, 0.4), (False, 0.4)])
@pytest.mark.parametrize("stop", [9, 17, 30, 40])
def test_stored_and_restored_anywhere_it_keeps_the_same(stop: int, keeps: bool, average_last: float) -> None:
    whole = finished(keeps, average_last)
    first, second = (begin(keeps=keeps, average=average_last) for _ in range(2))
    for _ in range(stop):
        first.step()
    tensors, numbers = first.state()
    second.restore({name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(numbers)))
    finish(second)
    for name, value in whole.chart.state_dict().items():
        assert torch.equal(value, second.chart.state_dict()[name])
    assert whole.kept == second.kept
    assert (whole.kept is not None) == keeps
    assert whole.held_bytes == second.held_bytes


def test_looks_follow_the_progress_of_the_last_stage_and_change_no_step() -> None:
    looking, plain = begin(), begin(keeps=False)
    records = finish(looking)
    # The last stage is from step 10 of 40 on, and a look is due each five steps.
    assert [line["step"] + 1 for line in records if "held_out_score" in line] == [15, 20, 25, 30, 35, 40]
    for line, other in zip(records, finish(plain), strict=True):
        assert line["objective"] == other["objective"]
        assert "held_out_score" not in other


def test_the_chart_at_the_end_is_the_best_mean_between_two_looks() -> None:
    fit, plain = begin(), begin(keeps=False)
    records = finish(fit)
    looks = {int(line["step"]) + 1: line["held_out_score"] for line in records if "held_out_score" in line}
    kept = fit.kept
    assert kept is not None
    best = max(looks.values())
    assert kept.score == best
    assert kept.step == max(step for step, found in looks.items() if found == best)
    assert kept.progress == kept.step / 40
    assert kept.score_at_end == looks[40]
    assert (kept.name, kept.looks, kept.points) == ("gap", 6, 20)
    parameters = follow(plain)
    wanted = average(parameters[kept.step - 5 : kept.step])
    for name, value in trained(fit).items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-6, atol=1e-7)
    for step, found in looks.items():
        between = average(parameters[step - 5 if step > 15 else 10 : step])
        assert score(plain, between) == pytest.approx(found, abs=1e-6)


def test_the_average_of_the_last_weights() -> None:
    fit, plain = begin(keeps=False, average=0.3), begin(keeps=False)
    finish(fit)
    wanted = average(follow(plain)[-12:])
    assert fit.averaged == 12
    for name, value in trained(fit).items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-6, atol=1e-7)


def test_looks_at_the_average_judge_it() -> None:
    fit, plain = begin(average=0.5), begin(keeps=False)
    looks = {int(line["step"]) + 1: line["held_out_score"] for line in finish(fit) if "held_out_score" in line}
    parameters = follow(plain)
    assert score(plain, average(parameters[20:40])) == pytest.approx(looks[40], abs=1e-6)
    assert score(plain, average(parameters[20:30])) == pytest.approx(looks[30], abs=1e-6)


def test_what_is_kept_is_counted() -> None:
    fit, plain = begin(), begin(keeps=False)
    assert fit.held_bytes == plain.held_bytes
    finish(fit), finish(plain)
    numbers = sum(value.numel() for value in trained(fit).values())
    assert fit.held_bytes - plain.held_bytes == numbers * (
        8 + 8
    )  # in the number format of the chart, float64, and for the mean
    kept = fit.kept
    assert kept is not None
    assert fit.training_passes - plain.training_passes == round(kept.looks * kept.points * kept.examples / 3)


def test_looks_cost_their_share_and_the_last_one_is_taken_always() -> None:
    fit = begin(share=1e-9)
    records = finish(fit)
    assert [line["step"] + 1 for line in records if "held_out_score" in line] == [40]
    share = begin(share=0.3, looks=1000)
    records = finish(share)
    looked = [line["step"] + 1 for line in records if "held_out_score" in line]
    kept = share.kept
    assert kept is not None
    assert 1 < len(looked) < 30
    for count, step in enumerate(looked[:-1], 1):
        assert count * kept.points * kept.examples / 3 <= 0.3 * step * 8 * 5


def test_a_grey_picture_is_scored_by_correlation_and_a_fit_of_one_that_wanders_off_is_taken_back() -> None:
    """With a learning rate that destroys the chart towards its end the kept one is from before."""
    fit = begin(Levels(RAMP, cells=8), steps=60, looks=12)
    rates = iter([1.0] * 40 + [200.0] * 20)
    fit._schedule = lambda _: next(rates)  # type: ignore[assignment]
    finish(fit)
    kept = fit.kept
    assert kept is not None
    assert kept.name == "log_loss_correlation"
    assert kept.step < 60
    assert kept.score > kept.score_at_end
    assert score_ramp(fit) == pytest.approx(kept.score, abs=1e-6)


def score_ramp(fit: Fit) -> float:
    """The correlation at the points of a look of the chart as it is, by numpy."""
    problem, split = make("mlp")
    held_out = split.divide(torch.arange(0, len(split), 3))[1]
    scoring = fit.objective.make_scoring(20, choose_streaming_metrics(problem.loss))
    assert scoring is not None
    survey = la.survey(fit.chart, RAMP, problem, {"train": held_out}, padding=0, plan="loop")
    losses = RAMP.from_grid(survey["train_loss"].values, 0).astype(float).reshape(-1)
    coords = torch.from_numpy(RAMP.coords()).reshape(-1, 2)
    places = [int((coords - point).norm(dim=1).argmin()) for point in scoring.coords]
    return float(np.corrcoef(np.log(losses[places]), RAMP.target.reshape(-1)[places])[0, 1])


def test_scores_of_all_kinds_of_pictures_rank_charts_and_give_none_where_there_is_none() -> None:
    metrics = choose_streaming_metrics(la.CrossEntropy())
    pattern = Pattern(HEART).make_scoring(16, metrics)
    assert pattern is not None
    assert pattern.coords.shape == (16, 2)
    assert pattern.compute({"accuracy": torch.tensor([0.9] * 8 + [0.2] * 8)}) == pytest.approx(0.7)
    squared = Pattern(HEART).make_scoring(16, choose_streaming_metrics(la.SquaredError()))
    assert squared is not None
    assert squared.compute({"loss": torch.tensor([0.1] * 8 + [2.0] * 8)}) == pytest.approx(1.0)
    assert np.isnan(squared.compute({"loss": torch.ones(16)}))
    assert np.isnan(squared.compute({"loss": torch.full((16,), torch.inf)}))
    grey = Levels(RAMP).make_scoring(16, metrics)
    assert grey is not None
    asked = torch.tensor(RAMP.losses.reshape(-1))
    places = torch.cdist(grey.coords, torch.from_numpy(RAMP.coords().reshape(-1, len(RAMP.axes)))).argmin(dim=1)
    assert grey.compute({"loss": asked[places]}) == pytest.approx(1.0)
    assert grey.compute({"loss": 1 / asked[places]}) == pytest.approx(-1.0)
    members = la.Decorrelated(la.MemberGrid(9)).make_scoring(100, metrics)
    assert members is not None
    assert members.coords.shape == (9, 2)
    assert members.compute({"loss": torch.tensor([1.0, 2.0])}) == -1.5


def test_a_channel_without_contrast_does_not_hide_the_others() -> None:
    losses = np.stack([*np.meshgrid(*[np.geomspace(0.05, 2.0, 6)] * 2), np.full((6, 6), 0.3)], axis=-1)
    scoring = la.ColourLevels(la.ColourPicture(losses, "flat blue", ((0,), (1,), (2,)))).make_scoring(36, GROUPED)
    assert scoring is not None
    found = torch.from_numpy(losses.reshape(-1, 3))
    assert scoring.compute({GROUP_LOSS: found}) == pytest.approx(1.0)
    assert scoring.compute({GROUP_LOSS: found[:, [1, 1, 2]]}) == pytest.approx(0.5, abs=1e-9)
    flat = np.broadcast_to([0.1, 0.2, 0.3], (6, 6, 3))
    assert la.ColourLevels(la.ColourPicture(flat, "flat", ((0,), (1,), (2,)))).make_scoring(36, GROUPED) is None


def test_scored_cells_are_those_of_the_picture_and_the_same_in_every_run() -> None:
    metrics = choose_streaming_metrics(la.CrossEntropy())
    coords = [Pattern(HEART).make_scoring(20, metrics).coords for _ in range(2)]  # type: ignore[union-attr]
    assert torch.equal(*coords)
    cells = torch.from_numpy(HEART.coords()).reshape(-1, 2)
    low = torch.from_numpy(HEART.low.reshape(-1))
    for k, point in enumerate(coords[0]):
        assert bool(low[(cells - point).norm(dim=1).argmin()]) == (k < 10)


def test_ties_keep_the_later_chart() -> None:
    fit = begin()
    constant = fit._selection._scoring
    assert constant is not None
    fit._selection._scoring = replace(constant, compute=lambda _: 0.5)
    finish(fit)
    assert fit.kept is not None
    assert fit.kept.step == 40


def test_scores_that_are_not_finite_keep_the_last_chart() -> None:
    fit, plain = begin(), begin(keeps=False)
    scoring = fit._selection._scoring
    assert scoring is not None
    fit._selection._scoring = replace(scoring, compute=lambda _: float("nan"))
    assert not any("held_out_score" in line for line in finish(fit))
    finish(plain)
    assert fit.kept is None
    for name, value in trained(plain).items():
        assert torch.equal(value, trained(fit)[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, s: s.pop("selection"), "kept neither the best chart nor an average"),
        (lambda _, s: s["selection"].update(looks=-1), "Expected `int` >= 0"),
        (lambda _, s: s["selection"].update(score=None), "the best chart and its score are not both there"),
        (lambda t, _: t.pop("best.origin"), "'origin' is missing"),
        (lambda t, _: t.update({"mean.origin": t["mean.origin"].half()}), "'origin' is torch.float16"),
        (lambda t, _: [t.pop(name) for name in list(t) if name.startswith("mean.")], "the sums of 2 steps are missing"),
    ],
)
def test_damaged_states_are_refused(change: Any, message: str) -> None:
    fit = begin()
    for _ in range(17):
        fit.step()
    tensors, numbers = fit.state()
    numbers = json.loads(json.dumps(numbers))
    change(tensors, numbers)
    with pytest.raises(ValueError, match=message):
        begin().restore(tensors, numbers)


@pytest.mark.parametrize("name", ["looks", "points", "share", "eval_batch_size"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    examples = torch.zeros(4, 2), torch.zeros(4).long()
    with pytest.raises(la.BadInput, match=name):
        la.KeepBest(examples, **{name: 0})
    with pytest.raises(la.BadInput, match=r"last 1.5 of the budget; expected a share in \[0, 1\]"):
        begin(average=1.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep_best": True}, r"keep_best is a bool; expected la.KeepBest\(held_out\)"),
        ({"optimizer": "muon"}, "optimizer is 'muon'; expected a ChartOptimizer"),
    ],
)
def test_names_in_place_of_objects_are_refused(given: dict[str, Any], message: str) -> None:
    problem, split = make("mlp")
    chart = la.Plane.random(problem.module, initialiser=la.Xavier())
    with pytest.raises(la.BadInput, match=message):
        la.fit(chart, Pattern(HEART), problem, split, steps=1, plan="loop", **given)


def test_objectives_refuse_pictures_of_another_kind() -> None:
    colours = la.ColourPicture(np.geomspace(0.05, 2.0, 90).reshape(3, 5, 6).transpose(1, 2, 0), "ramps")
    wrong = {Pattern: (RAMP, colours), Levels: (HEART, colours), la.ColourLevels: (HEART, RAMP)}
    for objective, pictures in wrong.items():
        for picture in pictures:
            with pytest.raises(la.BadInput, match=f"{objective.__name__} shows a .*; got {type(picture).__name__}"):
                objective(picture)


def test_an_objective_without_a_score_is_refused() -> None:
    class Unscored(Levels):  # type: ignore[misc]
        def make_scoring(self, most: int, metrics: Any) -> None:
            return None

    with pytest.raises(la.BadInput, match="Unscored does not say how good a chart is"):
        begin(Unscored(RAMP))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> str:
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "ramp.png"
    Image.fromarray(np.tile(np.linspace(0, 255, 16, dtype=np.uint8), (12, 1))).save(path)
    return f"grey:{path}"


def configure(pattern: str, **settings: Any) -> FitConfig:
    small = {"model_options": {"hidden": (4,)}, "device": "cpu", "size": "12", "steps": 5, "plan": "loop"}
    return FitConfig(pattern=pattern, **{**small, **settings})


@pytest.mark.parametrize(
    ("settings", "keeps", "held_out"),
    [
        ({}, True, 135),
        ({"keep_best": False}, False, 0),
        ({"holdout": 200}, True, 200),
        ({"holdout": 200, "keep_best": False}, False, 200),
        ({"pattern": "heart"}, False, 0),
        ({"pattern": "heart", "holdout": 20}, False, 20),
        ({"pattern": "heart", "keep_best": True}, True, 135),
    ],
)
def test_what_a_run_that_begins_decides(photograph: str, settings: dict[str, Any], keeps: bool, held_out: int) -> None:
    recipe = build_fit(configure(**{"pattern": photograph, **settings}), begins=True)
    assert (recipe.config.keep_best, recipe.config.holdout) == (keeps, held_out)
    assert len(recipe.train) == 1347 - held_out
    told = [note for note in recipe.notes if "training examples are held out" in note]
    assert len(told) == (held_out == 135)
    # From its record, the recipe of the run is the same.
    again = build_fit(FitConfig.from_flat(recipe.config.flat()))
    assert again.train.fingerprint() == recipe.train.fingerprint()


def test_a_run_that_is_there_without_a_record_of_it_held_out_none(photograph: str) -> None:
    assert len(build_fit(configure(photograph)).train) == 1347


def test_too_few_training_examples(photograph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossatlas.recipes.fit.FEWEST_HELD_OUT", 200)
    recipe = build_fit(configure(photograph), begins=True)
    assert (recipe.config.keep_best, recipe.config.holdout) == (False, 0)
    assert any("too few to tell which chart is best: the chart of the last step is kept" in n for n in recipe.notes)
    with pytest.raises(la.BadInput, match="keep_best: a tenth of 1,347 training examples is too few"):
        build_fit(configure(photograph, keep_best=True), begins=True)


def test_the_command_records_what_it_kept_and_resumes(
    photograph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "fit",
        "--pattern",
        photograph,
        "--size",
        "12",
        "--steps",
        "30",
        "--model.hidden",
        "4",
        "--plan",
        "loop",
    ]
    arguments += ["--device", "cpu", "--examples", "50", "--no_pictures", "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["kept_step"] in range(1, 31)
    assert summary["held_out_score_name"] == "log_loss_correlation"
    assert summary["held_out_score"] >= summary["held_out_score_at_end"]
    assert summary["held_out_examples"] == 135
    told = capsys.readouterr()
    assert f"kept the chart of step {summary['kept_step']} of 30: log_loss_correlation" in told.out + told.err
    stored = yaml.safe_load((tmp_path / "run" / CONFIG).read_text())
    assert (stored["keep_best"], stored["holdout"]) == (True, 135)
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments, "--resume", "--no_keep_best"]) == 2
    assert "keep_best was True and is False" in capsys.readouterr().err
    assert len(la.open_run(tmp_path / "run").splits["train"]) > 0
