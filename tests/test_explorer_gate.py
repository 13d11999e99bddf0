"""Who is let in to the page: every kind of attack by itself, and a thousand at once over real connections."""

from __future__ import annotations

import gc
import http.client
import io
import queue
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from attacks import ATTACKER, CALL, PAGE, Target, attack_together, list_attacks
from hypothesis import given, strategies as st

from lossatlas.explorer.server.gate import LONGEST_BODY, Gate, HostNames, Routes

PORT, TOKEN = 8050, "sixteen-letters-or-more"


class Unreadable(io.RawIOBase):
    """A body of which nothing may be read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("a body that is refused was read")

    readline = readinto = read


class Browser:
    """Calls a gate as a server does, and keeps its cookie."""

    def __init__(self, hosts: HostNames | None = None, routes: Routes | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        hosts = hosts or HostNames.of("127.0.0.1", "127.0.0.1", PORT)
        self.gate = Gate(self.app, hosts, TOKEN, **({} if routes is None else {"routes": routes}))
        self.cookie = ""

    def app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "public, max-age=60")])
        return [b"the page"]

    def call(
        self, path: str = PAGE, query: str = "", method: str = "GET", **headers: Any
    ) -> tuple[int, dict[str, str]]:
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": f"127.0.0.1:{PORT}",
            "REQUEST_URI": f"{path}?{query}" if query else path, "wsgi.input": Unreadable(), **headers,
        }  # fmt: skip
        if self.cookie:
            environ.setdefault("HTTP_COOKIE", self.cookie)
        answers: list[Any] = []
        body = self.gate(
            {name: value for name, value in environ.items() if value is not None},
            lambda status, told, *_: answers.append((status, told)),  # type: ignore[arg-type, return-value]
        )
        text = b"".join(body)
        status, told = answers[0]
        assert text == b"the page" or text.count(b"\n") <= 1, "one line"
        return int(status.split()[0]), dict(told)

    def enter(self) -> Browser:
        code, told = self.call(query=f"token={TOKEN}")
        assert code == 200
        self.cookie = told["Set-Cookie"].partition(";")[0]
        return self


@pytest.fixture
def inside() -> Browser:
    browser = Browser().enter()
    browser.seen.clear()
    return browser


def test_the_address_with_the_token_gives_the_page_and_a_cookie_that_is_not_the_token() -> None:
    browser = Browser()
    code, told = browser.call(query=f"view=a%26b&token={TOKEN}&x=1")
    assert code == 200
    cookie, *attributes = told["Set-Cookie"].split("; ")
    assert cookie.startswith(f"lossatlas-{PORT}=")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert TOKEN not in str(told)
    (seen,) = browser.seen
    assert (seen["QUERY_STRING"], seen["REQUEST_URI"]) == ("view=a%26b&x=1", "/?view=a%26b&x=1")
    assert TOKEN not in str(seen)


def test_the_cookie_opens_what_the_page_needs_and_the_application_does_not_see_it(inside: Browser) -> None:
    for path in (
        PAGE,
        "/_dash-layout",
        "/_dash-component-suites/dash/deps/react@18.v4_1m2.3.1.min.js",
        "/assets/a.css",
    ):
        assert inside.call(path)[0] == inside.call(path, method="HEAD")[0] == 200, path
    assert inside.call(CALL, method="POST", CONTENT_LENGTH=str(LONGEST_BODY))[0] == 200
    assert inside.call(HTTP_COOKIE=f"a=b; {inside.cookie} ;c=d")[0] == 200
    assert inside.cookie.partition("=")[2] not in str(inside.seen)
    assert inside.call(query="token=wrong")[0] == 200, "of an address that is old: who has the cookie is known"
    assert "token" not in inside.seen[-1]["QUERY_STRING"]


@pytest.mark.parametrize(
    "query",
    [
        "", "token", "token=", "token=wrong", f"token={TOKEN}x", f"token={TOKEN[:-1]}", f"TOKEN={TOKEN}",
        f"token=x&token={TOKEN}", f"token={TOKEN}&token={TOKEN}", "token=%ff%fe", "token=\ud800", "token=ä€",
        "&" * 9000, f"x=token={TOKEN}", "token=%00",
    ],
)  # fmt: skip
def test_without_the_token_nothing_is_seen(query: str) -> None:
    browser = Browser()
    assert browser.call(query=query)[0] == 403
    assert not browser.seen


@pytest.mark.parametrize("cookie", ["lossatlas-8050=", "lossatlas-8050=\ud800", "lossatlas-8050=ä", "=;;=", ";" * 9000])
def test_another_cookie_is_not_known(inside: Browser, cookie: str) -> None:
    assert inside.call(HTTP_COOKIE=cookie)[0] == 403
    assert inside.call(HTTP_COOKIE=inside.cookie.replace(str(PORT), str(PORT + 1)))[0] == 403
    assert Browser().call(HTTP_COOKIE=inside.cookie)[0] == 403, "that of another server"


@pytest.mark.parametrize(("method", "path"), [("POST", PAGE), ("HEAD", PAGE), ("GET", "/_dash-layout"), ("GET", "/x")])
def test_the_token_opens_the_page_alone(method: str, path: str) -> None:
    assert Browser().call(path, f"token={TOKEN}", method)[0] == 403


def fetched(site: str, mode: str, dest: str) -> dict[str, str]:
    """What a browser says of where a request comes from."""
    return {"HTTP_SEC_FETCH_SITE": site, "HTTP_SEC_FETCH_MODE": mode, "HTTP_SEC_FETCH_DEST": dest}


HOSTILE = {
    "another host": (403, {"HTTP_HOST": f"evil.example:{PORT}"}),
    "a host that begins alike": (403, {"HTTP_HOST": f"127.0.0.1.evil.example:{PORT}"}),
    "another port": (403, {"HTTP_HOST": f"127.0.0.1:{PORT + 1}"}),
    "no port": (403, {"HTTP_HOST": "127.0.0.1"}),
    "no host": (403, {"HTTP_HOST": None}),
    "two hosts": (403, {"HTTP_HOST": f"127.0.0.1:{PORT}, evil.example"}),
    "a host with a user": (403, {"HTTP_HOST": f"evil@127.0.0.1:{PORT}"}),
    "a host in other digits": (403, {"HTTP_HOST": f"0x7f.1:{PORT}"}),
    "a host with a dot": (403, {"HTTP_HOST": f"localhost.:{PORT}"}),
    "no path": (403, {"path": ""}),
    "a whole URL": (403, {"REQUEST_URI": "http://evil.example/"}),
    "another origin": (403, {"HTTP_ORIGIN": ATTACKER}),
    "an origin without a name": (403, {"HTTP_ORIGIN": "null"}),
    "an empty origin": (403, {"HTTP_ORIGIN": ""}),
    "the origin of another port": (403, {"HTTP_ORIGIN": f"http://127.0.0.1:{PORT + 1}"}),
    "the origin of another name": (403, {"HTTP_ORIGIN": f"http://localhost:{PORT}"}),
    "the origin of another scheme": (403, {"HTTP_ORIGIN": f"https://127.0.0.1:{PORT}"}),
    "another site": (403, {"HTTP_SEC_FETCH_SITE": "cross-site"}),
    "another site that leads here": (403, fetched("cross-site", "navigate", "document")),
    "a picture on another port": (403, fetched("same-site", "no-cors", "image")),
    "a frame on another port": (403, fetched("same-site", "navigate", "iframe")),
    "another path on another port": (403, {"path": "/_dash-layout", **fetched("same-site", "navigate", "document")}),
    "a site of a new kind": (403, {"HTTP_SEC_FETCH_SITE": "unheard-of"}),
    "another method": (405, {"method": "DELETE"}),
    "options": (405, {"method": "OPTIONS"}),
    "a method in small letters": (405, {"method": "get"}),
    "a call of the page": (404, {"method": "POST"}),
    "a reading of the call": (404, {"path": CALL}),
    "a long body": (413, {"path": CALL, "method": "POST", "CONTENT_LENGTH": str(LONGEST_BODY + 1)}),
    "a very long body": (413, {"path": CALL, "method": "POST", "CONTENT_LENGTH": "9" * 5000}),
    "a long body of a reading": (413, {"CONTENT_LENGTH": str(LONGEST_BODY + 1)}),
    "a body in chunks": (413, {"path": CALL, "method": "POST", "HTTP_TRANSFER_ENCODING": "chunked"}),
    "a body in other chunks": (413, {"path": CALL, "method": "POST", "HTTP_TRANSFER_ENCODING": "gzip, chunked"}),
    "a length below zero": (400, {"path": CALL, "method": "POST", "CONTENT_LENGTH": "-1"}),
    "a length in other digits": (400, {"path": CALL, "method": "POST", "CONTENT_LENGTH": "\u0665"}),
    "two lengths": (400, {"path": CALL, "method": "POST", "CONTENT_LENGTH": "3, 4"}),
    **{
        f"the path {path!r}": (404, {"path": path})
        for path in (
            "//", "/x", "/..", "/assets/../x", "/assets/..", "/assets//a.css", "/assets/./a.css", "/assets/",
            "/assets/a\\..\\b", "/assets/%2e%2e/x", "/assets/a.css\0", "/assets/\u00e4", "/assets/\ud800",
            "/assets/a.css/", "/_dash-component-suites/../assets/a.css", "/_reload-hash", "/_mcp",
            "/_dash_startup_route/x",
            "/_dash-layout/", "/_DASH-LAYOUT", "/etc/passwd", "/assets/a.css\n", "/assets/a b",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_each_attack_has_its_answer_even_with_the_cookie(inside: Browser, attack: str) -> None:
    code, how = HOSTILE[attack]
    found, told = inside.call(**how)
    assert found == code
    assert not inside.seen
    assert "Set-Cookie" not in told
    assert ("Allow" in told) == (code == 405)
    outside = Browser()
    assert outside.call(**how)[0] in (403, 405), "who is not let in does not learn what there is"
    with_token = outside.call(**{"query": f"token={TOKEN}", **how})[0]
    assert with_token in (403, 405) if how.get("path", PAGE) != PAGE else with_token in (code, 403)
    assert not outside.seen


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.text())
def test_whatever_comes_is_answered(host: str, path: str, query: str, cookie: str, length: str, method: str) -> None:
    browser = Browser()
    code, _ = browser.call(path, query, method, HTTP_COOKIE=cookie, CONTENT_LENGTH=length)
    assert code in (403, 405)
    assert browser.call(HTTP_HOST=host)[0] == 403
    assert not browser.seen


def test_a_lent_token_opens_the_page_once_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    lent = browser.gate.lend_token()
    assert browser.gate.judge({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": f"token={lent}",
                               "HTTP_HOST": f"127.0.0.1:{PORT}"}) is None, "to look does not spend it"  # fmt: skip
    assert browser.call(query=f"token={lent}")[0] == 200
    assert browser.call(query=f"token={lent}")[0] == 403
    lent, now = browser.gate.lend_token(), time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 61)
    assert browser.call(query=f"token={lent}")[0] == 403
    assert browser.call(query=f"token={TOKEN}")[0] == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_a_browser_on_this_machine_may_use_any_of_its_names(name: str) -> None:
    browser = Browser()
    own = {"HTTP_HOST": f"{name}:{PORT}", "HTTP_ORIGIN": f"http://{name.lower()}:{PORT}"}
    assert browser.call(query=f"token={TOKEN}", **own, HTTP_SEC_FETCH_SITE="same-origin")[0] == 200
    assert browser.call(query=f"token={TOKEN}", **own, HTTP_SEC_FETCH_SITE="none")[0] == 200


@pytest.mark.parametrize(
    ("host", "bound", "answered", "refused"),
    [
        ("127.0.0.1", "127.0.0.1", ["localhost:80", "127.0.0.1:80"], ["192.0.2.7:80", "host:80"]),
        ("192.0.2.7", "192.0.2.7", ["192.0.2.7:80", "192.0.2.7"], ["localhost:80", "127.0.0.1:80", "192.0.2.8:80"]),
        ("Atlas", "192.0.2.7", ["atlas:80", "ATLAS", "192.0.2.7:80"], ["atlas.evil.example:80", "192.0.2.8:80"]),
        ("0.0.0.0", "0.0.0.0", ["192.0.2.7:80", "localhost", "[2001:db8::1]"], ["evil.example", "1.2.3", "01.2.3.4"]),
        ("::", "::", ["192.0.2.7", "[2001:db8::1]:80"], ["2001:db8::1", "[2001:db8::1", "[::g]:80", "a.b", "[]"]),
        ("::1", "::1", ["[::1]:80", "[::1]", "localhost"], ["::1", "[::2]", ":80", ""]),
    ],
)  # fmt: skip
def test_a_server_answers_by_names_that_nobody_else_can_take(
    host: str, bound: str, answered: list[str], refused: list[str]
) -> None:
    names = HostNames.of(host, bound, 80)
    assert [name for name in answered if name not in names] == []
    assert [name for name in refused if name in names] == []
    assert all(f"{name.removesuffix(':80')}:81" not in names for name in answered)


def test_a_page_on_another_port_may_lead_here(inside: Browser) -> None:
    assert inside.call(**fetched("same-site", "navigate", "document"))[0] == 200


def test_every_answer_says_what_a_browser_may_do_with_it(inside: Browser) -> None:
    answers = [inside.call()[1], inside.call("/x")[1], inside.call(HTTP_COOKIE="")[1], inside.call(method="PUT")[1]]
    for told in answers:
        assert told["X-Content-Type-Options"] == "nosniff"
        assert told["Referrer-Policy"] == "no-referrer"
        assert told["X-Frame-Options"] == "DENY"
        policy = told["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self';" in policy
    assert [told["Cache-Control"] for told in answers] == ["private, max-age=60", *["no-store"] * 3]


def test_more_paths_can_be_let_through() -> None:
    browser = Browser(routes=Routes(folders=("/weights/",))).enter()
    assert browser.call("/weights/a1")[0] == 200
    assert browser.call("/weights/../a1")[0] == browser.call("/assets/a.css")[0] == 404


# --- over real connections -------------------------------------------------------------------------------------------


class Served:
    """A page that is served in a thread."""

    def __init__(self) -> None:
        from lossatlas.explorer.server.serving import serve

        self.reached: list[str] = []
        self.said: list[str] = []
        self._end, self._ready = threading.Event(), threading.Event()

        def announce(address: str, lent: str) -> None:
            self.address = address
            self._ready.set()

        self._thread = threading.Thread(
            target=serve,
            args=(self.app,),
            kwargs={
                "token": TOKEN,
                "announce": announce,
                "note": self.said.append,
                "stop": self._end.is_set,
            },
        )
        self._thread.start()
        assert self._ready.wait(10)
        self.target = Target(urlsplit(self.address).port or 0)

    def app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        self.reached.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the page", body]

    def close(self) -> None:
        self._end.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def open(self, seconds: float = 5) -> str:
        """Open the page as a browser does; returns its cookie."""
        link = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=seconds)
        link.request("GET", f"/?token={TOKEN}")
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (200, b"the page")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        link.request(
            "POST", CALL, body=b"numbers", headers={"Cookie": cookie, "Origin": f"http://127.0.0.1:{self.target.port}"}
        )
        assert link.getresponse().read() == b"the pagenumbers"
        link.close()
        return cookie


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    pytest.importorskip("waitress", reason="the extra explore is not installed")
    made = Served()
    yield made
    made.close()


def test_a_thousand_hostile_requests_two_hundred_at_a_time_leave_the_page_as_it_was(served: Served) -> None:
    served.reached.clear()
    threads = threading.active_count()
    answers = attack_together(list_attacks(served.target, TOKEN))
    assert len(answers) == 1000
    assert not served.reached, "none is served"
    codes = [answer.split(b" ")[1] for answer in answers if answer]
    assert set(codes) <= {b"400", b"403", b"405", b"413", b"431", b"501"}
    assert codes.count(b"403") > 500
    assert not [answer for answer in answers if b"the page\r" in answer or b"Set-Cookie" in answer]
    assert all(b"X-Content-Type-Options: nosniff" in answer for answer in answers if answer)
    assert not [
        answer for answer in answers if b"Server:" in answer or b"waitress" in answer or b"100 Continue" in answer
    ]
    served.open()
    assert threading.active_count() <= threads + 1


def test_the_page_opens_while_strangers_hold_more_connections_than_there_may_be(served: Served) -> None:
    links = []
    try:
        for i in range(400):
            link = socket.create_connection(("127.0.0.1", served.target.port), timeout=5)
            links.append(link)
            if i % 2:
                link.sendall(b"GET / HTTP/1.1\r\nHost: ")
        served.open()
    finally:
        for link in links:
            link.close()
    served.open()


def test_who_sends_slowly_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has a time for all of it, however often a byte comes."""
    monkeypatch.setattr("lossatlas.explorer.server.connections.REQUEST_SECONDS", 0.5)
    head = served.target.ask().removesuffix(b"\r\n")
    assert served.target.exchange(head, *[b"X: y\r\n"] * 60, pause=0.1, seconds=5) == b""
    post = served.target.ask(f"Cookie: {served.open()}", "Content-Length: 90000", method="POST", path=CALL)
    served.reached.clear()
    assert served.target.exchange(post, *[b"x"] * 60, pause=0.1, seconds=5) == b""
    assert not served.reached


