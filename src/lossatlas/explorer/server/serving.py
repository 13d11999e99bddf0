"""A page behind its gate, from a free port to the end by a signal."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import select
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from wsgiref.types import WSGIApplication

from lossatlas.errors import BadInput
from lossatlas.explorer.server.gate import PAGE, TOKEN, Gate, HostNames, Routes, write_host
from lossatlas.files.reading import tell_reason

__all__ = ["HOST", "SHORTEST_TOKEN", "Address", "check_port", "choose_token", "open_browser", "serve"]

HOST = "127.0.0.1"
"""The host by default: this machine alone."""
SHORTEST_TOKEN, LONGEST_TOKEN = 16, 200
"""Characters of a token."""
PORTS = range(1, 65536)
"""The ports that there are."""
TICK_SECONDS = 0.25
"""How often it is asked whether to stop."""


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Args:
        host: as the user stated it.
        bound: the IP address that it is bound to.
        port: of it.
    """

    host: str
    bound: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine can reach it."""
        return _parse(self.bound).is_loopback

    def write_url(self, token: str) -> str:
        """The address of the page with a token, by which it is opened.

        A server on all addresses of the machine is named by the one that others see it by.
        """
        shown = _find_own_address(self.bound) if _parse(self.bound).is_unspecified else self.host
        port = "" if self.port == 80 else f":{self.port}"
        return f"http://{write_host(shown)}{port}/?{TOKEN}={token}"


def check_port(port: int | None) -> None:
    """Refuse a port that there is not.

    Raises:
        BadInput: it is one.
    """
    if port is not None and port not in PORTS:
        raise BadInput(f"--port is {port}; expected {PORTS[0]} to {PORTS[-1]}, or leave it out for a free one")


def choose_token(host: str, token: str | None) -> str:
    """The token of a page: the user's, or a random one.

    Args:
        host: on which the page will be served.
        token: the user's; None where there is none.

    Raises:
        BadInput: it is too short or has other characters than addresses have, or there is none and other machines can
            reach the page.
    """
    if token is None:
        if not _parse(_resolve(host)[1]).is_loopback:
            raise BadInput(
                f"--host {host} can be reached by other machines; give --token of {SHORTEST_TOKEN} characters or more, "
                "or leave --host out and reach this machine through ssh -L"
            )
        return secrets.token_urlsafe(24)
    if len(token) < SHORTEST_TOKEN:
        raise BadInput(f"--token has {len(token)} characters; expected {SHORTEST_TOKEN} or more, hard to guess")
    if len(token) > LONGEST_TOKEN or re.fullmatch(r"[A-Za-z0-9._~-]+", token) is None:
        raise BadInput(f"--token is not one of an address; expected letters, digits and -._~, {LONGEST_TOKEN} at most")
    return token


def serve(
    app: WSGIApplication,
    *,
    token: str,
    announce: Callable[[str, str], None],
    note: Callable[[str], None],
    stop: Callable[[], bool],
    host: str = HOST,
    port: int | None = None,
    routes: Routes = PAGE,
    inline_scripts: Sequence[str] = (),
) -> None:
    """Serve a page behind a gate until it is asked to stop.

    Args:
        app: the page, a WSGI application.
        token: by which it is opened (:func:`choose_token`).
        announce: called once when the server listens, with the address of the page, and with another one that can be
            used once, for command lines that others see.
        note: takes a line for the user.
        stop: asked several times a second in this thread; it may raise, too.
        host: name or address of this machine to listen on.
        port: to listen on; None takes a free one, and so does one that is taken, which is noted.
        routes: the paths of the page.
        inline_scripts: hashes of the scripts inside of the page (``Dash.csp_hashes()``).

    Raises:
        BadInput: there is no such host or port, or this process may not use it.
    """
    from waitress import wasyncore
    from waitress.channel import HTTPChannel

    from lossatlas.explorer.server.connections import make_server

    listening, address = _listen(host, port, note)
    names = HostNames.of(address.host, address.bound, address.port)
    gate = Gate(app, names, token, routes=routes, inline_scripts=inline_scripts)
    sockets: dict[int, object] = {}
    with _quiet():
        server = make_server(gate, listening, sockets)
        try:
            announce(address.write_url(token), address.write_url(gate.lend_token()))
            if not address.is_loopback:
                note(
                    f"other machines can reach {write_host(address.host)}, and what goes over the net can be read on "
                    f"the way, the token too; ssh -L {address.port}:{HOST}:{address.port} without --host is safe"
                )
            while not stop():
                wasyncore.loop(
                    TICK_SECONDS, use_poll=hasattr(select, "poll"), map=sockets, count=1  # type: ignore[arg-type]
                )  # fmt: skip
        finally:
            server.accepting = False
            listening.close()
            server.task_dispatcher.shutdown(timeout=2)
            for each in list(sockets.values()):
                if isinstance(each, HTTPChannel):
                    each.handle_close()  # and with it the files of answers that were not taken
            wasyncore.close_all(sockets, ignore_all=True)  # type: ignore[arg-type]


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    """The family and the IP address of a host.

    Raises:
        BadInput: there is no such host.
    """
    if not host:
        raise BadInput(f"--host is empty; expected a name or an address of this machine, or leave it out for {HOST}")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise BadInput(
            f"--host {host!r} is not a name or an address of this machine ({tell_reason(error)}); leave it out for "
            f"{HOST}"
        ) from error
    family, _, _, _, place = found[0]
    return family, str(place[0])


def _listen(host: str, port: int | None, note: Callable[[str], None]) -> tuple[socket.socket, Address]:
    """A bound socket, of another port where the stated one is taken; and its address.

    Raises:
        BadInput: there is no such host or port, or this process may not use it.
    """
    check_port(port)
    family, bound = _resolve(host)
    listening, taken = None, False
    try:
        listening = _bind(family, bound, port or 0)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE))
        if not taken or port is None:
            raise BadInput(
                f"--host {host} with --port {port or 'left out'} cannot be used ({tell_reason(error)}); leave them out"
            ) from error
    if listening is None:
        listening = _bind(family, bound, 0)
    number = int(listening.getsockname()[1])
    if taken:
        note(f"port {port} is in use, so the page is on port {number}")
    return listening, Address(host, bound, number)


def _bind(family: socket.AddressFamily, bound: str, port: int) -> socket.socket:
    """A socket that is bound, with a port that was used a moment ago if need be.

    Raises:
        OSError: it cannot be.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere this would let two processes have the same port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((bound, port))
        made.listen()  # from now on nobody else gets the port
    except BaseException:
        made.close()
        raise
    return made


