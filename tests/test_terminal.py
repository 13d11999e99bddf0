"""The command line as a process: what reaches the terminal, signals, limits of the system, and how it ends."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.text import Text
from nursery import Child, result_of
from shown import show, to_png

from lossatlas import views
from lossatlas.cli import main
from lossatlas.cli.shortages import explain_shortage
from lossatlas.cli.signals import is_asked_to_stop, watch_signals
from lossatlas.errors import BadInput, CannotFinish, Caution, ModelFailure, escape_unprintable, format_error
from lossatlas.exchange import write_survey
from lossatlas.free_memory import free_memory
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.job import Handling, Job
from lossatlas.progress.terminal import RichReporter
from lossatlas.recipes import FitConfig
from lossatlas.views.figures import tick_text

SMALL = ["--steps=2", "--size=6", "--examples=40", "--model=mlp", "--cells=4", "--plan=loop", "--no_pictures"]
ESCAPE = "\x1b[31m"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], tokens: list[str], code: int = 2) -> str:
    """The one line that a command line is refused with; nothing may be left behind."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(tokens) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert sorted(Path.cwd().rglob("*")) == before
    return line


def survey(**names: str) -> xr.Dataset:
    """A line of seven points."""
    at = ("t", np.linspace(-1, 1, 7), names)
    return xr.Dataset({"test_loss": (("t",), np.geomspace(1e-6, 1e3, 7))}, coords={"t": at})


