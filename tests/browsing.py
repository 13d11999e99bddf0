"""A browser for tests of the explorer's page, and what a person does on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

__all__ = ["BROWSERS", "Window", "find_browser", "launching", "opened", "serving", "serving_here"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The names of the system's browser."""
FLAGS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # surfaces are drawn without a graphics card
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60.0
"""Seconds that are waited for what ought to take one second: other tests run beside."""
OF_THE_DRIVER = re.compile("GL Driver Message|willReadFrequently|WebGL")
"""What the browser says of its own drawing without a graphics card."""


def find_browser() -> str:
    """The path of the system's browser; skips the test where there is none."""
    pytest.importorskip("dash", reason="the extra explore is not installed")
    pytest.importorskip("playwright", reason="playwright is not installed")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"there is no browser on this machine: none of {', '.join(BROWSERS)} is on the path")
    return found


@contextmanager
def opened() -> Iterator[Any]:
    """The browser, which is closed at the end."""
    path = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def launching(*runs: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``lossatlas explore`` in a process of its own, and the address that it prints first."""
    command = [sys.executable, "-m", "lossatlas", "explore", *map(str, runs), "--no_browser", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.communicate()
        yield process, address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert "Traceback" not in errors, errors


@contextmanager
def serving(*runs: Path) -> Iterator[str]:
    """``lossatlas explore`` in a process of its own; the address that it prints first."""
    with launching(*runs) as (_, address):
        yield address


@contextmanager
def serving_here(*runs: Path) -> Iterator[str]:
    """The same page served by a thread of this process, which has imported all of it; the address."""
    from lossatlas.explorer.choosing import open_surveyed
    from lossatlas.explorer.page import make_page
    from lossatlas.explorer.queue import TaskQueue
    from lossatlas.explorer.server.serving import choose_token, serve

    over, addresses, notes = threading.Event(), Queue[str](), list[str]()
    with TaskQueue() as tasks:
        page = make_page(open_surveyed(runs, "cpu"), tasks)
        told = {"announce": lambda address, _: addresses.put(address), "note": notes.append, "stop": over.is_set}
        token, scripts = choose_token("127.0.0.1", None), page.csp_hashes()
        server = threading.Thread(target=lambda: serve(page.server, token=token, inline_scripts=scripts, **told))
        server.start()
        try:
            yield addresses.get(timeout=PATIENCE)
        finally:
            over.set()
            server.join()
    assert notes == []


class Window:
    """A window of the browser with the explorer's page, which fails a test at its end if the console has errors."""

    def __init__(
        self, browser: Any, address: str, *, width: int = 1400, dark: bool = False, context: Any = None
    ) -> None:
        self.faults: list[str] = []
        self.context = context or browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("response", self._look)
        self.page.goto(address)
        self.wait("document.querySelectorAll('.picture .js-plotly-plot .main-svg').length > 0")
        self.wait_for_pictures()
        self.wait("[...document.querySelectorAll('.told')].every((told) => /evaluated$/.test(told.textContent))")

    def _listen(self, message: Any) -> None:
        if message.type == "error" or (message.type == "warning" and not OF_THE_DRIVER.search(message.text)):
            self.faults.append(message.text)

    def _look(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    def close(self) -> None:
        """Close the window, and fail where anything went wrong in it."""
        self.page.close()
        assert self.faults == []

    def wait(self, condition: str, arg: Any = None) -> None:
        """Wait for a condition in JavaScript: an expression, or a function of an argument.

        Playwright's own way evaluates text inside of the page, which the page's policy forbids.
        """
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(condition, arg):
            assert time.monotonic() < end, f"waited in vain for {condition} {arg or ''}: {self.faults}"
            time.sleep(0.05)

    def wait_for_text(self, text: str) -> None:
        """Wait until the page says something."""
        self.wait("text => document.body.textContent.includes(text)", text)

    def wait_for_pictures(self, run: int = 0) -> None:
        """Wait until the pictures of a run are drawn."""
        self.wait(
            """run => {
                const plots = [...document.querySelectorAll('.run')[run].querySelectorAll('.picture .js-plotly-plot')];
                return plots.length > 0 && plots.every((plot) => plot._fullData && plot._fullData.length);
            }""",
            arg=run,
        )

    def card(self, run: int = 0) -> Any:
        """The card of a run."""
        return self.page.locator(".run").nth(run)

    def wait_for_place(self, at: Mapping[str, float], run: int = 0) -> None:
        """Wait until the network at a place is evaluated."""
        words = ", ".join(f"{axis} = {value:.6g}" for axis, value in at.items())
        self.wait(
            "([run, words]) => [...document.querySelectorAll('.told')][run].textContent === `${words}: evaluated`",
            arg=[run, words],
        )

    def read_numbers(self, run: int = 0) -> dict[str, float]:
        """The numbers of the place, by the names of their rows."""
        rows = self.card(run).locator(".answer table").first.locator("tbody tr").all()
        found = {}
        for row in rows:
            name, value = row.locator("th").inner_text(), row.locator("td").first.inner_text()
            found[name] = float(value.split()[0])
        return found

    def read_fields(self) -> dict[str, float]:
        """The coordinates that the fields show."""
        fields = self.page.locator("input[type=number]").all()
        found = {}
        for field in fields:
            identity = json.loads(field.get_attribute("id") or "{}")
            found[identity["axis"]] = float(field.input_value())
        return found

    def find_pixel(self, part: str, at: Mapping[str, float], run: int = 0) -> tuple[float, float]:
        """Where on the screen a place lies in a picture."""
        plot = self.card(run).locator(f".picture.{part} .js-plotly-plot")
        plot.scroll_into_view_if_needed()
        x, y = plot.evaluate(
            """(plot, at) => {
                const {xaxis, yaxis} = plot._fullLayout, meta = plot.layout.meta, box = plot.getBoundingClientRect();
                const middle = (yaxis.range[0] + yaxis.range[1]) / 2;
                return [box.left + xaxis._offset + xaxis.d2p(at[meta.x]),
                        box.top + yaxis._offset + (meta.y ? yaxis.d2p(at[meta.y]) : yaxis.r2p(middle))];
            }""",
            dict(at),
        )
        return float(x), float(y)

    def click(self, part: str, at: Mapping[str, float], run: int = 0) -> None:
        """Click on a place of a picture."""
        x, y = self.find_pixel(part, at, run)
        self.page.mouse.move(x - 1, y)
        self.page.mouse.move(x, y)
        self.wait(  # plotly looks where the pointer is before it takes a click
            """([run, part, at]) => {
                const card = document.querySelectorAll('.run')[run];
                const plot = card.querySelector(`.picture.${part} .js-plotly-plot`);
                const [low, high] = plot._fullLayout.xaxis.range;
                const point = plot._hoverdata?.[0];
                return point && Math.abs(point.x - at[plot.layout.meta.x]) < 0.05 * Math.abs(high - low);
            }""",
            arg=[run, part, dict(at)],
        )
        self.page.mouse.click(x, y)

    def select(self, part: str, low: Mapping[str, float], high: Mapping[str, float], run: int = 0) -> None:
        """Select a box of a picture with its tool."""
        picture = self.card(run).locator(f".picture.{part}")
        picture.hover()
        picture.locator("[data-val=select]").click()
        self.wait(
            """([run, part]) => document.querySelectorAll('.run')[run]
                .querySelector(`.picture.${part} .js-plotly-plot`)._fullLayout.dragmode === 'select'""",
            arg=[run, part],
        )
        start, end = self.find_pixel(part, low, run), self.find_pixel(part, high, run)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=8)
        self.page.mouse.up()
        self.wait_for_text("selected: ")

    def choose(self, control: str, words: str) -> None:
        """Choose from a menu."""
        self.page.locator(f"#{control}").click()
        self.page.get_by_role("option", name=words, exact=True).click()
