"""Functions that the workers of `test_pools.py` call."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput, Caution, Interrupted, ModelFailure
from lossatlas.files.reading import Unreadable
from lossatlas.pools import is_asked_to_stop


def tell(value: Any = None) -> Any:
    return {"value": value, "pid": os.getpid()}


def look_around() -> dict[str, Any]:
    import torch

    return {
        "threads": torch.get_num_threads(), "folder": str(Path.cwd()), "waiting": os.environ["OMP_WAIT_POLICY"],
        "path": sys.path, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }  # fmt: skip


def take_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def fail(kind: str) -> None:
    made: dict[str, BaseException] = {
        "BadInput": BadInput("the data are wrong"),
        "Interrupted": Interrupted("stopped"),
        "ModelFailure": ModelFailure("layer 3 fails"),
        "Unreadable": Unreadable("some.json", "it is damaged"),
        "OwnBadInput": OwnBadInput("mine", 3),
        "OSError": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "values"),
        "MemoryError": MemoryError("no room"),
        "OutOfMemoryError": OutOfMemoryError("no room on the device"),
        "ZeroDivisionError": ZeroDivisionError("division by zero"),
        "SystemExit": SystemExit(4),
        "KeyboardInterrupt": KeyboardInterrupt(),
    }
    raise made[kind]


class OwnBadInput(BadInput):
    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} and {number}")


class OutOfMemoryError(RuntimeError):
    pass


def fail_for_a_reason() -> None:
    try:
        fail("OSError")
    except OSError as error:
        raise BadInput("values cannot be written") from error


def warn() -> int:
    for _ in range(2):
        warnings.warn("the values are of another kind", Caution, stacklevel=1)
    warnings.warn("not worth a word", RuntimeWarning, stacklevel=1)
    return 3


def return_what_is_not_json() -> object:
    return object()


def chat(lines: int) -> str:
    for _ in range(lines):
        print("x" * 99)
    os.write(1, b"also without Python\n")
    return "said"


def end(status: int) -> None:
    os._exit(status)


def sleep(seconds: float, mark: str | None = None) -> int:
    if mark is not None:
        Path(mark).write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()


def hold_connections(mark: str) -> None:
    """Die while a child has all connections of this process."""
    child = os.fork()
    if child:
        Path(mark).write_text(str(child))
        os.kill(os.getpid(), 9)
    time.sleep(60)


def work_until_asked(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    while not is_asked_to_stop():
        time.sleep(0.01)
    raise Interrupted("stopped between two steps")


def end_a_child() -> int:
    """How a child that was forked ends when it is asked to."""
    child = os.fork()
    if not child:
        time.sleep(60)
    time.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
