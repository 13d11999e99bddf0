"""How long the explorer's page takes: from a click to the numbers, from its address to pictures, and what it holds.

    python benchmarks/explorer.py                   runs of its own, about five minutes
    python benchmarks/explorer.py --survey RUN      another run instead of the small one

``lossatlas explore`` runs in a process of its own and the page in the system's browser, which draws without a graphics
card; clocks are those of the page. A click ends when the numbers of its place stand on the page and are painted. A page
is ready when its pictures are drawn and a menu opens. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lossatlas.cli.process import settle

settle()
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import psutil
from attacks import Target, attack_together, list_attacks
from browsing import Window, launching, opened

import lossatlas as la
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig

SMALL, LARGE = 101, 301
"""Points along each axis of the two surveys."""
FEW_EXAMPLES = "20"
"""Of the large survey, whose values do not matter."""
REST = 0.6
"""Seconds between numbers and the next click: what is being drawn anew does not take clicks."""
PATIENCE = 30.0
"""Seconds after which a click is lost."""
COUNTED = (100, 300, 500)
"""After how many clicks the server's memory is looked at."""

WATCH_CLICK = """() => {
    const numbers = () => document.querySelector('.answer[id] table')?.textContent;
    const place = () => document.querySelector('.told').textContent;
    const [before, left] = [numbers(), place()];
    let begun = null;
    window.clicked = new Promise((done) => {
        const look = () => {
            if (begun !== null && place() !== left && place().endsWith(': evaluated') && numbers() !== before) {
                requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
            } else {
                requestAnimationFrame(look);
            }
        };
        window.addEventListener('mousedown', (event) => { begun = performance.now(); look(); },
                                {capture: true, once: true});
    });
}"""
"""Times the next click, from the button's going down to the frame after the one with the numbers."""

WATCH_START = """() => {
    const drawn = (plot) => plot._fullData?.length
        && (plot.querySelector('.heatmaplayer image') || plot._fullLayout.scene?._scene?.glplot);
    window.timed = {};
    const look = () => {
        const plots = [...document.querySelectorAll('.picture .js-plotly-plot')];
        if (plots.length && plots.every(drawn) && document.querySelector('#metric')) {
            setTimeout(() => {
                window.timed.drawn = performance.now();
                const menu = document.querySelector('#metric');
                const open = () => {
                    if (document.querySelector('[role=option]')) {
                        window.timed.ready = performance.now();
                        document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
                    } else {
                        requestAnimationFrame(open);
                    }
                };
                menu.click();
                open();
            });
        } else {
            requestAnimationFrame(look);
        }
    };
    look();
}"""
"""Times the page from when its address was opened: until its pictures are drawn, and until a menu has opened."""

SHOWN = """() => {
    const heat = document.querySelector('.map .js-plotly-plot')._fullData[0];
    return [heat.x.length, heat.y.length];
}"""


def make_runs(folder: Path) -> tuple[Path, Path]:
    """A small survey with two metrics on two splits, and a large one."""
    run_train(TrainConfig(epochs=30, device="cpu"), folder / "net")
    around: dict[str, Any] = {"checkpoint": str(folder / "net"), "device": "cpu", "splits": ("train", "test")}
    for points, examples in ((SMALL, "all"), (LARGE, FEW_EXAMPLES)):
        config = SurveyConfig(**around, grid=(points, points), examples=examples)
        run_survey(config, folder / str(points), pictures=False)
    return folder / str(SMALL), folder / str(LARGE)


def measure_cpu(child: subprocess.Popen[str]) -> tuple[float, float]:
    """Measure the seconds of CPU time that a server and all processes of the browser have taken."""
    seconds = {False: 0.0, True: 0.0}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seconds[process.pid == child.pid] += sum(process.cpu_times()[:2])
    return seconds[True], seconds[False]


@contextmanager
def spending(child: subprocess.Popen[str]) -> Iterator[dict[str, float]]:
    """Note the seconds of CPU time that a server and the browser take meanwhile."""
    before = measure_cpu(child)
    found: dict[str, float] = {}
    yield found
    after = measure_cpu(child)
    found |= {"server": after[0] - before[0], "browser": after[1] - before[1]}


def open_timed(
    browser: Any, address: str, child: subprocess.Popen[str], context: Any = None
) -> tuple[Window, dict[str, float]]:
    """Open the page; returns its window, and the seconds until its pictures were drawn and until it was ready.

    With them are the seconds of CPU time until the numbers of the centre are there, too.
    """
    if context is None:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.add_init_script(f"({WATCH_START})()")
    with spending(child) as spent:
        window = Window(browser, address, context=context)
        window.wait("window.timed?.ready > 0")
    found = window.page.evaluate("window.timed")
    return window, {**{name: value / 1e3 for name, value in found.items()}, **spent}


def click_timed(window: Window, at: dict[str, float]) -> float:
    """Click on a place once the pictures rest; returns the seconds until its numbers are there."""
    time.sleep(REST)
    window.page.evaluate(WATCH_CLICK)
    window.click("map", at)
    taken = window.page.evaluate(
        "patience => Promise.race([window.clicked, new Promise((done) => setTimeout(() => done(null), patience))])",
        1e3 * PATIENCE,
    )
    if taken is None:
        raise SystemExit(f"a click on {at} was not answered within {PATIENCE:.0f} s")
    return float(taken) / 1e3


