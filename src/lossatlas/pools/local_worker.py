"""A worker of the pool ``local``, as a process: ``python -m lossatlas.pools.local_worker NUMBER``.

The number is that of an inherited socket to the process that gives the tasks, which is spoken to in messages of JSON.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from io import TextIOWrapper
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import Any, NoReturn

from lossatlas.pools.envelope import Envelope
from lossatlas.pools.errors import write_error
from lossatlas.pools.serving import ask_to_stop, carry_out, prepare

__all__ = ["main"]

LOOK = 0.5
"""Seconds between looks whether the process that gives the tasks lives: its own children may hold the connection."""
GRACE = 1.0
"""Seconds that a worker without a task has to end in order."""


class _Inbox:
    """What was sent to this worker, read by a thread, so that its end is noticed in the midst of a task, too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._process, self._head = os.getpid(), os.getppid()
        self.idle = False
        self.signalled = False

    def start(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it, under which the head goes on
                signal.signal(number, self._note_signal)
        threading.Thread(target=self._read, daemon=True).start()

    def get(self) -> dict[str, Any] | None:
        """The next task; None if there will be none."""
        self.idle = True
        message = self._messages.get()
        self.idle = False
        return message

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        """Somebody else than the pool wants this process to end: after its task, which may end early."""
        if os.getpid() != self._process:  # a process that a task has forked ends as it would have without handlers
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.signalled = True
        ask_to_stop()
        self._messages.put(None)

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while os.getppid() == self._head:
                if self._connection.poll(LOOK):
                    message = json.loads(self._connection.recv_bytes())
                    if "stop" in message:
                        ask_to_stop()
                    else:
                        self._messages.put(message)
        if self.idle:
            self._messages.put(None)
            time.sleep(GRACE)
        os._exit(1)  # whatever it does: nobody waits for it any more, and others may do it again


def _end() -> NoReturn:
    """End this process in order, but without taking apart all that it has imported, which takes a second."""

    def end() -> None:
        time.sleep(GRACE)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)


def main(number: int) -> NoReturn:
    """Serve the process at the other end of a socket until it wants no more, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of its group; the head tells what to do
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.set_inheritable(number, False)
    if isinstance(sys.stdout, TextIOWrapper):  # it is no terminal to Python, and would keep what tasks print
        sys.stdout.reconfigure(line_buffering=True)
    connection = Connection(number)

    def send(message: dict[str, Any]) -> None:
        connection.send_bytes(json.dumps(message).encode())

    with suppress(EOFError, ConnectionError):
        hello = json.loads(connection.recv_bytes())
        envelope = Envelope(**hello["envelope"])
        inbox = _Inbox(connection)
        inbox.start()
        try:
            ready = prepare(envelope, hello["name"])
        except Exception as error:
            send({"refused": write_error(error)})
            _end()
        send({"ready": ready})
        while not inbox.signalled and (task := inbox.get()) is not None:
            send({"begun": True})
            reply = carry_out(task["function"], task["arguments"], envelope.threads)
            send({"reply": reply, "signalled": inbox.signalled})
        send({"leaving": True})  # a task that was sent meanwhile was not begun
    _end()


if __name__ == "__main__":
    main(int(sys.argv[1]))
