"""Who is let in to the page: a WSGI application around another one that refuses everyone but the user's own browser.

A page on this machine that computes and writes is reachable from every other page that the same browser has open, and
from every other user of the machine. What keeps them out, in the order in which it is asked:

- ``Host`` must be a name of this very server: a page elsewhere whose name is made to resolve to this machine (DNS
  rebinding) calls it by that name;
- ``Origin`` and ``Sec-Fetch-Site``, which a page cannot forge, must say that a request comes from this page;
- a cookie, which is handed out to who opens the address with the token;
- the path must be one that the page needs, and the body short and of stated length.

Nothing of a request that is refused reaches the application, and nothing of the token does.
"""

from __future__ import annotations

import hmac
import io
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock
from typing import Any
from urllib.parse import unquote_plus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["LONGEST_BODY", "PAGE", "TOKEN", "Gate", "HostNames", "Refusal", "Routes", "write_host"]

LONGEST_BODY = 1_000_000
"""Bytes of the longest body that is read."""
TOKEN = "token"
"""The parameter of the address that has the token."""
LENT_SECONDS = 60.0
"""How long a lent token is valid."""
MOST_DIGITS = 18
"""Digits of a length that is looked at."""
SAFE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_@.+~-]+)+")
"""A path of plain names: no empty one, none that leads upwards, no escape, backslash or null byte."""
LITERAL = re.compile(r"\[([0-9a-f:.]+)\]|([0-9.]+)")
"""An IP address as a host in a URL."""


@dataclass(frozen=True)
class HostNames:
    """By which names in ``Host`` a server answers.

    Args:
        port: on which it listens.
        names: in lower case, IPv6 addresses in brackets, without the port.
        any_literal: whether it answers by every IP address, as a server has to that listens on all of its machine's. An
            address cannot be made to resolve to another machine, so that is as safe against DNS rebinding as a name.
    """

    port: int
    names: frozenset[str]
    any_literal: bool = False

    @classmethod
    def of(cls, host: str, bound: str, port: int) -> HostNames:
        """The names of a server.

        Args:
            host: as the user stated it.
            bound: the IP address that the server is bound to.
            port: on which it listens.
        """
        address = ip_address(bound.partition("%")[0])
        own = {write_host(host).lower(), write_host(bound)}
        if address.is_loopback:
            return cls(port, frozenset({"localhost", "127.0.0.1", "[::1]", *own}))
        if address.is_unspecified:
            return cls(port, frozenset({"localhost"}), any_literal=True)
        return cls(port, frozenset(own))

    def __contains__(self, header: object) -> bool:
        """Whether a header ``Host`` names the server; browsers leave out port 80."""
        if not isinstance(header, str):
            return False
        name, colon, port = header.lower().rpartition(":")
        if not colon or port.endswith("]"):
            name, port = header.lower(), "80"
        return port == str(self.port) and (name in self.names or (self.any_literal and _is_literal(name)))


