"""Runs as objects, kind by kind: what each of them holds, or the one line that says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import lossatlas as la
from lossatlas.charts import CHARTS
from lossatlas.cli import main
from lossatlas.errors import Interrupted
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import Config, ConnectConfig, FitConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.problem import build_problem
from lossatlas.weights.files import collect_state

QUIET = ("--plan=loop", "--examples=60", "--eval_batch_size=30", "--no_pictures")
SMALL = ("--model.hidden=6", "--device=cpu")
FIT = ("--steps=3", "--size=6", "--padding=1", *QUIET)
CURVE = ("--steps=3", "--grid=3", "--plane=0", "--no_ensembles")
NETWORK = {"model_options": {"hidden": (6,)}, "device": "cpu"}
EVALUATED = {"examples": "60", "eval_batch_size": 30, "plan": "loop"}
MINE = """
import torch
from torch import nn
import lossatlas as la

class Wavy(la.Bezier):
    pass

def data():
    inputs = torch.randn(40, 5, generator=torch.Generator().manual_seed({seed}))
    return la.Dataset("mine", la.Split((inputs, (inputs.sum(dim=1) > 0).long())))
"""


def make(*tokens: str) -> None:
    assert main([*tokens]) == 0


def write_mine(seed: int) -> None:
    """A module of a user's own in the working folder, with other examples for each seed."""
    Path("mine.py").write_text(MINE.format(seed=seed))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind, finished and not."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (1, 2):
            make("train", f"--out=t{seed}", "--epochs=1", f"--seed={seed}", "--snapshots=epoch", *SMALL)
        make("fit", "--out=f", *FIT, *SMALL)
        make("fit", "--out=around", "--checkpoint=t1", "--buffers=frozen", *FIT, *SMALL)
        make("survey", "--out=s", "--checkpoint=t1", "--grid=3", "--metrics", "loss", "gradient_norm", *QUIET)
        make("survey", "--out=between", "--between", "t1", "t2", "--grid=3", *QUIET)
        make("survey", "--out=along", "--trajectory=t1", "--directions=random", "--grid=3", *QUIET)
        make("survey", "--out=again", "--run=around", "--grid=3", *QUIET)
        make("survey", "--out=third", "--run=again", "--grid=3", *QUIET)
        make("connect", "t1", "t2", "--out=c", *CURVE, *QUIET)
        make("survey", "--out=curve", "--run=c", "--grid=3", *QUIET)
        few = ("--grid=3", "--line=3", "--slice_points=3", "--repeats=1")
        make("compare", "t1", "t2", "--out=cmp", *few, *QUIET)
        interrupt(run_train, TrainConfig(epochs=1, **NETWORK), "t-cut")
        interrupt(run_fit, FitConfig(steps=3, size="6", padding=1, **NETWORK, **EVALUATED), "f-cut")
        interrupt(run_connect, ConnectConfig(between=("t1", "t2"), steps=3, grid=(3,), **NETWORK, **EVALUATED), "c-cut")
        interrupt(run_survey, SurveyConfig(checkpoint="t1", grid=(3,), **NETWORK, **EVALUATED), "s-cut")
    return folder


def interrupt(job, config: Config, out: str) -> None:
    with pytest.raises(Interrupted):
        job(config, Path(out), stop=lambda: True)