def _parse(bound: str) -> IPv4Address | IPv6Address:
    return ip_address(bound.partition("%")[0])


def _find_own_address(bound: str) -> str:
    """The address that this machine has for others; its loopback where it has none. Nothing is sent."""
    version = _parse(bound).version
    family, somewhere = (socket.AF_INET6, "2001:db8::1") if version == 6 else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as trying:
        try:
            trying.connect((somewhere, 9))  # an address for documentation: only a route is chosen
            return str(trying.getsockname()[0])
        except OSError:
            return "::1" if version == 6 else HOST


@contextmanager
def _quiet() -> Iterator[None]:
    """While entered, waitress does not report how many requests wait, nor other conditions that pass."""
    loggers = [logging.getLogger("waitress"), logging.getLogger("waitress.queue")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def open_browser(url: str, note: Callable[[str], None]) -> threading.Thread | None:
    """Open an address in the user's browser, from a thread of its own: a browser may take its time.

    Args:
        url: the address.
        note: takes a line where there is no display or no browser.

    Returns:
        The thread; None where none was needed.
    """
    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        note(
            "a browser needs a display, and none is set; open the address above yourself"
        )  # w3m would take the terminal
        return None

    def open_it() -> None:
        try:
            opened = webbrowser.open(url)
        except (webbrowser.Error, OSError):
            opened = False
        if not opened:
            note("no browser could be opened; open the address above yourself")

    thread = threading.Thread(target=open_it, name="lossatlas-browser", daemon=True)
    thread.start()
    return thread
