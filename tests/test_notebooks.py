"""What calls from Python show while they run, and how their results show themselves."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.progress import Reporter, Silent, show_progress, showing


def problem() -> la.Problem:
    torch.manual_seed(0)
    return la.Problem(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), la.CrossEntropy())


def examples() -> la.Split:
    inputs = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return la.Split((inputs, (inputs.sum(dim=1) > 0).long()))


class Display:
    """Stands for what IPython displays: what each of its outputs is replaced with, the newest last."""

    def __init__(self) -> None:
        self.outputs: list[list[object]] = []

    def display(self, shown: object, *, display_id: bool) -> types.SimpleNamespace:
        assert display_id
        output = [shown]
        self.outputs.append(output)
        return types.SimpleNamespace(update=output.append)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    """A kernel without a kernel."""
    shown = Display()
    shell = types.SimpleNamespace(kernel=object())
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display.display = shown.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def be_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A standard error that says it is a terminal; called by tests, before which pytest puts its own there."""
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def networks() -> dict[str, nn.Module]:
    return {str(seed): la.train(problem(), examples(), epochs=1, seed=seed, progress=False).module for seed in (1, 2)}


def survey(**settings: bool) -> None:
    module = problem().module
    chart = la.slice_around(module, without_vectors=False)
    la.survey(chart, la.make_grid(chart, (3, 3)), problem(), {"train": examples()}, plan="loop", **settings)


def fit(**settings: bool) -> None:
    heart = la.picture("heart", size=8)
    plane = la.Plane.random(problem().module, initialiser=la.Xavier())
    la.fit(plane, la.Pattern(heart), problem(), examples(), steps=2, plan="loop", **settings)


def train(**settings: bool) -> None:
    la.train(problem(), examples(), epochs=1, snapshots="none", **settings)


def connect(**settings: bool) -> None:
    ends = networks()
    own = {"steps": 2, "grid": (3,), "plane": 0, "ensembles": False, "plan": "loop"}
    la.connect(ends, problem(), {"train": examples()}, **own, **settings)  # type: ignore[arg-type]


def compare(**settings: bool) -> None:
    ends = networks()
    own = {"line": 3, "slice_points": 3, "repeats": 1, "plan": "loop", "normalize": "none", "ignore": "none"}
    la.compare(ends, problem(), {"train": examples()}, **own, **settings)  # type: ignore[arg-type]


CALLS = [survey, fit, train, connect, compare]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
class TestProgress:
    def test_a_notebook_shows_one_line_that_is_updated(
        self, call: Callable[..., None], notebook: Display, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(showing, "PATIENCE", 600.0)
        call()
        assert not notebook.outputs, "it does not take so long"
        call(progress=True)
        (lines,) = notebook.outputs
        assert repr(lines[-2]).startswith(("survey", call.__name__))
        assert repr(lines[-1]).startswith("done 100% in ")
        monkeypatch.setattr(showing, "PATIENCE", 0.0)
        call(progress=False)
        assert len(notebook.outputs) == 1

    def test_a_terminal_shows_bars(self, call: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = be_on_a_terminal(monkeypatch)
        monkeypatch.setattr(showing, "PATIENCE", 600.0)
        call()
        assert not terminal.getvalue(), "it does not take so long"
        monkeypatch.setattr(showing, "PATIENCE", 0.0)
        call(progress=False)
        assert not terminal.getvalue()
        call()
        assert "100%" in terminal.getvalue()


def test_neither_a_script_nor_a_closed_stream_shows_anything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "PATIENCE", 0.0)
    train()
    monkeypatch.setattr(sys, "stderr", None)
    train()
    assert capsys.readouterr() == ("", "")
    with show_progress() as reporter:
        assert isinstance(reporter, Silent)


def test_what_fails_keeps_what_was_shown_last(notebook: Display) -> None:
    def fail(reporter: Reporter) -> None:
        reporter.progress("<fit>", 0.25, {"loss": 0.5})
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError), show_progress(True) as reporter:
        fail(reporter)
    ((line,),) = notebook.outputs
    assert repr(line) == "<fit> 25% 0 s left, loss 0.5"
    assert "&lt;fit&gt;" in line._repr_html_()  # type: ignore[attr-defined]
