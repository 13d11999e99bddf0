"""Tasks of Ray: on an existing cluster, or on one that is started here."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from lossatlas.errors import BadInput, CannotFinish, format_error
from lossatlas.pools.envelope import Envelope
from lossatlas.pools.errors import make_error
from lossatlas.pools.pool import Outcome, Pool, PoolOptions, Task, Worker, WorkerFailure
from lossatlas.pools.ray_cluster import Cluster, reach_cluster
from lossatlas.pools.serving import read_reply
from lossatlas.pools.token import leave_token

__all__ = ["Ray"]

PATIENCE = 300.0
"""Seconds that each machine of a cluster has to say whether it can carry tasks out."""
ENDS = {
    "WorkerCrashedError": "its process ended unexpectedly",
    "OutOfMemoryError": "killed by Ray, as its machine ran out of memory",
    "NodeDiedError": "its machine was lost",
    "TaskCancelledError": "cancelled",
}
"""How a task can be lost, in words, by the name of Ray's error."""


class Ray(Pool):
    """Plain tasks of Ray, which does not retry them: what is lost is an outcome that says so.

    No more tasks than there are workers are handed to Ray at once. A worker has the name of its place among these; in
    which process its next task will run is Ray's choice, and not known before it ends. On a cluster each task takes as
    many CPUs as it has threads, and one GPU where the device is ``cuda``.

    Args:
        options: what it is asked for.
    """

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._open = ExitStack()
        self._cluster: Cluster | None = None
        self._envelope = ""
        self._carry_out: Any = None
        self._waiting: deque[Task] = deque()
        self._running: dict[Any, tuple[str, Task, float]] = {}
        """By the reference of its result, the worker's name, the task and since when it is Ray's."""
        self._known: dict[str, Worker] = {}
        self._stopped = False

    @property
    def workers(self) -> Sequence[Worker]:
        """Those that have carried out a task, and have not been lost since."""
        return list(self._known.values())

    def start(self) -> None:
        """Start Ray or reach the cluster, and ask each of its machines whether it can do what this one can."""
        if self._cluster is not None:
            return
        try:
            token, path = self._open.enter_context(leave_token(self.options.folder))
            envelope = Envelope.of_this_process(self.options, token, path)
            cluster = self._open.enter_context(reach_cluster(self.options))
            self._envelope = json.dumps(envelope.to_json())
            remote = cluster.ray.remote(max_retries=0, max_calls=0, num_cpus=cluster.cpus, num_gpus=cluster.gpus)
            self._carry_out = remote(_make_entry(envelope.before, envelope.after))
            self._cluster = cluster
            self._ask_all(cluster)
            # All machines see the directory. It may be replaced now, and the token with it.
            self._envelope = json.dumps(replace(envelope, token=None).to_json())
        except BaseException:
            self.close()
            raise

    def submit(self, task: Task) -> None:
        """Hand a task to Ray, or queue it."""
        if self._stopped or self._cluster is None:
            raise RuntimeError("the pool was stopped, or has not been started; expected one within `with`")
        _tell(task)  # refuses what is not JSON here, where it was made
        self._waiting.append(task)
        with _explain_losses(self._cluster.ray):
            self._hand_out()

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for tasks to end."""
        if self._cluster is None or not self._running:
            time.sleep(max(0.0, seconds))
            return []
        ray = self._cluster.ray
        with _explain_losses(ray):
            ended, _ = ray.wait(list(self._running), num_returns=1, timeout=max(0.0, seconds))
            if ended:
                ended, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            outcomes = [self._take(ray, each) for each in ended]
            self._hand_out()
        return outcomes

    def busy(self) -> Mapping[str, tuple[Task, float]]:
        """What was handed to Ray, and since when; on a cluster that others use, it may not have begun."""
        return {name: (task, since) for name, task, since in list(self._running.values())}

    def stop(self) -> None:
        """Ask running tasks to stop, and drop the others."""
        self._stopped = True
        self._waiting.clear()
        self._cancel(force=False)

    def close(self) -> None:
        """End all tasks, and Ray where it was started here."""
        self._waiting.clear()
        try:
            self._cancel(force=True)
        finally:
            self._running.clear()
            self._known.clear()
            self._cluster = self._carry_out = None
            self._open.close()

    def _cancel(self, *, force: bool) -> None:
        if self._cluster is not None:
            for reference in self._running:
                self._cluster.ray.cancel(reference, force=force)

    def _ask_all(self, cluster: Cluster) -> None:
        """Ask each machine whether it can carry tasks out.

        Raises:
            BadInput: one cannot, or does not answer.
        """
        ray = cluster.ray
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {}
        for machine, node in cluster.machines.items():
            there = self._carry_out.options(num_cpus=0, num_gpus=0, scheduling_strategy=strategy(node, soft=False))
            asked[there.remote(self._envelope, f"a worker of Ray on {machine}", "")] = machine
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
        for reference in answered:
            try:
                _refuse(ray.get(reference), f"a worker of Ray on {asked[reference]}")
            except ray.exceptions.RayError as error:
                raise BadInput(f"Ray starts no worker on {asked[reference]}: {format_error(error)}") from error
        if silent:
            raise BadInput(f"machine {asked[silent[0]]} of the Ray cluster has not answered within {PATIENCE:.0f} s")

    def _hand_out(self) -> None:
        taken = {name for name, _, _ in self._running.values()}
        free = (name for number in range(1, self.count + 1) if (name := f"worker {number}") not in taken)
        for name in list(free)[: len(self._waiting)]:
            task = self._waiting.popleft()
            reference = self._carry_out.options(name=task.name).remote(self._envelope, name, _tell(task))
            self._running[reference] = name, task, time.monotonic()

    def _take(self, ray: Any, reference: Any) -> Outcome:
        """How a task that has ended went."""
        name, task, _ = self._running.pop(reference)
        try:
            message = _refuse(ray.get(reference), name)
        except ray.exceptions.RayTaskError as error:
            return Outcome(task, None, error=WorkerFailure(f"{name}, at {task.name}: {error}"))
        except ray.exceptions.LocalRayletDiedError:
            raise  # it concerns all tasks, not this one
        except ray.exceptions.RayError as error:
            lost = ENDS.get(type(error).__name__, format_error(error))
            return Outcome(task, self._known.pop(name, None), lost=lost)
        self._known[name] = Worker(**message["worker"])
        return read_reply(task, self._known[name], message["reply"])


@contextmanager
def _explain_losses(ray: Any) -> Iterator[None]:
    """While entered, what Ray says of itself is one line.

    Raises:
        CannotFinish: Ray cannot be used any more.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        raise CannotFinish(f"Ray cannot be used any more: {format_error(error)}") from error


def _tell(task: Task) -> str:
    return json.dumps({"function": task.function, "arguments": dict(task.arguments)})


def _refuse(reply: str, who: str) -> dict[str, Any]:
    """Read a reply, and raise the error with which a worker refuses to work."""
    message: dict[str, Any] = json.loads(reply)
    if "missing" in message:
        raise BadInput(f"{who} cannot import lossatlas ({message['missing']}); install it on all machines")
    if "refused" in message:
        raise make_error(message["refused"], who)
    return message


def _make_entry(before: Sequence[str], after: Sequence[str]) -> Callable[[str, str, str], str]:
    """Make the function that Ray calls, which goes to workers as it stands: they may not have this package."""

    def enter(envelope: str, name: str, task: str) -> str:
        import json
        import signal
        import sys

        own = [each for each in sys.path if each not in before and each not in after]
        sys.path[:] = [*before, *own, *after]
        try:
            from lossatlas.pools.serving import ask_to_stop, serve
        except ImportError as error:
            return json.dumps({"missing": str(error)})

        was = signal.signal(signal.SIGINT, lambda *_: ask_to_stop())  # Ray cancels a task as the keyboard would
        try:
            return serve(envelope, name, task)
        finally:
            signal.signal(signal.SIGINT, was)

    return enter
