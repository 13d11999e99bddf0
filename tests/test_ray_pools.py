"""Pools of Ray, in processes of their own: its warnings would fail a test, and it keeps what it has started."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray_session import lives

import lossatlas
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.machine import name_machine
from lossatlas.pools import PoolOptions, Task, open_pool
from lossatlas.pools.kinds.ray import Ray
from lossatlas.pools.ray_cluster import PREFIX, Cluster

pytest.importorskip("ray")

TESTS = Path(__file__).parent


def start(command: str, folder: Path, *more: str, **options: Any) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TESTS), str(Path(lossatlas.__file__).parent.parent)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, str(TESTS / "ray_session.py"), command, str(folder), *more], text=True, cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=environment | {"PYTHONPATH": paths, "TMPDIR": str(folder), "HOME": str(folder)} | options,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> Any:
    """What a session says, and it says nothing else."""
    said, complained = process.communicate(timeout=180)
    assert (process.returncode, complained) == (0, "")
    (line,) = said.splitlines()
    return json.loads(line)


def await_text(path: Path) -> str:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    return path.read_text()


def list_folders() -> set[Path]:
    """Folders of Ray's that no living process has."""
    return set(Path("/tmp").glob(f"{PREFIX}*"))  # TMPDIR has too long a name for Ray's sockets


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> dict[str, Any]:
    """One session for many tests, as it takes seconds to start."""
    folder = tmp_path_factory.mktemp("session")
    with start("run_all", folder) as process:
        seen: dict[str, Any] = finish(process)
    return seen | {"folder": folder, "files": {path.name for path in folder.iterdir()}, "pid": process.pid}


def test_ray_carries_out_more_tasks_than_it_has_workers(session):
    assert [each["value"]["value"] for each in session["many"]] == list(range(8))
    assert {each["worker"]["name"] for each in session["many"]} == {"worker 1", "worker 2"}
    assert {each["worker"]["device"] for each in session["many"]} == {name_machine("cpu")}
    assert all(each["worker"]["pid"] == each["value"]["pid"] for each in session["many"])


def test_rays_workers_work_where_the_head_works(session):
    (seen,) = session["around"]
    assert seen["value"]["folder"] == str(session["folder"])
    assert seen["value"]["threads"] == 1
    assert seen["value"]["waiting"] == "passive"
    assert str(TESTS) in seen["value"]["path"]


def test_errors_and_cautions_come_back_from_ray(session):
    unreadable, os_error, exited = (each["error"] for each in session["errors"])
    assert unreadable == ["Unreadable", "some.json cannot be read: it is damaged"]
    assert os_error[0] == "OSError"
    assert exited[0] == "WorkerFailure"
    assert "Exited: it called sys.exit(4)\n" in exited[1]
    (warned,) = session["warn"]
    assert (warned["value"], warned["cautions"]) == (3, ["the values are of another kind"])
    assert session["chat"][0]["value"] == "said"  # and nobody hears it, as `finish` saw


def test_ray_tells_lost_workers_and_does_not_retry(session):
    for each in (*session["end"], *session["killed"]):
        assert each["lost"] == "its process ended unexpectedly"
        assert (each["value"], each["error"]) == (None, None)
    assert len(session["killed"]) == 1
    (ended,) = session["end"]
    assert ended["worker"]["name"] == "worker 1"
    assert session["again"][0]["lost"] == ""


def test_a_stopped_pool_of_ray_asks_its_tasks_and_drops_those_that_wait(session):
    assert session["busy"] == {"worker 1": "work_until_asked", "worker 2": "sleep"}
    stopped = {each["name"]: each for each in session["stopped"]}
    assert set(stopped) == {"work_until_asked", "sleep"}
    assert stopped["work_until_asked"]["error"] == ["Interrupted", "stopped between two steps"]


def test_ray_started_here_is_this_machines_alone_and_leaves_nothing(session):
    count, elsewhere = session["listening"]
    assert count > 0
    assert elsewhere == []
    assert session["handler"]
    assert len(session["tokens"]) == 1
    assert session["left"] == []
    assert set(session["environment"]) <= {"RAY_CLIENT_MODE"}  # which Ray's import sets
    assert session["files"] == {"killed", "stopped"}  # neither in the working folder, nor at home, nor for a while
    assert not any(path.name.startswith(f"{PREFIX}{session['pid']}-") for path in list_folders())