class TestWhatIsPrinted:
    @pytest.mark.parametrize(
        "tokens",
        [
            [f"{ESCAPE}fit"],
            ["fit", f"--{ESCAPE}lr=1"],
            ["fit", f"--pattern={ESCAPE}"],
            ["fit", f"--lr={ESCAPE}"],
            ["fit", f"--config={ESCAPE}"],
            ["fit", ESCAPE],
            ["view", ESCAPE],
            ["reproduce", ESCAPE],
            ["compare", ESCAPE, "b"],
        ],
        ids=lambda tokens: " ".join(tokens).replace(ESCAPE, "ESC"),
    )
    def test_has_no_escape_sequences(self, tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        line = refused(capsys, tokens)
        assert line.isprintable()
        assert "\\x1b[31m" in line

    @pytest.mark.parametrize("token", ["fit\udcff", "--out=\udcff", "--\udcff=1", "--checkpoint=a\0b"])
    def test_what_is_not_text_is_refused(self, token: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert refused(capsys, ["fit", token]).isprintable()

    def test_paths_are_escaped(self, capsys: pytest.CaptureFixture[str]) -> None:
        name = f"{ESCAPE}[/red]:smile:\n.csv"
        write_survey(survey(), name)
        capsys.readouterr()
        assert main(["view", name, "--no_pictures", "--export", f"b{name}"]) == 0
        assert capsys.readouterr().out == "b\\x1b[31m[/red]:smile:\\n.csv\n"

    def test_the_reporter_interprets_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with RichReporter() as reporter:
            reporter.say(f"[/red] [bold]x :smile: {ESCAPE}")
            reporter.progress(f"[/red]{ESCAPE}", 1.0, {})
        said = capsys.readouterr().err
        assert "[/red] [bold]x :smile: \\x1b[31m\n" in said
        assert "\x1b[31m" not in said

    def test_warnings_are_escaped(self, tmp_path: Path) -> None:
        with Child(_warn, folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            said = child.errors
        assert said.startswith("lossatlas: note: \\x1b[31m of ours\n")
        assert "\\x1b[31m of others" in said
        assert ESCAPE not in said

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("one\n  two\tthree", "one two three"),
            ("word", "ValueError: word"),
            ("", "ValueError"),
            ("a " * 10**6, "a " * 149 + "a\N{HORIZONTAL ELLIPSIS}"),
        ],
        ids=["lines", "a word", "nothing", "megabytes"],
    )
    def test_errors_of_others_are_one_line(self, said: str, told: str) -> None:
        assert format_error(ValueError(said)) == told

    def test_an_error_that_cannot_say_what_it_is_has_a_name(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert format_error(Mute()) == "Mute"


def _warn() -> None:
    def fit(*_: object, **__: object) -> dict[str, object]:
        warnings.warn(f"{ESCAPE} of ours", Caution, stacklevel=1)
        warnings.warn(f"{ESCAPE} of others", UserWarning, stacklevel=1)
        return {}

    warnings.simplefilter("always")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lossatlas.jobs.fit.run_fit", fit)
        assert main(["fit"]) == 0


class TestNamesInPictures:
    @pytest.mark.parametrize("name", ["a$^{", "$x$\n", "\\frac$_$\0\x1b", "_\udcff", "w" * 5000])
    def test_are_shown_as_they_are(self, name: str) -> None:
        drawn = [
            *show(survey(long_name=name, units=name), title=name).values(),
            *show({name: survey(long_name=name), "b": survey()}, title=name).values(),
        ]
        for figure in drawn:
            assert to_png(figure)
            texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
            assert all(text.get_text().replace("\n", "").isprintable() for text in texts)
            assert not any(text.get_parse_math() for text in texts)
        shown = {text.get_text().strip() for text in drawn[-1].findobj(Text) if isinstance(text, Text)}
        assert len(name) > 20 or escape_unprintable(name.strip()) in shown

    def test_ticks_do_without_mathematics(self) -> None:
        assert [tick_text(value) for value in (1e-4, -2.5e12, 0.5)] == ["10⁻⁴", "-2.5\u00d710¹²", "0.5"]

    def test_pages_show_them_too(self) -> None:
        odd = survey(long_name="<b>\udcff").rename({"test_loss": "test_<i>_loss"})
        views.write_report("report.html", odd, "<b>\udcff", {"\udcff": 1.0}, "\udcff: 1", {})
        page = Path("report.html").read_text()
        assert "\\udcff" in page
        assert "<i>" not in page


class TestOutputThatCannotBeWritten:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    @pytest.mark.parametrize("tokens", [["info"], ["fit", "--print_config"], ["--help"], ["--version"]], ids=" ".join)
    def test_a_full_device(
        self, tokens: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            line = refused(capsys, tokens, code=3)
        assert line == "lossatlas: standard output cannot be written (No space left on device); send it elsewhere"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    def test_a_process_leaves_nothing_to_say_to_a_full_device(self) -> None:
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-m", "lossatlas", "fit", "--print_config"]
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert ended.returncode == 3
        assert len(ended.stderr.splitlines()) == 1, ended.stderr

    @pytest.mark.parametrize("kind", ["pipe", "none", "closed", "ascii"])
    def test_no_reader(self, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        ends = os.pipe()
        os.close(ends[0])
        with os.fdopen(ends[1], "w") as pipe:
            output = {"pipe": pipe, "none": None, "closed": io.StringIO(), "ascii": None}[kind]
            if kind == "closed":
                output.close()
            if kind == "ascii":
                output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
            monkeypatch.setattr(sys, "stdout", output)
            write_survey(survey(), "é.csv")
            code = main(["view", "é.csv", "--no_pictures", "--export", "ü.csv"])
        assert code == (3 if kind == "closed" else 0)
        assert len(capsys.readouterr().err.splitlines()) == (kind == "closed")

    def test_errors_have_their_code_without_standard_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Path(os.devnull).open() as unwritable:
            for stream in (None, unwritable):
                monkeypatch.setattr(sys, "stderr", stream)
                assert main(["fitt"]) == 2

    def test_a_run_goes_on_without_a_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = os.pipe()
        os.close(ends[0])
        with os.fdopen(ends[1], "w") as pipe:
            monkeypatch.setattr(sys, "stderr", pipe)
            monkeypatch.setattr("lossatlas.jobs.fit.run_fit", lambda *_, reporter, **__: reporter.say("x") or {})
            assert main(["fit"]) == 0


FIT = "lossatlas.jobs.fit", "run_fit"


def _signalled(number: int, work: Callable[..., Any], where: tuple[str, str] = FIT) -> tuple[int, Any]:
    """The exit code of a fit in whose midst something is done, and the handler of the signal afterwards."""
    signal.signal(number, signal.SIG_DFL)  # whatever those that started the tests ignore
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[where[0]], where[1], lambda *given, **named: work(number, *given, **named))
        return main(["fit", *SMALL, "--out=run"]), signal.getsignal(number)


def _kill(number: int, *_: object, **__: object) -> None:
    os.kill(os.getpid(), number)
    raise AssertionError("the signal was not handled")


def _kill_and_swallow(number: int, *_: object, **__: object) -> None:
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise ImportError("numpy failed to import") from None


def _ask_kill_and_ask(number: int, *_: object, stop: Callable[[], bool], **__: object) -> dict[str, object]:
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    return {}


def _kill_once_begun(number: int, *given: Any, stop: Callable[[], bool], **named: Any) -> dict[str, Any]:
    return run_fit(*given, stop=lambda: os.kill(os.getpid(), number) or stop(), **named)


NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class TestSignals:
    """In children, lest a signal that is not handled ends the tests."""

    @pytest.mark.parametrize("number", NUMBERS)
    @pytest.mark.parametrize(
        ("where", "work"),
        [
            (("lossatlas.cli.main", "settle"), _kill),
            (FIT, _kill),
            (FIT, _kill_and_swallow),
        ],
    )
    def test_before_anything_is_computed_end_it_at_once(
        self, number: int, where: tuple[str, str], work: Callable[..., Any], tmp_path: Path
    ) -> None:
        with Child(_signalled, number, work, where, folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            assert child.errors == "lossatlas: interrupted\n"
            code, handler = child.result
            assert code == 130
            assert handler in (signal.SIG_DFL, signal.default_int_handler)
        assert not list(tmp_path.iterdir())

    def test_are_an_answer_once_somebody_asks(self, tmp_path: Path) -> None:
        with Child(_signalled, signal.SIGHUP, _ask_kill_and_ask, folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            assert child.result[0] == 0

    def test_once_a_run_has_begun_say_how_to_go_on(self, tmp_path: Path) -> None:
        with Child(_signalled, signal.SIGTERM, _kill_once_begun, folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            assert child.result[0] == 130
            assert child.errors.splitlines()[-1] == "lossatlas: interrupted; continue with --out run --resume"

    def test_leave_no_half_written_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_survey(survey(), "a.csv")
        assert not list(Path.cwd().iterdir())

    def test_of_a_terminal_that_is_to_be_outlived_are_not_heard(self) -> None:
        assert result_of(_outlived) is True

    def test_in_another_thread_nothing_is_installed(self) -> None:
        found: list[bool] = []

        def ask() -> None:
            with watch_signals():
                found.append(is_asked_to_stop())

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert found == [False]

    def test_of_a_child_end_the_child(self) -> None:
        assert result_of(_child_of_one_that_listens) == signal.SIGTERM


def _outlived() -> bool:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with watch_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        return not is_asked_to_stop()


def _child_of_one_that_listens() -> int:
    with watch_signals():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        return os.WTERMSIG(os.waitpid(child, 0)[1])


class TestShortages:
    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            (MemoryError(), "--memory"),
            (np.exceptions.AxisError("x"), None),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "--batch_size"),
            (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), "--eval_batch_size"),
            (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "--memory"),
            (OSError(12, "Cannot allocate memory"), "--memory"),
            (OSError(24, "Too many open files"), "ulimit -n"),
            (OSError(28, "No space left on device"), None),
            (BlockingIOError(11, "Resource temporarily unavailable"), "OMP_NUM_THREADS"),
            (RuntimeError("can't start new thread"), "OMP_NUM_THREADS"),
            (ImportError("libx.so: failed to map segment from shared object"), "--memory"),
            (ImportError("libx.so: cannot allocate memory in static TLS block"), "--memory"),
            (ImportError("No module named 'x'"), None),
            (ValueError("out of memory"), None),
        ],
    )
    def test_are_recognised_by_their_kind(
        self, error: Exception, advice: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object, **__: object) -> dict[str, object]:
            raise error

        monkeypatch.setattr("lossatlas.jobs.fit.run_fit", fail)
        if advice is None:
            assert explain_shortage(error) is None
            with pytest.raises(type(error)):
                main(["fit"])
        else:
            assert advice in refused(capsys, ["fit"], code=3)

    def test_behind_an_error_of_ours_add_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object, **__: object) -> dict[str, object]:
            raise ModelFailure("the model fails on the data: out of memory") from MemoryError()

        monkeypatch.setattr("lossatlas.jobs.fit.run_fit", fail)
        assert refused(capsys, ["fit"]).startswith("lossatlas: the model fails on the data: out of memory; lower")

    def test_limits_of_the_process_bound_what_is_free(self) -> None:
        assert 0 < result_of(_free_of_two_gibibytes) <= 2**31

    def test_a_limit_that_is_too_low_is_refused(self, tmp_path: Path) -> None:
        with Child(_limited, 2**28, SMALL, folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            assert child.result == 2
            assert "ulimit -v" in child.errors
            assert len(child.errors.splitlines()) == 1
        assert not list(tmp_path.iterdir())

    def test_threads_that_cannot_be_started_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        start, started = threading.Thread.start, []

        def few(thread: threading.Thread) -> None:
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", few)
        assert "lets this process start 3 threads" in refused(capsys, ["fit"])
        assert not any(thread.is_alive() for thread in started)

    def test_a_network_that_is_too_large_for_the_limit_says_so(self, tmp_path: Path) -> None:
        with Child(_limited, 2**31, [*SMALL, "--model.hidden", "40000", "40000"], folder=tmp_path) as child:
            assert child.wait() == 0, child.errors
            assert child.result == 2  # counted before it is allocated
            assert "memory" in child.errors
            assert len(child.errors.splitlines()) == 1
        assert not list(tmp_path.iterdir())


def _limit(room: int) -> None:
    """Let this process take so many bytes more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _free_of_two_gibibytes() -> int:
    _limit(2**31)
    return free_memory(torch.device("cpu"))


def _limited(room: int, tokens: list[str]) -> int:
    _limit(room)
    return main(["fit", *tokens, "--out=run"])


class TestEndings:
    @pytest.mark.parametrize(("written", "code"), [("raise SystemExit(0)", 2), ("raise KeyboardInterrupt", 130)])
    def test_a_module_that_ends_the_process(self, written: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
        Path("mine.py").write_text(f"def net():\n    {written}\n")
        sys.dont_write_bytecode = True
        line = refused(capsys, ["fit", "--model=mine:net", "--out=run"], code)
        assert "sys.exit(0)" in line if code == 2 else line == "lossatlas: interrupted"

    @pytest.mark.parametrize(("placed", "kind"), [(False, BadInput), (True, CannotFinish)])
    def test_of_a_job_whose_metric_ends_the_process(self, placed: bool, kind: type[Exception]) -> None:
        def carry_out(start: Any, how: Handling) -> dict[str, Any]:
            start.placed = placed
            raise SystemExit(0)

        job = Job(FitConfig, carry_out, lambda _: None)  # type: ignore[arg-type, return-value]
        with pytest.raises(kind, match=r"SystemExit: 0 was raised in .*test_terminal.py, line"):
            job(FitConfig(), Path("run"))


class TestPlaces:
    @pytest.mark.parametrize(
        ("tokens", "expected"),
        [
            (["--out=file"], "--out file: file is not a writable directory"),
            (["--out=file/x"], "file is not a writable directory"),
            (["--out=/dev/null"], "--out /dev/null"),
            (["--out="], "a path is empty"),
            (["--out=" + "x" * 300], "File name too long"),
            (["--export=folder.csv"], "--export folder.csv is a directory"),
            (["--export=file/x.csv"], "file is not a writable directory"),
            (["--export="], "a path is empty"),
            (["--export=" + "x" * 300 + ".csv"], "File name too long"),
            (["x" * 300], "File name too long"),
        ],
    )
    def test_that_cannot_be_written_are_refused(
        self, tokens: list[str], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("file").write_text("mine")
        Path("folder.csv").mkdir()
        write_survey(survey(), "a.csv")
        assert expected in refused(capsys, ["view", "a.csv", *tokens])

    @pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000, "loop", "loop/x", "a\0b"], ids=lambda path: path[:6])
    @pytest.mark.parametrize(
        "tokens",
        [
            ["compare", "net", "PATH"],
            ["compare", "PATH", "net"],
            ["connect", "net", "PATH"],
            ["connect", "PATH", "net"],
            ["connect", "net", "net", "--start=PATH"],
            ["survey", "--checkpoint=PATH"],
            ["survey", "--run=PATH"],
            ["survey", "--trajectory=PATH"],
            ["survey", "--between", "net", "PATH"],
            ["survey", "--checkpoint=net", "--directions=file:PATH"],
            ["view", "PATH"],
            ["view", "net", "PATH"],
            ["fit", "--resume", "--out=PATH"],
            ["fit", "--config=PATH"],
            ["fit", "--plan=PATH.json"],
        ],
        ids=" ".join,
    )
    def test_that_lead_nowhere_are_refused_by_every_verb(
        self, tokens: list[str], path: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("loop").symlink_to("loop")
        Path("net").mkdir()
        before = sorted(map(str, Path().rglob("*")))
        refused(capsys, [token.replace("PATH", path) for token in tokens])
        assert sorted(map(str, Path().rglob("*"))) == before

    @pytest.mark.parametrize("tokens", [["--help"], ["info"], ["view", "x"], ["train", "--out=x"]], ids=" ".join)
    def test_of_work_that_is_gone_is_refused(
        self, tokens: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert main(tokens) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "the working folder cannot be used (No such file or directory)" in line

    @pytest.mark.parametrize("path", ["new/..", "new/../run", "new/more/../../run", "net/model/../run"])
    @pytest.mark.parametrize(
        "tokens",
        [["train", "--out=PATH"], ["fit", "--resume", "--out=PATH"], ["view", "a.csv", "--out=PATH"]],
        ids=" ".join,
    )
    def test_that_go_up_from_a_folder_that_is_not_there_leave_none(
        self, tokens: list[str], path: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_survey(survey(), "a.csv")
        before = sorted(map(str, Path().rglob("*")))
        said = refused(capsys, [token.replace("PATH", path) for token in tokens])
        assert "is not an existing folder; leave it and the '..' out" in said
        assert sorted(map(str, Path().rglob("*"))) == before

    def test_a_pipe_without_a_writer_is_not_waited_for_as_a_configuration(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        os.mkfifo("config.yaml")
        assert "it is not a regular file" in refused(capsys, ["fit", "--config=config.yaml"])

    @pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs the system's own paths of open files")
    def test_a_configuration_comes_from_another_program(self, capsys: pytest.CaptureFixture[str]) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"batch_size: 7\n")
        os.close(writing)
        assert main(["fit", f"--config=/dev/fd/{reading}", "--print-config"]) == 0
        assert "batch_size: 7\n" in capsys.readouterr().out
        os.close(reading)

    @pytest.mark.parametrize("name", ["", ".", "/dev/null/x"])
    def test_configurations_that_are_not_files(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        refused(capsys, ["fit", f"--config={name}"])

    def test_options_spelled_with_a_hyphen_are_the_same(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("c.yaml").write_text("batch_size: 64\n")
        assert main(["fit", "--config=c.yaml", "--batch-size=7", "--print-config"]) == 0
        assert "batch_size: 7\n" in capsys.readouterr().out

    def test_a_backend_of_nonsense_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MPLBACKEND", "nonsense")
        assert main(["--version"]) == 0
        assert os.environ["MPLBACKEND"] == "agg"
