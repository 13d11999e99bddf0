"""Ray itself: found, started here and ended, or reached at an address."""

from __future__ import annotations

import inspect
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput, CannotFinish, Interrupted, format_error
from lossatlas.files.reading import tell_reason
from lossatlas.pools.devices import list_gpus
from lossatlas.pools.left_behind import name_own, remove_left
from lossatlas.pools.pool import PoolOptions

__all__ = ["Cluster", "reach_cluster"]

PREFIX = "lossatlas-ray-"
"""The beginning of the names of folders in which Ray keeps its sockets and logs."""
LONGEST = 38
"""The most characters of their paths: Ray adds 65 to them, and those of sockets have 103 at most."""
STORE = 80 * 2**20
"""Bytes of Ray's store of objects, near the least that it takes: tasks and their replies are small."""
PATIENCE = 5.0
"""Seconds in which the head of a cluster has to accept a connection."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The preface of HTTP/2 and a frame of settings without any (RFC 9113, 3.4): Ray speaks gRPC, which lies above it."""
SETTINGS = b"\x04"
"""The type of the frame with which a server answers."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # of a lost worker it would print a paragraph on standard output
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, the working folder would be sent to all machines
}
"""Variables of the environment under which Ray sends nothing about and says nothing."""
CHANGED = ("PYTHONBREAKPOINT",)
"""Variables that Ray sets."""
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""The variable that is 0 where Ray is to listen to this machine alone; it is so by default on macOS and Windows."""


@dataclass(frozen=True)
class Cluster:
    """Ray, once it can be used."""

    ray: Any
    """The package."""
    machines: Mapping[str, str]
    """By their addresses, the names of the nodes that have room for a task."""
    cpus: float
    """How many CPUs a task asks for."""
    gpus: float


@contextmanager
def reach_cluster(options: PoolOptions) -> Iterator[Cluster]:
    """While entered, Ray can be used: a cluster, that which the user's own code has started, or one started here.

    Raises:
        BadInput: Ray is not installed, or the cluster cannot be reached or has no room for any task.
        CannotFinish: Ray cannot be started.
    """
    if options.device.startswith("cuda:"):
        raise BadInput(f"device {options.device}: Ray itself says which GPU a task has; choose device cuda")
    variables = QUIET | (_keep_to_this_machine() if options.ray_address is None else {})
    with _variables(variables | {name: os.environ.get(name) for name in CHANGED}):
        ray = _import_ray()
        if ray.is_initialized():
            if options.ray_address is not None:
                raise BadInput("Ray is in use in this process already; leave out the address of its cluster")
            yield _find_room(ray, options)
        elif options.ray_address is not None:
            with _connect(ray, options.ray_address):
                yield _find_room(ray, options)
        else:
            with _start(ray, options) as gpus:
                yield Cluster(ray, _list_machines(ray), 1, gpus)


def _import_ray() -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise BadInput("--executor ray needs Ray; install it with pip install 'lossatlas[ray]'") from error
    return ray


@contextmanager
def _start(ray: Any, options: PoolOptions) -> Iterator[float]:
    """While entered, Ray runs here, for this process alone; yields how many GPUs a task has.

    Raises:
        BadInput: the device is ``cuda``, and there is no GPU.
        CannotFinish: it does not start.
    """
    gpus = list_gpus() if options.device == "cuda" else []
    if options.device == "cuda" and not gpus:
        raise BadInput("device cuda: this process sees no GPU; expected one at least; choose device cpu")
    with _make_folder() as folder, _ending(ray):
        try:
            # One CPU per worker, whatever its threads: Ray starts as many processes as it has CPUs.
            with _variables({"OMP_NUM_THREADS": str(options.threads)}):
                _init(
                    ray, address="local", num_cpus=options.workers, num_gpus=len(gpus), include_dashboard=False,
                    object_store_memory=STORE, _temp_dir=folder,
                )  # fmt: skip
        except _NotInitialised as error:
            raise CannotFinish(f"Ray cannot be started here: {error}") from error
        yield 1 / math.ceil(options.workers / len(gpus)) if gpus else 0


