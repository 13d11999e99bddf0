"""Workers in other processes: what they return, and what is known when they fail, are killed or are refused."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import lossatlas
from lossatlas.errors import BadInput, CannotFinish, Caution, Interrupted, ModelFailure
from lossatlas.files.reading import Unreadable
from lossatlas.machine import name_machine
from lossatlas.pools import Outcome, Pool, PoolOptions, Task, WorkerFailure, open_pool
from lossatlas.pools.envelope import Envelope
from lossatlas.pools.token import leave_token
from lossatlas.provenance import fingerprint_code, list_versions

SOURCES = str(Path(lossatlas.__file__).parent.parent)


def test_the_code_has_one_fingerprint_wherever_it_lies_and_another_once_a_file_changes(tmp_path):
    copy = tmp_path / "elsewhere" / "lossatlas"
    shutil.copytree(Path(lossatlas.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def ask() -> str:
        program = "from lossatlas.provenance import fingerprint_code; print(fingerprint_code())"
        environment = os.environ | {"PYTHONPATH": str(copy.parent)}
        return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True).strip()

    assert ask() == fingerprint_code()
    (copy / ".#cards.py").symlink_to("nobody@nowhere")  # an editor's mark that a file is open
    assert ask() == fingerprint_code()
    with (copy / "linalg" / "krylov.py").open("a") as file:
        file.write("\n")
    assert ask() != fingerprint_code()


def run(pool: Pool, *tasks: Task, seconds: float = 60) -> list[Outcome]:
    """The outcomes of all tasks, in their order."""
    for task in tasks:
        pool.submit(task)
    ended = await_outcomes(pool, len(tasks), seconds)
    return [next(each for each in ended if each.task == task) for task in tasks]


def await_outcomes(pool: Pool, count: int, seconds: float = 60) -> list[Outcome]:
    ended: list[Outcome] = []
    end = time.monotonic() + seconds
    while len(ended) < count and time.monotonic() < end:
        ended += pool.wait(1)
    assert len(ended) == count
    return ended


def task(function: str, **arguments: Any) -> Task:
    return Task(f"{function} {arguments}", f"pool_tasks:{function}", arguments)


def await_true(found: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.01)
    assert value
    return value


def await_text(path: Path) -> str:
    return str(await_true(lambda: path.exists() and path.read_text()))


def lives(pid: int) -> bool:
    """Whether a process runs, as it does not when nobody has asked how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def pool(shared) -> Iterator[Pool]:
    """Two workers, for tests that leave them as they are."""
    with open_pool("local", PoolOptions(2, 1, shared / "runs" / "big")) as opened:
        yield opened


def test_tasks_wait_their_turn_and_all_are_carried_out(pool):
    outcomes = run(pool, *(task("tell", value=[number, None, "é\udc80", float("inf")]) for number in range(20)))
    assert [each.value["value"] for each in outcomes] == [[k, None, "é\udc80", float("inf")] for k in range(20)]
    assert {each.value["pid"] for each in outcomes} <= {each.pid for each in pool.workers}
    assert all(each.worker in pool.workers and each.error is None and not each.lost for each in outcomes)


def test_as_many_tasks_run_at_once_as_there_are_workers(pool, tmp_path):
    before = time.monotonic()
    marks = [tmp_path / str(number) for number in range(3)]
    for mark in marks:
        pool.submit(task("sleep", seconds=0.5, mark=str(mark)))
    await_true(lambda: [pool.wait(0), sum(mark.exists() for mark in marks)][1] == 2)
    doing = pool.busy()
    assert set(doing) == {"worker 1", "worker 2"}
    assert all(before <= since <= time.monotonic() and each.name.startswith("sleep") for each, since in doing.values())
    assert len({each.value for each in await_outcomes(pool, 3)}) == 2
    assert pool.busy() == {}
    assert pool.wait(0) == []


def test_workers_are_named_with_their_kind_of_device(pool):
    assert [each.name for each in pool.workers] == ["worker 1", "worker 2"]
    assert {each.device for each in pool.workers} == {name_machine("cpu")}


