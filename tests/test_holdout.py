"""Training examples that are held out, so that settings can be chosen without the test examples."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.train import run_train
from lossatlas.recipes import CompareConfig, EnsembleConfig, FitConfig, SpectraConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.compare import build_compare
from lossatlas.recipes.ensemble import build_ensemble
from lossatlas.recipes.problem import build_problem, hash_data
from lossatlas.recipes.spectra import build_spectra
from lossatlas.recipes.survey import build_survey


def numbered(count: int = 20) -> la.Dataset:
    """Examples whose input is their number."""
    numbers = torch.arange(count)
    return la.Dataset(
        "numbers",
        la.Split((numbers[:, None].float(), numbers % 2)),
        la.Split((torch.zeros(3, 1), torch.zeros(3).long())),
    )


def numbers(split: la.Split) -> list[int]:
    return split.data[0][:, 0].int().tolist()


def test_every_training_example_is_in_one_of_the_two_splits() -> None:
    whole = numbered()
    data = whole.hold_out(6)
    train, holdout = (numbers(data.splits[name]) for name in ("train", "holdout"))
    assert len(holdout) == 6
    assert sorted(train + holdout) == list(range(20))
    assert train == sorted(train)
    assert holdout == sorted(holdout) != list(range(14, 20))
    assert numbers(numbered().hold_out(6).splits["holdout"]) == holdout
    assert data.test is whole.test
    assert list(whole.splits) == ["train", "test"]


def test_a_split_that_is_not_in_memory_is_divided_alike() -> None:
    rows = [(torch.tensor([float(k)]), k % 2) for k in range(20)]
    streamed = la.Dataset("numbers", la.Split.of(rows, collate=torch.utils.data.default_collate, memory=0)).hold_out(6)
    held = numbered().hold_out(6)
    for name in ("train", "holdout"):
        assert numbers(streamed.splits[name]) == numbers(held.splits[name])
        assert streamed.splits[name].streamed


def test_held_out_examples_are_no_sample_of_the_training_examples() -> None:
    """A mean over all of them has no standard error, as that over any other whole split."""
    data = numbered().hold_out(6)
    assert [(len(split), split.population) for split in (data.train, data.splits["holdout"])] == [(14, 14), (6, 6)]


@pytest.mark.parametrize(
    ("count", "words"), [(20, "holdout is 20 of the 20 training examples of numbers"), (0, "at least one"), (-1, "-1")]
)
def test_what_cannot_be_held_out_is_refused(count: int, words: str) -> None:
    with pytest.raises(la.BadInput, match=words):
        numbered().hold_out(count)
    with pytest.raises(la.BadInput, match="6 examples of numbers are held out already"):
        numbered().hold_out(6).hold_out(2)


def test_a_training_never_sees_them_and_the_summary_scores_them(tmp_path: Path) -> None:
    config = TrainConfig(model_options={"hidden": (4,)}, device="cpu", epochs=1, holdout=300, batch_size=100)
    base = build_problem(config)
    held = build_problem(replace(config, holdout=0)).data.hold_out(300)
    assert hash_data(base.data) == hash_data(held)
    assert base.train.fingerprint() == held.train.fingerprint()
    summary = run_train(config, tmp_path / "net")
    assert summary["steps"] == 10
    assert {"train_loss", "test_loss", "holdout_loss"} <= summary.keys()
    # What is measured around the network takes the same examples out, from the record of the run.
    arguments = ["--directions", "random", "--grid", "3", "--examples", "all", "--no_pictures", "--plan", "loop"]
    survey = [*arguments, "--splits", "holdout", "train", "--out", str(tmp_path / "line")]
    assert main(["survey", "--checkpoint", str(tmp_path / "net"), *survey]) == 0
    line = la.open_run(tmp_path / "line")
    assert {name: len(split) for name, split in line.splits.items()} == {"holdout": 300, "train": 1047}
    assert float(line.survey["holdout_loss"][1]) == pytest.approx(summary["holdout_loss"], rel=1e-5)
    assert float(line.survey["train_loss"][1]) == pytest.approx(summary["train_loss"], rel=1e-5)


def test_a_split_that_nothing_is_held_out_for_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["fit", "--splits", "holdout", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "'holdout' is not a split of digits; expected train, test: give --holdout N to hold out N" in told
    assert main(["fit", "--holdout", "1347", "--out", str(tmp_path / "run")]) == 2
    assert "holdout is 1,347 of the 1,347 training examples of digits" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


SMALL: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
CHEAP: dict[str, Any] = {**SMALL, "splits": ("holdout",), "plan": "loop", "holdout": 200}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that held out fewer, as many and more examples than are evaluated, and some that continue others."""
    folder = tmp_path_factory.mktemp("trained")
    for name, settings in {
        "seen": {},
        "some": {"holdout": 100},
        "unseen": {"holdout": 200},
        "more": {"holdout": 300},
        "continued": {"holdout": 200, "init_from": str(folder / "seen")},
        "branched": {"holdout": 200, "init_from": str(folder / "seen@0")},
    }.items():
        run_train(TrainConfig(**SMALL, epochs=1.0, snapshots="step:2", **settings), folder / name)
    return folder