def write_host(address: str) -> str:
    """A host as URLs have it: IPv6 addresses stand in brackets.

    >>> write_host("::1"), write_host("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{address}]" if ":" in address else address


def _is_literal(name: str) -> bool:
    """Whether a host is an IP address, written as browsers write it."""
    if (found := LITERAL.fullmatch(name)) is None:
        return False
    try:
        IPv6Address(found[1]) if found[1] else IPv4Address(found[2])
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Routes:
    """The paths that are let through; by default those of the explorer's page: what else Dash serves is not needed.

    Args:
        pages: exact paths that are read.
        calls: exact paths that take a body by POST.
        folders: beginnings of paths that are read.
    """

    pages: frozenset[str] = frozenset({"/", "/_dash-layout", "/_dash-dependencies", "/_favicon.ico"})
    calls: frozenset[str] = frozenset({"/_dash-update-component"})
    folders: tuple[str, ...] = ("/_dash-component-suites/", "/assets/", "/results/")

    def serve(self, method: str, path: str) -> bool:
        """Whether a request is let through."""
        if method == "POST":
            return path in self.calls
        return path in self.pages or (path.startswith(self.folders) and SAFE_PATH.fullmatch(path) is not None)


PAGE = Routes()
"""The paths of the explorer's page."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused.

    Args:
        status: as HTTP has it, with its words.
        reason: one line for the user.
    """

    status: str
    reason: str

    @property
    def body(self) -> bytes:
        """The body of the answer: the line, as plain text."""
        return f"{self.reason}\n".encode()


class Gate:
    """A WSGI application that lets requests of one browser through to another one, and refuses all others.

    Args:
        app: the application behind it.
        hosts: the names of the server.
        token: who opens ``/?token=TOKEN`` gets the page and the cookie.
        routes: the paths that are let through.
        inline_scripts: hashes of scripts inside of the page, such as ``'sha256-…'``, quoted: no others are executed.
    """

    def __init__(
        self,
        app: WSGIApplication,
        hosts: HostNames,
        token: str,
        *,
        routes: Routes = PAGE,
        inline_scripts: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token
        self._routes = routes
        self._session = secrets.token_urlsafe(32)
        self._lent: tuple[str, float] | None = None
        self._lock = Lock()
        self.cookie = f"lossatlas-{hosts.port}"
        """The name of the cookie: browsers share cookies between the ports of a machine."""
        policy = {
            "default-src": ("'self'",),
            "script-src": ("'self'", *inline_scripts),
            "style-src": ("'self'", "'unsafe-inline'"),  # components of Dash carry styles inside
            "img-src": ("'self'", "data:", "blob:"),
            "font-src": ("'self'", "data:"),
            "connect-src": ("'self'",),
            "object-src": ("'none'",),
            "base-uri": ("'none'",),
            "form-action": ("'none'",),
            "frame-ancestors": ("'none'",),
        }
        self.headers: tuple[tuple[str, str], ...] = (
            ("Content-Security-Policy", "; ".join(" ".join((name, *sources)) for name, sources in policy.items())),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
        )
        """The headers of every answer, but for that on caches."""

    def lend_token(self) -> str:
        """A token that opens the page once within a minute: other users of a machine see how a browser was called."""
        lent = secrets.token_urlsafe(24)
        with self._lock:
            self._lent = (lent, time.monotonic() + LENT_SECONDS)
        return lent

    def judge(self, environ: Mapping[str, Any]) -> Refusal | None:
        """Why a request is refused, before anything of its body is read; None of one that is let through.

        Args:
            environ: the request as WSGI has it.
        """
        host = environ.get("HTTP_HOST", "")
        if host not in self._hosts or not str(environ.get("REQUEST_URI", "/")).startswith("/"):
            return Refusal("403 Forbidden", "this page does not answer by that name; open the address that was printed")
        if environ.get("HTTP_ORIGIN", f"http://{host}".lower()) != f"http://{host}".lower():
            return Refusal("403 Forbidden", "this request comes from another page")
        if not self._may_come_from(environ):
            return Refusal("403 Forbidden", "this request comes from another page; type the address, or paste it")
        method, path = str(environ.get("REQUEST_METHOD", "")), str(environ.get("PATH_INFO", ""))
        if method not in ("GET", "HEAD", "POST"):
            return Refusal("405 Method Not Allowed", "expected GET, HEAD or POST")
        if not self._is_known(environ) and not self._is_opened(environ):
            return Refusal(
                "403 Forbidden", "open the address that lossatlas explore printed, which ends with the token"
            )
        if not self._routes.serve(method, path):
            return Refusal("404 Not Found", "there is nothing here; the page is at /")
        return _judge_body(environ)

    @staticmethod
    def _may_come_from(environ: Mapping[str, Any]) -> bool:
        """Whether the browser calls a request this page's own, or the user's; old browsers say nothing.

        A page of another port of this machine is of the same site: it may lead here, and load nothing from here.
        """
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        leads = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        return site in ("none", "same-origin") or (
            site == "same-site" and leads and environ.get("REQUEST_METHOD") == "GET" and environ.get("PATH_INFO") == "/"
        )

    def _is_known(self, environ: Mapping[str, Any]) -> bool:
        """Whether a request has the cookie."""
        cookies = str(environ.get("HTTP_COOKIE", "")).split(";")
        return any(
            name.strip() == self.cookie and _are_equal(value.strip(), self._session)
            for name, _, value in (cookie.partition("=") for cookie in cookies)
        )

    def _is_opened(self, environ: Mapping[str, Any], *, spend: bool = False) -> bool:
        """Whether a request opens the page with the token, or with the lent one.

        Args:
            environ: the request.
            spend: whether the lent one is used up by that.
        """
        if environ.get("REQUEST_METHOD") != "GET" or environ.get("PATH_INFO") != "/":
            return False
        _, tokens = _split_query(str(environ.get("QUERY_STRING", "")))
        if len(tokens) != 1:
            return False
        if _are_equal(tokens[0], self._token):
            return True
        with self._lock:
            if self._lent is None or time.monotonic() > self._lent[1] or not _are_equal(tokens[0], self._lent[0]):
                return False
            if spend:
                self._lent = None
            return True

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        refusal = self.judge(environ)
        opened = refusal is None and self._is_opened(environ, spend=True)
        if refusal is None and not opened and not self._is_known(environ):
            refusal = Refusal("403 Forbidden", "this address was used already; open the one that was printed")
        if refusal is not None:
            start_response(refusal.status, self.list_headers(refusal))
            return [] if environ.get("REQUEST_METHOD") == "HEAD" else [refusal.body]
        cookie = f"{self.cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        handed = [("Set-Cookie", cookie)] if opened else []

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*self._complete(headers), *handed], *exc_info)

        return self._app(_strip_secrets(environ), start)

    def list_headers(self, refusal: Refusal) -> list[tuple[str, str]]:
        """The headers of the answer to a request that is refused."""
        told = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(refusal.body)))]
        allowed = [("Allow", "GET, HEAD, POST")] if refusal.status.startswith("405") else []
        return self._complete([*told, *allowed])

    def _complete(self, headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers of an answer with those of every answer.

        What the application lets everyone keep for ever, as it does its scripts, the browser may keep.
        """
        ours = {name.lower() for name, _ in self.headers} | {"cache-control", "server"}
        kept = next((value for name, value in headers if name.lower() == "cache-control"), "")
        age = re.search(r"\bmax-age=[1-9][0-9]*", kept)
        cache = ("Cache-Control", f"private, {age[0]}" if age is not None and "no-" not in kept else "no-store")
        return [*(header for header in headers if header[0].lower() not in ours), *self.headers, cache]