def test_workers_work_where_the_head_works_with_its_modules_and_threads(pool):
    (seen,) = run(pool, task("look_around"))
    assert seen.value["folder"] == str(Path.cwd())
    assert seen.value["waiting"] == os.environ["OMP_WAIT_POLICY"]
    assert [each for each in seen.value["path"] if each in sys.path] == sys.path
    run(pool, task("take_threads", count=3), Task("again", "pool_tasks:take_threads", {"count": 3}))
    again = run(pool, task("look_around"), Task("again", "pool_tasks:look_around", {}))
    assert [each.value["threads"] for each in again] == [1, 1]


@pytest.mark.parametrize(
    ("kind", "made", "said"),
    [
        ("BadInput", BadInput, "the data are wrong"),
        ("Interrupted", Interrupted, "stopped"),
        ("ModelFailure", ModelFailure, "layer 3 fails"),
        ("Unreadable", Unreadable, "some.json cannot be read: it is damaged"),
        ("OwnBadInput", BadInput, "mine and 3"),
        ("OSError", OSError, f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}: 'values'"),
        ("MemoryError", MemoryError, "no room"),
        ("OutOfMemoryError", MemoryError, "no room on the device"),
    ],
)
def test_errors_that_callers_know_are_made_again(pool, kind, made, said):
    (outcome,) = run(pool, task("fail", kind=kind))
    assert type(outcome.error) is made
    assert str(outcome.error) == said
    assert (outcome.value, outcome.lost) == (None, "")


