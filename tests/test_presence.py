"""Who works on a run and how far it is: what processes write of themselves, and what status makes of any run."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nursery import Child
from small_runs import NETWORK, TRAINING, Tiny

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.machine import name_machine
from lossatlas.presence import (
    Failure,
    Presence,
    Record,
    WorkerRecord,
    check_alike,
    clear_failures,
    presence as presences,
    read_failures,
    read_living,
    read_status,
    record_failure,
    records,
)
from lossatlas.recipes import CompareConfig, FitConfig, SurveyConfig
from lossatlas.reproduce.run import run_study
from lossatlas.rundir import SUMMARY, RunDirectory

HOST = socket.gethostname()
GRID = (18, 5)
POINTS = 18 * 5


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two trained networks and a finished survey around one."""
    folder = tmp_path_factory.mktemp("inputs")
    for seed in range(2):
        run_train(replace(TRAINING, seed=seed), folder / f"net{seed}")
    run_survey(survey_config(folder), folder / "survey", pictures=False)
    return folder


def survey_config(inputs: Path, **more: Any) -> SurveyConfig:
    settings: dict[str, Any] = {"grid": GRID, "examples": "20", "plan": "loop"}
    return SurveyConfig(**{**NETWORK, **settings, **more}, checkpoint=str(inputs / "net0"))


