"""Runs that are interrupted or meet a full disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from nursery import Child
from safetensors.torch import save

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.files.writing import write_atomically
from lossatlas.jobs.checkpoint import FILE, restore_checkpoint, write_checkpoint
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.log import MetricsLog
from lossatlas.recipes import FitConfig
from lossatlas.rundir import RunDirectory

CONFIG = FitConfig(
    pattern="heart", size="8x10", steps=60, model_options={"hidden": (8,)}, cells=4, examples="60", padding=1,
    plan="loop", coarse=(0.7,), shares=(0.5, 0.5),
)  # fmt: skip
TOKENS = [
    "fit", "--pattern=heart", "--size=8x10", "--steps=60", "--model=mlp", "--model.hidden", "8", "--cells=4",
    "--examples=60", "--padding=1", "--plan=loop", "--coarse=0.7", "--shares", "0.5", "0.5",
    "--checkpoint_seconds=0.02", "--no_pictures", "--out=run", "--resume",
]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run_fit(CONFIG, out, pictures=False)
    return out


def same_result(one: Path, other: Path) -> None:
    assert (one / "chart.safetensors").read_bytes() == (other / "chart.safetensors").read_bytes()
    for out in (one, other):
        steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(CONFIG.steps or 0))
    scores = [json.loads((out / "summary.json").read_text())["test_scores"] for out in (one, other)]
    assert scores[0] == scores[1]


def fit_to_the_end() -> None:
    sys.exit(main(TOKENS))


def begun(run: Path, alive: Callable[[], bool]) -> None:
    """Wait for a first checkpoint."""
    while alive() and not (run / FILE).exists():
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_says_how_to_resume(number: signal.Signals, uninterrupted: Path, tmp_path: Path) -> None:
    with Child(fit_to_the_end, folder=tmp_path) as child:
        begun(tmp_path / "run", child.process.is_alive)
        os.kill(child.process.pid, number)
        assert child.wait() == 130, child.errors
        assert "continue with --out run --resume" in " ".join(child.errors.split())
    run_fit(CONFIG, tmp_path / "run", resume=True, pictures=False)
    same_result(uninterrupted, tmp_path / "run")


@pytest.mark.parametrize("after", [1, 59, 60, 61])
def test_stopped_in_the_fit_or_in_the_survey_it_continues(after: int, uninterrupted: Path, tmp_path: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == after

    with pytest.raises(la.Interrupted, match="continue with"):
        run_fit(CONFIG, tmp_path / "run", stop=stop, pictures=False)
    assert not (tmp_path / "run" / "summary.json").exists()
    run_fit(CONFIG, tmp_path / "run", resume=True, pictures=False)
    same_result(uninterrupted, tmp_path / "run")


def test_a_run_without_a_checkpoint_begins_again(uninterrupted: Path, tmp_path: Path) -> None:
    with pytest.raises(la.Interrupted):
        run_fit(CONFIG, tmp_path / "run", stop=lambda: True)
    (tmp_path / "run" / FILE).unlink()
    run_fit(CONFIG, tmp_path / "run", resume=True, pictures=False)
    same_result(uninterrupted, tmp_path / "run")


@pytest.mark.parametrize(("after", "limit"), [(30, 3000), (61, 10), (62, 3000)], ids=["fit", "survey", "pictures"])
def test_a_full_disk_leaves_what_was_reached(after: int, limit: int, uninterrupted: Path, tmp_path: Path) -> None:
    """The limit on the size of files stands in for the disk: writes beyond it fail as those to a full one do."""
    run = tmp_path / "run"
    asked = 0

    def fill() -> bool:
        nonlocal asked
        asked += 1
        if asked == after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        return False

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(la.CannotFinish, match="the last checkpoint is intact"):
            run_fit(CONFIG, run, checkpoint_seconds=0.0, stop=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    run_fit(CONFIG, run, resume=True, pictures=after == 62)
    same_result(uninterrupted, run)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(la.Interrupted):
        run_fit(CONFIG, tmp_path / "run", stop=lambda: True)
    checkpoint = tmp_path / "run" / FILE
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    with pytest.raises(la.BadInput, match="cannot be continued"):
        run_fit(CONFIG, tmp_path / "run", resume=True)


class Work:
    """Something that can be stored."""

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"a": torch.ones(2)}, {"steps": 3}

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        self.restored = tensors["a"].tolist(), scalars["steps"]


def test_a_checkpoint_says_how_much_of_the_log_is_its_own(tmp_path: Path) -> None:
    run, work = RunDirectory(tmp_path / "run"), Work()
    run.path.mkdir()
    assert restore_checkpoint(run, work) == 0
    write_checkpoint(run, work, 17)
    assert restore_checkpoint(run, work) == 17
    assert work.restored == ([1.0, 1.0], 3)
    for state in ("", "[]", "3", "{}", '{"log_length": -1}', '{"log_length": "7"}', '{"log_length": 1.5}', "[" * 9999):
        run.write_bytes(FILE, save({"a": torch.ones(2)}, {"state": state}))
        with pytest.raises(la.BadInput, match="cannot be continued .*start again with --overwrite") as caught:
            restore_checkpoint(run, work)
        assert "\n" not in str(caught.value)
    run.write_bytes(FILE, save({"a": torch.ones(2)}))
    with pytest.raises(la.BadInput, match="missing required field `log_length`"):
        restore_checkpoint(run, work)


def test_other_data_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(la.Interrupted):
        run_fit(CONFIG, tmp_path / "run", stop=lambda: True)
    from lossatlas.data.sources import digits

    monkeypatch.setattr(digits, "TEST_EXAMPLES", 400)
    with pytest.raises(la.BadInput, match="started with other inputs: data/test was"):
        run_fit(CONFIG, tmp_path / "run", resume=True)


def test_a_picture_that_changed_under_its_name_is_refused(tmp_path: Path) -> None:
    cells = np.pad(np.ones((4, 6), dtype=bool), 2)
    np.save(tmp_path / "p.npy", cells)
    config = replace(CONFIG, pattern=f"array:{tmp_path / 'p.npy'}", size=None)
    with pytest.raises(la.Interrupted):
        run_fit(config, tmp_path / "run", stop=lambda: True)
    np.save(tmp_path / "p.npy", ~cells)
    with pytest.raises(la.BadInput, match="started with other inputs: picture was"):
        run_fit(config, tmp_path / "run", resume=True)


@settings(deadline=None, max_examples=20)
@given(lines=st.integers(0, 6), garbage=st.binary(max_size=20))
def test_the_log_has_each_step_once(tmp_path_factory: pytest.TempPathFactory, lines: int, garbage: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    with MetricsLog(path).open() as log:
        for step in range(lines):
            log.append({"step": step, "loss": float("nan")})
        length = log.sync()
    assert length == path.stat().st_size
    with path.open("ab") as file:  # what a killed process wrote after its last checkpoint
        file.write(garbage)
    with MetricsLog(path, length).open() as log:
        assert log.sync() == length
        log.append({"step": lines})
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(lines + 1))
    assert all(record["loss"] is None for record in records[:-1])


def test_atomic_writes_leave_the_old_file_when_they_fail(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_atomically(target, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(la.CannotFinish, match="cannot write"):
            write_atomically(target, b"new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_run_appears_whole(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "deep" / "run")
    run.check_free(overwrite=False)
    run.begin("a: 1\n", {"versions": {"lossatlas": "0"}}, replace=False)
    assert run.is_run
    assert not run.finished
    assert run.config() == {"a": 1}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]