def test_attributes_and_causes_of_errors_are_made_again(pool):
    unreadable, failed = (each.error for each in run(pool, task("fail", kind="Unreadable"), task("fail_for_a_reason")))
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason == "it is damaged"
    assert isinstance(failed, BadInput)
    assert isinstance(failed.__cause__, OSError)
    assert (failed.__cause__.errno, failed.__cause__.filename) == (errno.ENOSPC, "values")


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (task("fail", kind="ZeroDivisionError"), "ZeroDivisionError: division by zero"),
        (task("fail", kind="SystemExit"), "Exited: it called sys.exit(4)"),
        (task("fail", kind="KeyboardInterrupt"), "KeyboardInterrupt"),
        (task("return_what_is_not_json"), "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_other_errors_come_with_the_worker_and_its_traceback(pool, failing, said):
    (outcome,) = run(pool, failing)
    assert type(outcome.error) is WorkerFailure
    assert outcome.worker is not None
    assert str(outcome.error).startswith(f"{outcome.worker.name} on {outcome.worker.host}, at {failing.name}: {said}\n")
    assert "Traceback" in str(outcome.error)
    assert f"in {failing.function.partition(':')[2]}\n" in str(outcome.error) or "serving.py" in str(outcome.error)
    assert outcome.worker in pool.workers


def test_a_function_that_does_not_exist_is_bad_input(pool):
    (outcome,) = run(pool, task("no_such_function"))
    assert isinstance(outcome.error, BadInput)
    assert "'no_such_function' does not exist" in str(outcome.error)


def test_cautions_are_handed_on_once_and_other_warnings_are_not(pool):
    warned, silent = run(pool, task("warn"), task("tell"))
    assert (warned.value, warned.cautions) == (3, ("the values are of another kind",))
    assert silent.cautions == ()


def test_arguments_that_are_not_json_are_refused_where_they_were_made(pool):
    with pytest.raises(TypeError, match="JSON"):
        pool.submit(task("tell", value=object()))
    assert pool.wait(0) == []


def test_processes_that_tasks_fork_end_when_they_are_asked_to(pool):
    (outcome,) = run(pool, task("end_a_child"))
    assert outcome.value == -signal.SIGTERM


def test_no_file_is_left_once_the_workers_have_started(pool, shared):
    assert list(shared.iterdir()) == []


def test_a_lost_worker_is_named_with_its_end_and_replaced(shared, tmp_path):
    with open_pool("local", PoolOptions(1, 1, shared)) as pool:
        first = pool.workers[0]
        (outcome,) = run(pool, task("end", status=3))
        assert (outcome.lost, outcome.worker, outcome.value, outcome.error) == (
            "ended with status 3",
            first,
            None,
            None,
        )
        (outcome,) = run(pool, task("tell"))
        second = pool.workers[0]
        assert (outcome.worker, second.name) == (second, first.name)
        assert second.pid != first.pid

        mark = tmp_path / "first"
        pool.submit(task("sleep", seconds=60, mark=str(mark)))
        os.kill(int(await_text(mark)), signal.SIGKILL)
        (outcome,) = await_outcomes(pool, 1)
        assert outcome.lost == f"killed by signal {int(signal.SIGKILL)}"

        child = tmp_path / "child"  # it holds the connection of the dead worker open
        (outcome,) = run(pool, task("hold_connections", mark=str(child)), seconds=30)
        assert outcome.lost == f"killed by signal {int(signal.SIGKILL)}"
        os.kill(int(child.read_text()), signal.SIGKILL)

        # One that dies without a task takes none with it.
        run(pool, task("tell"))
        os.kill(pool.workers[0].pid, signal.SIGKILL)
        (outcome,) = run(pool, task("tell"))
        assert (outcome.lost, outcome.error) == ("", None)

        # One that is killed while it starts is replaced, too.
        starting = pool._slots[0]
        os.kill(pool.workers[0].pid, signal.SIGKILL)
        await_true(lambda: [pool.wait(0), starting.worker is None and starting.process is not None][1])
        os.kill(starting.process.pid, signal.SIGKILL)
        (outcome,) = run(pool, task("tell"))
        assert (outcome.lost, outcome.error) == ("", None)


def test_a_signal_from_elsewhere_ends_a_worker_in_order(shared, tmp_path):
    with open_pool("local", PoolOptions(1, 1, shared)) as pool:
        mark = tmp_path / "mark"
        pool.submit(task("work_until_asked", mark=str(mark)))
        os.kill(int(await_text(mark)), signal.SIGTERM)
        (outcome,) = await_outcomes(pool, 1)
        assert outcome.lost == "asked to end by a signal from elsewhere"
        assert outcome.error is None
        (outcome,) = run(pool, task("tell"))
        os.kill(outcome.value["pid"], signal.SIGTERM)  # without a task
        await_true(lambda: not lives(outcome.value["pid"]))
        again = run(pool, task("tell"), task("tell", value=2))
        assert [each.lost for each in again] == ["", ""]
        assert {each.value["pid"] for each in again}.isdisjoint({outcome.value["pid"]})


def test_a_pool_that_stops_asks_its_tasks_and_drops_those_that_wait(shared, tmp_path):
    with open_pool("local", PoolOptions(1, 1, shared)) as pool:
        mark = tmp_path / "mark"
        pool.submit(task("work_until_asked", mark=str(mark)))
        pool.submit(task("tell"))
        await_text(mark)
        pool.stop()
        (outcome,) = await_outcomes(pool, 1)
        assert isinstance(outcome.error, Interrupted)
        assert str(outcome.error) == "stopped between two steps"
        assert pool.wait(0.3) == []
        with pytest.raises(RuntimeError, match="the pool was stopped"):
            pool.submit(task("tell"))


def test_closing_ends_workers_also_within_tasks(shared, tmp_path):
    mark = tmp_path / "mark"
    pool = open_pool("local", PoolOptions(2, 1, shared))

    def fail_within() -> None:
        with pool:
            pids.extend(each.pid for each in pool.workers)
            pool.submit(task("sleep", seconds=60, mark=str(mark)))
            await_text(mark)
            raise KeyError

    pids: list[int] = []
    with pytest.raises(KeyError):
        fail_within()
    assert len(pids) == 2
    assert not any(lives(pid) for pid in pids)
    assert pool.workers == []
    pool.close()


HEAD = """
import os, signal, sys, time
from pathlib import Path
from lossatlas.pools import PoolOptions, Task, open_pool

signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells have programs in the background ignore
with open_pool("local", PoolOptions(2, 1, Path("runs"))) as pool:
    pool.submit(Task("long", "pool_tasks:sleep", {"seconds": 60, "mark": "busy"}))
    Path("started.txt").write_text(" ".join(str(each.pid) for each in pool.workers))
    try:
        while not pool.wait(60):
            pass
    except KeyboardInterrupt:
        print("interrupted with", len(pool.workers), "workers")
"""


def start_head(folder: Path, program: str = HEAD) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), SOURCES])}, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("forks", [False, True])
def test_workers_end_with_a_head_that_is_killed(tmp_path, forks):
    child = "    if not os.fork():\n        time.sleep(60)\n" if forks else ""  # it holds what its parent held
    with start_head(tmp_path, HEAD.replace("    try:\n", f"{child}    try:\n")) as head:
        await_text(tmp_path / "busy")
        pids = [int(each) for each in await_text(tmp_path / "started.txt").split()]
        time.sleep(0.2)
        head.kill()
        await_true(lambda: not any(lives(pid) for pid in pids), seconds=10)
        if forks:
            os.killpg(head.pid, signal.SIGKILL)
    assert {each.name for each in tmp_path.iterdir()} == {"busy", "started.txt"}