def _judge_body(environ: Mapping[str, Any]) -> Refusal | None:
    """Why the body of a request is refused, from what is said of it before it comes."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return Refusal("413 Content Too Large", "the length of the body is not stated; expected Content-Length")
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not (length.isascii() and length.isdecimal()):
        return Refusal("400 Bad Request", "Content-Length is not a number")
    if len(length) > MOST_DIGITS or int(length) > LONGEST_BODY:
        return Refusal("413 Content Too Large", f"the body is too long; expected at most {LONGEST_BODY:,} bytes")
    return None


def _are_equal(given: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _split_query(query: str) -> tuple[str, list[str]]:
    """A query without its tokens, and these."""
    kept, tokens = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if unquote_plus(name) == TOKEN:
            tokens.append(unquote_plus(value))
        else:
            kept.append(part)
    return "&".join(kept), tokens


def _strip_secrets(environ: WSGIEnvironment) -> WSGIEnvironment:
    """A request for the application, which needs neither token nor cookie; without a stated length it has no body."""
    query, _ = _split_query(str(environ.get("QUERY_STRING", "")))
    stripped = {name: value for name, value in environ.items() if name not in ("HTTP_COOKIE", "HTTP_REFERER")}
    stripped["QUERY_STRING"] = query
    if "REQUEST_URI" in environ:
        stripped["REQUEST_URI"] = f"{environ['REQUEST_URI'].partition('?')[0]}{'?' if query else ''}{query}"
    if not environ.get("CONTENT_LENGTH"):
        stripped["wsgi.input"] = io.BytesIO()
    return stripped
