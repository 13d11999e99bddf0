"""What runs compute on demand: as their surveys did, from their own records."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.nn import functional

import lossatlas as la
from lossatlas.cli import main
from lossatlas.explorer.evaluation.evaluator import Evaluator
from lossatlas.explorer.evaluation.images import make_image
from lossatlas.files.tensors import open_tensors
from lossatlas.jobs.refine import refine_region

QUIET = ("--plan=loop", "--examples=60", "--eval_batch_size=30", "--no_pictures")
SMALL = ("--model.hidden=6", "--device=cpu")
NORMALISED = ("--model=conv", "--model.channels=2", "--model.hidden=4", "--model.batch_norm", "--device=cpu")
PERCEPTRON, CONVOLUTIONS = la.MLP(hidden=(6,)), la.Conv(channels=(2,), hidden=4, batch_norm=True)
MINE = """
import torch
from torch import nn
import lossatlas as la

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.mix = nn.Linear(5, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.mix(self.embedding(tokens))))

def tokens():
    inputs = torch.randint(7, (40, 6), generator=torch.Generator().manual_seed(0))
    return la.Dataset("tokens", la.Split((inputs, inputs.roll(1, dims=1))))

class Line(nn.Linear):
    def __init__(self):
        super().__init__(3, 1)

def numbers():
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed({seed}))
    return la.Dataset("numbers", la.Split((inputs, inputs.sum(dim=1, keepdim=True))))
"""


def make(*tokens: str) -> None:
    assert main([*tokens]) == 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind that is examined."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        Path("mine.py").write_text(MINE.replace("{seed}", "1"))
        for seed in (1, 2):
            make("train", f"--out=t{seed}", "--epochs=1", f"--seed={seed}", "--batch_size=600", *SMALL)
        make("train", "--out=norm", "--epochs=1", "--batch_size=300", *NORMALISED)
        make("survey", "--out=slice", "--checkpoint=t1", "--grid", "3", "5", *QUIET)
        make("survey", "--out=repeats", "--checkpoint=t1", "--grid=3", "--repeats=2", "--directions=random", *QUIET)
        make("survey", "--out=along", "--trajectory=t1", "--directions=random", "--grid=3", *QUIET)
        make("survey", "--out=between", "--between", "t1", "t2", "--grid=3", *QUIET)
        make("connect", "t1", "t2", "--out=curve", "--steps=3", "--grid=3", "--plane=0", "--no_ensembles", *QUIET)
        make("fit", "--out=fit", "--steps=3", "--size=6", "--padding=1", *QUIET, *SMALL)
        make("survey", "--out=norms", "--checkpoint=norm", "--grid=2", "--buffers=reestimated", *QUIET)
        make("survey", "--out=norms_along", "--trajectory=norm", "--directions=random", "--grid=2", *QUIET)
        for name, model, data in (("tied", "Tied", "tokens"), ("line", "Line", "numbers")):
            problem = (f"--model=mine:{model}", f"--data=mine:{data}", "--device=cpu")
            make("train", f"--out={name}_net", "--epochs=1", *problem)
            make("survey", f"--out={name}", f"--checkpoint={name}_net", "--grid=3", "--splits=train", *QUIET)
    return folder


@pytest.fixture
def at_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runs, as the working folder."""
    monkeypatch.chdir(runs)
    monkeypatch.syspath_prepend(str(runs))
    return runs


def evaluate(name: str) -> Evaluator:
    return Evaluator(la.open_run(name))


def build_from(evaluator: Evaluator, coords: tuple[float, ...]) -> nn.Module:
    """A module of the run's kind built anew, with the weights that were written at a point."""
    own = evaluator.run.problem.module
    if isinstance(own, nn.Sequential):
        family = PERCEPTRON if isinstance(own[0], nn.Flatten) else CONVOLUTIONS
        fresh = family.build((1, 8, 8), 10)
    else:
        fresh = type(own)()
    fresh.load_state_dict(load(evaluator.write_weights(coords)), strict=True)
    return fresh.eval()


