"""Children that start at once: forks of one process that has imported everything and computed nothing.

To import torch takes seconds, and the tests that kill processes start many. What has computed nothing has no threads
that a fork would lose, which a process of pytest's could not promise.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory
from typing import Any

import lossatlas
from lossatlas.pools import local_worker

__all__ = ["Child", "ForkedWorker", "forked", "result_of"]

OTHERS = ("sklearn.datasets", "torch._dynamo")
"""What is imported late, and by every job."""


class Child:
    """A process that carries out one function; warnings are errors in it.

    Args:
        work: of a module that can be imported.
        arguments: of the function.
        folder: to work in.
    """

    def __init__(self, work: Callable[..., Any], *arguments: Any, folder: Path | None = None) -> None:
        self._errors = TemporaryDirectory()
        self._result, theirs = _context().Pipe(duplex=False)
        self.process = _context().Process(
            target=_carry_out, args=(theirs, self._error_file, folder or Path.cwd(), work, arguments)
        )
        self.process.start()
        theirs.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()
        self._result.close()
        self._errors.cleanup()

    def wait(self) -> int | None:
        """What it ended with."""
        self.process.join()
        return self.process.exitcode

    @property
    def result(self) -> Any:
        """What the function returned, once it has ended well."""
        return self._result.recv()

    @property
    def errors(self) -> str:
        """What was written to the standard error by it, and by its own children."""
        return self._error_file.read_text()

    @property
    def _error_file(self) -> Path:
        return Path(self._errors.name) / "errors"


class ForkedWorker:
    """Stands for the ``subprocess.Popen`` of a worker of the pool ``local``, and starts at once.

    Args:
        command: of the worker, which is not carried out.
        pass_fds: the number of its socket.
        env: its environment.
    """

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int], env: Mapping[str, str], **_: object) -> None:
        assert command[-3:-1] == ["-m", local_worker.__name__]
        (number,) = pass_fds
        theirs = Connection(os.dup(number))
        self._process = _context().Process(target=_serve, args=(theirs, dict(env)), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(local_worker.__name__, timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        self._process.kill()


def result_of(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a child; what the child said, where it fails."""
    with Child(work, *arguments) as child:
        assert child.wait() == 0, child.errors
        return child.result


def forked(work: Callable[..., Any], *arguments: Any) -> int:
    """Start a child of a child; its number. It ends with 1 where the function fails."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        work(*arguments)
        status = 0
    except BaseException:  # whatever it is, it must not go on as its parent would
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    ours = (module.name for module in walk_packages(lossatlas.__path__, "lossatlas."))
    # Callbacks are for other libraries, which take as long to import as everything else.
    context.set_forkserver_preload([*OTHERS, *(name for name in ours if "callbacks" not in name and "__" not in name)])
    return context


def _serve(connection: Connection, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.fsync = lambda _: None  # as in the tests themselves
    number = os.dup(connection.fileno())
    connection.close()
    local_worker.main(number)


def _carry_out(
    result: Connection, errors: Path, folder: Path, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    warnings.simplefilter("error")
    os.fsync = lambda _: None  # as in the tests themselves
    os.chdir(folder)
    result.send(work(*arguments))
