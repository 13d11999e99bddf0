"""Runs from somebody else: whatever they name, nothing outside of them is read, written or deleted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.exchange import open_survey
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.rundir import RunDirectory
from lossatlas.training.start import load_start

QUICK: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
CONFIG = TrainConfig(epochs=1, batch_size=64, snapshots="step:10", **QUICK)
SURVEY: dict[str, Any] = {"grid": (3,), "examples": "20", "plan": "loop", **QUICK}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("theirs") / "run"
    run_train(CONFIG, run)
    return run


@pytest.fixture
def foreign(trained: Path, tmp_path: Path) -> Iterator[Path]:
    """A run that is not finished, beside files that nothing may touch."""
    run, mine = tmp_path / "got" / "run", tmp_path / "mine"
    shutil.copytree(trained, run)
    (run / "summary.json").unlink()
    mine.mkdir()
    for name in ("victim.txt", "other.safetensors", "metrics.jsonl", "index.jsonl"):
        (mine / name).write_text("keep me")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in mine.iterdir()}
    yield run
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in mine.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "mine"]


def add_line(run: Path, file: object, step: object = 10**6) -> None:
    with (run / "snapshots/index.jsonl").open("a") as index:
        index.write(json.dumps({"step": step, "file": file}) + "\n")


NAMES = ["../../../mine/victim.txt", "../../../mine/other.safetensors", "/etc/passwd", "..", "", "a/../b.safetensors",
         "index.jsonl", ".hidden.safetensors", "c:\\x.safetensors", "a\0.safetensors", 3, None]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_snapshot_is_a_file_of_its_folder(name: object, foreign: Path) -> None:
    add_line(foreign, name)
    for read in (
        lambda: run_train(CONFIG, foreign, resume=True),
        lambda: la.Trajectory(foreign / "snapshots"),
        lambda: load_start(f"{foreign}@0"),
        lambda: run_survey(SurveyConfig(trajectory=str(foreign), **SURVEY), foreign.parent / "out"),
    ):
        with pytest.raises(la.BadInput, match=r"index\.jsonl: line \d+ cannot be read .* before it are whole"):
            read()
    assert not (foreign.parent / "out").exists()


@pytest.mark.parametrize("line", [{"step": -1}, {"step": 2**70}, {"step": "1"}, {"step": 0}, [1], "x", {"loss": "a"}])
def test_a_line_of_the_index_says_what_a_line_says(line: Any, foreign: Path) -> None:
    if isinstance(line, dict):
        line = {"step": 10**6, "file": "a.safetensors", **line}
    with (foreign / "snapshots/index.jsonl").open("a") as index:
        index.write(json.dumps(line) + "\n")
    with pytest.raises(la.BadInput, match="cannot be read"):
        la.Trajectory(foreign / "snapshots")


LINKS = {
    "metrics.jsonl": "metrics.jsonl",
    "snapshots/index.jsonl": "index.jsonl",
    "checkpoint": "",
    "snapshots": "",
    "model.safetensors": "other.safetensors",
    "config.yaml": "victim.txt",
    "provenance.json": "victim.txt",
    ".writers": "victim.txt",
    "anything/deep/inside": "victim.txt",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_a_run_is_not_followed(name: str, foreign: Path) -> None:
    there, leads = foreign / name, foreign.parents[1] / "mine" / LINKS[name]
    shutil.rmtree(there) if there.is_dir() else there.unlink(missing_ok=True)
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(os.path.relpath(leads, there.parent))
    with pytest.raises(la.BadInput, match="is a link that leads out of"):
        run_train(CONFIG, foreign, resume=True)
    if name != "provenance.json":  # by which it is not known for a run
        run_train(CONFIG, foreign, overwrite=True)  # which takes the link away and nothing behind it


def test_a_link_within_a_run_is_its_own_business(foreign: Path) -> None:
    (foreign / "latest").symlink_to("snapshots")
    run_train(CONFIG, foreign, resume=True)


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoint/latest.safetensors", "pipe"])
def test_a_pipe_is_not_waited_for(name: str, foreign: Path) -> None:
    (foreign / name).unlink(missing_ok=True)
    os.mkfifo(foreign / name)
    with pytest.raises(la.BadInput, match="neither a file nor a folder"):
        run_train(CONFIG, foreign, resume=True)


def test_a_store_does_not_lead_out_either(trained: Path, foreign: Path) -> None:
    run = foreign.parent / "survey"
    run_survey(SurveyConfig(checkpoint=str(trained), **SURVEY), run, pictures=False)
    (run / "summary.json").unlink()
    (run / "survey.zarr" / "mine").symlink_to(foreign.parents[1] / "mine")
    with pytest.raises(la.BadInput, match="is a link that leads out of"):
        run_survey(SurveyConfig(checkpoint=str(trained), **SURVEY), run, resume=True, pictures=False)
    with pytest.raises(la.BadInput, match="is a link that leads out of"):
        open_survey(run)


def test_runs_that_are_each_others_chart_come_to_an_end(trained: Path, tmp_path: Path) -> None:
    for name in "ab":
        run_survey(SurveyConfig(checkpoint=str(trained), **SURVEY), tmp_path / name, pictures=False)
    for name, other in ("ab", "ba"):
        config = RunDirectory(tmp_path / name).config()
        (tmp_path / name / "config.yaml").write_text(f"run: {tmp_path / other}\n" + f"loss: {config['loss']}\n")
    with pytest.raises(la.BadInput, match="refer to each other"):
        run_survey(SurveyConfig(run=str(tmp_path / "a"), **SURVEY), tmp_path / "out", pictures=False)


class TestInputsAreFoundAgain:
    """A run names its inputs as they were spelled; it is continued from elsewhere, and when they have moved with it."""

    @pytest.fixture
    def begun(self, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        shutil.copytree(trained, "base/t0")
        run_survey(SurveyConfig(checkpoint="base/t0", **SURVEY), Path("runs/s"), pictures=False)
        Path("runs/s/summary.json").unlink()
        return tmp_path

    def resume(self, run: str, *more: str) -> int:
        return main(["survey", "--resume", f"--out={run}", "--no_pictures", *more])

    def test_from_another_working_folder(self, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(begun)
        assert self.resume("work/runs/s") == 0
        assert RunDirectory("work/runs/s").config()["checkpoint"] == "base/t0"

    def test_moved_with_what_it_was_made_of(self, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(begun)
        Path("work").rename("elsewhere")
        assert self.resume("elsewhere/runs/s") == 0

    def test_moved_alone(self, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("runs/s").rename(begun / "s")
        monkeypatch.chdir(begun)
        assert self.resume("s") == 0

    def test_gone_it_says_what_was_looked_for_and_takes_another_place(
        self, begun: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("base/t0").rename(begun / "moved")
        monkeypatch.chdir(begun)
        assert self.resume("work/runs/s") == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        for place in (begun / "work/base/t0", begun / "base/t0"):
            assert str(place) in said
        assert "its current path as --checkpoint" in said
        assert self.resume("work/runs/s", "--checkpoint=moved") == 0

    def test_a_finished_one_grows_where_it_is_now(
        self, begun: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.resume("runs/s") == 0
        monkeypatch.chdir(begun)
        Path("work").rename("elsewhere")
        assert self.resume("elsewhere/runs/s", "--grid=5") == 0
        shutil.rmtree("elsewhere/base")
        assert self.resume("elsewhere/runs/s") == 0  # there is nothing to do
        assert "is finished" in capsys.readouterr().err

    def test_what_is_not_needed_may_be_gone(self, begun: Path) -> None:
        run_train(TrainConfig(**{**CONFIG.__dict__, "init_from": "base/t0"}), Path("t1"))
        run_train(TrainConfig(**{**CONFIG.__dict__, "seed": 1}), Path("t2"))
        shutil.rmtree("base")
        tokens = ["--grid=3", "--examples=20", "--no_pictures", "--plan=loop"]
        assert main(["survey", "--checkpoint=t1", "--out=s1", *tokens]) == 0
        assert main(["compare", "t1", "t2", "--out=c", "--line=3", "--slice_points=3", "--repeats=1", *tokens]) == 0

    def test_a_new_run_does_not_replace_what_it_is_made_of(
        self, begun: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("picture.npy", "plan.json"):
            Path("base/t0", name).write_text("")
        for option in ("--pattern=array:base/t0/picture.npy", "--plan=base/t0/plan.json", "--checkpoint=base/t0"):
            assert main(["fit", option, "--overwrite", "--out=base/t0", "--steps=2"]) == 2
            assert "which is an input of the run" in " ".join(capsys.readouterr().err.split())
        assert Path("base/t0/model.safetensors").exists()

    def test_another_network_in_its_place_is_refused(
        self, begun: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("base/t0").rename(begun / "away")
        run_train(TrainConfig(**{**CONFIG.__dict__, "seed": 1}), Path("base/t0"))
        monkeypatch.chdir(begun)
        assert self.resume("work/runs/s") == 2
        assert "was started with other inputs" in capsys.readouterr().err

    def test_other_settings_are_still_refused(self, begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shutil.copytree("base/t0", "base/t1")
        assert self.resume("runs/s", "--checkpoint=base/t1") == 2
        assert "checkpoint was 'base/t0' and is 'base/t1'" in capsys.readouterr().err


@pytest.mark.parametrize("package", [False, True])
def test_code_that_came_with_a_run_is_not_executed(
    package: bool, foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (foreign / "brought").mkdir()
    (foreign / ("brought/__init__.py" if package else "brought_along.py")).write_text(
        f"open({str(foreign.parent / 'executed')!r}, 'w')\nfrom torch import nn\nmake = lambda: nn.Linear(64, 10)\n"
    )
    name = "brought" if package else "brought_along"
    settings = {**RunDirectory(foreign).config(), "model": f"{name}:make", "model.hidden": [4]}
    (foreign / "config.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(foreign)
    monkeypatch.syspath_prepend("")
    for tokens in (["train", "--resume", "--out=."], ["survey", "--checkpoint=.", "--out=../out"]):
        assert main(tokens) == 2
        assert "is code that came with the run" in " ".join(capsys.readouterr().err.split())
    assert not (foreign.parent / "executed").exists()