@pytest.mark.usefixtures("at_runs")
class TestAnExaminedPoint:
    @pytest.mark.parametrize("name", ["slice", "repeats", "along", "between", "curve", "fit", "norms", "tied", "line"])
    def test_has_what_the_survey_has_there_and_so_has_the_network_that_is_written(self, name: str) -> None:
        evaluator = evaluate(name)
        survey = evaluator.run.survey
        place = {axis: int(len(survey[axis]) - 1 - (k == 0)) for k, axis in enumerate(evaluator.axes)}
        coords = tuple(float(survey[axis][k]) for axis, k in place.items())
        found = evaluator.examine(coords)
        assert found.axes == evaluator.axes == evaluator.run.chart.axes
        assert found.coords == coords
        fresh = build_from(evaluator, coords)
        for split, examined in found.splits.items():
            for metric, value in examined.metrics.items():
                assert value == pytest.approx(float(survey[f"{split}_{metric}"].isel(place)), rel=2e-4, abs=1e-6)
            inputs, targets = evaluator.run.splits[split].data
            with torch.no_grad():
                outputs = fresh(inputs)
            if name == "line":
                losses = functional.mse_loss(outputs, targets, reduction="none")[:, 0]
            elif name == "tied":
                losses = functional.cross_entropy(outputs.mT, targets, reduction="none").mean(dim=1)
            else:
                losses = functional.cross_entropy(outputs, targets, reduction="none")
                wanted = confusion_matrix(targets, outputs.argmax(dim=1), labels=range(10))
                np.testing.assert_array_equal(examined.confusion, wanted)
            np.testing.assert_allclose(examined.losses, losses, rtol=1e-3, atol=1e-5)

    def test_lies_where_its_weights_are(self) -> None:
        evaluator = evaluate("slice")
        weights, centre = (
            evaluator.run.chart.points(torch.tensor([at], dtype=torch.float64))[0].double()
            for at in ((0.5, -1.0), (0.0, 0.0))
        )
        for place in (evaluator.examine((0.5, -1.0)).place, evaluator.measure_place((0.5, -1.0))):
            assert place.distance == pytest.approx(float((weights - centre).norm()), rel=1e-6)
            assert place.relative_distance == pytest.approx(place.distance / float(centre.norm()), rel=1e-6)
            cosine = float(weights @ centre / weights.norm() / centre.norm())
            assert place.cosine == pytest.approx(cosine, abs=1e-6)
        assert evaluator.examine((0.0, 0.0)).place.distance == 0

    def test_is_kept_and_so_is_the_centre(self) -> None:
        evaluator = evaluate("slice")
        centre = evaluator.examine(evaluator.centre.coords)
        first = evaluator.examine((0.5, 0.5))
        assert evaluator.examine((0.5, 0.5)) is first
        for k in range(12):
            evaluator.examine((k / 12, 1.0))
        assert evaluator.examine(evaluator.centre.coords) is centre
        assert evaluator.examine((0.5, 0.5)) is not first
        assert len(evaluator._examined) <= 9

    def test_far_away_says_that_numbers_are_not_finite(self) -> None:
        found = evaluate("slice").examine((1e30, 0.0))
        assert any("not finite" in line for line in found.cautions)

    @pytest.mark.parametrize(
        ("name", "coords", "told"),
        [
            ("slice", (0.0,), "expected a finite number for each of u, v"),
            ("slice", (0.0, math.inf), "expected a finite number for each of u, v"),
            ("repeats", (0.0, 2.0), "2 is not the number of a repeat; expected 0 to 1"),
            ("repeats", (0.0, 0.5), "0.5 is not the number of a repeat"),
        ],
    )
    def test_is_refused_coordinates_that_the_chart_does_not_have(self, name: str, coords: Any, told: str) -> None:
        with pytest.raises(la.BadInput, match=told):
            evaluate(name).examine(coords)


@pytest.mark.usefixtures("at_runs")
class TestTheCentre:
    @pytest.mark.parametrize(
        ("name", "coords", "words"),
        [
            ("slice", (0.0, 0.0), "t1 (u = v = 0)"),
            ("repeats", (0.0, 0.0), "t1 (u = 0)"),
            ("between", (0.0,), "t1 (u = 0)"),
            ("curve", (0.0,), "t1 (t = 0)"),
            ("fit", (0.0, 0.0), "the origin of the chart (u = v = 0)"),
        ],
    )
    def test_is_where_the_first_network_is(self, name: str, coords: tuple[float, ...], words: str) -> None:
        centre = evaluate(name).centre
        assert (centre.coords, centre.words) == (coords, words)


