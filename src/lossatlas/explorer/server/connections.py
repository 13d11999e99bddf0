"""Connections of the server: waitress, which asks the gate as soon as it has read the head of a request.

By itself waitress reads the body of a request before it calls the application, answers some requests without it, and
lets connections that send nothing keep the place of others. Here a body is read only of a request that the gate lets
through, every answer has the gate's headers, a request has to be complete within a time, and where there are too many
connections those give way that were never let in.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Any, cast

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import BadRequest, Error

from lossatlas.explorer.server.gate import LONGEST_BODY, Gate, Refusal

__all__ = ["make_server"]

THREADS = 8
"""Requests that are answered at the same time; none of them computes."""
CONNECTIONS = 256
"""Connections at the same time; one more, and the oldest gives way that was never let in."""
LONGEST_HEAD = 32_768
"""Bytes of the first line and the headers of a request."""
REQUEST_SECONDS = 10
"""How long a request may take to come."""
IDLE_SECONDS = 60
"""How long a connection without a request is kept."""
CLEANUP_SECONDS = 2
"""How often it is looked for those."""


class _Refused(Error):
    """The answer of waitress to a request that the gate refuses."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class _Parser(HTTPRequestParser):
    """A request as it comes in."""

    def __init__(self, channel: _Channel, adj: Adjustments) -> None:
        super().__init__(adj)
        self.begun = time.monotonic()
        self._channel = channel
        self._judged = False

    def received(self, data: bytes) -> int:
        """Take a part of the request; returns how many bytes belong to it."""
        try:
            consumed = super().received(data)
        except ValueError:  # a number with thousands of digits
            self.error = BadRequest("a header is not valid")
            self.completed = True
            return len(data)
        if self.headers_finished and not self._judged:
            self._judged = True
            self._judge()
        return consumed

    def _judge(self) -> None:
        """Ask the gate; what it refuses is complete, with whatever has not been read."""
        parsed: Any = self
        if self.empty or not hasattr(self, "command"):
            return
        environ = {f"HTTP_{name}": value for name, value in self.headers.items()}
        environ |= {
            "REQUEST_METHOD": parsed.command,
            "REQUEST_URI": parsed.request_uri,
            "PATH_INFO": parsed.path,
            "QUERY_STRING": parsed.query,
            "CONTENT_LENGTH": self.headers.get("CONTENT_LENGTH", ""),
        }
        if self.chunked:  # waitress takes the header out
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        refusal = self._channel.gate.judge(environ)
        if refusal is not None:
            self.error = _Refused(refusal)
            self.completed = True
        elif self.error is None:
            self._channel.admitted = True
        if self.error is not None:
            self.expect_continue = False  # a client that waits for leave to send the body does not get it


class _Answer(ErrorTask):
    """The answer to a request that does not reach the application."""

    def execute(self) -> None:
        """Write it."""
        request, channel, answered = cast(Any, self.request), cast(Any, self.channel), cast(Any, self)
        error = request.error
        if isinstance(error, _Refused):
            refusal = error.refusal
        else:
            refusal = Refusal(f"{error.code} {error.reason}", f"{error.reason}: {error.body}")
        self.status = refusal.status
        answered.response_headers.extend(channel.gate.list_headers(refusal))
        self.set_close_on_finish()
        body = b"" if getattr(request, "command", "") == "HEAD" else refusal.body
        self.content_length = len(refusal.body)
        self.write(body)


class _Channel(HTTPChannel):
    """A connection."""

    error_task_class = _Answer

    def __init__(self, server: _Server, sock: socket.socket, addr: Any, adj: Adjustments, map: Any = None) -> None:  # noqa: A002
        self.gate = server.gate
        self.admitted = False
        """Whether the gate has let one of its requests through."""
        self.parser_class = partial(_Parser, self)  # type: ignore[assignment]
        super().__init__(server, sock, addr, adj, map=map)


class _Server(TcpWSGIServer):
    """A server of one listening socket."""

    channel_class = _Channel

    def __init__(self, gate: Gate, listening: socket.socket, sockets: dict[int, Any]) -> None:
        self.gate = gate
        adjustments: Any = {
            "threads": THREADS,
            "connection_limit": CONNECTIONS + 16,  # behind our own limit, and more than its own sockets
            "channel_timeout": IDLE_SECONDS,
            "cleanup_interval": CLEANUP_SECONDS,
            "max_request_body_size": LONGEST_BODY + 1,  # waitress refuses that many, too
            "max_request_header_size": LONGEST_HEAD,
            "expose_tracebacks": False,
            "log_socket_errors": False,
            "ident": "",
        }
        adjusted = Adjustments(sockets=[listening], **adjustments)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adjusted.threads)
        bound: Any = (listening.family, listening.type, listening.proto, listening.getsockname())
        super().__init__(
            gate, sockets, True, listening, dispatcher=dispatcher, adj=adjusted, bind_socket=False, sockinfo=bound
        )

    def handle_accept(self) -> None:
        """Take a connection; where there are too many, end the oldest one that was never let in."""
        super().handle_accept()
        channels: Any = self.active_channels
        if len(channels) > CONNECTIONS:
            strangers = [channel for channel in channels.values() if not (channel.admitted or channel.requests)]
            for channel in sorted(strangers, key=lambda channel: channel.creation_time)[: len(channels) - CONNECTIONS]:
                channel.handle_close()

    def maintenance(self, now: float) -> None:
        """End connections that are idle, or whose request does not come to its end."""
        super().maintenance(now)  # type: ignore[arg-type]
        channels: Any = self.active_channels
        late = time.monotonic() - REQUEST_SECONDS
        for channel in channels.values():
            if channel.request is not None and not channel.requests and channel.request.begun < late:
                channel.will_close = True


def make_server(gate: Gate, listening: socket.socket, sockets: dict[int, Any]) -> _Server:
    """Make a server of a gate, with its threads; it accepts connections from then on.

    Args:
        gate: the application.
        listening: a bound socket.
        sockets: filled with the sockets of the server, for ``waitress.wasyncore.loop``.
    """
    return _Server(gate, listening, sockets)
