"""What calls from Python show while they run, and how their results show themselves."""

from __future__ import annotations

import io
import json
import re
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.describing import write_repr
from lossatlas.engine.plan import Service
from lossatlas.progress import Reporter, Silent, show_progress, showing

EXAMPLE = Path(__file__).parent.parent / "examples" / "from_a_checkpoint_to_a_figure.ipynb"


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
    # The examples make one batch: the order in which a seed draws them alone may not change a bit of the weights.
    return {
        str(seed): la.train(problem(), examples(), epochs=seed, seed=seed, progress=False).module for seed in (1, 2)
    }


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


def test_a_notebook_says_how_long_all_took_and_not_what_was_shown_of_it(
    notebook: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with show_progress() as reporter:
        for seconds, share in ((1.0, 0.1), (5.0, 0.5), (5.1, 0.51), (10.0, 1.0)):
            now[0] = 100.0 + seconds
            reporter.progress("survey", share, {})
    (lines,) = notebook.outputs
    assert [repr(line) for line in lines] == ["survey 50% 5 s left", "survey 100% 0 s left", "done 100% in 10 s"]


def test_what_fails_keeps_what_was_shown_last(notebook: Display) -> None:
    def fail(reporter: Reporter) -> None:
        reporter.progress("<fit>", 0.25, {"loss": 0.5})
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError), show_progress(True) as reporter:
        fail(reporter)
    ((line,),) = notebook.outputs
    assert repr(line) == "<fit> 25% 0 s left, loss 0.5"
    assert "&lt;fit&gt;" in line._repr_html_()  # type: ignore[attr-defined]


def weights(count: int, size: int = 50) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(0))


def held() -> la.HeldTrajectory:
    trajectory = la.HeldTrajectory(None)
    for step in (0, 1200):
        trajectory.record(problem().module, step)
    return trajectory


def network_state(name: str) -> la.NetworkState:
    return la.NetworkState(name, dict(problem().module.state_dict()))


SLICE = "Slice(axes u and v, 3 controls of 50 weights, trains nothing)"
FEW = Service("vmap", 8, examples=32)
MIXED = la.Plan(Service("vmap", 64, "bf16"), FEW, FEW, threads=1)
MIXED_SAID = (
    "Plan(evaluate: vmap, 64 points at a time, bf16; "
    "pullback and derivatives: vmap, 8 points x 32 examples at a time, fp32; 1 thread)"
)
SAID: list[tuple[Callable[[], object], str]] = [
    (examples, "Split(64 examples of (float32 (3,), int64 ()), on cpu)"),
    (lambda: la.Dataset("d", examples(), classes=2), f"Dataset('d', train={examples()!r}, 2 classes)"),
    (problem, "Problem(Sequential of 50 weights, CrossEntropy, Pair)"),
    (lambda: la.picture("heart", size=8), "Picture('heart', 8 x 8 cells)"),
    (
        lambda: la.Pattern(la.picture("heart", size=8), cells=4),
        "Pattern(Picture('heart', 8 x 8 cells), 8 points a step)",
    ),
    (lambda: la.Uniform(3), "Uniform(3 points a step)"),
    (lambda: la.CrossEntropy(ignore_index=3), "CrossEntropy(ignore_index=3)"),
    (
        lambda: la.Plane(weights(1)[0], weights(2), train_origin=False),
        "Plane(axes u and v, 3 controls of 50 weights, trains directions and scale)",
    ),
    (lambda: la.Bezier.between(weights(2)), "Bezier(axis t, 3 controls of 50 weights, trains bends)"),
    (lambda: la.Slice(weights(1)[0], weights(2)), SLICE),
    (
        lambda: la.RepeatedSlice(weights(1)[0], weights(6).reshape(3, 2, 50)),
        "RepeatedSlice(axes u, v and repeat, 7 controls of 50 weights, trains nothing)",
    ),
    (lambda: la.Simplex(weights(3)), "Simplex(axes u and v, 3 controls of 50 weights, trains nothing)"),
    (lambda: la.Grown(weights(2)), "Grown(axis u, 2 controls of 50 weights, trains vertex)"),
    (lambda: la.Radial(weights(2), torch.ones(50)), "Radial(axis t, 2 controls of 50 weights, trains nothing)"),
    (lambda: la.WeightSpace(problem().module), "WeightSpace(50 weights in 4 parameters)"),
    (
        lambda: la.WeightSpace(problem().module, ["*.bias"]),
        "WeightSpace(10 weights in 2 parameters that match *.bias)",
    ),
    (lambda: la.Plan.of("loop", 16), "Plan(loop, 16 points at a time, fp32; 1 thread)"),
    (lambda: MIXED, MIXED_SAID),
    (
        lambda: la.engine_for(problem(), la.Slice(weights(1)[0], weights(2)), examples(), plan=la.Plan.of("loop", 16)),
        "Engine(Sequential of 50 weights, CrossEntropy, Plan(loop, 16 points at a time, fp32; 1 thread), on cpu)",
    ),
    (held, "HeldTrajectory(2 snapshots of steps 0 to 1,200)"),
    (lambda: held().snapshots[1], "HeldSnapshot(step 1200, 4 tensors)"),
    (lambda: la.Trajectory("way"), "Trajectory('way', 0 snapshots)"),
    (
        lambda: la.LoadedNetworks((network_state("a"), network_state("b")), la.WeightSpace(problem().module), ()),
        "LoadedNetworks('a' and 'b', WeightSpace(50 weights in 4 parameters))",
    ),
    (lambda: network_state("a"), "NetworkState('a', 4 tensors)"),
    (
        lambda: la.Evaluation(torch.zeros(2, 5, 3), torch.zeros(2, 5), torch.zeros(5), (), la.CrossEntropy()),
        "Evaluation(2 networks on 5 examples, CrossEntropy)",
    ),
]


