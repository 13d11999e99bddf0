"""Runs that are written under leases: they belong to who writes them, until that one shows no sign of life."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from killed_at import kill_at
from nursery import Child, forked, result_of
from same_runs import differences

import lossatlas as la
from lossatlas import rundir
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.locks import detecting, heartbeats
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.rundir import RunDirectory
from lossatlas.surveying import executor
from lossatlas.surveying.store import read_survey

SECONDS = 1.5
"""After which a lease has expired here."""
TRAINED = TrainConfig(epochs=1, snapshots="step:5", model_options={"hidden": (4,)}, batch_size=64, device="cpu")
MOMENTS = 80
"""Moments at files that a process lives for at most."""


def use_leases(_: Path | None = None) -> None:
    """Have this process choose leases wherever it may choose."""
    detecting.choose_claims = rundir.choose_claims = lambda _: "leases"
    heartbeats.LEASE_SECONDS = SECONDS
    executor.POLL = 0.05


@pytest.fixture(autouse=True)
def leased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "choose_claims", lambda _: "leases")
    monkeypatch.setattr(rundir, "choose_claims", lambda _: "leases")
    monkeypatch.setattr(heartbeats, "LEASE_SECONDS", SECONDS)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def wait_for(condition: Callable[[], bool], child: Child | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert child is None or child.process.is_alive(), child.errors
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def begin(path: Path, said: Path, stop: bool = False) -> str:
    """Begin a run and write it until the process is killed; or be stopped, and then write to it."""
    use_leases()
    run = RunDirectory(path)
    run.begin("a: 1\n", {}, replace=path.exists())
    said.touch()
    if not stop:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        run.write_bytes("summary.json", b"{}")
    except la.CannotFinish as error:
        return str(error)
    finally:
        run.close()
    return ""


def test_a_run_belongs_to_one_until_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with Child(begin, path, tmp_path / "said") as child:
        wait_for((tmp_path / "said").exists, child)
        who = rf"being written by process {child.process.pid} on .* since \d{{4}}-"
        for shared in (False, True):
            with pytest.raises(la.BadInput, match=who):
                RunDirectory(path).claim(shared=shared)
        with pytest.raises(la.BadInput, match=who):
            RunDirectory(path).check_free(overwrite=True)
        with pytest.raises(la.BadInput, match=who):
            RunDirectory(path).begin("a: 2\n", {}, replace=True)
        with pytest.raises(la.BadInput, match="written by another process with leases, so locks"):
            RunDirectory(path, claims="locks").claim()
        child.process.kill()
        child.wait()
    run = RunDirectory(path)
    run.claim()
    assert run.config() == {"a": 1}
    run.write_bytes("summary.json", b"{}")
    run.close()
    assert names(tmp_path) == ["run", "run/config.yaml", "run/provenance.json", "run/summary.json", "said"]


def test_a_run_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    with Child(begin, tmp_path / "run", tmp_path / "said") as child:
        wait_for((tmp_path / "said").exists, child)
    (tmp_path / "said").unlink()
    run = RunDirectory(tmp_path / "run")
    run.begin("a: 2\n", {}, replace=True)
    assert run.config() == {"a": 2}
    (beat,) = (tmp_path / "run/.leases").glob("beat-*")
    before = beat.read_bytes()
    wait_for(lambda: beat.read_bytes() != before)
    run.check_there()
    run.close()
    again = RunDirectory(tmp_path / "run")
    again.begin("a: 3\n", {}, replace=True)
    again.close()
    assert names(tmp_path) == ["run", "run/config.yaml", "run/provenance.json"]


def test_one_that_was_stopped_does_not_write_what_another_has(tmp_path: Path) -> None:
    with Child(begin, tmp_path / "run", tmp_path / "said", True) as child:
        wait_for((tmp_path / "said").exists, child)
        run = RunDirectory(tmp_path / "run")
        run.claim()
        assert child.process.pid is not None
        os.kill(child.process.pid, signal.SIGCONT)
        assert child.wait() == 0, child.errors
        assert f"was taken over by process {os.getpid()} on" in child.result
    run.write_bytes("summary.json", b"{}")
    run.close()


def test_a_run_that_is_removed_is_not_made_again(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.begin("a: 1\n", {}, replace=False)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(la.CannotFinish, match="was removed or moved"):
        run.write_bytes("summary.json", b"{}")
    time.sleep(SECONDS / 2)
    run.close()
    assert names(tmp_path) == []


def begin_at_once(path: Path) -> bool:
    use_leases()
    run = RunDirectory(path)
    made = run.create("a: 1\n", {}, replace=False, shared=True)
    if not made:
        run.claim(shared=True, wait=True)
    assert run.config() == {"a": 1}
    run.close()
    return made


def test_of_several_that_begin_at_once_one_makes_the_run(tmp_path: Path) -> None:
    children = [Child(begin_at_once, tmp_path / "run") for _ in range(3)]
    made = []
    for child in children:
        with child:
            assert child.wait() == 0, child.errors
            made.append(child.result)
    assert sorted(made) == [False, False, True]
    assert names(tmp_path) == ["run", "run/config.yaml", "run/provenance.json"]


def train(path: Path, moments: int | None) -> None:
    use_leases()
    torch.set_num_threads(1)
    if moments is not None:
        kill_at(moments, path.parent)
    run_train(TRAINED, path, resume=True)


def until_done(work: Callable[..., Any], path: Path, processes: int, seed: int, *arguments: Any) -> int:
    """Have processes work on a run, each killed once, until all have ended; how many kills there were."""
    draw, killed = random.Random(seed), 0
    alive = {forked(work, path, draw.randint(1, MOMENTS), *arguments) for _ in range(processes)}
    while alive:
        pid, status = os.wait()
        alive.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            alive.add(forked(work, path, None, *arguments))
        elif status:
            for one in alive:
                os.kill(one, signal.SIGKILL)
            raise RuntimeError(f"a child failed with status {status}")
    return killed


def test_a_training_that_is_killed_is_continued(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    run_train(TRAINED, tmp_path / "whole" / "run")
    for seed in range(3):
        path = tmp_path / str(seed) / "run"
        path.parent.mkdir()
        assert result_of(until_done, train, path, 1, seed) == 1
        found = differences(path.parent, tmp_path / "whole")
        assert set(found.unequal) <= {"run/provenance.json"}, "which says where it is"
        assert not [name for name in found.debris if ".leases" not in name]


def survey(path: Path, moments: int | None, weights: Path) -> None:
    use_leases()
    torch.set_num_threads(1)
    if moments is not None:
        kill_at(moments, path.parent)
    config = SurveyConfig(
        checkpoint=str(weights), model_options={"hidden": (8,)}, grid=(49, 33), examples="20", plan="loop", device="cpu"
    )
    run_survey(config, path, resume=True, pictures=False)


def test_a_survey_by_processes_that_are_killed_is_that_of_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(la.MLP(hidden=(8,)).build((1, 8, 8), 10).state_dict(), tmp_path / "w.pt")
    assert result_of(until_done, survey, tmp_path / "one" / "run", 1, 0, tmp_path / "w.pt") <= 1
    whole: xr.Dataset = read_survey(tmp_path / "one" / "run" / "survey.zarr")
    for seed in range(2):
        path = tmp_path / str(seed) / "run"
        assert result_of(until_done, survey, path, 3, seed, tmp_path / "w.pt") == 3
        assert read_survey(path / "survey.zarr").identical(whole)
        assert RunDirectory(path).finished
