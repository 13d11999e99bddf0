"""Opens a pool of Ray and prints as JSON how everything went: a program, as warnings of Ray would fail a test.

python ray_session.py COMMAND FOLDER [ADDRESS]
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lossatlas.errors import LossatlasError
from lossatlas.pools import Outcome, Pool, PoolOptions, Task, open_pool
from lossatlas.pools.envelope import Envelope

LOOPBACK = re.compile(r"(0{24}|0{16}FFFF0{4})?0100007F|0{24}01000000")


def task(function: str, **arguments: Any) -> Task:
    return Task(function, f"pool_tasks:{function}", arguments)


def run(pool: Pool, *tasks: Task) -> list[dict[str, Any]]:
    """How tasks went, in their order."""
    for each in tasks:
        pool.submit(each)
    ended: list[Outcome] = []
    while len(ended) < len(tasks):
        ended += pool.wait(1)
    return [tell(each) for number in tasks for each in ended if each.task is number]


def tell(outcome: Outcome) -> dict[str, Any]:
    worker = asdict(outcome.worker) if outcome.worker is not None else None
    error = [type(outcome.error).__name__, str(outcome.error)] if outcome.error is not None else None
    return {
        "name": outcome.task.name, "worker": worker, "value": outcome.value, "error": error, "lost": outcome.lost,
        "cautions": outcome.cautions,
    }  # fmt: skip


def await_text(path: Path, pool: Pool) -> str:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < end:
        assert pool.wait(0.05) == []
    return path.read_text()


def find_children(pid: int) -> Iterator[int]:
    """All processes that a process started, and those started by these."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        found = parents.get(waiting.pop(), [])
        yield from found
        waiting += found


def lives(pid: int) -> bool:
    """Whether a process runs, as it does not when nobody has asked how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def list_addresses(pids: list[int]) -> list[str]:
    """The addresses at which processes listen, as Linux writes them."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(str(link.readlink()))
            except OSError:
                continue
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1].partition(":")[0])
    return listening


def run_all(folder: Path, address: str | None) -> dict[str, Any]:
    """What a pool of two workers does."""
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    seen: dict[str, Any] = {}
    with open_pool("ray", PoolOptions(2, 1, folder / "runs" / "big")) as pool:
        seen["handler"] = signal.getsignal(signal.SIGTERM) is handler
        seen["tokens"] = [path.name for path in folder.iterdir()]
        children = list(find_children(os.getpid()))
        addresses = list_addresses([os.getpid(), *children])
        seen["listening"] = [len(addresses), [each for each in addresses if not LOOPBACK.fullmatch(each)]]
        seen["many"] = run(pool, *(task("tell", value=number) for number in range(8)))
        seen["around"] = run(pool, task("look_around"))
        seen["errors"] = run(pool, *(task("fail", kind=kind) for kind in ("Unreadable", "OSError", "SystemExit")))
        seen["warn"] = run(pool, task("warn"))
        seen["chat"] = run(pool, task("chat", lines=3000))
        seen["end"] = run(pool, task("end", status=3))
        mark = folder / "killed"
        pool.submit(task("sleep", seconds=60, mark=str(mark)))
        os.kill(int(await_text(mark, pool)), signal.SIGKILL)
        seen["killed"] = [tell(each) for each in pool.wait(30)]
        seen["again"] = run(pool, task("tell"))
        stopped = folder / "stopped"
        for each in (task("work_until_asked", mark=str(stopped)), task("sleep", seconds=3), task("tell")):
            pool.submit(each)
        await_text(stopped, pool)
        seen["busy"] = {name: each.name for name, (each, _) in pool.busy().items()}
        pool.stop()
        seen["stopped"] = [tell(each) for _ in range(3) for each in pool.wait(5)]
        children = list(find_children(os.getpid()))
    seen["left"] = [pid for pid in children if lives(pid)]
    seen["environment"] = [name for name in os.environ if before.get(name) != os.environ[name]]
    return seen


def wait_for_the_end(folder: Path, address: str | None) -> dict[str, Any]:
    """Be killed or interrupted in the midst of a task."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells have programs in the background ignore
    with open_pool("ray", PoolOptions(1, 1, folder)) as pool:
        pool.submit(task("sleep", seconds=60, mark=str(folder / "busy")))
        (folder / "started").write_text(" ".join(str(each) for each in find_children(os.getpid())))
        try:
            return {"ended": [tell(each) for each in pool.wait(60)]}
        except KeyboardInterrupt:
            return {"interrupted": list(pool.busy())}


def use_cluster(folder: Path, address: str | None) -> dict[str, Any]:
    """What of a cluster can be used, and what is refused."""
    known = Envelope.of_this_process

    def attempt(options: PoolOptions, **change: Any) -> Any:
        changed: Callable[..., Envelope] = lambda *args: replace(known(*args), **change)  # noqa: E731
        setattr(Envelope, "of_this_process", changed)  # noqa: B010
        try:
            with open_pool("ray", options) as pool:
                return run(pool, task("tell"))[0]
        except LossatlasError as error:
            return [type(error).__name__, str(error)]

    options = PoolOptions(2, 1, folder, ray_address=address)
    return {
        "used": attempt(options),
        "code": attempt(options, code="0"),
        "token": attempt(options, token="1"),
        "cores": attempt(replace(options, threads=99)),
        "gpus": attempt(replace(options, device="cuda")),
        "gpu": attempt(replace(options, device="cuda:1")),
    }


def be_cluster(folder: Path, address: str | None) -> dict[str, Any]:
    """Be a cluster for others until standard input ends."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
    return {}


if __name__ == "__main__":
    command, place, *rest = sys.argv[1:]
    print(json.dumps(globals()[command](Path(place), *rest or [None])))
