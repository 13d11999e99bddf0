"""What the explorer's page answers to requests that its own page would not send, and to runs of unusual kinds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load

import lossatlas as la
from lossatlas.explorer.evaluation.evaluator import Evaluator
from lossatlas.explorer.queue import TaskQueue
from lossatlas.explorer.subject import Subject
from lossatlas.jobs.refine import refine_region
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig

pytest.importorskip("dash", reason="the extra explore is not installed")

from lossatlas.explorer.action import Request, list_actions
from lossatlas.explorer.layout import lay_page
from lossatlas.explorer.look import Look, Place, choose_field, choose_limits
from lossatlas.explorer.page import make_page
from lossatlas.explorer.scene import View, find_scene

MODEL: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
SURVEY: dict[str, Any] = {**MODEL, "examples": "40", "plan": "loop"}
CALL = "/_dash-update-component"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training, and surveys around it, along it, of repeated directions and of its posterior."""
    folder = tmp_path_factory.mktemp("runs")
    run_train(TrainConfig(**MODEL, epochs=2, snapshots="epoch:0.5"), folder / "net")
    net = str(folder / "net")
    run_survey(SurveyConfig(**SURVEY, checkpoint=net, grid=(3, 2)), folder / "plane", pictures=False)
    run_survey(SurveyConfig(**SURVEY, checkpoint=net, grid=(3, 2), repeats=3), folder / "repeats", pictures=False)
    run_survey(SurveyConfig(**SURVEY, trajectory=net, grid=(3, 2)), folder / "path", pictures=False)
    around = {**SURVEY, "checkpoint": net, "directions": ("random",) * 3}
    run_survey(SurveyConfig(**around, grid=(2, 3, 2)), folder / "volume", pictures=False)
    run_survey(SurveyConfig(**SURVEY, posterior=net), folder / "posterior", pictures=False)
    return folder


def subject_of(run: Path) -> Subject:
    return Subject(la.open_run(run), run.name)


@pytest.fixture(scope="module")
def client(runs: Path) -> Iterator[Any]:
    """What sends requests to the page of two runs."""
    with TaskQueue() as queue:
        yield make_page([la.open_run(runs / "plane"), la.open_run(runs / "repeats")], queue).server.test_client()


class TestRequests:
    """Each is answered in one line, and the next one as ever."""

    @staticmethod
    def ask(client: Any, question: Any, run: Any = 0) -> str:
        """What is answered to a question about a place, as text."""
        declared = client.get("/_dash-dependencies").get_json()
        output = next(each["output"] for each in declared if each["output"].startswith('..{"kind":"ticket"'))
        own = {"kind": "ticket", "run": run}
        kinds = (("ticket", "data"), ("answer", "children"), ("told", "children"), ("seen", "data"))
        answered = client.post(
            CALL,
            json={
                "output": output,
                "outputs": [{"id": {"kind": kind, "run": run}, "property": field} for kind, field in kinds],
                "inputs": [{"id": "question", "property": "data", "value": question}],
                "changedPropIds": ["question.data"],
                "state": [
                    {"id": "session", "property": "data", "value": "window"},
                    {"id": own, "property": "id", "value": own},
                ],
            },
        )
        assert answered.status_code in (200, 204)
        return str(answered.get_data(as_text=True))

    @pytest.mark.parametrize(
        "body",
        [
            *("", "null", "[]", "{", "1", "{}", '{"output": {}}', '{"output": "nothing.data"}', '{"output": 1e999}'),
            *("[" * 100_000, '{"a":' * 100_000, "1" * 5000, "\ud800"),
        ],
        ids=lambda body: ascii(body[:20]),
    )
    def test_a_body_that_is_not_of_the_page(self, body: str, client: Any, caplog: pytest.LogCaptureFixture) -> None:
        sent = body.encode("utf-8", "surrogatepass")
        answered = client.post(CALL, data=sent, content_type="application/json")
        assert answered.status_code == 400
        assert "Traceback" not in caplog.text

    def test_a_script_that_there_is_not(self, client: Any, caplog: pytest.LogCaptureFixture) -> None:
        for path in ("dash/dcc/nothing.js", "os/path.py", "dash/../../secret"):
            assert client.get(f"/_dash-component-suites/{path}").status_code == 404
        assert "Traceback" not in caplog.text

    @pytest.mark.parametrize(
        ("question", "said"),
        [
            ("x", "cannot be read"),
            ({"at": [1]}, "cannot be read"),
            ({"at": {"u": "1"}}, "cannot be read"),
            ({"at": {"u": None}}, "cannot be read"),
            ({"at": {"u": float("nan")}}, "not a finite number"),
            ({"at": {"u": 10**400}}, "cannot be read"),
            ({"turn": 0.5}, "cannot be read"),
        ],
    )
    def test_a_question_of_another_form(self, question: Any, said: str, client: Any) -> None:
        assert said in self.ask(client, question)

    @pytest.mark.parametrize("sample", [-1, 3, 2**70])
    def test_a_sample_that_there_is_not(self, sample: int, client: Any) -> None:
        assert f"sample {sample} is asked for" in self.ask(client, {"sample": sample, "acted": True}, run=1)

    @pytest.mark.parametrize("run", [-1, 2, "x", None, "../plane", [0]])
    def test_a_run_that_there_is_not(self, run: Any, client: Any) -> None:
        assert "there is no such run" in self.ask(client, {"acted": True}, run=run)