@pytest.fixture
def run(inputs: Path, tmp_path: Path) -> Path:
    """A copy of the finished survey, to do harm to."""
    shutil.copytree(inputs / "survey", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are written without a pause."""
    monkeypatch.setattr(presences, "BEAT_SECONDS", 0.01)


def said(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says of a run."""
    assert main(["status", str(run)]) == 0
    found = capsys.readouterr()
    assert not found.err
    return found.out


def put(run: Path, record: Record | bytes, name: str | None = None) -> Path:
    """Put a record into a run, under its name or another one."""
    folder = run / records.WORKERS
    folder.mkdir(exist_ok=True)
    content = record if isinstance(record, bytes) else msgspec.json.encode(record)
    own = records.name_record(record.host, record.pid) if isinstance(record, Record) else "x.json"
    path = folder / (name or own)
    path.write_bytes(content)
    return path


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def work(run: Path, versions: dict[str, str] | None = None, code: str = "") -> None:
    """Work on a run until one is killed; with other versions or another code than others have."""
    presences.BEAT_SECONDS = 0.01
    if versions is not None:
        presences.list_versions = lambda: versions
    if code:
        presences.fingerprint_code = lambda: code
    with Presence(run, executor="local", device="cpu") as presence:
        presence.update(phase="survey", share=0.25, points=40)
        time.sleep(600)


class TestPresence:
    """What a process writes of itself."""

    def test_says_how_things_stand_and_leaves_nothing(self, run: Path, quick: None) -> None:
        before = sorted(path.name for path in run.iterdir())
        with Presence(run, executor="local", device="cuda") as presence:
            wait_for(lambda: read_living(run))
            worker = WorkerRecord("worker 1", HOST, os.getpid(), "cuda", "u 0 to 1", ago(3), tiles=2, points=7)
            presence.update(phase="survey", share=0.5, points=7, workers=[worker])
            presence.update(points=5)
            wait_for(lambda: read_living(run)[0].points)
            (record,) = read_living(run)
            assert (record.host, record.pid, record.executor, record.device) == (HOST, os.getpid(), "local", "cuda")
            assert (record.phase, record.share, record.points, record.workers) == ("survey", 0.5, 12, [worker])
            assert record.versions["torch"]
            assert record.code
            assert record.rate > 0
            beat = record.beat
            wait_for(lambda: read_living(run)[0].beat > beat)
            presence.update(phase="pictures")
            wait_for(lambda: read_living(run)[0].phase == "pictures")
            assert read_living(run)[0].share is None, "of another phase"
        assert sorted(path.name for path in run.iterdir()) == before

    def test_of_a_killed_process_is_seen_to_be_dead_and_removed_by_the_next(
        self, run: Path, quick: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Child(work, run) as child:
            wait_for(lambda: read_living(run))
            assert child.process.pid is not None
            os.kill(child.process.pid, signal.SIGKILL)
            child.wait()
        (left,) = (run / records.WORKERS).glob("[!.]*")
        assert read_status(run).lost == (), "a finished run needs nobody"
        (run / SUMMARY).unlink()
        status = read_status(run)
        assert (status.processes, [record.pid for record in status.lost]) == ((), [child.process.pid])
        assert left.exists(), "reading removes nothing"
        assert re.search(rf"^process {child.process.pid} on .*, heard of \d+ s ago, was lost$", said(run, capsys), re.M)
        with Presence(run):
            wait_for(lambda: not left.exists())

    def test_is_there_when_the_work_begins(self, run: Path) -> None:
        """So that of several that begin at once each sees the others, or is seen by them."""
        with Presence(run):
            assert [record.pid for record in read_living(run)] == [os.getpid()]

    def test_is_written_less_often_beside_many_others(
        self, run: Path, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presences, "MOST_BEATS", 0.02)
        put(run, Record("elsewhere", 1, ago(0)))
        with Presence(run):
            time.sleep(0.2)
            (own,) = [record for record in read_living(run) if record.is_own]
            assert own.beat == 1, "the next one comes after 50 s"

    def test_a_number_that_the_system_gave_to_another_process_is_not_taken_for_the_first(self, run: Path) -> None:
        born = records.find_birth(os.getpid())
        if born is None:
            pytest.skip("the system does not say when processes were started")
        put(run, Record(HOST, os.getpid(), ago(0), born=born - 1))
        assert not read_living(run)
        put(run, Record(HOST, os.getpid(), ago(0), born=born))
        assert read_living(run)

    def test_other_machines_are_believed_for_ten_minutes(self, run: Path) -> None:
        put(run, Record("a", 1, ago(30)))
        put(run, Record("b", 2, ago(599)))
        put(run, Record("c", 3, ago(601)))
        put(run, Record("d", 4, ago(-86400)))
        assert [record.host for record in read_living(run)] == ["a", "b"]

    def test_a_disk_that_refuses_ends_nothing(self, run: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """And what could not be written is written once there is room again."""
        move, refused = os.replace, threading.Event()

        def full(*places: Any) -> None:
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        told: list[str] = []
        with Presence(run, say=told.append) as presence:
            assert refused.wait(60)
            presence.update(points=3)
            assert not read_living(run)
            monkeypatch.setattr(os, "replace", move)
            wait_for(lambda: read_living(run))
        assert not told

    @pytest.mark.parametrize("what", ["a file", "a link"])
    def test_what_lies_in_the_place_of_the_folder_is_left_alone(self, what: str, run: Path, quick: None) -> None:
        (run / "other").mkdir()
        place = run / records.WORKERS
        place.write_text("mine") if what == "a file" else place.symlink_to("other")
        with Presence(run):
            time.sleep(0.1)
            assert not list((run / "other").iterdir())
            assert place.is_symlink() or place.read_text() == "mine"
        assert os.path.lexists(place)

    def test_links_in_the_place_of_records_are_not_followed(self, run: Path, quick: None) -> None:
        (run / records.WORKERS).mkdir()
        own = records.name_record(HOST, os.getpid())
        for name in (own, f".{own}.partial"):
            (run / records.WORKERS / name).symlink_to("../config.yaml")
        before = (run / "config.yaml").read_bytes()
        with Presence(run):
            time.sleep(0.1)
        assert (run / "config.yaml").read_bytes() == before

    def test_a_run_that_is_removed_stays_so(self, run: Path, quick: None) -> None:
        with Presence(run):
            wait_for(lambda: read_living(run))
            for _ in range(2):
                shutil.rmtree(run, ignore_errors=True)
            time.sleep(0.1)
            assert not run.exists()

    def test_a_mount_that_does_not_answer_is_told_of_once_and_once_when_it_does(
        self, run: Path, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pipe without a reader makes whoever opens it wait, as a stalled mount does."""
        monkeypatch.setattr(presences, "STALL_SECONDS", 0.1)
        (run / records.WORKERS).mkdir()
        pipe = run / records.WORKERS / f".{records.name_record(HOST, os.getpid())}.partial"
        os.mkfifo(pipe)
        told: list[str] = []
        with Presence(run, say=told.append) as presence:
            wait_for(lambda: told)
            presence.update(points=3)  # which does not wait
            time.sleep(0.5)
            assert told == [f"{run} has not answered for 0 s (a stalled mount?); waiting for it; nothing is lost"], (
                "once, however long it takes"
            )
            with pipe.open("rb"):
                wait_for(lambda: len(told) > 1)
            assert told[1:] == [f"{run} answers again"]
            wait_for(lambda: read_living(run))
        assert len(told) == 2

    def test_a_mount_that_never_answers_does_not_keep_the_process(
        self, run: Path, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presences, "WAITING_SECONDS", 0.05)
        (run / records.WORKERS).mkdir()
        pipe = run / records.WORKERS / f".{records.name_record(HOST, os.getpid())}.partial"
        os.mkfifo(pipe)
        with Presence(run) as presence:
            wait_for(lambda: presence._writing_since is not None)
        assert presence._threads[0].is_alive()
        with pipe.open("rb"):
            presence._threads[0].join(60)


class TestAlike:
    """Who joins others is refused where values might differ."""

    def test_the_same_versions_and_code_are_welcome(self, run: Path) -> None:
        with Child(work, run):
            wait_for(lambda: read_living(run))
            check_alike(run)

    def test_another_version_is_named(self, run: Path) -> None:
        versions = {**records.list_versions(), "torch": "1.0.0", "zarr": "0.1"}
        with Child(work, run, versions) as child:
            wait_for(lambda: read_living(run))
            with pytest.raises(la.BadInput) as caught:
                check_alike(run)
            number = child.process.pid
        here = records.list_versions()["torch"]
        assert str(caught.value) == (
            f"process {number} on {HOST}, which works on {run}, runs torch 1.0.0, this process torch {here}; use the "
            "same version everywhere"
        )
        check_alike(run)  # that one is dead

    def test_a_package_that_one_lacks_is_named(self, run: Path) -> None:
        versions = {name: number for name, number in records.list_versions().items() if name != "numpy"}
        put(run, Record("elsewhere", 7, ago(0), versions=versions, code=records.fingerprint_code()))
        with pytest.raises(la.BadInput, match="runs without numpy, this process numpy"):
            check_alike(run)

    def test_another_code_of_the_same_version_is_refused(self, run: Path) -> None:
        with Child(work, run, None, "0" * 32):
            wait_for(lambda: read_living(run))
            with pytest.raises(
                la.BadInput, match="runs other source files of lossatlas than this process; use the same"
            ):
                check_alike(run)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 10_000,
        b'{"host": "x", "pid": 1, "time": "today"}',
        b'{"host": "x", "pid": -1, "time": "2026-01-01T00:00:00"}',
        b'{"host": "x", "pid": 1, "time": "2026-01-01T00:00:00", "rate": -1}',
        b'{"host": "x", "pid": 1, "time": "2026-01-01T00:00:00", "share": 1e999}',
        b'{"host": "x", "pid": 1e300, "time": "2026-01-01T00:00:00"}',
        b'{"host": "x", "pid": 1, "time": "9999-99-99T00:00:00"}',
        b'{"host": "../../x", "pid": 1, "time": "2026-01-01T00:00:00"}',
        b" " * (records.MOST_BYTES + 1),
    ],
    ids=range(14),
)
def test_a_damaged_record_says_nothing_and_harms_nothing(
    content: bytes, run: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    left = put(run, content)
    assert not read_living(run)
    assert said(run, capsys).startswith(f"{run}: survey, finished\n")
    check_alike(run)
    with Presence(run):
        wait_for(lambda: read_living(run))
    assert left.read_bytes() == content


def test_records_of_anybody_are_shown_without_what_steers_a_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / SUMMARY).unlink()
    nasty = "\x1b[2J\n" + "x" * 100_000
    worker = WorkerRecord(nasty, nasty, -5, nasty, nasty, nasty, tiles=-1, points=10**18)
    put(run, Record("elsewhere", 7, ago(0), phase=nasty, executor=nasty, device=nasty, points=10**18, rate=1e300,
                    workers=[worker]))  # fmt: skip
    put(run, Record("a\x1b", 7, ago(0)))
    text = said(run, capsys)
    assert text.replace("\n", "").isprintable()
    assert len(text) < 4000
    assert "process 7 on elsewhere" in text


class TestStatus:
    """Of runs of every kind."""

    def test_a_finished_survey(self, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status = read_status(inputs / "survey")
        assert (status.verb, status.state, status.processes, status.failures) == ("survey", "finished", (), ())
        told = {(count.split, count.metrics): (count.done, count.wanted, count.exact) for count in status.counts}
        whole = (POINTS, POINTS, True)
        assert told == {("train", ("loss", "accuracy")): whole, ("test", ("loss", "accuracy")): whole}
        assert said(inputs / "survey", capsys).splitlines() == [
            f"{inputs / 'survey'}: survey, finished",
            f"  test loss, accuracy   {POINTS} of {POINTS} points, 100%",
            f"  train loss, accuracy  {POINTS} of {POINTS} points, 100%",
        ]

    def test_one_that_is_written_and_one_that_was_killed(
        self, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Child(survey_for_long, inputs, tmp_path / "run") as child:
            wait_for(lambda: not child.process.is_alive() or sum_done(tmp_path / "run"))
            assert child.process.is_alive(), child.errors
            status = read_status(tmp_path / "run")
            assert status.state == "being written"
            assert [process.pid for process in status.processes] == [child.process.pid]
            assert 0 < sum(count.done for count in status.counts) < sum(count.wanted for count in status.counts)
            assert f"process {child.process.pid} on {HOST} ({name_machine('cpu')})" in said(tmp_path / "run", capsys)
            assert child.process.pid is not None
            os.kill(child.process.pid, signal.SIGKILL)
            child.wait()
        after = read_status(tmp_path / "run")
        assert (after.state, after.writer, after.seconds_left) == ("not running", "", None)
        assert sum(count.done for count in after.counts) >= sum(count.done for count in status.counts)

    def test_who_works_how_fast_and_for_how_long(
        self, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        (run / SUMMARY).unlink()
        shutil.rmtree(run / "survey.zarr/done/test_streaming/c")
        doing = WorkerRecord("worker 1", HOST, 11, "cuda", "u -1 to -0.5, v 0 to 1", ago(62), 3, 40)
        idle = WorkerRecord("worker 2", "node7", 12, "cuda", lost=2)
        put(run, Record("node7", 5, ago(3), ago(90), executor="ray", device="cuda", phase="survey", share=0.25,
                        points=40, seconds=90, rate=0.5, workers=[doing, idle]))  # fmt: skip
        put(run, Record("node8", 6, ago(4), ago(80), rate=0.25))
        record_failure(run, Failure("killed by signal 9", 3, "test", "streaming", {"u": (-1, -0.5), "v": (0, 1)}))
        status = read_status(run)
        assert (status.state, status.rate, status.seconds_left) == ("being written", 0.75, POINTS / 0.75)
        lines = said(run, capsys).splitlines()
        assert lines[0] == f"{run}: survey, being written"
        assert [re.sub(r"\d+ s ago|(?<=1 min )\d s$", "N", line) for line in lines[1:]] == [
            f"  test loss, accuracy   0 of {POINTS} points, 0%",
            f"  train loss, accuracy  {POINTS} of {POINTS} points, 100%",
            "  0.75 points/s, about 2 min 0 s left",
            "process 5 on node7 (cuda, ray), heard of N",
            "  survey 25%, 40 points in 1 min 30 s, 0.5 points/s",
            f"  worker 1: process 11 on {HOST} (cuda), 3 done, 40 points",
            "    u -1 to -0.5, v 0 to 1, for 1 min N",
            "  worker 2: process 12 (cuda), 0 done, 2 lost before it",
            "    waiting",
            "process 6 on node8, heard of N",
            "1 failure; --resume tries again",
            "  test streaming at u -1 to -0.5, v 0 to 1: given up after 3 tries (killed by signal 9)",
        ]
        assert max(map(len, lines[1:-1])) <= 80

    def test_a_survey_that_is_refined_says_what_it_may_come_to(self, inputs: Path, tmp_path: Path) -> None:
        run_survey(survey_config(inputs, grid=(33, 33), budget=350), tmp_path / "run", pictures=False)
        (tmp_path / "run" / SUMMARY).unlink()
        put(tmp_path / "run", Record("elsewhere", 5, ago(0), rate=1.0))
        status = read_status(tmp_path / "run")
        assert {(count.wanted, count.exact) for count in status.counts} == {(350, False)}
        assert all(0 < count.done <= 350 for count in status.counts)
        assert status.seconds_left is None

    def test_a_fit_and_a_training(self, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = FitConfig(pattern="heart", size="6", steps=3, **NETWORK, padding=0, batch_size=8, examples="20",
                           plan="loop")  # fmt: skip
        run_fit(config, tmp_path / "fit", pictures=False)
        fit, train = read_status(tmp_path / "fit"), read_status(inputs / "net0")
        assert (fit.state, fit.steps_done, fit.steps) == ("finished", 3, 3)
        log = (inputs / "net0/metrics.jsonl").read_text().splitlines()
        assert (train.steps_done, train.steps) == (len(log), None)
        assert "  3 of 3 steps\n" in said(tmp_path / "fit", capsys)
        with (tmp_path / "fit/metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 3, "lo')  # half written
        assert read_status(tmp_path / "fit").steps_done == 3

    def test_a_study(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = tmp_path / "study"
        run_study(Tiny(), "small", run, plan="loop", device="cpu")
        assert [(part.name, part.state) for part in read_status(run).parts] == [
            ("net", "finished"),
            ("line", "finished"),
        ]
        (run / SUMMARY).unlink()
        (run / "runs/line" / SUMMARY).unlink()
        status = read_status(run)
        assert (status.verb, status.state) == ("reproduce", "not running")
        assert [(part.name, part.state) for part in status.parts] == [("net", "finished"), ("line", "begun")]
        put(run / "runs/line", Record("elsewhere", 5, ago(0)))
        assert read_status(run).parts[1].state == "running"
        assert said(run, capsys).splitlines()[1:] == [
            "  runs: 1 done, 1 running, 0 left",
            "    line",
            "      test loss, accuracy   5 of 5 points, 100%",
            "      train loss, accuracy  5 of 5 points, 100%",
        ]
        shutil.rmtree(run / "runs/line")
        assert [part.state for part in read_status(run).parts] == ["finished", "left"]

    def test_a_comparison(self, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = tmp_path / "compare"
        networks = (str(inputs / "net0"), str(inputs / "net1"))
        config = CompareConfig(runs=networks, grid=(3,), line=3, slice_points=3, repeats=1, examples="20", plan="loop")

        def stop() -> bool:
            return sum(path.is_file() for path in run.glob(f"surveys/*/{SUMMARY}")) == 1

        with pytest.raises(la.Interrupted):
            run_compare(config, run, pictures=False, stop=stop)
        states = [part.state for part in read_status(run).parts]
        assert states[0] == "finished"
        assert states[1:] == ["left"] * (len(states) - 1)
        assert "  runs: 1 done, 0 running, 3 left\n" in said(run, capsys)
        run_compare(config, run, resume=True, pictures=False)
        names = {path.name for path in (run / "surveys").iterdir()}
        assert {(part.name, part.state) for part in read_status(run).parts} == {(name, "finished") for name in names}

    def test_nothing_is_changed(self, run: Path) -> None:
        (run / SUMMARY).unlink()
        put(run, Record("elsewhere", 5, ago(10_000)))
        before = {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in [run, *run.rglob("*")]}
        read_status(run)
        assert {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in [run, *run.rglob("*")]} == before

    def test_it_is_one_object_for_scripts(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        put(run, Record("elsewhere", 5, ago(0), workers=[WorkerRecord("worker 1", "x", 1)]))
        told = json.loads((main(["status", str(run), "--json"]), capsys.readouterr().out)[1])
        assert (told["state"], told["processes"][0]["workers"][0]["name"]) == ("finished", "worker 1")
        assert {count["done"] for count in told["counts"]} == {POINTS}

    def test_it_does_without_torch(self, run: Path) -> None:
        code = (
            f"import sys; from lossatlas.cli import main; main(['status', {str(run)!r}]);"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


class TestForeign:
    """What is not a run, or somebody else's."""

    @pytest.mark.parametrize("what", ["nothing", "a folder", "a file", "another version"])
    def test_what_is_not_a_run_is_refused_in_one_line(
        self, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = tmp_path / "x"
        if what == "a file":
            place.write_text("x")
        elif what != "nothing":
            place.mkdir()
        if what == "another version":
            (place / "provenance.json").write_text('{"format": "lossatlas run 99"}')
        assert main(["status", str(place)]) == 2
        told = capsys.readouterr()
        assert not told.out
        assert len(told.err.splitlines()) == 1
        assert str(place) in told.err

    @pytest.mark.parametrize(
        "name", ["config.yaml", ".workers/x.json", ".workers", "survey.zarr/done", "failures.json"]
    )
    def test_a_link_that_leads_elsewhere_is_refused(
        self, name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run / records.WORKERS).mkdir()
        (tmp_path / "secret").write_text("secret")
        place = run / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(tmp_path / "secret")
        assert main(["status", str(run)]) == 2
        told = capsys.readouterr().err
        assert "is a link that leads out of" in told
        assert len(told.splitlines()) == 1

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("config.yaml", b"- 1\n"),
            ("config.yaml", b"budget: many\nruns: {../..: {}, a/b: {}, 3: {}}\nsteps: x\n"),
            ("failures.json", b'{"reason": 3}'),
            ("failures.json", b"[" * 10_000),
            ("runs.json", b'{"runs": 4}'),
            (".writers", b"\xff" * 1000),
            (".writers", b"-1 " + HOST.encode() + b" now"),
            (".writers", b"9" * 300 + b" " + HOST.encode() + b" now"),
            ("metrics.jsonl", b'{"step": "x"}\n\xff\n'),
            ("survey.zarr/done/test_streaming/zarr.json", b"{}"),
            ("survey.zarr/done/test_streaming/c/0/0", b"rubbish"),
            ("survey.zarr/test_loss/zarr.json", b"rubbish"),
        ],
        ids=range(12),
    )
    def test_what_is_damaged_is_passed_over(
        self, name: str, content: bytes, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run / SUMMARY).unlink()
        (run / name).write_bytes(content)
        assert said(run, capsys).startswith(f"{run}: survey, not running; --resume continues it\n")

    def test_marks_that_ask_for_more_memory_than_there_is_count_for_nothing(self, run: Path) -> None:
        path = run / "survey.zarr/done/test_streaming/zarr.json"
        head = json.loads(path.read_text())
        path.write_text(json.dumps({**head, "shape": [10**9, 10**9]}))
        assert [count.split for count in read_status(run).counts] == ["train"]


class TestFailures:
    """What was given up."""

    def test_is_kept_until_it_is_tried_again(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (run / SUMMARY).unlink()
        one = Failure("killed by signal 9", 3, "test", "streaming", {"u": (-1.0, -0.5)})
        other = Failure("ValueError: mine", 1, run="line")
        for failure in (one, other, replace(one, times=4)):
            record_failure(run, failure)
        assert read_failures(run) == [other, replace(one, times=4)]
        assert "line: given up after 1 try (ValueError: mine)" in said(run, capsys)
        clear_failures(run)
        clear_failures(run)
        assert read_failures(run) == []

    def test_of_many_at_once_none_is_lost(self, run: Path) -> None:
        failures = [Failure("killed", 3, "test", "loss", {"u": (float(k), k + 1.0)}) for k in range(24)]
        threads = [threading.Thread(target=record_failure, args=(run, failure)) for failure in failures]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(failure.coords["u"][0] for failure in read_failures(run)) == list(range(24))

    def test_a_disk_that_refuses_ends_nothing(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*places: Any) -> Iterator[None]:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        record_failure(run, Failure("killed"))
        assert read_failures(run) == []


def survey_for_long(inputs: Path, run: Path) -> None:
    run_survey(survey_config(inputs, grid=(400, 400)), run, pictures=False)


def sum_done(run: Path) -> int:
    """How many points of a run are done; none where there is no run yet."""
    return sum(count.done for count in read_status(run).counts) if RunDirectory(run).is_run else 0
