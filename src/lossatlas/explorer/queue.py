"""What the page has computed: one task at a time by one thread, the others wait for their turn.

Requests are answered by many threads and compute nothing. They submit tasks, get tickets, and look at these. One
evaluation at a time is what the memory of a machine is planned for, and what keeps it as fast as it can be.
"""

from __future__ import annotations

import secrets
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from lossatlas.errors import BadInput, Caution, LossatlasError, format_error, tell_raised
from lossatlas.shortages import find_shortage

__all__ = ["Handle", "Stage", "Stopped", "TaskQueue", "TaskState"]

Stage = Literal["waiting", "running", "done", "failed", "stopped", "superseded", "forgotten"]
"""What is the case with a task."""
WORKER = "lossatlas-tasks"
"""The name of the thread that carries out tasks."""


class Stopped(Exception):
    """A task was asked to stop, and does."""


@dataclass(frozen=True)
class TaskState:
    """A task as it is at a moment.

    Args:
        stage: ``waiting`` and ``running``; ``done``, ``failed``, ``stopped`` (it was asked to) and ``superseded`` (a
            newer one took its place) are ends. ``forgotten``: it ended so long ago that its result is not kept.
        label: what it is, in words.
        place: its place among those that wait, 1 for the next; 0 if it does not wait.
        done: how many of its parts are done.
        total: how many parts it has; 0 where that is not known.
        words: what it says of itself.
        result: what it returned, once it is done.
        error: why it failed, in one line.
        cautions: what has to be known to read its result rightly, a line each.
    """

    stage: Stage
    label: str = ""
    place: int = 0
    done: float = 0
    total: float = 0
    words: str = ""
    result: Any = None
    error: str = ""
    cautions: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; None where that is not known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.stage not in ("waiting", "running")


@dataclass(eq=False)
class _Task:
    """A task of the queue; changed under the lock of the queue alone."""

    ticket: str
    window: str
    kind: str
    label: str
    work: Callable[[Handle], Any] | None
    replaceable: bool
    short: bool
    stage: Stage = "waiting"
    done: float = 0
    total: float = 0
    words: str = ""
    result: Any = None
    error: str = ""
    cautions: list[str] = field(default_factory=list)
    asked: Literal["stopped", "superseded"] | None = None
    """As what it will have ended, where it is asked to stop."""


class Handle:
    """What a task has of the queue while it runs; for its own thread alone."""

    def __init__(self, queue: TaskQueue, task: _Task) -> None:
        self._queue = queue
        self._task = task

    def is_asked_to_stop(self) -> bool:
        """Whether the task is asked to stop: for loops that take such a function and end by themselves."""
        return self._task.asked is not None

    def report(self, done: float = 0, total: float = 0, words: str = "") -> None:
        """Say how far the task is.

        Args:
            done: how many of its parts are done.
            total: how many it has; 0 where that is not known.
            words: what it does, or how long that will take.

        Raises:
            Stopped: the task is asked to stop.
        """
        self._queue._note(self._task, done, total, words)
        if self.is_asked_to_stop():
            raise Stopped

    def follow(self, words: str) -> Callable[[int, int], None]:
        """Make the function that a job calls with what is done and all there is: it reports, and breathes.

        Args:
            words: what the job does.
        """

        def on_points(done: int, total: int) -> None:
            self.report(done, total, words)
            self.breathe()

        return on_points

    def breathe(self) -> None:
        """Carry out the short tasks that wait, here and now: a long task that calls this often leaves the page usable.

        Raises:
            Stopped: the task is asked to stop.
        """
        if self.is_asked_to_stop():
            raise Stopped
        if not self._task.short:  # one short task is no reason to keep another one waiting for a third
            self._queue._carry_out_short()
        if self.is_asked_to_stop():
            raise Stopped