class TestReprs:
    """A line that says what something is, of what is in memory."""

    @pytest.mark.parametrize(("make", "said"), SAID, ids=[said.split("(")[0] for _, said in SAID])
    def test_say_what_a_thing_is(self, make: Callable[[], object], said: str) -> None:
        assert repr(make()) == said

    @pytest.mark.parametrize("make", [make for make, _ in SAID], ids=[said.split("(")[0] for _, said in SAID])
    def test_of_what_is_not_made_yet_do_not_fail(self, make: Callable[[], object]) -> None:
        kind = type(make())
        assert repr(kind.__new__(kind)) in (f"{kind.__name__}(incomplete)", kind.__name__)

    def test_of_charts_of_ones_own_say_what_is_known_without_forming_controls(self) -> None:
        class Free(la.CoefficientChart):
            axes = ("u",)
            centred, dimension, statistics = False, 7, {}
            from_state = coefficients = None

            def controls(self) -> torch.Tensor:
                raise AssertionError("nothing is evaluated")

        assert repr(Free()) == "Free(axis u, 7 weights, trains nothing)"

    def test_whatever_fails_is_called_incomplete(self) -> None:
        assert write_repr(self, lambda: str(1 / 0)) == "TestReprs(incomplete)"


def picture_of(html: str) -> bool:
    return 'src="data:image/png;base64,' in html and re.search(r' alt="[^"]+"', html) is not None


class TestResults:
    def test_a_fit_shows_its_losses(self) -> None:
        plane = la.Plane.random(problem().module, initialiser=la.Xavier())
        heart = la.picture("heart", size=8)
        result = la.fit(plane, la.Pattern(heart), problem(), examples(), steps=2, plan="loop")
        assert repr(result).startswith(f"FitResult({plane!r}, 2 steps and ")
        html = result._repr_html_()
        assert picture_of(html)
        assert "low loss and high loss over 2 steps" in html
        assert f">{result.history[-1]['gap']:.4g}<" in html

    def test_a_training_shows_its_loss(self) -> None:
        result = la.train(problem(), examples(), epochs=2, batch_size=16)
        assert re.fullmatch(
            r"TrainResult\(Sequential in 8 steps and \S+ s, HeldTrajectory\(3 snapshots of steps 0 to 8\)\)",
            repr(result),
        )
        html = result._repr_html_()
        assert picture_of(html)
        assert f">{result.history[-1]['loss']:.4g}<" in html

    def test_a_curve_shows_its_survey(self) -> None:
        own = {"steps": 1, "grid": (3,), "plane": 0, "ensembles": False, "plan": "loop"}
        result = la.connect(networks(), problem(), {"train": examples()}, **own)  # type: ignore[arg-type]
        assert repr(result) == "CurveResult(Bezier(axis t, 3 controls of 50 weights, trains bends), 1 step)"
        html = result._repr_html_()
        assert picture_of(html)
        assert f'>curve barrier</th><td style="text-align:right">{result.summary["curve_barrier"]:.4g}<' in html

    def test_a_comparison_shows_its_networks_by_their_escaped_names(self) -> None:
        named = dict(zip(("<b>a<b>", "c"), networks().values(), strict=True))
        own = {"line": 3, "slice_points": 3, "repeats": 1, "plan": "loop", "normalize": "none", "ignore": "none"}
        result = la.compare(named, problem(), {"train": examples()}, **own)  # type: ignore[arg-type]
        html = result._repr_html_()
        assert picture_of(html)
        assert "&lt;b&gt;a&lt;b&gt;" in html
        assert "<b>a" not in html
        part = result.drop_vars(["train_loss", "barrier"]).isel(run=0)
        assert "<img" not in part._repr_html_(), "what is left of it is shown as data"


class TestTheExample:
    """The notebook from a checkpoint to a figure, as it was executed and as it runs now."""

    @property
    def cells(self) -> list[dict[str, Any]]:
        return [cell for cell in json.loads(EXAMPLE.read_text())["cells"] if cell["cell_type"] == "code"]

    def test_it_was_executed_in_order_and_shows_pictures_and_no_warning(self) -> None:
        outputs = [output for cell in self.cells for output in cell["outputs"]]
        assert [cell["execution_count"] for cell in self.cells] == list(range(1, len(self.cells) + 1))
        assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
        assert sum("data:image/png" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs) == 3
        assert EXAMPLE.stat().st_size < 500_000

    def test_its_cells_lead_to_a_figure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On fewer points, with a plan that is stated."""
        monkeypatch.chdir(tmp_path)
        code = "\n\n".join("".join(cell["source"]) for cell in self.cells)
        shorter = {
            "(51,)": "(3,)",
            "(31, 31)": "(5, 5)",
            "data.splits": "data.splits, plan='loop'",
        }
        for long, short in shorter.items():
            assert long in code
            code = code.replace(long, short)
        exec(compile(code.replace(", progress=True", ""), EXAMPLE.name, "exec"), {})
        assert {path.name for path in Path("figures").iterdir()} >= {"contours.pdf", "contours.svg"}
