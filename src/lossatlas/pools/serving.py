"""What a worker does, whatever kind of pool it belongs to: prepare, carry out one task after another, and tell how."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lossatlas.errors import note_cautions
from lossatlas.machine import name_machine
from lossatlas.pools.envelope import Envelope, tell_host
from lossatlas.pools.errors import make_error, write_error
from lossatlas.pools.pool import Outcome, Task, Worker
from lossatlas.registry import load_callable
from lossatlas.settling import settle_process
from lossatlas.users_code import call_user_code

__all__ = ["ask_to_stop", "carry_out", "is_asked_to_stop", "prepare", "read_reply", "serve"]

_asked = False
_prepared: tuple[str, dict[str, Any]] | None = None
"""The envelope that this process was last prepared for, and who it is."""


def is_asked_to_stop() -> bool:
    """Whether this worker was asked to stop; a task asks between its steps, and raises or returns early then."""
    return _asked


def ask_to_stop() -> None:
    """Let :func:`is_asked_to_stop` answer that it was."""
    global _asked
    _asked = True


def prepare(envelope: Envelope, name: str) -> dict[str, Any]:
    """Check that this process can do what the one that gives the tasks can do, and settle it.

    Args:
        envelope: what has to be shared.
        name: the name of this worker.

    Returns:
        The :class:`Worker` that this process is, in JSON's types.

    Raises:
        BadInput: something differs; the first difference is named.
    """
    envelope.check(tell_who(name))
    os.chdir(envelope.folder)
    envelope.adopt_path()
    settle_process()
    import torch

    torch.set_num_threads(envelope.threads)
    return asdict(Worker(name, tell_host(), os.getpid(), name_machine(envelope.device)))


def carry_out(function: str, arguments: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Call a task's function, and tell how it went.

    Args:
        function: ``package.module:function``.
        arguments: by keyword.
        threads: the number of torch's threads that the task begins with.

    Returns:
        The reply, in JSON's types, for :func:`read_reply`.
    """
    import torch

    torch.set_num_threads(threads)  # the last task may have taken another number
    reply: dict[str, Any]
    with note_cautions() as cautions:
        try:
            value = call_user_code(load_callable("task", function), **arguments)
            json.dumps(value)
            reply = {"value": value}
        except BaseException as error:  # a KeyboardInterrupt, too: nobody sits at the keyboard of a worker
            reply = {"error": write_error(error)}
    return reply | {"cautions": cautions}


def serve(envelope: str, name: str, task: str) -> str:
    """Do all that a worker does for one task, in a process that may have done others before, for whomever.

    Args:
        envelope: what has to be shared, as JSON.
        name: the name of this worker.
        task: function and arguments as JSON; empty where it is only asked whether this process could carry any out.

    Returns:
        As JSON why it refuses, or who it is and how the task went.
    """
    global _asked, _prepared
    _asked = False
    made = Envelope(**json.loads(envelope))
    try:
        if not task:
            made.check(tell_who(name))
            return json.dumps({})
        if _prepared is None or _prepared[0] != envelope:
            _prepared = envelope, prepare(made, name)
    except Exception as error:
        return json.dumps({"refused": write_error(error)})
    wanted = json.loads(task)
    reply = carry_out(wanted["function"], wanted["arguments"], made.threads)
    return json.dumps({"worker": _prepared[1] | {"name": name}, "reply": reply})


def tell_who(name: str) -> str:
    """This worker, in words."""
    return f"{name} (process {os.getpid()} on {tell_host()})"


def read_reply(task: Task, worker: Worker, reply: Mapping[str, Any]) -> Outcome:
    """Make an outcome of a worker's reply."""
    written = reply.get("error")
    error = make_error(written, f"{worker.name} on {worker.host}, at {task.name}") if written else None
    return Outcome(task, worker, reply.get("value"), error, cautions=tuple(reply["cautions"]))