class TaskQueue:
    """Tasks that one thread carries out, one after the other, short ones before long ones.

    A task that raises has failed, and the next one follows. Each :class:`~lossatlas.errors.Caution` that is raised by a
    task is kept in its state; other warnings, and those of other threads, go where they went before. The queue is a
    context manager that closes it.

    Args:
        per_window: how many tasks of one window may wait.
        waiting: how many tasks may wait in all.
        kept: how many tasks that have ended are kept, with their results; older ones are forgotten. A result, which may
            be a file of all weights, is let go of as soon as a newer task of its window and kind is done.
    """

    def __init__(self, *, per_window: int = 8, waiting: int = 64, kept: int = 64) -> None:
        self._per_window = per_window
        self._most_waiting = waiting
        self._kept = kept
        self._changed = threading.Condition()
        self._waiting: list[_Task] = []
        self._running: list[_Task] = []  # the innermost last: a short one within a long one
        self._ended: OrderedDict[str, _Task] = OrderedDict()
        self._closed = False
        self._unhook = _hook_cautions(self._keep_caution)
        self._worker = threading.Thread(target=self._work, name=WORKER, daemon=True)
        self._worker.start()

    def __enter__(self) -> TaskQueue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def submit(
        self,
        window: str,
        kind: str,
        label: str,
        work: Callable[[Handle], Any],
        *,
        short: bool = False,
        replaceable: bool = False,
    ) -> str:
        """Have a function called, and return the ticket by which one asks for what becomes of it.

        A task takes the place of one of the same window and kind: one that waits is superseded, and one that runs and
        is replaceable is asked to stop.

        Args:
            window: which window of a browser asks.
            kind: what is asked for: of one kind a window wants the newest alone.
            label: what the task is, in words.
            work: the function, called with a handle in the thread of the queue; what it returns is the result.
            short: whether it may be carried out within a long task, and before those that wait.
            replaceable: whether it stops, once it runs, for a newer one.

        Returns:
            The ticket, which cannot be guessed.

        Raises:
            BadInput: too many tasks wait, or the queue is closed.
        """
        task = _Task(secrets.token_urlsafe(16), window, kind, label, work, replaceable, short)
        with self._changed:
            if self._closed:
                raise BadInput("the server is ending; start lossatlas explore again")
            same = [each for each in self._waiting if (each.window, each.kind) == (window, kind)]
            own = sum(each.window == window for each in self._waiting) - len(same)
            if own >= self._per_window:
                raise BadInput(f"{own} tasks of this window wait already; wait until one is done, or stop one")
            if len(self._waiting) - len(same) >= self._most_waiting:
                raise BadInput(f"{len(self._waiting)} tasks wait already; wait until one is done, or stop one")
            for each in same:
                self._end(each, "superseded")
            for each in self._running:
                if each.replaceable and (each.window, each.kind) == (window, kind):
                    each.asked = each.asked or "superseded"
            self._waiting.append(task)
            self._waiting.sort(key=lambda each: not each.short)  # stable: otherwise in the order in which they came
            self._changed.notify_all()
        return task.ticket

    def find_running(self, window: str, kind: str) -> str | None:
        """Find the ticket of the task of a window and a kind that runs; None where there is none."""
        with self._changed:
            alike = (each for each in self._running if (each.window, each.kind) == (window, kind))
            found = next(alike, None)
            return None if found is None or found.asked is not None else found.ticket

    def look(self, ticket: str) -> TaskState:
        """How a task is at this moment.

        Args:
            ticket: of the task. Of one that is not known the stage is ``forgotten``.
        """
        with self._changed:
            return self._see(self._find(ticket))

    def wait(self, ticket: str, seconds: float) -> TaskState:
        """Wait until a task has ended, at most for some seconds; returns how it is then."""
        with self._changed:
            task = self._find(ticket)  # who waits gets the result even if it is forgotten at once
            self._changed.wait_for(lambda: self._see(task).ended, timeout=seconds)
            return self._see(task)

    def stop(self, ticket: str) -> None:
        """Ask a task to stop: at once if it waits, and where it next reports or breathes if it runs."""
        with self._changed:
            task = self._find(ticket)
            if task in self._waiting:
                self._end(task, "stopped")
            elif task in self._running:
                task.asked = task.asked or "stopped"

    def close(self, seconds: float | None = None) -> bool:
        """End the queue: what waits is stopped, what runs is asked to stop and waited for.

        Args:
            seconds: how long to wait for it; None waits until it has ended.

        Returns:
            Whether the thread has ended; if not, it does once its task stops, or with the process.
        """
        with self._changed:
            self._closed = True
            for task in list(self._waiting):
                self._end(task, "stopped")
            for task in self._running:
                task.asked = task.asked or "stopped"
            self._changed.notify_all()
        if threading.current_thread() is not self._worker:
            self._worker.join(seconds)
        self._unhook()
        return not self._worker.is_alive()

    def _find(self, ticket: str) -> _Task | None:
        """The task of a ticket; under the lock."""
        present = (each for each in (*self._waiting, *self._running) if each.ticket == ticket)
        return next(present, None) or self._ended.get(ticket)

    def _see(self, task: _Task | None) -> TaskState:
        """The state of a task; under the lock."""
        if task is None:
            return TaskState("forgotten", error="its result is not kept any more; ask again")
        place = self._waiting.index(task) + 1 if task in self._waiting else 0
        return TaskState(
            task.stage, task.label, place, task.done, task.total, task.words, task.result, task.error,
            tuple(task.cautions),
        )  # fmt: skip

    def _end(self, task: _Task, stage: Stage, result: Any = None, error: str = "") -> None:
        """Note that a task has ended; under the lock."""
        for tasks in (self._waiting, self._running):
            if task in tasks:
                tasks.remove(task)
        task.stage, task.result, task.error = stage, result, error
        if stage == "done":
            for each in self._ended.values():
                if (each.window, each.kind) == (task.window, task.kind) and each.stage == "done":
                    each.stage, each.result = "superseded", None
        task.work = None  # and with it whatever it refers to
        self._ended[task.ticket] = task
        while len(self._ended) > self._kept:
            self._ended.popitem(last=False)
        self._changed.notify_all()

    def _note(self, task: _Task, done: float, total: float, words: str) -> None:
        with self._changed:
            task.done, task.total, task.words = done, total, words

    def _keep_caution(self, line: str) -> bool:
        """Keep a caution of the task that runs; returns whether it is one of this queue's thread."""
        if threading.current_thread() is not self._worker:
            return False
        with self._changed:
            if self._running and line not in self._running[-1].cautions:
                self._running[-1].cautions.append(line)
            return bool(self._running)

    def _work(self) -> None:
        """Carry out tasks until the queue is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                task = self._begin(0)
            self._carry_out(task)
            del task  # its result is kept as long as the queue keeps it, not until the next one comes

    def _begin(self, index: int) -> _Task:
        """Take a task from those that wait; under the lock."""
        task = self._waiting.pop(index)
        task.stage = "running"
        self._running.append(task)
        return task

    def _carry_out_short(self) -> None:
        """Carry out the short tasks that wait, but not those that come meanwhile: the long one is to go on."""
        with self._changed:
            tickets = [each.ticket for each in self._waiting if each.short]
        for ticket in tickets:
            with self._changed:
                index = next((i for i, each in enumerate(self._waiting) if each.ticket == ticket), None)
                if index is None:
                    continue
                task = self._begin(index)
            self._carry_out(task)

    def _carry_out(self, task: _Task) -> None:
        """Call the function of a task, and note what became of it, whatever it raises."""
        stage: Stage = "done"
        result, error, work = None, "", task.work
        assert work is not None
        try:
            result = work(Handle(self, task))
        except Stopped:
            stage = task.asked or "stopped"
        except BaseException as raised:  # SystemExit of a user's code would end the thread without a word
            stage, error = "failed", _explain(raised)
        with self._changed:
            self._end(task, stage, result, error)


def _explain(error: BaseException) -> str:
    """Why a task failed, in one line."""
    if not isinstance(error, Exception):
        return tell_raised(error)
    if (found := find_shortage(error)) is not None:
        lacking, said = found
        return f"out of {lacking} ({format_error(said)}); choose fewer points or examples, or another --device"
    return " ".join(str(error).split()) if isinstance(error, LossatlasError) else format_error(error, kind=True)


def _hook_cautions(keep: Callable[[str], bool]) -> Callable[[], None]:
    """Show cautions to a function first, and to who was shown them before if it returns False.

    ``warnings.catch_warnings`` within each task would catch the warnings of all threads, and leave a wrong hook behind
    where two threads leave it in another order than they came. So the hook is there as long as the queue is, and asks
    in which thread it is called.

    Returns:
        A function that removes the hook.
    """
    catching = warnings.catch_warnings()
    catching.__enter__()
    warnings.simplefilter("always", Caution)
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
        if not (issubclass(category, Caution) and keep(" ".join(str(message).split()))):
            before(message, category, *where, **how)

    warnings.showwarning = show
    left = False

    def unhook() -> None:
        nonlocal left
        if not left:
            left = True
            catching.__exit__(None, None, None)

    return unhook
