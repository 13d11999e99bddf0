"""Surveys of samples of a training's posterior, from its averages and from its snapshots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import lossatlas as la
from lossatlas.cli import main
from lossatlas.exchange import FORMATS, open_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.recipes.averages import load_moments, place_end
from lossatlas.recipes.problem import build_problem
from lossatlas.rundir import AVERAGES
from lossatlas.views import draw
from lossatlas.views.report import sentence

SMALL: dict[str, Any] = {"model_options": {"hidden": (6,)}, "device": "cpu", "epochs": 4, "batch_size": 300}
CHEAP = ("--examples=100", "--plan=loop", "--splits", "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("posterior") / "trained"
    run_train(TrainConfig(**SMALL, average="step:2", average_from=0.25, average_rank=4, snapshots="step:2"), run)
    return run


def survey(trained: Path, out: Path, *options: str) -> xr.Dataset:
    assert main(["survey", f"--posterior={trained}", f"--out={out}", *CHEAP, *options]) == 0
    return la.open_run(out).survey


def test_samples_of_the_averages_are_evaluated(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = survey(trained, tmp_path / "run", "--samples=5", "--sample_seed=3")
    assert f"{trained}: running moments of " in capsys.readouterr().err
    assert dict(found["test_loss"].sizes) == {"sample": 5}
    opened = la.open_run(tmp_path / "run")
    moments, _ = load_moments(trained, opened.base.space)
    swag = la.Swag.of(moments, 3)
    assert torch.equal(opened.chart.points(torch.tensor([[4.0]])), swag.points(torch.tensor([[4.0]])))
    block = next(iter(swag.blocks(torch.tensor([[2.0]]), 1)))
    again = opened.engine.evaluate(block.coefficients, block.controls, opened.splits["test"], opened.metrics, 500)
    assert float(again["loss"][0]) == pytest.approx(float(found["test_loss"][2]), rel=1e-5)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    values = found["test_loss"].values.astype(float)
    assert summary["test_loss_mean"] == pytest.approx(values.mean())
    assert summary["test_loss_deviation"] == pytest.approx(values.std(ddof=1))
    assert (tmp_path / "run" / "samples.png").is_file()
    assert "5 samples" in (tmp_path / "run" / "report.html").read_text()


def test_snapshots_make_the_posterior_of_a_training_without_averages(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / AVERAGES).rename(tmp_path / AVERAGES)
    try:
        survey(trained, tmp_path / "run", "--samples=2", "--average_from=0.5", "--average_rank=2")
    finally:
        (tmp_path / AVERAGES).rename(trained / AVERAGES)
    assert "kept snapshots, rank 2, from step" in capsys.readouterr().err


def test_more_samples_join_those_that_are_there(trained: Path, tmp_path: Path) -> None:
    few = survey(trained, tmp_path / "run", "--samples=3", "--no_pictures")
    more = survey(trained, tmp_path / "run", "--samples=6", "--no_pictures", "--resume")
    assert np.array_equal(more["test_loss"][:3], few["test_loss"])
    assert more.sizes["sample"] == 6
    assert len(set(more["test_loss"].values.tolist())) == 6


def test_a_survey_of_the_run_of_a_posterior_has_its_samples(trained: Path, tmp_path: Path) -> None:
    first = survey(trained, tmp_path / "run", "--samples=3", "--no_pictures")
    assert main(["survey", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'again'}", *CHEAP, "--no_pictures"]) == 0
    again = la.open_run(tmp_path / "again").survey
    assert np.allclose(again["test_loss"][:3], first["test_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"posterior": "a", "checkpoint": "b"}, "checkpoint and posterior are given"),
        ({"posterior": "a", "grid": (5,)}, "grid means nothing with posterior"),
        ({"posterior": "a", "directions": ("random",)}, "directions means nothing with posterior"),
        ({"posterior": "a", "budget": 5}, "budget means nothing with posterior"),
        ({"checkpoint": "a", "samples": 5}, "samples means nothing without a posterior"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(la.BadInput, match=said):
        SurveyConfig(**settings)


def test_a_training_without_averages_and_snapshots_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_train(TrainConfig(**SMALL, snapshots="none"), tmp_path / "bare")
    assert main(["survey", f"--posterior={tmp_path / 'bare'}", f"--out={tmp_path / 'run'}"]) == 2
    assert "an average needs two snapshots or more, and" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def make_samples(losses: list[float]) -> xr.Dataset:
    def variable(metric: str, values: list[float]) -> tuple[str, list[float], dict[str, str]]:
        return "sample", values, {"split": "test", "metric": metric, "units": "nat" * (metric == "loss")}

    return xr.Dataset(
        {"test_loss": variable("loss", losses), "test_accuracy": variable("accuracy", [0.5] * len(losses))},
        coords={"sample": np.arange(float(len(losses)))},
    )


@pytest.mark.parametrize(("losses", "scale"), [([0.5, 0.6, 0.9], "linear"), ([0.1, 3.0, 40.0], "log")])
def test_pictures_of_samples_show_mean_and_spread(losses: list[float], scale: str) -> None:
    data = make_samples(losses)
    pictures = draw(data)
    assert list(pictures) == ["samples"]
    alternative = pictures["samples"].alt
    assert f"mean {np.mean(losses):.4g}, standard deviation {np.std(losses, ddof=1):.2g}" in alternative
    assert ("of its logarithm" in pictures["samples"].caption) == (scale == "log")
    assert sentence(data) == (
        f"Networks of one distribution: at 3 samples, the test loss is between {losses[0]:g} and {losses[2]:g} nat."
    )


def test_a_sample_alone_has_a_sentence_and_no_picture() -> None:
    assert not draw(make_samples([0.5]))
    assert "at 1 sample," in sentence(make_samples([0.5]))


def test_a_folder_of_averages_alone_is_surveyed_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "averaged_by_hand.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    recorder = la.AverageRecorder(tmp_path / "mean")
    for step in range(4):
        torch.nn.init.normal_(model[1].weight, 0.0, 0.1, generator=torch.Generator().manual_seed(step))
        recorder.record(model, step)
    recorder.write()
    own = ("--data=digits", "--model=averaged_by_hand:make")
    found = survey(tmp_path / "mean", tmp_path / "run", "--samples=2", *own)
    assert found["test_loss"].std() > 0
    scored = ["ensemble", f"{tmp_path / 'mean'}@swag:2", f"--out={tmp_path / 'scores'}", *own, "--no_pictures"]
    assert main(scored) == 0, capsys.readouterr().err


def test_a_folder_of_averages_alone_does_not_stand_for_what_it_lacks(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.Linear(4, 10))
    module.register_buffer("mask", torch.ones(3))
    recorder = la.AverageRecorder(tmp_path, space=la.WeightSpace(module, ["1.*"]))
    for step in range(3):
        module[1].weight.data += 0.1
        recorder.record(module, step)
    recorder.write()
    problem, splits = la.Problem(module, la.CrossEntropy()), la.load_data("digits").splits
    recipe = build_problem(SurveyConfig(posterior=str(tmp_path)))
    for parameters, lacking in (("1.*", r"'2.bias'.*nor 2 more"), ("*", "'mask'")):
        base = replace(recipe, problem=problem, train=splits["train"], space=la.WeightSpace(module, [parameters]))
        with pytest.raises(la.BadInput, match=f"averages alone, and not {lacking}"):
            place_end(tmp_path, base)
    la.Trajectory(tmp_path).record(module, 3)
    assert place_end(tmp_path, base) == ()


def test_samples_are_tables_and_no_surfaces(tmp_path: Path) -> None:
    data = make_samples([0.5, 0.6, 0.9])
    (tmp_path / "a.csv").write_bytes(FORMATS["csv"]().bytes_of(data))
    again, _ = open_survey(tmp_path / "a.csv")
    assert again["test_loss"].dims == again["test_accuracy"].dims == ("sample",)
    assert np.array_equal(again["test_loss"], data["test_loss"])
    for name in ("vts", "li_hdf5"):
        with pytest.raises(la.BadInput, match=r"has no axes and .* write \.csv"):
            FORMATS[name]().bytes_of(data)
    with pytest.raises(la.BadInput, match="axes none and variables test_accuracy, test_loss; what applies: samples"):
        draw(data, ["loss"])