def test_rays_workers_end_with_a_head_that_is_killed_and_an_interrupt_reaches_the_next_and_not_ray(tmp_path):
    with start("wait_for_the_end", tmp_path) as process:
        worker = int(await_text(tmp_path / "busy"))
        process.kill()
        end = time.monotonic() + 20
        while lives(worker) and time.monotonic() < end:
            time.sleep(0.05)
        assert not lives(worker)
        for pid in map(int, (tmp_path / "started").read_text().split()):
            try:
                os.kill(pid, signal.SIGKILL)  # Ray's own take half a minute to notice
            except ProcessLookupError:
                continue
    (left,) = (path for path in list_folders() if path.name.startswith(f"{PREFIX}{process.pid}-"))
    with start("wait_for_the_end", tmp_path) as process:  # the next one tidies up
        (tmp_path / "busy").unlink()
        await_text(tmp_path / "busy")
        assert not left.exists()
        os.killpg(process.pid, signal.SIGINT)
        assert finish(process) == {"interrupted": ["worker 1"]}
    assert {path.name for path in tmp_path.iterdir()} == {"started", "busy"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("cluster")
    own = Path(f"/tmp/ray-{os.getpid()}")  # pytest's folders have too long names for Ray's sockets
    with start("be_cluster", folder, RAY_TMPDIR=str(own), RAY_AUTH_MODE="disabled") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip(), folder
        process.stdin.close()
    shutil.rmtree(own)


def test_a_cluster_is_used_by_its_address_and_what_differs_is_refused(cluster):
    address, folder = cluster
    with start("use_cluster", folder, address, RAY_AUTH_MODE="disabled") as process:
        seen = finish(process)
    assert seen["used"]["value"]["pid"] == seen["used"]["worker"]["pid"]
    who = rf"a worker of Ray on {platform.node()} \(.*\) \(process \d+ on {platform.node()}\)"
    for name, said in {
        "code": f"{who} runs other source files of lossatlas than this process; use the same copy .*",
        "token": f"{who} does not see {folder.parent} as this process on {platform.node()} does; expected a directo.*",
        "cores": r"no machine of the Ray cluster has 99 CPUs for one worker \(CPUs of the largest: 2\)",
        "gpus": r"no machine of the Ray cluster has 1 CPU and a GPU for one worker \(CPUs of the largest: 2\)",
        "gpu": "device cuda:1: Ray itself says which GPU a task has; choose device cuda",
    }.items():
        kind, message = seen[name]
        assert kind == "BadInput"
        assert re.fullmatch(said, message), message
    assert list(folder.parent.glob(".lossatlas-token-*")) == []


def refuse(address: str) -> str:
    with pytest.raises(BadInput) as refused:
        open_pool("ray", PoolOptions(1, 1, Path(), ray_address=address)).start()
    return str(refused.value)


def test_losses_that_are_not_a_tasks_own_end_the_run_and_others_are_told(tmp_path):
    from ray import exceptions

    failures = [
        exceptions.NodeDiedError("node 1"),
        exceptions.OutOfMemoryError("memory"),
        exceptions.RaySystemError("x"),
    ]

    def get(reference: int) -> str:
        raise failures[reference]

    pool = Ray(PoolOptions(4, 1, tmp_path))
    fake = SimpleNamespace(get=get, wait=lambda references, **_: (references, []), exceptions=exceptions)
    pool._cluster = Cluster(fake, {}, 1, 0)
    pool._running = {number: (f"worker {number}", Task("t", "f", {}), 0.0) for number in range(3)}
    said = ["its machine was lost", "killed by Ray, as its machine ran out of memory", "System error: x"]
    assert [each.lost for each in pool.wait(1)] == said
    failures[0] = exceptions.LocalRayletDiedError()
    pool._running = {0: ("worker 0", Task("t", "f", {}), 0.0)}
    with pytest.raises(CannotFinish, match="^Ray cannot be used any more: The task's local raylet died"):
        pool.wait(1)


@pytest.mark.parametrize("address", ["localhost", "ray://localhost:10001", ":6379", "localhost:", "localhost:port"])
def test_addresses_of_another_form_are_refused(address):
    assert refuse(address) == f"--ray_address {address}: expected HOST:PORT, as `ray start --head` prints it"


def test_a_cluster_that_cannot_be_reached_is_refused_in_a_line(monkeypatch):
    monkeypatch.setattr("lossatlas.pools.ray_cluster.PATIENCE", 0.5)
    with socket.create_server(("", 0)) as silent:
        port = silent.getsockname()[1]
        said = refuse(f"localhost:{port}")
        assert said.startswith(f"no Ray cluster can be reached at localhost:{port} (timed out); give HOST:PORT as")
    assert refuse(f"localhost:{port}").startswith(
        f"no Ray cluster can be reached at localhost:{port} (Connection refused)"
    )
    with socket.create_server(("", 0)) as other, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-other")
                connection.recv(100)

        answered = pool.submit(answer)
        port = other.getsockname()[1]
        assert "does not speak Ray's protocol); give HOST:PORT" in refuse(f"localhost:{port}")
        answered.result()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"^--executor ray needs Ray; install it with pip install 'lossatlas\[ray\]'$"):
        open_pool("ray", PoolOptions(1, 1, Path())).start()