@pytest.fixture
def copied(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all runs to be changed, as the working folder, with nothing behind."""
    for run in runs.iterdir():
        shutil.copytree(run, tmp_path / run.name)
        provenance = tmp_path / run.name / "provenance.json"
        provenance.write_text(provenance.read_text().replace(str(runs), str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unknown_kinds() -> Iterator[None]:
    """Kinds of charts that a test adds are forgotten."""
    before = dict(CHARTS._added)
    yield
    CHARTS._added.clear()
    CHARTS._added.update(before)


def losses(run: la.OpenedRun) -> np.ndarray:
    """Of the run's engine, at the points of its survey."""
    survey = run.survey
    grid = np.stack(np.meshgrid(*(survey[axis] for axis in run.chart.axes), indexing="ij"), axis=-1)
    controls = run.chart.controls().detach()
    coefficients = run.chart.mixture(torch.from_numpy(grid.reshape(-1, grid.shape[-1])), controls).detach()
    metrics = {"loss": run.metrics["loss"]}
    found = run.engine.evaluate(coefficients, controls, run.splits["test"], metrics, run.config.eval_batch_size)
    return found["loss"].numpy().astype(np.float32)


@pytest.mark.parametrize("name", ["s", "along", "between"])
def test_axes_are_called_the_same_from_python_and_from_the_command_line(name: str, runs: Path) -> None:
    run = la.open_run(runs / name)
    axes = run.chart.axes
    grid = {axis: run.survey[axis].values for axis in axes}
    chart = run.chart if name != "s" else la.slice_around(run.problem.module)
    again = la.survey(chart, grid, run.problem, {"test": run.splits["test"]}, plan="loop")
    for axis in axes:
        assert again[axis].attrs == run.survey[axis].attrs
        assert again[axis].attrs["long_name"] != axis
    assert again["test_loss"].dims == run.survey["test_loss"].dims == axes


def test_its_record_says_with_what_and_on_what_it_was_made(runs: Path) -> None:
    provenance = la.open_run(runs / "f").provenance
    assert provenance.versions["torch"] == torch.__version__
    assert provenance.device == "cpu"
    assert provenance.fingerprints["data/train"]


ALWAYS = {"path", "verb", "finished", "provenance", "config", "plan", "stated_buffers"}
PROBLEM = {"splits", "metrics", "base", "problem"}
CHARTED = {"chart", "recipe", "engine", "survey"}
OTHERS = {"summary", *PROBLEM, *CHARTED}
NO_CHART = r"holds no chart; give a run of fit or survey, or survey a --checkpoint"
NO_SURVEY = r"holds no survey; give a run of fit, survey or connect, once it has surveyed"
NO_PROBLEM = r"compares runs and does not have a problem of its own; open one of"
TRAINED = {"chart": NO_CHART, "recipe": NO_CHART, "survey": NO_SURVEY}
CONTINUE = r"is not finished.*continue it with lossatlas {} --out \S+ --resume"


def cut(verb: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(("summary", *names), CONTINUE.format(verb))


REFUSED = {
    "t1": TRAINED,
    "f": {},
    "around": {},
    "s": {},
    "between": {},
    "along": {},
    "again": {},
    "third": {},
    "c": {},
    "curve": {},
    "cmp": {**dict.fromkeys(PROBLEM, NO_PROBLEM), **TRAINED, "engine": NO_CHART},
    "t-cut": {**TRAINED, **cut("train", "base", "problem", "engine")},
    "f-cut": cut("fit", *CHARTED),
    "c-cut": cut("connect", *CHARTED),
    "s-cut": cut("survey"),
}
"""By the run, which attributes are refused with which words; all others are there."""


@pytest.mark.parametrize("name", REFUSED)
def test_all_that_a_run_has_is_there_or_one_line_says_what_to_do(
    runs: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    for attribute in (*ALWAYS, *OTHERS):
        run = la.open_run(name)  # in any order: none waits for another
        if attribute not in REFUSED[name]:
            getattr(run, attribute)
            continue
        with pytest.raises(la.BadInput, match=REFUSED[name][attribute]) as caught:
            getattr(run, attribute)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["f", "around", "s", "between", "along", "again", "third", "c", "curve"])
def test_an_engine_gives_the_numbers_of_the_survey(runs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    run = la.open_run(name)
    assert run.splits.keys() == {"train", "test"}
    assert run.engine.plan.evaluate.strategy == "loop"
    np.testing.assert_array_equal(losses(run), run.survey["test_loss"].values.reshape(-1))


def test_the_engine_of_a_training_evaluates_points_of_weight_space(runs: Path) -> None:
    run = la.open_run(runs / "t1")
    there = run.base.space.vector_of(run.problem.module)
    points = torch.tensor([[1.0], [0.5]])
    found = run.engine.evaluate(points, there[None], run.splits["test"], {"loss": run.metrics["loss"]}, 100)
    assert float(found["loss"][0]) == pytest.approx(run.summary["test_loss"], rel=1e-5)
    assert float(found["loss"][1]) > float(found["loss"][0])


class TestWhatARunWasMadeOf:
    """It is there again."""

    def test_a_training_is_its_network(self, runs: Path) -> None:
        run = la.open_run(runs / "t1")
        assert run.verb == "train"
        assert isinstance(run.config, TrainConfig)
        assert run.finished
        (state,) = load_networks([str(runs / "t1")], build_problem(run.config)).states
        for key, value in collect_state(run.problem.module).items():
            assert torch.equal(value, state[key])
        x, y = run.splits["test"].take(torch.arange(len(run.splits["test"])))
        with torch.no_grad():
            loss = nn.functional.cross_entropy(run.problem.module.eval()(x).double(), y)
        assert float(loss) == pytest.approx(run.summary["test_loss"], rel=1e-5)
        with pytest.raises(la.BadInput, match="t1 holds no chart"):
            _ = run.chart

    def test_a_comparison_has_no_problem_of_its_own(self, runs: Path) -> None:
        run = la.open_run(runs / "cmp")
        assert run.verb == "compare"
        with pytest.raises(la.BadInput, match="compares runs and does not have a problem of its own; open one of"):
            _ = run.problem

    def test_what_is_gone_concerns_who_needs_it(self, runs: Path, tmp_path: Path) -> None:
        for name in ("t1", "s"):
            shutil.copytree(runs / name, tmp_path / name)
        shutil.rmtree(tmp_path / "t1")
        (tmp_path / "moved").mkdir()
        (tmp_path / "s").rename(tmp_path / "moved" / "s")
        text = (tmp_path / "moved" / "s" / "provenance.json").read_text()
        (tmp_path / "moved" / "s" / "provenance.json").write_text(text.replace(str(runs), str(tmp_path / "nowhere")))
        run = la.open_run(tmp_path / "moved" / "s")
        assert run.chart.axes == ("u", "v")
        assert "test_loss" in run.survey
        assert run.config.grid == (3,)
        with pytest.raises(la.BadInput, match=r"checkpoint t1 of .* does not exist; it was looked for as"):
            _ = run.problem

    def test_what_is_not_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match="is not a lossatlas run; name a run directory"):
            la.open_run(tmp_path)


class TestWhatChangedIsNoticed:
    CHANGED = "the network of .* has changed since, .*; carry out that run again"

    @pytest.mark.parametrize("name", ["around", "again", "third", "s", "between", "c", "curve"])
    def test_a_network(self, copied: Path, name: str) -> None:
        shutil.rmtree("t1")
        shutil.copytree("t2", "t1")
        run = la.open_run(name)
        assert run.chart.dimension == 64 * 6 + 6 + 6 * 10 + 10
        assert run.splits.keys() == {"train", "test"}
        for attribute in ("base", "problem", "engine"):
            with pytest.raises(la.BadInput, match=self.CHANGED):
                getattr(run, attribute)

    def test_a_network_by_whoever_surveys_its_chart(self, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shutil.rmtree("t1")
        shutil.copytree("t2", "t1")
        assert main(["survey", "--out=x", "--run=around", "--grid=3", *QUIET]) == 2
        assert "the network of around has changed since" in capsys.readouterr().err

    def test_a_survey_that_was_made_of_another_network_than_its_fit(self, copied: Path) -> None:
        provenance = Path("again/provenance.json")
        centre = la.open_run("again").provenance.fingerprints["centre"]
        provenance.write_text(provenance.read_text().replace(centre, "0" * len(centre)))
        with pytest.raises(la.BadInput, match="the network of again has changed since"):
            _ = la.open_run("again").problem

    def test_an_initialisation_counts_where_the_chart_does_not_say_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make("fit", "--out=whole", *FIT, *SMALL)
        make("fit", "--out=part", "--parameters=3.*", *FIT, *SMALL)
        make("survey", "--out=x", "--run=whole", "--seed=1", "--grid=3", *QUIET)
        assert main(["survey", "--out=y", "--run=part", "--seed=1", "--grid=3", *QUIET]) == 2
        assert "the network of part has changed since" in capsys.readouterr().err
        assert la.open_run("part").problem.module is not None

    def test_data(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        write_mine(0)
        options = ("--data=mine:data", *SMALL)
        make("train", "--out=t", "--epochs=1", *options)
        make("survey", "--out=s", "--checkpoint=t", "--grid=3", "--splits=train", *QUIET, *options)
        assert la.open_run("s").problem.module is not None
        write_mine(1)
        monkeypatch.delitem(__import__("sys").modules, "mine")
        for name in ("t", "s"):
            run = la.open_run(name)
            for attribute in ("splits", "metrics", "problem", "engine"):
                with pytest.raises(
                    la.BadInput,
                    match=f"the train examples of mine:data are not those that {name} was made on; restore the "
                    "data, or carry out the run again",
                ):
                    getattr(run, attribute)
        assert "train_loss" in la.open_run("s").survey
        assert la.open_run("s").chart.axes == ("u", "v")
        make("view", "s")


class TestWhatIsGoneConcernsWhoNeedsIt:
    def test_the_run_that_made_a_chart(self, copied: Path) -> None:
        shutil.rmtree("around")
        run = la.open_run("third")
        assert run.chart.axes == ("u", "v")
        assert len(run.splits["test"]) == 60
        assert "loss" in run.metrics
        assert "test_loss" in run.survey
        with pytest.raises(la.BadInput, match="run around of again does not exist"):
            _ = run.problem

    def test_a_checkpoint(self, copied: Path) -> None:
        shutil.rmtree("t1")
        run = la.open_run("s")
        assert len(run.splits["test"]) == 60
        assert "loss" in run.metrics
        with pytest.raises(la.BadInput, match="checkpoint t1 of s does not exist; it was looked for as"):
            _ = run.engine

    @pytest.mark.parametrize("name", ["between", "c", "curve"])
    def test_the_far_end_of_a_chart(self, copied: Path, name: str) -> None:
        shutil.rmtree("t2")
        run = la.open_run(name)
        np.testing.assert_array_equal(losses(run), run.survey["test_loss"].values.reshape(-1))
        shutil.rmtree("t1")
        with pytest.raises(la.BadInput, match=r"between t1 of \w+ does not exist; it was looked for as"):
            _ = la.open_run(name).problem

    def test_a_class_of_charts(
        self, copied: Path, monkeypatch: pytest.MonkeyPatch, unknown_kinds: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.syspath_prepend(str(copied))
        write_mine(0)
        make("connect", "t1", "t2", "--out=wavy", "--curve=mine:Wavy", *CURVE, *QUIET)
        CHARTS._added.clear()
        run = la.open_run("wavy")
        assert type(run.chart).__name__ == "Wavy"
        np.testing.assert_array_equal(losses(run), run.survey["test_loss"].values.reshape(-1))
        CHARTS._added.clear()
        make("survey", "--out=s2", "--run=wavy", "--grid=3", *QUIET)
        CHARTS._added.clear()
        assert type(la.open_run("s2").chart).__name__ == "Wavy"
        CHARTS._added.clear()
        shutil.rmtree("wavy")
        with pytest.raises(la.BadInput, match="run wavy of s2 does not exist"):
            _ = la.open_run("s2").chart
        assert len(la.open_run("s2").splits["test"]) == 60

    def test_nothing_that_a_file_alone_names_is_imported(
        self, copied: Path, monkeypatch: pytest.MonkeyPatch, unknown_kinds: None
    ) -> None:
        monkeypatch.syspath_prepend(str(copied))
        write_mine(0)
        make("connect", "t1", "t2", "--out=wavy", "--curve=mine:Wavy", *CURVE, *QUIET)
        CHARTS._added.clear()
        settings = yaml.safe_load(Path("wavy/config.yaml").read_text())
        Path("wavy/config.yaml").write_text(yaml.safe_dump({**settings, "curve": "bezier"}))
        with pytest.raises(la.BadInput, match="'mine:Wavy' is not a chart"):
            _ = la.open_run("wavy").chart


def test_a_curve_of_networks_without_statistics_is_surveyed_with_its_own_policy(runs: Path) -> None:
    """Without running statistics all policies are one, and none needs examples for them."""
    for name in ("c", "curve"):
        assert la.open_run(runs / name).recipe.survey_buffers.record == "batch"


class TestHowRunsShowThemselves:
    @pytest.mark.parametrize("name", ["f", "s", "between", "along", "c"])
    def test_a_run_with_a_survey_shows_its_first_picture(self, runs: Path, name: str) -> None:
        html = la.open_run(runs / name)._repr_html_()
        assert html is not None
        assert 'src="data:image/png;base64,' in html
        assert f"{name}: a run of {la.open_run(runs / name).verb}, finished" in html

    @pytest.mark.parametrize("name", ["t-cut", "f-cut", "c-cut", "s-cut", "cmp"])
    def test_a_run_without_one_says_what_it_is(self, runs: Path, name: str) -> None:
        run = la.open_run(runs / name)
        assert f"a run of {run.verb}, {'finished' if run.finished else 'not finished'}" in (run._repr_html_() or "")

    def test_numbers_are_shown_and_names_are_not_markup(self, copied: Path) -> None:
        run = la.open_run(Path("t1").rename("t<i>"))
        html = run._repr_html_()
        assert html is not None
        assert "t&lt;i&gt;: a run of train" in html
        assert f">{run.summary['test_accuracy']:.4g}<" in html
        shutil.rmtree("t<i>")
        assert repr(run) == "OpenedRun('t<i>')"

    def test_a_run_that_cannot_be_read_is_shown_by_its_name(self, copied: Path) -> None:
        run = la.open_run("s")
        Path("s/provenance.json").write_text("{")
        assert run._repr_html_() is None
        assert repr(run) == "OpenedRun('s')"
