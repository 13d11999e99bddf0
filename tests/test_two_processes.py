"""Two processes in one run: who writes it holds it, from the moment it appears, and others hear who that is."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from nursery import Child

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.starting import Start
from lossatlas.jobs.train import run_train
from lossatlas.locks import Lock
from lossatlas.progress import Reporter
from lossatlas.recipes import TrainConfig
from lossatlas.reproduce import Run, Study
from lossatlas.reproduce.run import run_study
from lossatlas.rundir import WRITERS, RunDirectory

QUICK: dict[str, Any] = {"model_options": {"hidden": (4,)}, "batch_size": 64, "device": "cpu"}
CONFIG = TrainConfig(epochs=1, snapshots="step:5", **QUICK)
LONG = ["train", "--epochs=2000", "--model.hidden", "4", "--checkpoint_seconds=0.05", "--out=run"]


def train_for_long(*more: str) -> int:
    return main([*LONG, *more])


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Child]]:
    """A process that trains for long, and the folder of its run."""
    folder = tmp_path_factory.mktemp("written")
    with Child(train_for_long, folder=folder) as child:
        wait_for(lambda: not child.process.is_alive() or (folder / "run/checkpoint/latest.safetensors").exists())
        assert child.process.is_alive(), child.errors
        yield folder, child


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}, {}])
def test_a_run_that_is_written_is_refused_to_a_second_process(how: dict[str, bool], writer: tuple[Path, Child]) -> None:
    folder, child = writer
    with pytest.raises(la.BadInput) as caught:
        run_train(TrainConfig(epochs=2000, model_options={"hidden": (4,)}), folder / "run", **how)  # type: ignore[arg-type]
    if how:
        who = rf"process {child.process.pid} on {re.escape(socket.gethostname())} since \d{{4}}-\d\d-\d\d \d\d:\d\d"
        assert re.search(who, str(caught.value))
    assert "\n" not in str(caught.value)
    assert child.process.is_alive()


def test_a_run_that_is_removed_stays_so(writer: tuple[Path, Child]) -> None:
    folder, child = writer
    for _ in range(2):
        shutil.rmtree(folder / "run", ignore_errors=True)  # the writer may add a file while it goes
    assert child.wait() == 0, child.errors
    assert child.result == 3
    assert "was removed or moved while it was written" in " ".join(child.errors.split())
    assert not list(folder.iterdir())


def test_a_trajectory_that_is_removed_says_so(tmp_path: Path) -> None:
    """Whoever removed it does not write there: the file that is missed first is the index, as likely as any other."""
    way = la.Trajectory(tmp_path / "way")
    way.record(torch.nn.Linear(2, 1), 0)
    shutil.rmtree(tmp_path / "way")
    with pytest.raises(la.CannotFinish, match="way was removed or moved while it was written"):
        way.record(torch.nn.Linear(2, 1), 1)
    assert not (tmp_path / "way").exists()


@pytest.mark.parametrize("written", [True, False])
def test_a_file_in_the_place_of_a_trajectory_ends_it_in_one_line(written: bool, tmp_path: Path) -> None:
    way = la.Trajectory(tmp_path / "way")
    if written:
        way.record(torch.nn.Linear(2, 1), 0)
        shutil.rmtree(tmp_path / "way")
    (tmp_path / "way").write_text("mine")
    with pytest.raises(la.CannotFinish, match="way was removed or moved" if written else "cannot write .*way"):
        way.record(torch.nn.Linear(2, 1), 1)
    assert (tmp_path / "way").read_text() == "mine"


def test_of_two_that_begin_at_once_one_makes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one begins while this one prepares its run, after it found the place free."""
    create, run = RunDirectory.create, tmp_path / "run"

    def late(self: RunDirectory, *arguments: Any, **more: Any) -> bool:
        monkeypatch.setattr(RunDirectory, "create", create)
        run_train(CONFIG, run)
        return create(self, *arguments, **more)

    monkeypatch.setattr(RunDirectory, "create", late)
    with pytest.raises(la.BadInput, match="appeared while this run was prepared"):
        run_train(CONFIG, run)
    assert steps_of(run) == list(range(len(steps_of(run))))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_is_held_from_the_moment_it_appears(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("a: 1\n", {}, replace=False)
    for other in (RunDirectory(run.path), RunDirectory(run.path)):
        with pytest.raises(la.BadInput, match=f"written by process {os.getpid()} on"):
            other.claim()
        with pytest.raises(la.BadInput, match="being written by"):
            other.check_free(overwrite=True)
        with pytest.raises(la.BadInput, match="being written by"):
            other.begin("a: 2\n", {}, replace=True)
    run.close()
    other = RunDirectory(run.path)
    other.claim()
    assert other.config() == {"a": 1}


def test_a_writer_that_is_gone_is_not_named(tmp_path: Path) -> None:
    lock = Lock(tmp_path / WRITERS)
    lock.share()
    (tmp_path / WRITERS).write_text(f"{2**22 + 1} {socket.gethostname()} 2001-01-01 00:00:00\n")
    (tmp_path / "provenance.json").write_text('{"format": "lossatlas run 2"}')
    with pytest.raises(la.BadInput, match="written by another process; wait"):
        RunDirectory(tmp_path).claim()


def test_a_process_does_not_write_to_a_run_that_has_replaced_its_own(tmp_path: Path) -> None:
    first = RunDirectory(tmp_path / "run")
    first.begin("a: 1\n", {}, replace=False)
    shutil.rmtree(first.path)
    second = RunDirectory(tmp_path / "run")
    second.begin("a: 2\n", {}, replace=False)
    with pytest.raises(la.CannotFinish, match="was removed or moved"):
        first.write_bytes("summary.json", b"{}")
    assert not second.finished
    second.write_bytes("summary.json", b"{}")
    assert second.finished


def test_what_was_killed_while_a_run_appeared_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".run.lossatlas-new").mkdir()
    (tmp_path / ".run.lossatlas-new" / "config.yaml").write_text("")
    RunDirectory(tmp_path / "run").begin("a: 1\n", {}, replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("how", [{"resume": True}, {}])
def test_a_run_whose_replacement_was_cut_off_is_there_again(how: dict[str, bool], tmp_path: Path) -> None:
    run_train(CONFIG, tmp_path / "run")
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    (tmp_path / "run").rename(tmp_path / ".run.lossatlas-old")
    (tmp_path / ".run.lossatlas-new").mkdir()
    if how:
        assert run_train(CONFIG, tmp_path / "run", **how)["steps"] > 0  # type: ignore[arg-type]
    else:
        with pytest.raises(la.BadInput, match="exists; choose another"):
            run_train(CONFIG, tmp_path / "run")
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before


def test_what_is_not_a_run_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".mine.partial").write_text("mine")
    with pytest.raises(la.BadInput, match="appeared while"):
        RunDirectory(tmp_path / "run").begin("a: 1\n", {}, replace=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".mine.partial"]