@pytest.mark.usefixtures("at_runs")
class TestASnapshot:
    @pytest.mark.parametrize("name", ["along", "norms_along"])
    def test_has_its_own_weights_and_statistics_off_the_plane(self, name: str) -> None:
        evaluator = evaluate(name)
        survey, run = evaluator.run.survey, evaluator.run
        before = {key: value.clone() for key, value in run.problem.module.state_dict().items()}
        for index in range(survey.sizes["snapshot"]):
            found = evaluator.examine_snapshot(index)
            for split, examined in found.splits.items():
                stored = float(survey[f"path_loss_{split}"][index])
                assert examined.metrics["loss"] == pytest.approx(stored, rel=1e-5)
            assert found.off_chart == float(survey["path_distance"][index])
            assert found.coords == (float(survey["path_u"][index]),)
            assert found.called == f"step {int(survey['path_step'][index])}"
        last = survey.sizes["snapshot"] - 1
        assert evaluator.examine_snapshot(last).place.distance == pytest.approx(0, abs=1e-5)
        assert evaluator.examine_snapshot(0).place.distance > 0.01
        for key, value in run.problem.module.state_dict().items():
            assert torch.equal(value, before[key])

    def test_is_written_as_it_was_taken_and_not_as_its_projection(self) -> None:
        evaluator = evaluate("along")
        fresh = PERCEPTRON.build((1, 8, 8), 10)
        fresh.load_state_dict(load(evaluator.write_snapshot(0)), strict=True)
        inputs, labels = evaluator.run.splits["test"].data
        with torch.no_grad():
            loss = float(functional.cross_entropy(fresh.eval()(inputs), labels))
        assert loss == pytest.approx(float(evaluator.run.survey["path_loss_test"][0]), rel=1e-5)

    def test_is_found_once_the_survey_has_followed_the_trajectory(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "along", tmp_path / "along")
        store = tmp_path / "along" / "survey.zarr"
        described = (store / "zarr.json").read_text()
        head = json.loads(described)
        del head["consolidated_metadata"]["metadata"]["path_distance"]
        (store / "path_distance").rename(tmp_path / "kept")
        (store / "zarr.json").write_text(json.dumps(head))
        evaluator = evaluate(str(tmp_path / "along"))
        with pytest.raises(la.BadInput, match="has not followed its trajectory yet"):
            evaluator.examine_snapshot(0)
        (tmp_path / "kept").rename(store / "path_distance")
        (store / "zarr.json").write_text(described)
        assert evaluator.examine_snapshot(0).off_chart > 0

    def test_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="is not the number of a snapshot; expected 0 to"):
            evaluate("along").examine_snapshot(100)

    def test_of_a_survey_without_a_trajectory_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="does not lie along a trajectory"):
            evaluate("slice").examine_snapshot(0)


@pytest.mark.usefixtures("at_runs")
def test_curvature_is_that_of_a_survey_and_says_how_exact_it_is() -> None:
    evaluator = evaluate("line")
    told: list[tuple[int, int]] = []
    found = evaluator.measure_curvature((0.5, 0.0), on_points=lambda *each: told.append(each))
    numbers = {each.name: each for each in found.numbers}
    # Of a linear regression the Hessian is twice the second moment of inputs and one.
    inputs = evaluator.run.splits["train"].data[0].double()
    rows = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    hessian = 2 * rows.T @ rows / len(rows)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert numbers["hessian_max"].value == pytest.approx(float(eigenvalues[-1]), rel=1e-3)
    assert numbers["hessian_min"].value == pytest.approx(float(eigenvalues[0]), rel=1e-3)
    assert numbers["hessian_trace"].value == pytest.approx(float(hessian.trace()), rel=1e-2)
    assert found.split == "train"
    names = [each.error_name for each in found.numbers]
    assert names == ["residual", "residual", "probe_error"]
    assert all(each.error >= 0 for each in found.numbers)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.usefixtures("at_runs")