def test_an_interrupt_to_the_group_is_the_heads_alone(tmp_path):
    with start_head(tmp_path) as head:
        await_text(tmp_path / "busy")
        pids = [int(each) for each in await_text(tmp_path / "started.txt").split()]
        os.killpg(head.pid, signal.SIGINT)
        said, complained = head.communicate(timeout=30)
    assert said == "interrupted with 2 workers\n"
    assert complained == ""
    assert not any(lives(pid) for pid in pids)


def test_what_tasks_print_is_not_output_of_the_head(tmp_path):
    program = HEAD.replace('"pool_tasks:sleep", {"seconds": 60, "mark": "busy"}', '"pool_tasks:chat", {"lines": 5000}')
    with start_head(tmp_path, program) as head:
        said, complained = head.communicate(timeout=60)
    assert (head.returncode, said) == (0, "")
    assert complained.count("x" * 99) == 5000
    assert "also without Python" in complained


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"versions": {"python": platform.python_version(), "torch": "2.0.1"}},
            f"runs lossatlas {version('lossatlas')}, this process without lossatlas; use the same version everywhere",
        ),
        (
            {"versions": list_versions() | {"torch": "2.0.1"}},
            f"runs torch {version('torch')}, this process torch 2.0.1; use the same version everywhere",
        ),
        ({"code": "0"}, "runs other source files of lossatlas than this process; use the same copy"),
        (
            {"token": "of another machine"},
            "as this process on elsewhere does; expected a directory that all workers sh",
        ),
        ({"token_path": "/nowhere/token"}, "does not see /nowhere as this process on elsewhere does"),
    ],
)
def test_workers_that_differ_are_refused_with_the_first_difference_named(shared, monkeypatch, change, said):
    known = Envelope.of_this_process
    monkeypatch.setattr(Envelope, "of_this_process", lambda *args: replace(known(*args), host="elsewhere", **change))
    pool = open_pool("local", PoolOptions(1, 1, shared / "run"))
    with pytest.raises(BadInput) as refused:
        pool.start()
    assert said in str(refused.value)
    assert str(refused.value).startswith("worker 1 (process ")
    assert "\n" not in str(refused.value)
    assert pool.workers == []
    assert list(shared.iterdir()) == []


def test_a_worker_without_the_working_folder_is_refused(tmp_path):
    (tmp_path / "token").write_text("1")
    envelope = Envelope.of_this_process(PoolOptions(1, 1, tmp_path), "1", tmp_path / "token")
    envelope.check("worker 1")
    with pytest.raises(BadInput, match="worker 1 has no folder /nowhere, where this process runs; start from one that"):
        replace(envelope, folder="/nowhere").check("worker 1")


