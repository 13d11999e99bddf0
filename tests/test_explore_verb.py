"""``lossatlas explore``: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

import lossatlas as la
from lossatlas.cli import main
from lossatlas.explorer.choosing import open_surveyed
from lossatlas.explorer.queue import Handle, TaskQueue
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig

pytest.importorskip("dash", reason="the extra explore is not installed")
pytest.importorskip("waitress", reason="the extra explore is not installed")

from lossatlas.explorer.server.serving import Address, choose_token, open_browser, serve

TOKEN = "sixteen-letters-or-more"
SURVEY: dict[str, Any] = {
    "model_options": {"hidden": (4,)},
    "grid": (3, 2),
    "examples": "40",
    "plan": "loop",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training, a survey of it, and folders around them."""
    folder = tmp_path_factory.mktemp("runs")
    run_train(TrainConfig(model_options={"hidden": (4,)}, epochs=0.1, device="cpu"), folder / "net")
    run_survey(SurveyConfig(checkpoint=str(folder / "net"), **SURVEY), folder / "survey", pictures=False)
    return folder


@contextmanager
def started(*tokens: str, program: tuple[str, ...] = ("-m", "lossatlas", "explore")) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *program, *tokens], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(address: str, path: str | None = None) -> int:
    parts = urlsplit(address)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as link:
        link.request("GET", f"{parts.path}?{parts.query}" if path is None else path)
        with link.getresponse() as answer:
            return answer.status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_first_line_is_the_address_and_a_signal_ends_it(number: signal.Signals, runs: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        started(str(runs / "survey"), "--port", str(taken.getsockname()[1]), "--no_browser") as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().removesuffix("\n")
        parts = urlsplit(address)
        assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/")
        assert parts.query.startswith("token=")
        assert len(parts.query) > 16
        assert parts.port != taken.getsockname()[1]
        assert ask(address) == 200
        assert ask(address, "/") == ask(address, "/?token=wrong") == 403
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
        assert process.returncode == 130, errors
        assert out == ""
        first, *waiting, last = errors.splitlines()
        assert first == f"lossatlas: port {taken.getsockname()[1]} is in use, so the page is on port {parts.port}"
        assert last.startswith("lossatlas: interrupted; ")
        assert all(line.startswith("lossatlas: waiting for a part of a task") for line in waiting)  # it opens the run


BUSY = """
import sys
from types import SimpleNamespace

import torch

from lossatlas.cli import main
from lossatlas.explorer import page

def work(handle):
    print("begun", file=sys.stderr, flush=True)
    numbers = torch.ones(1000, 1000)
    while True:
        numbers @ numbers

def make_page(runs, queue):
    queue.submit("w", "k", "one that never asks", work)
    return SimpleNamespace(server=None, csp_hashes=list)

page.make_page = make_page
sys.exit(main(["explore", *sys.argv[1:], "--no_browser"]))
"""


def test_a_second_interrupt_does_not_wait_for_a_task(runs: Path) -> None:
    with started(str(runs / "survey"), program=("-c", BUSY)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        assert process.stderr.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C ends it at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1].startswith("lossatlas: interrupted; the task")
        assert process.returncode == 130


def refused(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    assert main(["explore", *tokens]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.count("\n") == 1
    return errors


class TestBadInput:
    """One line each, before anything is served."""

    @pytest.fixture(autouse=True)
    def nothing_is_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lossatlas.explorer.server.serving.serve", lambda *_, **__: pytest.fail("it is served"))

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("nowhere", "is not a lossatlas run; there is nothing at that path"),
            (".", "is not a lossatlas run; below it are .*survey"),
            ("net/snapshots", "is not a lossatlas run; name a run directory|there is nothing"),
            ("net/config.yaml", "is not a lossatlas run"),
            ("net", "holds no survey; give a run of fit, survey or connect"),
        ],
    )
    def test_what_is_not_a_run_with_a_survey(
        self, path: str, said: str, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert re.search(said, refused(capsys, str(runs / path)))

    def test_a_run_that_has_not_begun_its_survey(
        self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = shutil.copytree(runs / "survey", tmp_path / "run")
        shutil.rmtree(run / "survey.zarr")
        (run / "summary.json").unlink()
        assert "it is not finished: continue it with lossatlas survey --out" in refused(capsys, str(run))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [({"format": "lossatlas run 99"}, "of a newer lossatlas"), ({"verb": "paint"}, "does not record its verb")],
    )
    def test_a_run_of_another_version(
        self, changes: dict[str, str], said: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = shutil.copytree(runs / "survey", tmp_path / "run")
        file = run / "provenance.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
        assert said in refused(capsys, str(run))

    def test_a_record_that_cannot_be_read(self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = shutil.copytree(runs / "survey", tmp_path / "run")
        (run / "config.yaml").write_text("grid: [")
        assert "config.yaml" in refused(capsys, str(run))

    def test_a_run_that_is_given_twice(self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "link").symlink_to(runs / "survey")
        for second in (runs / "survey", runs / "net" / ".." / "survey", tmp_path / "link", runs / "survey/survey.zarr"):
            assert "is given twice" in refused(capsys, str(runs / "survey"), str(second))

    @pytest.mark.parametrize(
        ("tokens", "said"),
        [
            (["--port=0"], "--port is 0; expected 1 to 65535"),
            (["--port=65536"], "--port is 65536; expected"),
            (["--port=x"], "--port is 'x'; expected a whole number"),
            (["--token=fifteen-letters"], "--token has 15 characters; expected 16 or more"),
            (["--token=sixteen letters and spaces"], "--token is not one of an address"),
            ([f"--token={'x' * 500}"], "--token is not one of an address"),
            (["--host=0.0.0.0"], "can be reached by other machines; give --token"),
            (["--host=0.0.0.0", "--token=fifteen-letters"], "--token has 15 characters"),
            (["--host="], "--host is empty"),
            (["--host=no.such.host.invalid"], "is not a name or an address of this machine"),
            (["--device=abacus"], "device is 'abacus'"),
        ],
    )
    def test_options_that_cannot_be(
        self, tokens: list[str], said: str, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert said in refused(capsys, str(runs / "survey"), *tokens)

    @pytest.mark.parametrize("name", ["dash", "waitress"])
    def test_an_extra_that_is_missing(
        self, name: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        assert f"needs {name}, which is not installed; install it by pip install 'lossatlas[explore]'" in refused(
            capsys, str(runs / "survey")
        )


def test_an_address_that_is_not_of_this_machine_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--host 192.0.2.7 with --port" in refused(
        capsys, str(runs / "survey"), "--host=192.0.2.7", f"--token={TOKEN}", "--no_browser"
    )


def test_an_unfinished_run_and_one_that_lacks_its_data_are_opened(runs: Path, tmp_path: Path) -> None:
    """What cannot be computed is the page's to say; what is measured is shown."""
    run = shutil.copytree(runs / "survey", tmp_path / "run")
    (run / "summary.json").unlink()
    config = json.loads(json.dumps(la.open_run(run).directory.config()))
    (run / "config.yaml").write_text(json.dumps({**config, "checkpoint": "gone", "model": "nowhere:make"}))
    (opened,) = open_surveyed([run])
    assert not opened.finished


def test_a_comparison_opens_its_surveys(runs: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        shutil.copytree(runs / "survey", tmp_path / "compared/surveys" / name)
    for name in ("config.yaml", "provenance.json"):
        shutil.copy(runs / "survey" / name, tmp_path / "compared" / name)
    file = tmp_path / "compared/provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "verb": "compare"}))
    opened = open_surveyed([tmp_path / "compared", runs / "survey"])
    assert [run.path.name for run in opened] == ["a", "b", "survey"]
    with pytest.raises(la.BadInput, match="twice"):
        open_surveyed([tmp_path / "compared", tmp_path / "compared/surveys/a"])


def test_a_task_that_is_carried_out_stops_with_the_page(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Any] = []

    def work(handle: Handle) -> None:
        while True:
            handle.report(words="a tile")

    def make_page(runs: list[Any], queue: TaskQueue) -> Any:
        made.extend((queue, queue.submit("w", "region", "a region", work)))
        return SimpleNamespace(server=None, csp_hashes=list)

    monkeypatch.setattr("lossatlas.explorer.page.make_page", make_page)
    monkeypatch.setattr("lossatlas.cli.verbs.explore.is_asked_to_stop", lambda: True)
    assert main(["explore", str(runs / "survey"), "--no_browser"]) == 130
    queue, ticket = made
    assert queue.look(ticket).stage == "stopped"
    out, errors = capsys.readouterr()
    assert out.startswith("http://127.0.0.1:")
    assert out.count("\n") == 1
    assert errors.startswith("lossatlas: interrupted; ")


def test_other_machines_are_warned_of_and_see_an_address_of_theirs() -> None:
    said, announced = [], []
    token = choose_token("0.0.0.0", TOKEN)
    serve(
        lambda *_: [], token=token, announce=lambda *both: announced.append(both), note=said.append,
        stop=lambda: True, host="0.0.0.0",
    )  # fmt: skip
    ((address, lent),) = announced
    assert urlsplit(address).hostname != "0.0.0.0"
    assert address.endswith(f"/?token={TOKEN}")
    assert TOKEN not in lent
    (warning,) = said
    assert "ssh -L" in warning


def test_addresses_are_written_as_browsers_read_them() -> None:
    assert Address("::1", "::1", 8050).write_url("x") == "http://[::1]:8050/?token=x"
    assert Address("localhost", "127.0.0.1", 80).write_url("x") == "http://localhost/?token=x"


class TestBrowser:
    """It is opened where there is one, and without one the page goes on."""

    @pytest.fixture(autouse=True)
    def on_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        for name in ("WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DISPLAY", ":0")

    @staticmethod
    def open() -> list[str]:
        said: list[str] = []
        thread = open_browser("http://x", said.append)
        if thread is not None:
            thread.join(10)
        return said

    def test_it_is_given_the_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
        assert self.open() == []
        assert opened == ["http://x"]

    def test_without_a_display_none_is_looked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("a browser of the terminal"))
        monkeypatch.delenv("DISPLAY")
        (said,) = self.open()
        assert "display" in said

    @pytest.mark.parametrize("broken", [False, True])
    def test_without_a_browser_it_is_said(self, broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: str) -> bool:
            if broken:
                raise webbrowser.Error("there is none")
            return False

        monkeypatch.setattr(webbrowser, "open", fail)
        (said,) = self.open()
        assert "browser" in said