def test_written_weights_say_where_they_are_from(tmp_path: Path) -> None:
    evaluator = evaluate("tied")
    (tmp_path / "weights.safetensors").write_bytes(evaluator.write_weights((0.5, 0.25)))
    with open_tensors(tmp_path / "weights.safetensors") as file:
        assert file.metadata == {"run": "tied", "coordinates": '{"u": 0.5, "v": 0.25}', "buffers": ""}
        assert torch.equal(file["head.weight"], file["embedding.weight"])


@pytest.mark.usefixtures("at_runs")
def test_breaks_reach_to_the_edge_of_what_was_surveyed() -> None:
    evaluator = evaluate("slice")
    breaks = evaluator.find_breaks("test", directions=4, steps=3)
    np.testing.assert_allclose(breaks.rays.reaches, [box[1] for box in evaluator.box.values()] * 2)
    centre = evaluator.examine(evaluator.centre.coords).splits["test"]
    assert breaks.whole == centre.right.sum()
    first = breaks.earliest[0]
    there = evaluator.examine(first.coords).splits["test"]
    assert not there.right[first.example]
    assert there.predictions[first.example] == first.prediction
    assert evaluator.measure_place(first.coords).distance == pytest.approx(first.weight_distance)
    with pytest.raises(la.BadInput, match="'other' is not a split of the survey; expected train, test"):
        evaluator.find_breaks("other")


