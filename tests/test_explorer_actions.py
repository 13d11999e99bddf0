"""What actions and panels of the explorer do with what is marked: snapshots, samples, and what has to be known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

import lossatlas as la
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig

pytest.importorskip("dash", reason="the extra explore is not installed")
from lossatlas.explorer.action import Request, list_actions
from lossatlas.explorer.answer import answer
from lossatlas.explorer.evaluation.evaluator import Evaluator
from lossatlas.explorer.look import Look, parse_place
from lossatlas.explorer.panel import list_panels
from lossatlas.explorer.queue import TaskQueue
from lossatlas.explorer.subject import Subject

MODEL: dict[str, Any] = {"model_options": {"hidden": (6,)}, "device": "cpu"}
SOON = 60.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    run_train(TrainConfig(**MODEL, epochs=2, batch_size=300, snapshots="epoch:1"), folder / "net")
    cheap: dict[str, Any] = {**MODEL, "plan": "loop", "examples": "60"}
    around = {**cheap, "checkpoint": str(folder / "net")}
    run_survey(SurveyConfig(**around, grid=(3, 3), repeats=2), folder / "repeats", pictures=False)
    along = SurveyConfig(**cheap, trajectory=str(folder / "net"), directions=("random",), grid=(3,))
    run_survey(along, folder / "along", pictures=False)
    return folder


def ask(run: Path, *, sample: int = 0, region: Any = None, **place: Any) -> Request:
    opened = la.open_run(run)
    marked = parse_place(place)
    look = Look(sample=sample)
    return Request(Subject(opened, run.name), Evaluator(opened), marked, look, region, marked.find_snapshot(0))


def carry_out(name: str, request: Request) -> Any:
    action = list_actions()[name]
    action.check(request)
    with TaskQueue() as queue:
        state = queue.wait(queue.submit("w", name, name, lambda handle: action.carry_out(request, handle)), SOON)
        assert state.stage == "done", state.error
        return state.result


class TestASnapshotThatIsMarked:
    def test_is_what_is_downloaded(self, runs: Path) -> None:
        found = carry_out("weights", ask(runs / "along", at={"u": 0.0}, snapshot=0))
        module = la.MLP(hidden=(6,)).build((1, 8, 8), outputs=10)
        module.load_state_dict(load(found.content))
        run = la.open_run(runs / "along")
        inputs, labels = run.splits["test"].data
        with torch.no_grad():
            loss = float(torch.nn.functional.cross_entropy(module(inputs), labels))
        assert loss == pytest.approx(float(run.survey["path_loss_test"][0]), rel=1e-5)
        assert "snapshot 0" in found.where
        assert found.name == "along_snapshot_0.safetensors"

    def test_has_no_curvature_of_its_projection(self, runs: Path) -> None:
        with pytest.raises(la.BadInput, match="a snapshot of the training is marked, which lies off the chart"):
            carry_out("curvature", ask(runs / "along", at={"u": 0.0}, snapshot=0))

    def test_is_one_of_the_run_that_is_walked_alone(self) -> None:
        place = parse_place({"at": {"u": 0.5}, "snapshot": 3, "walked": 1})
        assert [place.find_snapshot(run) for run in range(3)] == [None, 3, None]


class TestARepeat:
    def test_breaks_are_those_of_the_repeat_that_is_shown(self, runs: Path) -> None:
        for repeat in (0, 1):
            request = ask(runs / "repeats", sample=repeat)
            result = carry_out("breaks", request)
            assert result.found.rays.centre[-1] == repeat
            assert result.centre.endswith(f"in repeat {repeat}")
            first = result.found.earliest[0]
            coords = request.subject.list_coords(dict(zip("uv", first.coords, strict=False)), repeat)
            there = request.evaluator.examine(coords).splits[result.split]
            assert there.predictions is not None
            assert there.predictions[first.example] == first.prediction != first.target

    def test_weights_say_of_which_they_are(self, runs: Path) -> None:
        found = [carry_out("weights", ask(runs / "repeats", sample=k, at={"u": 1.0, "v": 0.5})) for k in (0, 1)]
        assert [each.where for each in found] == [f"u = 1, v = 0.5, repeat {k}" for k in (0, 1)]
        first, second = (load(each.content) for each in found)
        assert not all(torch.equal(first[name], second[name]) for name in first)


def test_a_finer_region_tells_what_the_job_said(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "repeats", tmp_path / "run")
    request = ask(tmp_path / "run", region={"u": (0.0, 1.0), "v": (0.0, 1.0)})
    count, said = carry_out("refine", request)
    assert count > 0
    assert any("draws its pictures anew" in line for line in said)
    shown = str(list_actions()["refine"].show((count, said), "ticket"))
    assert all(line in shown for line in said)


def test_what_has_to_be_known_of_breaks_is_shown(runs: Path) -> None:
    result = carry_out("breaks", ask(runs / "repeats"))
    object.__setattr__(result.found, "notes", ("3 of 16 directions lead beyond the domain",))
    assert "3 of 16 directions lead beyond the domain" in str(list_actions()["breaks"].show(result, "ticket"))


def test_numbers_say_over_how_many_examples_and_say_nothing_twice(runs: Path) -> None:
    request = ask(runs / "repeats")
    found = answer(request.subject, request.evaluator, {"u": 1e30}, 0, "test", None)
    shown = str(list_panels(found))
    assert "60 of train" in shown
    assert "60 of test" in shown
    assert "60 predictions on the 60 examples of test" in shown
    for line in found.found.cautions:
        assert shown.count(line) == 1
    assert found.found.cautions
    assert isinstance(found.here.confusion, np.ndarray)