@contextmanager
def _connect(ray: Any, address: str) -> Iterator[None]:
    """While entered, this process uses a cluster.

    Raises:
        BadInput: it cannot be reached.
    """
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise BadInput(f"--ray_address {address}: expected HOST:PORT, as `ray start --head` prints it")
    if (reason := _try_connection(ray, host.strip("[]"), int(port))) is not None:
        raise BadInput(
            f"no Ray cluster can be reached at {address} ({reason}); give HOST:PORT as `ray start --head` prints it"
        )
    with _ending(ray):
        try:
            _init(ray, address=address)
        except _NotInitialised as error:  # such as where versions differ
            raise BadInput(f"the Ray cluster at {address} cannot be used: {error}") from error
        yield


def _try_connection(ray: Any, host: str, port: int) -> str | None:
    """Why nobody who can be the head of a cluster answers, in words; None if somebody does.

    Ray itself would try for minutes.
    """
    if host in ("localhost", "127.0.0.1", "::1"):
        host = ray.util.get_node_ip_address()  # where Ray looks then
    try:
        with socket.create_connection((host, port), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return None
            connection.sendall(GREETING)
            answer = connection.recv(9)
    except OSError as error:
        return tell_reason(error)
    except OverflowError:
        return f"{port} is not the number of a port"
    return None if answer[3:4] == SETTINGS else f"what listens at {host}:{port} does not speak Ray's protocol"


class _NotInitialised(Exception):
    """Ray could not be started or reached; the message says why."""


def _init(ray: Any, **options: Any) -> None:
    """Start or reach Ray, without a word, and leave this process's signals as they were.

    Raises:
        _NotInitialised: it cannot.
        Interrupted: SIGTERM came meanwhile.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except SystemExit as error:
        if error.code == signal.SIGTERM:  # this is what Ray makes of the signal
            raise Interrupted("stopped while Ray was started; nothing was begun") from error
        raise _NotInitialised(format_error(error)) from error
    except Exception as error:  # of many kinds, few of them Ray's own
        raise _NotInitialised(format_error(error)) from error
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _ending(ray: Any) -> Iterator[None]:
    """End what :func:`_init` has started, or left half-started, afterwards."""
    waits = "wait_for_processes" in inspect.signature(ray.shutdown).parameters  # not in all versions
    try:
        yield
    finally:
        ray.shutdown(**({"wait_for_processes": True} if waits else {}))


def _find_room(ray: Any, options: PoolOptions) -> Cluster:
    """What a task asks for on a cluster, and where it finds it.

    Raises:
        BadInput: nowhere.
    """
    gpus = int(options.device == "cuda")
    machines = _list_machines(ray, options.threads, gpus)
    if not machines:
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        wanted = f"{options.threads} CPU{'s' * (options.threads > 1)}{' and a GPU' if gpus else ''}"
        raise BadInput(f"no machine of the Ray cluster has {wanted} for one worker (CPUs of the largest: {most:.0f})")
    return Cluster(ray, machines, options.threads, gpus)


def _list_machines(ray: Any, cpus: float = 0, gpus: float = 0) -> dict[str, str]:
    return {
        f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})": node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= cpus and node["Resources"].get("GPU", 0) >= gpus
    }


def _keep_to_this_machine() -> dict[str, str]:
    """Variables under which Ray listens to this machine alone, and there to who knows a secret that is not written."""
    stated = any(f"RAY_AUTH_{name}" in os.environ for name in ("MODE", "TOKEN", "TOKEN_PATH"))
    secret = {} if stated else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {LOOPBACK: "0"} | secret


@contextmanager
def _make_folder() -> Iterator[str]:
    """While entered, there is a folder for Ray, whose path is short."""
    place, name = Path(tempfile.gettempdir()), name_own(PREFIX)
    if len(str(place / name)) > LONGEST:
        place = Path("/tmp")
    remove_left(place, PREFIX)
    folder = place / name
    try:
        folder.mkdir(0o700)
    except OSError as error:
        raise CannotFinish(f"{place} cannot be written ({tell_reason(error)}); set TMPDIR to another folder") from error
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _variables(variables: Mapping[str, str | None]) -> Iterator[None]:
    """While entered, the environment has these variables, and lacks those that are None; afterwards it is as before."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        _set_variables(variables)
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
