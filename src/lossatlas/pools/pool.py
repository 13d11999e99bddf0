"""The interface of pools: workers in other processes that carry out small tasks, and what is known of how it went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Outcome", "Pool", "PoolOptions", "Task", "Worker", "WorkerFailure"]


@dataclass(frozen=True)
class Task:
    """A call of a function, to be made in a worker.

    What a task needs lies in a directory that all workers share, and what it makes is written there: a task and its
    result are a few hundred bytes.
    """

    name: str
    """The name by which the caller knows it, for messages."""
    function: str
    """The function as ``package.module:function``, which the worker imports."""
    arguments: Mapping[str, Any]
    """Its arguments by keyword, of JSON's types."""


@dataclass(frozen=True)
class Worker:
    """A process that carries out tasks."""

    name: str
    """Its place in the pool, such as ``worker 1``; one that takes the place of a lost one has the same name."""
    host: str
    pid: int
    device: str
    """The kind of its device, as :func:`lossatlas.machine.name_machine` names it."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with a value, with an error, or with the loss of its worker."""

    task: Task
    worker: Worker | None
    """Who carried it out; None where this is not known. A worker of Ray that was lost is known by its name, and by the
    process that carried out the task before."""
    value: Any = None
    """What the function returned, of JSON's types."""
    error: Exception | None = None
    """What the function raised, made again here: of the same class where that is a
    :class:`~lossatlas.errors.LossatlasError`, an OSError or a MemoryError, with the errors that led to it as its
    causes; otherwise a :class:`WorkerFailure`."""
    lost: str = ""
    """Why the worker ended in the midst of the task, in words ("killed by signal 9"); empty where it did not."""
    cautions: tuple[str, ...] = ()
    """What the task had to say about its result: each :class:`~lossatlas.errors.Caution` once."""


class WorkerFailure(RuntimeError):
    """A task raised an error that nobody expected, which is a bug; the message has the worker's traceback."""


@dataclass(frozen=True)
class PoolOptions:
    """What a pool is asked for."""

    workers: int
    """How many tasks are carried out at once."""
    threads: int
    """Threads of each worker."""
    folder: Path
    """The directory that all workers share; it need not exist yet."""
    device: str = "cpu"
    """``cpu``; ``cuda``, of which workers have one GPU each, in turn where there are more workers than GPUs; or a
    device such as ``cuda:1``, which all have."""
    ray_address: str | None = None
    """The address of a Ray cluster, ``HOST:PORT``; None starts one here."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.threads < 1:
            raise ValueError(f"{self.workers} workers of {self.threads} threads; expected at least 1 of each")


class Pool(ABC):
    """Workers that carry out tasks; within ``with`` they have been started, and afterwards they have ended.

    A pool belongs to one thread. Only :attr:`workers` and :meth:`busy` may be asked from others.

    Args:
        options: what it is asked for.
    """

    def __init__(self, options: PoolOptions) -> None:
        self.options = options

    @property
    def count(self) -> int:
        """How many tasks are carried out at once, at most."""
        return self.options.workers

    @property
    @abstractmethod
    def workers(self) -> Sequence[Worker]:
        """Those that live now, as far as it is known."""

    @abstractmethod
    def start(self) -> None:
        """Start the workers, or reach the cluster, and check that they can do what this process can; once.

        Raises:
            BadInput: they cannot be started or reached, do not see the shared directory, or have other versions or
                another source code of lossatlas than this process; the first difference is named.
            CannotFinish: they end while they start.
        """

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Have a task carried out, when it is its turn.

        Raises:
            TypeError: its arguments are not of JSON's types.
        """

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for tasks to end.

        Args:
            seconds: how long to wait for the first one, at most.

        Returns:
            How those went that have ended since the last call; empty where none has.

        Raises:
            CannotFinish: there is no worker any more, and none can be started.
        """

    @abstractmethod
    def busy(self) -> Mapping[str, tuple[Task, float]]:
        """By the name of a worker the task that it carries out, and since when by ``time.monotonic()``."""

    @abstractmethod
    def stop(self) -> None:
        """Ask running tasks to stop, and drop those that wait for their turn; :meth:`wait` tells how the former end."""

    @abstractmethod
    def close(self) -> None:
        """End all workers at once, whatever they do; does nothing where there are none."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
