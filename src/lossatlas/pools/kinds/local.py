"""Processes of this machine, which this one starts and replaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from lossatlas.errors import BadInput, CannotFinish, Caution, Interrupted, format_error
from lossatlas.pools.devices import VISIBLE, list_gpus
from lossatlas.pools.envelope import Envelope
from lossatlas.pools.errors import make_error
from lossatlas.pools.pool import Outcome, Pool, PoolOptions, Task, Worker
from lossatlas.pools.serving import read_reply
from lossatlas.pools.token import leave_token

__all__ = ["Local"]

LOOK = 0.2
"""Seconds between looks whether workers live: what they have started may hold their connections."""
MOST_ENDS = 3
"""How many times in a row one worker may end while it starts, or before it has a task."""
PATIENCE = 600.0
"""Seconds that workers have to start: on a slow file system torch takes minutes to import."""
GRACE = 2.0
"""Seconds that workers without a task have to end in order."""
SIGNALLED = "asked to end by a signal from elsewhere"


class _Slot:
    """The place of one worker after another, under one name."""

    def __init__(self, number: int, environment: Mapping[str, str]) -> None:
        self.name = f"worker {number}"
        self.environment = environment
        """Variables that its processes have beside those of this one."""
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        self.worker: Worker | None = None
        """Who it is; None until it is ready."""
        self.task: Task | None = None
        self.begun = False
        """Whether its process has begun with a task, the present one where it has one."""
        self.since = 0.0
        """When the task was handed to it, by the monotonic clock."""
        self.ends = 0
        """How many processes have ended here without a task since one had one."""
        self.given_up = ""
        """Why no further process is started here, in words; empty where one is."""

    @property
    def free(self) -> bool:
        return self.worker is not None and self.task is None and self.connection is not None


class Local(Pool):
    """Processes of this machine, one per worker.

    A worker that dies is replaced at once, and its task is an outcome that says so. Workers end with this process,
    however it ends, also in the midst of a task. What they write to standard output goes to this process's standard
    error.

    Args:
        options: what it is asked for.
    """

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._slots: list[_Slot] = []
        self._waiting: deque[Task] = deque()
        self._ended: list[Outcome] = []
        self._envelope: Envelope | None = None
        self._started = False
        """Whether all workers were ready once."""
        self._stopped = False

    @property
    def workers(self) -> Sequence[Worker]:
        """Those that are ready for tasks, or carry one out."""
        return [worker for slot in self._slots if (worker := slot.worker) is not None and slot.connection is not None]

    def start(self) -> None:
        """Start all workers, and wait until they are ready."""
        if self._slots:
            return
        slots = [_Slot(number, each) for number, each in enumerate(self._environments(), 1)]
        try:
            with leave_token(self.options.folder) as (token, path):
                self._envelope = Envelope.of_this_process(self.options, token, path)
                self._slots = slots
                for slot in slots:
                    self._start(slot)
                self._await_all()
            self._started = True
            # Those that replace others are on this machine, too, and see what the others saw.
            self._envelope = Envelope.of_this_process(self.options, None, "")
        except BaseException:
            self.close()
            raise

    def submit(self, task: Task) -> None:
        """Hand a task to a free worker, or queue it."""
        if self._stopped or not self._slots:
            raise RuntimeError("the pool was stopped, or has not been started; expected one within `with`")
        _encode(_tell(task))  # refuses what is not JSON here, where it was made
        self._waiting.append(task)
        self._hand_out()

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for tasks to end, and replace workers that died."""
        end = time.monotonic() + seconds
        self._look(0)
        while not self._ended and (left := end - time.monotonic()) > 0:
            self._check_some_left()
            self._look(min(left, LOOK))
        ended, self._ended = self._ended, []
        return ended

    def busy(self) -> Mapping[str, tuple[Task, float]]:
        """What workers do, and since when."""
        return {slot.name: (task, slot.since) for slot in self._slots if (task := slot.task) is not None}

    def stop(self) -> None:
        """Ask running tasks to stop, drop the others, and replace no more workers."""
        self._stopped = True
        self._waiting.clear()
        for slot in self._slots:
            if slot.task is not None:
                self._send(slot, {"stop": True})

    def close(self) -> None:
        """End all workers: those that do nothing in order, others by force."""
        slots, self._slots = self._slots, []
        self._waiting.clear()
        for slot in slots:
            if slot.process is not None and not slot.free:
                slot.process.kill()
            if slot.connection is not None:
                slot.connection.close()
        end = time.monotonic() + GRACE
        for slot in slots:
            if slot.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    slot.process.wait(max(0.0, end - time.monotonic()))
                slot.process.kill()
                slot.process.wait()

    def _environments(self) -> list[dict[str, str]]:
        """The variables of each worker's environment."""
        shared = {"OMP_NUM_THREADS": str(self.options.threads)}
        if self.options.device != "cuda":
            return [shared] * self.count
        gpus = list_gpus()
        if not gpus:
            raise BadInput("device cuda: this process sees no GPU; expected one at least; choose device cpu")
        return [shared | {VISIBLE: gpus[number % len(gpus)]} for number in range(self.count)]

    def _await_all(self) -> None:
        end = time.monotonic() + PATIENCE
        while any(slot.worker is None for slot in self._slots):
            self._look(LOOK)
            for slot in self._slots:
                if slot.given_up:
                    raise CannotFinish(f"{slot.name} cannot be started: {slot.given_up}")
            if time.monotonic() > end:
                slow = next(slot.name for slot in self._slots if slot.worker is None)
                raise CannotFinish(f"{slow} was not ready after {PATIENCE:.0f} s; look at what slows this machine down")

    def _start(self, slot: _Slot) -> None:
        """Start a process in a slot; it says later that it is ready."""
        assert self._envelope is not None
        here, there = socket.socketpair()
        entries = [each for each in (*self._envelope.before, *self._envelope.after) if each]
        environment = os.environ | slot.environment | {"PYTHONPATH": os.pathsep.join(entries)}
        with here, there:
            try:
                with _hold_interrupts():
                    # -P, so that files of the working folder do not stand for modules of the standard library.
                    slot.process = subprocess.Popen(
                        [sys.executable, "-P", "-m", "lossatlas.pools.local_worker", str(there.fileno())],
                        pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=_standard_error(),
                        env=environment, cwd=self._envelope.folder,
                    )  # fmt: skip
            except OSError as error:
                slot.process = None
                self._give_up(slot, f"the system starts no process for it: {format_error(error)}")
                return
            slot.connection = Connection(here.detach())
        self._send(slot, {"envelope": self._envelope.to_json(), "name": slot.name})

    def _look(self, seconds: float) -> None:
        """Read what workers say, waiting so long at most for the first to speak; replace the dead; hand tasks out."""
        speakers = {slot.connection: slot for slot in self._slots if slot.connection is not None}
        if speakers:
            for connection in wait(list(speakers), seconds):
                self._read(speakers[connection])  # type: ignore[index]
        else:
            time.sleep(seconds)
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._read(slot)  # what it said before it died
                self._bury(slot)
        self._hand_out()

    def _read(self, slot: _Slot) -> None:
        """Read what a worker has said."""
        with suppress(EOFError, OSError):  # it is dead, or about to be
            while slot.connection is not None and slot.connection.poll():
                self._hear(slot, json.loads(slot.connection.recv_bytes()))
            return
        self._hang_up(slot)

    def _hear(self, slot: _Slot, message: dict[str, Any]) -> None:
        if "ready" in message:
            slot.worker = Worker(**message["ready"])
        elif "refused" in message:
            error = make_error(message["refused"], slot.name)
            if isinstance(error, BadInput) and not self._started:
                raise error
            self._give_up(slot, format_error(error))
        elif "begun" in message:
            slot.begun, slot.ends = True, 0
        elif "leaving" in message:
            self._hang_up(slot)
        elif slot.task is not None and slot.worker is not None:
            outcome = read_reply(slot.task, slot.worker, message["reply"])
            if message["signalled"] and not self._stopped and isinstance(outcome.error, Interrupted):
                outcome = Outcome(slot.task, slot.worker, lost=SIGNALLED, cautions=outcome.cautions)
            self._ended.append(outcome)
            slot.task = None

    def _bury(self, slot: _Slot) -> None:
        """Note how a worker ended, and put another one in its place."""
        assert slot.process is not None
        how = _tell_end(slot.process.returncode)
        if not slot.begun and not slot.given_up:
            slot.ends += 1
            if slot.ends >= MOST_ENDS:
                self._give_up(slot, f"{slot.ends} processes in a row ended before they had a task, the last one {how}")
        if slot.task is not None and slot.begun:
            self._ended.append(Outcome(slot.task, slot.worker, lost=how))
        elif slot.task is not None and not self._stopped:
            self._waiting.appendleft(slot.task)
        self._hang_up(slot)
        slot.process = slot.worker = slot.task = None
        slot.begun = False
        if not slot.given_up and not self._stopped:
            self._start(slot)

    def _give_up(self, slot: _Slot, why: str) -> None:
        """Start no further process in a slot; the others go on."""
        slot.given_up = why
        if self._started and not self._stopped:
            warnings.warn(f"{slot.name} is not replaced: {why}; the others go on", Caution, stacklevel=2)

    def _hang_up(self, slot: _Slot) -> None:
        """End a connection, and with it the process at its other end."""
        if slot.connection is not None:
            slot.connection.close()
        slot.connection = None

    def _hand_out(self) -> None:
        for slot in self._slots:
            if self._waiting and slot.free and self._send(slot, _tell(self._waiting[0])):
                slot.task, slot.begun, slot.since = self._waiting.popleft(), False, time.monotonic()

    def _send(self, slot: _Slot, message: Mapping[str, Any]) -> bool:
        """Send a message; returns whether it can have arrived."""
        try:
            if slot.connection is not None:
                slot.connection.send_bytes(_encode(message))
                return True
        except OSError:  # it is dead, which is noticed where its process is looked at
            pass
        return False

    def _check_some_left(self) -> None:
        if self._slots and not self._stopped and all(slot.given_up for slot in self._slots):
            raise CannotFinish(f"no worker is left; {self._slots[0].name} is not replaced: {self._slots[0].given_up}")


def _tell(task: Task) -> dict[str, Any]:
    return {"function": task.function, "arguments": dict(task.arguments)}


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _tell_end(code: int) -> str:
    """How a process ended, in words, by what Popen says of it."""
    return f"killed by signal {-code}" if code < 0 else f"ended with status {code}"


def _standard_error() -> int:
    """Where workers write: the standard error of this process, where it has one."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """While entered, SIGINT waits; processes that are started here begin with it blocked, until they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