@pytest.mark.parametrize("name", ["seen", "some", "continued", "seen@4", "seen@swa", "seen/model.safetensors"])
def test_networks_that_saw_the_held_out_examples_are_refused(trained: Path, tmp_path: Path, name: str) -> None:
    refused = pytest.raises(la.BadInput, match=r"(seen|some) was trained on examples of the split holdout")
    with refused:
        build_survey(SurveyConfig(**CHEAP, checkpoint=str(trained / name), grid=(2,)))
    with refused:
        build_ensemble(EnsembleConfig(**CHEAP, members=(str(trained / "unseen"), str(trained / name))))
    with refused:
        build_spectra(SpectraConfig(**CHEAP, networks=(str(trained / name),), examples="50"))
    build_survey(SurveyConfig(**{**CHEAP, "splits": ("test",)}, checkpoint=str(trained / name), grid=(2,)))


@pytest.mark.parametrize("name", ["unseen", "more", "branched", "seen@0", "unseen@4", "unseen@swa"])
def test_networks_that_did_not_are_evaluated(trained: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", la.Caution)
        build_survey(SurveyConfig(**CHEAP, checkpoint=str(trained / name), grid=(2,)))


def test_charts_trajectories_and_posteriors_of_them_are_refused(trained: Path, tmp_path: Path) -> None:
    refused = pytest.raises(la.BadInput, match="was trained on examples of the split holdout")
    for settings in ({"trajectory": str(trained / "seen")}, {"posterior": str(trained / "seen"), "samples": 2}):
        with refused:
            build_survey(SurveyConfig(**CHEAP, **settings))
    with refused:
        build_ensemble(EnsembleConfig(**CHEAP, members=(f"{trained / 'seen'}@swag:2",)))
    with refused:
        build_spectra(SpectraConfig(**CHEAP, trajectory=str(trained / "seen"), examples="50"))
    plane = FitConfig(**SMALL, pattern="members:4", steps=2, examples="30", plan="loop", splits=("test",))
    run_fit(plane, tmp_path / "plane", pictures=False)
    with refused:
        build_survey(SurveyConfig(**CHEAP, run=str(tmp_path / "plane")))
    with refused:
        build_ensemble(EnsembleConfig(**CHEAP, members=(f"{tmp_path / 'plane'}@low",)))
    with refused:
        build_compare(CompareConfig(runs=(str(trained / "unseen"), str(trained / "continued")), splits=("holdout",)))


def test_networks_of_unknown_training_carry_a_warning(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "unseen" / "model.safetensors", tmp_path / "found.safetensors")
    with pytest.warns(la.Caution, match=r"found.safetensors does not belong to a run .* is not known"):
        build_survey(SurveyConfig(**CHEAP, checkpoint=str(tmp_path / "found.safetensors"), grid=(2,)))