def test_a_body_is_not_read_beyond_what_is_allowed_even_with_the_cookie(served: Served) -> None:
    cookie = f"Cookie: {served.open()}"
    post = {"method": "POST", "path": CALL}
    whole = b"x" * LONGEST_BODY
    served.reached.clear()
    allowed = served.target.exchange(
        served.target.ask(cookie, f"Content-Length: {len(whole)}", "Connection: close", **post), whole
    )
    assert allowed.startswith(b"HTTP/1.1 200")
    assert served.reached == [CALL]
    for lines in ([f"Content-Length: {len(whole) + 1}"], ["Transfer-Encoding: chunked"], ["Content-Length: x"]):
        answer = served.target.exchange(served.target.ask(cookie, *lines, **post))
        assert answer.split(b" ")[1] == (b"400" if "x" in lines[0] and "chunked" not in lines[0] else b"413")
        assert answer.endswith(b"\n")
    assert served.reached == [CALL]


def test_what_a_browser_has_not_taken_is_let_go_of_at_the_end() -> None:
    """A long answer lies in a file until it is read; who closes a window in the middle leaves it to the server."""
    pytest.importorskip("waitress", reason="the extra explore is not installed")
    from lossatlas.explorer.server.serving import serve

    long = b"x" * 20_000_000

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(long)))])
        return [long]

    over, addresses = threading.Event(), queue.Queue[str]()
    serving = threading.Thread(
        target=serve,
        args=(answer,),
        kwargs={
            "token": TOKEN,
            "announce": lambda address, _: addresses.put(address),
            "note": lambda _: None,
            "stop": over.is_set,
        },
    )
    serving.start()
    parts = urlsplit(addresses.get(timeout=20))
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as browser:
            head = f"GET /?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            browser.sendall(head.encode())
            assert browser.recv(12) == b"HTTP/1.1 200"
            over.set()
            serving.join(20)
        gc.collect()
    assert not serving.is_alive()
    assert [str(each.message) for each in noticed if issubclass(each.category, ResourceWarning)] == []