class TestTwoTrajectories:
    """One folder, told by two loops: none of the two corrupts what the other wrote."""

    @pytest.mark.parametrize("shorter", [True, False])
    def test_an_index_that_somebody_else_wrote_is_left_alone(self, shorter: bool, tmp_path: Path) -> None:
        model = torch.nn.Linear(2, 1)
        one = la.Trajectory(tmp_path)
        for step in range(3):
            one.record(model, step)
        other = la.Trajectory(tmp_path)
        other.cut(0) if shorter else other.record(model, 5)
        with pytest.raises(la.CannotFinish, match="was changed by another process"):
            one.record(model, 4)
        steps = [snapshot.step for snapshot in la.Trajectory(tmp_path).snapshots]
        assert steps == ([0] if shorter else [0, 1, 2, 5])
        assert len([*tmp_path.glob("*.safetensors")]) == len(steps)

    @pytest.mark.parametrize(("step", "more"), [(-1, {}), (2**63, {}), (0, {"loss": "low"}), (0, {"loss": None})])
    def test_what_could_not_be_read_is_not_written(self, step: int, more: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match="expected"):
            la.Trajectory(tmp_path / "way").record(torch.nn.Linear(2, 1), step, **more)
        assert not (tmp_path / "way").exists()


def test_who_claims_a_run_clears_what_killed_writers_left(tmp_path: Path) -> None:
    run_train(CONFIG, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    whole = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    for left in (".a.png.partial", "checkpoint/.latest.safetensors.partial", "snapshots/.x.partial"):
        (tmp_path / "run" / left).write_text("half")
    run_train(CONFIG, tmp_path / "run", resume=True)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} - whole == {Path("run/summary.json")}


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_a_run_is_as_private_as_the_user_asks(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        run_train(CONFIG, tmp_path / "run")
    finally:
        os.umask(before)
    for path in (tmp_path / "run").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & mask, path
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o777 & ~mask


class Small(Study):
    title = "A network that is trained"

    def runs(self, scale: str) -> dict[str, Any]:
        return {"net": CONFIG}

    def results(self, runs: Any, out: Path) -> str:
        assert isinstance(runs["net"], Run)
        return "trained"


def test_a_study_is_held_as_well(tmp_path: Path) -> None:
    run_study(Small(), "small", tmp_path / "study")
    held = RunDirectory(tmp_path / "study")
    held.claim()
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(la.BadInput, match="is being written by process"):
            run_study(Small(), "small", tmp_path / "study", **how)  # type: ignore[arg-type]
    held.close()
    run_study(Small(), "small", tmp_path / "study", overwrite=True)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_checkpoints_come_at_times_that_there_are(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(la.BadInput, match="is not a value for checkpoint_seconds"):
        run_train(CONFIG, tmp_path / "run", checkpoint_seconds=seconds)
    assert not (tmp_path / "run").exists()


class Telling(Reporter):
    """Notes what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        self.lines.append(phase)


def test_a_run_that_cannot_be_continued_says_that_and_nothing_else(tmp_path: Path) -> None:
    told = Telling()
    run_train(CONFIG, tmp_path / "run", reporter=told)
    assert told.lines[0].startswith("loss:")
    assert told.lines[1] == "train"
    (tmp_path / "run/summary.json").unlink()
    (tmp_path / "run/checkpoint/latest.safetensors").write_bytes(b"damaged")
    told = Telling()
    with pytest.raises(la.BadInput, match="cannot be continued"):
        run_train(CONFIG, tmp_path / "run", resume=True, reporter=told)
    assert not told.lines


def test_a_fault_found_after_the_work_has_begun_is_not_a_refusal(tmp_path: Path) -> None:
    def late(start: Start[TrainConfig], how: Handling) -> dict[str, Any]:
        how.reporter.say("loss: x")
        how.tell("train", 0.5)
        raise la.BadInput("a.zarr cannot be read")

    told = Telling()
    with pytest.raises(la.CannotFinish, match=r"^a.zarr cannot be read; what was computed before is kept in .*run$"):
        Job(TrainConfig, late, run_train.estimate)(CONFIG, tmp_path / "run", reporter=told)
    assert told.lines == ["loss: x", "train"]


@pytest.mark.parametrize("content", [None, b""])
def test_a_log_that_is_lost_is_not_begun_again(content: bytes | None, tmp_path: Path) -> None:
    run_train(CONFIG, tmp_path / "run")
    (tmp_path / "run/summary.json").unlink()
    log = tmp_path / "run/metrics.jsonl"
    log.unlink()
    if content is not None:
        log.write_bytes(content)
    with pytest.raises(la.BadInput, match=r"metrics.jsonl is shorter than at its checkpoint"):
        run_train(CONFIG, tmp_path / "run", resume=True)
    assert (log.read_bytes() if log.exists() else None) == content