def test_code_that_changes_during_a_run_lets_no_worker_in(shared, monkeypatch):
    with open_pool("local", PoolOptions(2, 1, shared)) as pool:
        monkeypatch.setattr(pool, "_envelope", replace(pool._envelope, code="0"))
        (outcome,) = run(pool, task("end", status=3))
        with pytest.warns(Caution, match="worker . is not replaced: .* runs other source files .*; the others go on"):
            await_true(lambda: [pool.wait(0), any(slot.given_up for slot in pool._slots)][1])
        (second,) = run(pool, task("tell"))
        assert second.worker != outcome.worker
        (outcome,) = run(pool, task("end", status=3))
        assert outcome.lost == "ended with status 3"
        with (
            pytest.warns(Caution, match="is not replaced"),
            pytest.raises(CannotFinish, match="no worker is left; work"),
        ):
            run(pool, task("tell"))


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    if os.getuid() == 0:
        folder = Path("/proc/self")
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(BadInput, match=r"cannot be written \(.*\); choose another directory"):
        open_pool("local", PoolOptions(1, 1, folder / "runs")).start()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("false", "3 processes in a row ended before they had a task, the last one ended with status 1"),
        (
            "no_such_program",
            "the system starts no process for it: [Errno 2] No such file or directory: 'no_such_program'",
        ),
    ],
)
def test_workers_that_do_not_start_are_given_up(shared, monkeypatch, program, said):
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(CannotFinish) as given_up:
        open_pool("local", PoolOptions(1, 1, shared)).start()
    assert str(given_up.value) == f"worker 1 cannot be started: {said}"


def test_tokens_of_killed_processes_are_removed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    left = tmp_path / f".lossatlas-token-{platform.node()}-{gone.pid}-01ab"
    other = tmp_path / f".lossatlas-token-elsewhere-{gone.pid}-01ab"
    alive = tmp_path / f".lossatlas-token-{platform.node()}-{os.getppid()}-01ab"
    for path in (left, other, alive):
        path.write_text("")
    with leave_token(tmp_path / "a" / "b") as (token, path):
        assert path.read_text() == token
        assert set(tmp_path.iterdir()) == {path, other, alive}
    assert set(tmp_path.iterdir()) == {other, alive}


def test_a_token_lies_in_a_directory_with_content_and_beside_an_empty_one(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()

    def place() -> Path:
        with leave_token(folder) as (_, path):
            return path.parent

    assert place() == tmp_path
    write = Path.write_text

    def refuse_parent(path: Path, text: str) -> int:
        if path.parent == tmp_path:
            path.touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse_parent)
        assert place() == folder
        folder.rmdir()
        with pytest.raises(BadInput, match="cannot be written .No space left on device.; choose another directory"):
            place()
        folder.mkdir()
    (folder / "config.yaml").touch()
    assert place() == folder
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "config.yaml"]


def test_gpus_are_given_to_workers_in_turn(shared, monkeypatch):
    monkeypatch.setattr("lossatlas.pools.kinds.local.list_gpus", lambda: ["2", "GPU-7"])

    def gpus(device: str) -> list[str | None]:
        made = open_pool("local", PoolOptions(3, 1, shared, device))
        return [each.get("CUDA_VISIBLE_DEVICES") for each in made._environments()]

    assert gpus("cuda") == ["2", "GPU-7", "2"]
    assert gpus("cuda:1") == gpus("cpu") == [None] * 3
    monkeypatch.setattr("lossatlas.pools.kinds.local.list_gpus", list)
    with pytest.raises(BadInput, match="device cuda: this process sees no GPU"):
        gpus("cuda")


def test_an_unknown_kind_of_pool_is_named_with_the_choices(shared):
    with pytest.raises(BadInput, match="'slurm' is not an executor; expected local, ray"):
        open_pool("slurm", PoolOptions(1, 1, shared))
