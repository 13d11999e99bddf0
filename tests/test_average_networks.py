"""RUN@swa and RUN@ema as networks: averaged weights with statistics of their own, for every verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.curvature import run_curvature
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import ConnectConfig, EnsembleConfig, SpectraConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.effort import find_cost
from lossatlas.recipes.ensemble import build_ensemble
from lossatlas.recipes.problem import build_problem
from lossatlas.recipes.survey import build_survey
from lossatlas.streams import make_generator
from lossatlas.weights.files import read_checkpoint

MODEL: dict[str, Any] = {
    "model": "conv", "model_options": {"channels": (4,), "hidden": 8, "batch_norm": True}, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_train(TrainConfig(**MODEL, epochs=2.0, snapshots="step:2"), Path("kept"))
        averaged = TrainConfig(
            **MODEL, epochs=2.0, snapshots="none", average="step:2", average_from=0.5, average_decay=0.8
        )
        run_train(averaged, Path("averaged"))
    return folder


@pytest.fixture
def there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs)
    return runs


def estimate_slowly(state: dict[str, torch.Tensor], examples: la.Split) -> dict[str, torch.Tensor]:
    """Running statistics by torch itself: a cumulative average over batches in training mode."""
    module = la.Conv(channels=(4,), hidden=8, batch_norm=True).build((1, 8, 8), 10)
    module.load_state_dict(state, strict=False)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    module.train()
    with torch.no_grad():
        for inputs, _ in examples.eval_batches(500):
            module(inputs)
    return {name: value for name, value in module.state_dict().items() if "running" in name}


def test_the_mean_of_the_snapshots_has_statistics_of_its_own(there: Path) -> None:
    base = build_problem(SurveyConfig(**MODEL, checkpoint="kept@swa"))
    loaded = la.load_networks(["kept@swa"], base)
    (state,) = loaded.states
    steps = [snapshot.step for snapshot in la.Trajectory.of(Path("kept")).snapshots]
    late = [step for step in steps if step >= 0.75 * steps[-1]]
    each = la.load_networks([f"kept@{step}" for step in late], base)
    assert torch.equal(loaded.vectors[0], each.vectors.double().mean(dim=0).float())
    expected = estimate_slowly(state, base.train.subset(4000, make_generator(0, "buffers")))
    last = read_checkpoint(Path("kept/model.safetensors"))
    assert len(expected) == 2
    for name, value in expected.items():
        assert torch.allclose(state[name], value, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(state[name], last[name], rtol=1e-3)
    assert any(f"{len(late)} kept snapshots" in note for note in loaded.notes)
    assert any("kept@swa are its own, re-estimated" in note and "train split" in note for note in loaded.notes)


def test_what_a_training_averaged_is_a_network(there: Path) -> None:
    base = build_problem(SurveyConfig(**MODEL, checkpoint="averaged@swa"))
    loaded = la.load_networks(["averaged@swa", "averaged@ema", "averaged"], base)
    assert loaded.names == ("averaged@swa", "averaged@ema", "averaged")
    assert any("running moments" in note for note in loaded.notes)
    assert any("decay 0.8 per step" in note for note in loaded.notes)
    distances = torch.cdist(loaded.vectors, loaded.vectors)
    assert (distances + torch.eye(3) > 0).all()
    before = {name: value.clone() for name, value in base.problem.module.state_dict().items()}
    la.load_networks(["averaged@swa"], base)
    assert all(torch.equal(value, before[name]) for name, value in base.problem.module.state_dict().items())
    assert find_cost("averaged@swa") == find_cost("averaged")
    assert find_cost("averaged@swa").efforts


def test_every_verb_takes_an_average(there: Path, tmp_path: Path) -> None:
    cheap: dict[str, Any] = {"examples": "60", "splits": ("test",), "plan": "loop"}
    around = SurveyConfig(**MODEL, **cheap, checkpoint="kept@swa", grid=(3,), average_from=0.5)
    run_survey(around, tmp_path / "around", pictures=False)
    centre = la.open_run(tmp_path / "around").chart.points(torch.zeros(1, 2))
    base = build_problem(around)
    assert torch.equal(centre[0], la.load_networks(["kept@swa"], base).vectors[0])
    late = build_problem(SurveyConfig(**MODEL, checkpoint="kept@swa"))
    assert not torch.equal(centre[0], la.load_networks(["kept@swa"], late).vectors[0])
    state = la.open_run(tmp_path / "around").base.problem.module.state_dict()
    (expected,) = la.load_networks(["kept@swa"], base).states
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    between = SurveyConfig(**MODEL, **cheap, between=("kept", "kept@swa"), grid=(3,))
    run_survey(between, tmp_path / "between", pictures=False)
    curve = ConnectConfig(
        **MODEL, **cheap, between=("kept@swa", "averaged@ema"), steps=2, grid=(3,), plane=0, ensembles=False
    )
    run_connect(curve, tmp_path / "curve", pictures=False)
    spectrum = SpectraConfig(
        **MODEL, networks=("kept", "kept@swa"), examples="60", top=1, bottom=1, probes=0,
        plan="loop",
    )  # fmt: skip
    run_curvature(spectrum, tmp_path / "spectrum", pictures=False)
    run_train(TrainConfig(**MODEL, epochs=0.2, init_from="kept@swa"), tmp_path / "further")
    start = read_checkpoint(tmp_path / "further/snapshots/000000000.safetensors")
    (expected,) = la.load_networks(["kept@swa"], late).states
    assert all(torch.equal(start[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("kept@nothing", r"kept@nothing does not name a network; .* RUN@ema or @swa"),
        ("kept@snapshots:2", "names several networks"),
        ("kept@swa:3", "takes no argument"),
        ("kept@ema:2", "is not a decay; expected a number between 0 and 1"),
        ("kept@ema:x", "is not a decay; expected a number between 0 and 1"),
        ("nowhere@swa", "nowhere does not exist"),
    ],
)
def test_what_is_not_an_average_is_refused_in_one_line(
    there: Path, spec: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(la.BadInput, match=said):
        la.load_networks([spec], build_problem(SurveyConfig(**MODEL, checkpoint=spec)))
    options = ["--model=conv", "--model.channels=4", "--model.hidden=8", "--model.batch_norm"]
    assert main(["survey", f"--checkpoint={spec}", "--out=refused", *options]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not Path("refused").exists()


def test_weights_without_a_problem_are_not_averages(there: Path, tmp_path: Path) -> None:
    config = SurveyConfig(**MODEL, checkpoint="kept", directions=("towards:kept@swa",), grid=(3,), plan="loop")
    with pytest.raises(la.BadInput, match="kept@swa is an average"):
        run_survey(config, tmp_path / "run", pictures=False)


def test_a_run_around_an_average_is_found_after_it_moved(there: Path, tmp_path: Path) -> None:
    run_train(TrainConfig(**MODEL, epochs=0.5, snapshots="step:1"), tmp_path / "here" / "net")
    config = SurveyConfig(
        **MODEL, checkpoint=str(tmp_path / "here" / "net@swa"), grid=(2,), examples="30", splits=("test",), plan="loop"
    )
    run_survey(config, tmp_path / "here" / "survey", pictures=False)
    (tmp_path / "here").rename(tmp_path / "moved")
    opened = la.open_run(tmp_path / "moved" / "survey")
    assert torch.equal(
        opened.base.space.vector_of(opened.base.problem.module), opened.chart.points(torch.zeros(1, 2))[0]
    )


@pytest.mark.parametrize(
    ("buffers", "said"),
    [
        ("auto", "re-estimated at each on"),
        ("reestimated", "re-estimated at each on"),
        ("batch", "of the batch that is"),
    ],
)
def test_the_note_on_samples_states_the_statistics_that_they_have(there: Path, buffers: str, said: str) -> None:
    samples = build_ensemble(EnsembleConfig(**MODEL, members=("kept@swag:2",), buffers=buffers))
    (note,) = [note for note in samples.notes if "statistics" in note]
    assert said in note
    site = build_survey(SurveyConfig(**MODEL, posterior="kept", samples=2, buffers=buffers, splits=("test",))).site
    assert note in site.notes
    network = build_ensemble(EnsembleConfig(**MODEL, members=("kept@swa", "kept"), buffers=buffers))
    assert any("its own" in note for note in network.notes)