@pytest.mark.usefixtures("at_runs")
def test_examples_are_images_where_they_look_like_such() -> None:
    evaluator = evaluate("slice")
    image = evaluator.read_example("test", 3)
    raw = evaluator.run.splits["test"].data[0][3, 0].numpy()
    assert image is not None
    assert (image.shape, image.dtype, image.min(), image.max()) == ((8, 8), np.uint8, 0, 255)
    np.testing.assert_allclose(image / 255, (raw - raw.min()) / (raw.max() - raw.min()), atol=1 / 255)
    assert evaluator.name_classes() == tuple("0123456789")
    assert evaluate("tied").read_example("train", 0) is None
    assert evaluate("line").name_classes() == ()
    with pytest.raises(la.BadInput, match="expected 0 to 59"):
        evaluator.read_example("test", 60)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 9, 7), (9, 7, 3)),
        ((1, 9, 7, 3), (9, 7, 3)),
        ((1, 1, 9, 7), (9, 7)),
        ((1, 9, 11), (9, 11)),
        ((1, 2, 9, 7), None),
        ((1, 1, 600, 9), None),
        ((1, 5, 7), None),
        ((1, 9), None),
    ],
)
def test_what_looks_like_an_image(shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    image = make_image(((pixels,), {}))
    assert (None if image is None else image.shape) == expected
    assert make_image(pixels.long()) is None
    constant = make_image(torch.ones(1, 1, 9, 9))
    assert constant is not None
    assert len(np.unique(constant)) == 1
    assert make_image(torch.full((1, 1, 9, 9), torch.nan)) is None


class TestARunThatCannotCompute:
    def copy(self, runs: Path, folder: Path, *names: str) -> None:
        for name in names:
            shutil.copytree(runs / name, folder / name)
            provenance = folder / name / "provenance.json"
            provenance.write_text(provenance.read_text().replace(str(runs), str(folder)))

    def test_says_in_one_line_that_the_network_is_missing_each_time(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, "slice")
        monkeypatch.chdir(tmp_path)
        evaluator = evaluate("slice")
        errors = []
        for _ in range(2):
            with pytest.raises(la.BadInput, match="t1") as raised:
                evaluator.prepare()
            errors.append(raised.value)
        assert errors[0] is errors[1]
        assert "\n" not in str(errors[0])
        with pytest.raises(la.BadInput, match="t1"):
            evaluator.examine((0.0, 0.0))
        assert evaluator.box["u"] == (-1.0, 1.0)  # what was surveyed can be shown all the same

    def test_says_that_its_data_or_model_are_missing_or_have_changed(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, "line", "line_net")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        with pytest.raises(la.BadInput, match="mine:numbers"):
            evaluate("line").prepare()
        (tmp_path / "mine.py").write_text(MINE.replace("{seed}", "5"))
        with pytest.raises(la.BadInput, match="the train examples of mine:numbers are not those"):
            evaluate("line").prepare()

    def test_says_that_it_has_no_survey(self, at_runs: Path) -> None:
        with pytest.raises(la.BadInput, match="holds no survey"):
            evaluate("t1").prepare()

    def test_says_that_its_trajectory_has_changed(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, "along", "t1")
        monkeypatch.chdir(tmp_path)
        first = min((tmp_path / "t1").rglob("0*.safetensors"))
        state = load(first.read_bytes())
        first.write_bytes(save({name: value + 1 for name, value in state.items()}))
        with pytest.raises(la.BadInput, match="has changed since it was surveyed"):
            evaluate("along").examine_snapshot(0)


@pytest.mark.usefixtures("at_runs")
class TestARunThatChanges:
    def copy(self, runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        TestARunThatCannotCompute().copy(runs, folder, "slice", "t1")
        monkeypatch.chdir(folder)

    def test_is_tried_again_once_what_was_missing_is_back(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, monkeypatch)
        (tmp_path / "t1").rename("away")
        evaluator = evaluate("slice")
        with pytest.raises(la.BadInput, match="t1"):
            evaluator.examine((0.0, 0.0))
        (tmp_path / "away").rename("t1")
        monkeypatch.setattr("lossatlas.explorer.evaluation.evaluator.RETRIED", 0.0)
        survey = evaluator.run.survey
        loss = evaluator.examine((0.0, 0.5)).splits["test"].metrics["loss"]
        assert loss == pytest.approx(float(survey["test_loss"].sel(u=0.0, v=0.5)), rel=2e-4)

    def test_is_evaluated_as_it_is_now_once_it_is_replaced(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, monkeypatch)
        evaluator = evaluate("slice")
        before = evaluator.examine((1.0, 1.0)).splits["test"].metrics["loss"]
        make("survey", "--out=slice", "--overwrite", "--checkpoint=t1", "--grid=3", "--direction_seed=5", *QUIET)
        survey = la.open_run("slice").survey
        stored = float(survey["test_loss"].sel(u=1.0, v=1.0))
        assert stored != pytest.approx(before, rel=1e-3)
        assert evaluator.examine((1.0, 1.0)).splits["test"].metrics["loss"] == pytest.approx(stored, rel=2e-4)

    def test_keeps_what_was_found_while_its_record_stays_though_a_region_is_made_finer(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.copy(runs, tmp_path, monkeypatch)
        evaluator = evaluate("slice")
        found = evaluator.examine((1.0, 1.0))
        refine_region(evaluator.run, {"u": (0.0, 1.0)}, on_points=lambda *_: None)
        assert evaluator.examine((1.0, 1.0)) is found


@pytest.mark.usefixtures("at_runs")
def test_computes_with_the_threads_of_the_run_and_leaves_those_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator, used, before = evaluate("slice"), [], torch.get_num_threads()
    evaluator.prepare()
    assert torch.get_num_threads() == before
    planned = evaluator.run.engine.plan.threads
    other = planned + 1
    torch.set_num_threads(other)
    try:
        examine = la.studies.examine_network
        monkeypatch.setattr(
            "lossatlas.studies.examine_network",
            lambda *args, **how: (used.append(torch.get_num_threads()), examine(*args, **how))[1],
        )
        evaluator.examine((0.25, 0.25))
        assert used == [planned] * 2
        assert torch.get_num_threads() == other
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("at_runs")
def test_breaks_keep_what_was_told_of_the_run_and_of_the_rays() -> None:
    evaluator = evaluate("slice")
    evaluator.prepare()
    evaluator._ready = replace(evaluator._ready, cautions=("the data are a copy",))
    assert "the data are a copy" in evaluator.find_breaks("test", directions=2, steps=1).notes


def test_its_module_does_not_import_torch() -> None:
    code = "import sys, lossatlas.explorer.evaluation.evaluator; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