def test_a_survey_of_samples_alone_says_why_it_is_not_drawn_and_leaves_the_others(runs: Path) -> None:
    page = json.dumps(
        lay_page([subject_of(runs / "posterior"), subject_of(runs / "plane")]).to_plotly_json(), default=vars
    )
    assert "the survey has numbered networks alone, which lie along no axis" in page
    assert page.count('"part": "map"') + page.count("'part': 'map'") == 1


class TestSamples:
    """Those of one run may be more than those of another one beside it."""

    def test_a_run_without_any_is_shown_as_it_is(self, runs: Path) -> None:
        subject = subject_of(runs / "plane")
        field = choose_field(subject.read(), Look(sample=2))
        assert (field.values == choose_field(subject.read(), Look()).values).all()
        assert subject.list_coords({"u": 0.5}, 2) == subject.list_coords({"u": 0.5}, 0)

    @pytest.mark.parametrize("sample", [-1, 3])
    def test_one_that_a_run_lacks_is_refused(self, sample: int, runs: Path) -> None:
        subject = subject_of(runs / "repeats")
        with pytest.raises(la.BadInput, match=f"sample {sample} is asked for"):
            choose_field(subject.read(), Look(sample=sample))
        with pytest.raises(la.BadInput, match=f"sample {sample} is asked for"):
            subject.list_coords({}, sample)


class TestSnapshots:
    """Where the page shows a snapshot, what it offers is of the snapshot."""

    @staticmethod
    def carry_out(name: str, run: Path, snapshot: int | None) -> Any:
        subject = subject_of(run)
        request = Request(subject, Evaluator(subject.run), Place({}, snapshot), Look(), None, snapshot)
        action = list_actions()[name]
        action.check(request)
        with TaskQueue() as queue:
            state = queue.wait(queue.submit("w", "k", "it", lambda handle: action.carry_out(request, handle)), 60)
        assert state.stage == "done", state.error
        return state.result

    def test_its_weights_are_its_own(self, runs: Path) -> None:
        made = self.carry_out("weights", runs / "path", 1)
        expected = la.Trajectory.of(runs / "net").snapshots[1]
        assert made.where.startswith(f"snapshot 1, step {expected.step}")
        state = expected.state()
        found = load(made.content)
        assert found.keys() == state.keys()
        assert all((found[name] == state[name]).all() for name in state)

    def test_curvature_is_not_measured_where_the_chart_is_nearest(self, runs: Path) -> None:
        with pytest.raises(la.BadInput, match="a snapshot of the training is marked, which lies off the chart"):
            self.carry_out("curvature", runs / "path", 1)

    @pytest.mark.parametrize("snapshot", [-1, 99, 2**70])
    def test_one_that_there_is_not_is_refused(self, snapshot: int, runs: Path) -> None:
        with pytest.raises(la.BadInput, match="not the number of a snapshot"):
            subject_of(runs / "path").read().say_snapshot(snapshot)


