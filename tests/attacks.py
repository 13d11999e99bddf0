"""What strangers, pages elsewhere and broken clients send to the explorer, over real connections."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

__all__ = ["ATTACKER", "CALL", "PAGE", "Target", "attack_together", "list_attacks"]

PAGE, CALL = "/", "/_dash-update-component"
ATTACKER = "http://evil.example"


@dataclass(frozen=True)
class Target:
    """A page on this machine that is asked over plain connections."""

    port: int

    def exchange(self, request: bytes, *more: bytes, pause: float = 0, seconds: float = 10) -> bytes:
        """Send bytes, one part after the other; returns what is answered, nothing where the connection is cut."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as link:
            try:
                link.sendall(request)
                for part in more:
                    time.sleep(pause)
                    link.sendall(part)
                while part := link.recv(65536):
                    answer += part
            except (ConnectionError, TimeoutError):  # who is refused before the body is through is cut off
                pass
        return answer

    def ask(self, *lines: str, path: str = PAGE, method: str = "GET", host: str | None = None) -> bytes:
        """The head of a request."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *lines, "", ""]
        return "\r\n".join(head).encode("latin-1")


def list_attacks(target: Target, token: str) -> list[Callable[[], bytes]]:
    """List attacks, a kind each; some know the token and come from elsewhere, or ask for what is not the page's."""
    opened, body = f"/?token={token}", b"x" * 4096

    def ask(*lines: str, path: str = PAGE, host: str | None = None) -> bytes:
        return target.ask(*lines, path=path, host=host)

    def post(*lines: str) -> bytes:
        return target.ask(*lines, path=CALL, method="POST")

    requests = [
        (ask(),),
        (ask(path="/?token=wrong"),),
        (ask("Cookie: lossatlas=1; lossatlas-1=2"),),
        (ask(host="evil.example", path=opened),),
        (ask(host=f"evil.example:{target.port}", path=opened),),
        (ask(f"Host: evil.example:{target.port}", path=opened),),
        (ask(f"Origin: {ATTACKER}", path=opened),),
        (ask("Origin: null", path=opened),),
        (ask("Sec-Fetch-Site: cross-site", path=opened),),
        (ask(path="/assets/..%2f..%2fetc%2fpasswd"),),
        (ask(path="/%2e%2e/%2e%2e/etc/passwd"),),
        (ask(path="/assets/%00"),),
        (ask(path=f"http://evil.example{opened}"),),
        (post("Content-Length: 100000000"), body, body),
        (post("Content-Length: 100000000", "Expect: 100-continue"), body),
        (post(f"Content-Length: {'9' * 5000}"), body),
        (post("Transfer-Encoding: chunked"), *[b"1000\r\n" + body + b"\r\n"] * 4),
        (post("Transfer-Encoding: gzip"), body),
        (post("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + ask(path="/x")),
        (post("Content-Length: 900000"), b"x"),
        (post("Content-Length: 900000", "Expect: 100-continue"), b"x"),
        (target.ask(method="BREW"),),
        (target.ask(method="OPTIONS"),),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",),
        (b"GET /\r\n\r\n",),
    ]
    return [lambda parts=parts: target.exchange(parts[0], *parts[1:], pause=0.01) for parts in requests]  # type: ignore[misc]


def attack_together(attacks: list[Callable[[], bytes]], count: int = 1000, at_once: int = 200) -> list[bytes]:
    """Carry out attacks in a shuffled order, so many at the same moment; returns what is answered to each."""
    chosen = [attacks[i % len(attacks)] for i in range(count)]
    random.Random(0).shuffle(chosen)
    answers: list[bytes] = []
    for start in range(0, count, at_once):
        together = chosen[start : start + at_once]
        begin = threading.Barrier(len(together))

        def attack(how: Callable[[], bytes], begin: threading.Barrier = begin) -> bytes:
            begin.wait(30)
            return how()

        with ThreadPoolExecutor(len(together)) as pool:
            answers += pool.map(attack, together)
    return answers