def choose_places(run: Path, count: int) -> list[dict[str, float]]:
    """Different points of the grid, away from the network in the middle, which takes the clicks beside it."""
    survey = la.open_run(run).survey
    grid = [
        {"u": float(u), "v": float(v)} for u in survey.u.values for v in survey.v.values if max(abs(u), abs(v)) > 0.1
    ]
    return random.Random(0).sample(grid, count)


def tell_ready(name: str, run: Path, browser: Any, rounds: int) -> None:
    """Print how long the page of a run takes, from a server that has just begun and from one that has shown it."""
    cold, warm, starts = [], [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        with launching(run) as (child, address):
            starts.append(time.perf_counter() - begun)
            window, first = open_timed(browser, address, child)
            again, second = open_timed(browser, address, child, window.context)
            cold.append(first)
            warm.append(second)
            shown = window.page.evaluate(SHOWN)
            again.close()
            window.close()
    print(
        f"\n{name}: the command prints its address after {median(starts):.2f} s; {shown[0]} x {shown[1]} points drawn"
    )
    for kind, found in (("first load", cold), ("second load", warm)):
        middle, best = ({name: choose(each[name] for each in found) for name in found[0]} for choose in (median, min))
        print(
            f"  {kind}: drawn after {middle['drawn']:.2f} s (best {best['drawn']:.2f}), ready after "
            f"{middle['ready']:.2f} s (best {best['ready']:.2f}); CPU time of the server {best['server']:.2f} s, of "
            f"the browser {best['browser']:.2f} s",
            flush=True,
        )


def tell_clicks(run: Path, browser: Any, clicks: int) -> None:
    """Print how long clicks take, what the server holds after many of them, and how it bears attacks."""
    with launching(run) as (child, address):
        process = psutil.Process(child.pid)
        window, _ = open_timed(browser, address, child)
        places = choose_places(run, max(clicks, *COUNTED))
        with spending(child) as spent:
            seconds = [click_timed(window, at) for at in places[:clicks]]
        print(
            f"\n{clicks} clicks: median {median(seconds):.3f} s, best {min(seconds):.3f}, worst {max(seconds):.3f}; "
            f"CPU time of server {spent['server'] / clicks:.3f} s, of browser {spent['browser'] / clicks:.3f} s",
            flush=True,
        )
        for done, at in enumerate(places[clicks:], clicks + 1):
            click_timed(window, at)
            if done in COUNTED:
                print(f"  after {done} clicks the server holds {process.memory_info().rss / 2**20:.0f} MiB")
        parts = urlsplit(address)
        (token,) = parse_qs(parts.query)["token"]
        begun = time.perf_counter()
        answers = attack_together(list_attacks(Target(parts.port or 0), token))
        served = sum(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        took = time.perf_counter() - begun
        click_timed(window, places[0])
        print(f"\n{len(answers)} hostile requests, 200 at once, in {took:.1f} s: {served} served; then a click works")
        window.close()


def tell_zoom(run: Path, browser: Any) -> None:
    """Print how many points are drawn of a large survey, and of a part of it."""
    survey = la.open_run(run).survey
    inside = int((np.abs(survey.u.values) <= 0.25).sum())
    with launching(run) as (child, address):
        window, _ = open_timed(browser, address, child)
        whole = window.page.evaluate(SHOWN)
        window.page.evaluate(
            """() => Plotly.relayout(document.querySelector('.map .js-plotly-plot'),
                {'xaxis.range[0]': -0.25, 'xaxis.range[1]': 0.25, 'yaxis.range[0]': -0.25, 'yaxis.range[1]': 0.25})"""
        )
        window.wait(
            "before => document.querySelector('.map .js-plotly-plot')._fullData[0].x.length !== before", whole[0]
        )
        part = window.page.evaluate(SHOWN)
        print(
            f"\nof {survey.sizes['u']} x {survey.sizes['v']} points {whole[0]} x {whole[1]} are drawn; of the square "
            f"in the middle, where the survey has {inside} x {inside}, {part[0]} x {part[1]}"
        )
        window.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, help="a run over a plane with axes u and v, instead of one made here")
    parser.add_argument("--large", type=Path, help="one with more points, instead of one made here")
    parser.add_argument("--clicks", type=int, default=50, help="how many are timed")
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is opened by a new server")
    arguments = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load}")
    with tempfile.TemporaryDirectory() as folder, opened() as browser:
        made = None if arguments.survey and arguments.large else make_runs(Path(folder))
        small = arguments.survey or made[0]  # type: ignore[index]
        large = arguments.large or made[1]  # type: ignore[index]
        tell_ready("small survey", small, browser, arguments.rounds)
        tell_ready("large survey", large, browser, arguments.rounds)
        tell_zoom(large, browser)
        tell_clicks(small, browser, arguments.clicks)


if __name__ == "__main__":
    main()