class TestOwnCode:
    """A run that names code says so before any of it is imported, however the module is called."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "mine:network"},
            {"model": "my-models:network"},
            {"data": "\u00e9tude.data:make"},
            {"loss": "mine:5"},
            {"metrics": ["loss", "mine:Made.inner"]},
            {"data": "mine:"},
        ],
        ids=str,
    )
    def test_of_its_own_record(self, changes: dict[str, Any], runs: Path, tmp_path: Path) -> None:
        run = shutil.copytree(runs / "plane", tmp_path / "run")
        config = {**la.open_run(run).directory.config(), **changes}
        (run / "config.yaml").write_text(json.dumps(config))
        named = next(iter(changes.values()))
        assert subject_of(run).own_code == (named if isinstance(named, str) else named[-1])

    @pytest.mark.parametrize(
        "changes", [{}, {"data": "hub:ylecun/mnist"}, {"metrics": ["loss", "regularised_loss:5e-4"]}], ids=str
    )
    def test_names_of_lossatlas_are_not_code(self, changes: dict[str, Any], runs: Path, tmp_path: Path) -> None:
        run = shutil.copytree(runs / "plane", tmp_path / "run")
        (run / "config.yaml").write_text(json.dumps({**la.open_run(run).directory.config(), **changes}))
        assert subject_of(run).own_code == ""

    def test_of_the_run_whose_chart_it_surveys(self, runs: Path, tmp_path: Path) -> None:
        maker = shutil.copytree(runs / "plane", tmp_path / "maker")
        run_survey(SurveyConfig(**SURVEY, run=str(maker), grid=(2, 2)), tmp_path / "again", pictures=False)
        assert subject_of(tmp_path / "again").own_code == ""
        (maker / "config.yaml").write_text(json.dumps({**la.open_run(maker).directory.config(), "chart": "mine:Bent"}))
        assert subject_of(tmp_path / "again").own_code == "mine:Bent"


class TestNothingToDraw:
    """Surveys that have just begun, or whose numbers are all damaged, have no point with a finite value."""

    @staticmethod
    def draw(run: Path, **spoiled: Any) -> dict[str, Any]:
        now = subject_of(run).read()
        empty = now.survey.map(lambda values: values * np.nan if values.dtype.kind == "f" else values)
        now = replace(now, survey=empty.isel(spoiled))
        field = choose_field(now, Look())
        at = dict.fromkeys(now.axes, 0.0)
        view = View(now=now, survey=now.survey, field=field, limits=choose_limits([field], Look()), at=at)
        return find_scene(now).draw(view)

    @pytest.mark.parametrize("run", ["plane", "volume"])
    def test_no_surface_is_given_to_plotly(self, run: str, runs: Path) -> None:
        drawn = self.draw(runs / run)
        kinds = {part: [trace["type"] for trace in picture["data"]] for part, picture in drawn.items()}
        surface = "surface" if run == "plane" else "surfaces"
        assert kinds.pop(surface) == []
        assert drawn[surface]["layout"]["annotations"][0]["text"] == "no point has a finite value yet"
        assert all("heatmap" in each and "contour" not in each for each in kinds.values())
        if run == "plane":
            assert [drawn["map"]["layout"][axis]["range"] for axis in ("xaxis", "yaxis")] == [[-1, 1], [-1, 1]]

    def test_points_without_a_value_can_be_clicked_on(self, runs: Path) -> None:
        """Plotly takes clicks where it would say something."""
        for picture in self.draw(runs / "volume").values():
            assert all(trace.get("hoverongaps", True) for trace in picture["data"])
        assert self.draw(runs / "plane")["map"]["data"][0].get("hoverongaps", True)

    def test_a_line_of_points_is_a_map_and_not_a_surface(self, runs: Path) -> None:
        drawn = self.draw(runs / "plane", v=slice(0, 1))
        assert drawn["surface"]["data"] == []
        assert "heatmap" in [trace["type"] for trace in drawn["map"]["data"]]


class TestBegun:
    """A run whose survey cannot be shown yet when the page is laid out."""

    @staticmethod
    def watch(client: Any) -> str:
        """The revision that the page is told of, by which it knows what to draw; empty where it is told of none."""
        revision, state = {"kind": "revision", "run": 0}, {"kind": "state", "run": 0}
        declared = [each["output"] for each in client.get("/_dash-dependencies").get_json()]
        body = {
            "output": next(each for each in declared if each.startswith("..") and "revision" in each),
            "outputs": [[{"id": revision, "property": "data"}], [{"id": state, "property": "children"}]],
            "inputs": [{"id": "watch", "property": "n_intervals", "value": 1}],
            "state": [
                [{"id": revision, "property": "data", "value": ""}],
                [{"id": state, "property": "id", "value": state}],
            ],
            "changedPropIds": ["watch.n_intervals"],
        }
        answered = client.post(CALL, json=body).get_json()
        return str(answered["response"].get(json.dumps(revision, separators=(",", ":")), {}).get("data", ""))

    def test_the_page_learns_when_it_can(self, runs: Path, tmp_path: Path) -> None:
        run = shutil.copytree(runs / "plane", tmp_path / "run")
        with TaskQueue() as queue:
            client = make_page([la.open_run(run)], queue).server.test_client()
            (run / "survey.zarr").rename(tmp_path / "later")
            assert '"id":"unread","data":[0]' in client.get("/_dash-layout").get_data(as_text=True).replace(" ", "")
            assert self.watch(client) == ""
            (tmp_path / "later").rename(run / "survey.zarr")
            assert self.watch(client) == subject_of(run).read().revision


class TestVanished:
    """A run that is moved away while the page shows it, and comes back."""

    def test_the_page_says_so_and_goes_on(self, runs: Path, tmp_path: Path) -> None:
        run = shutil.copytree(runs / "plane", tmp_path / "run")
        subject = subject_of(run)
        before = subject.read()
        run.rename(tmp_path / "away")
        gone = subject.read(anew=True)
        assert gone.survey is before.survey
        assert "what is shown is how the survey was before" in subject.tell_progress()
        with pytest.raises(la.BadInput, match="it was there when it was opened, so restore it"):
            refine_region(subject.run, {"u": (0.0, 1.0)}, on_points=lambda *_: None)
        (tmp_path / "away").rename(run)
        assert subject.read(anew=True).survey.identical(before.survey)
        assert subject.tell_progress() == ""
