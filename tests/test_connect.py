"""Curves between runs: what the job finds, keeps and refuses."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torn import torn

import lossatlas as la
from lossatlas import schema
from lossatlas.cli.main import main
from lossatlas.exchange import open_survey
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import ConnectConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.connect import build_connect
from lossatlas.rundir import PLANE
from lossatlas.surveying.best_plane import find_best_plane
from lossatlas.surveying.ensembles import MEMBERS, METRICS, evaluate_ensembles
from lossatlas.surveying.path_points import PathPoints, locate_points
from lossatlas.views.report import text

NETWORK = {"model_options": {"hidden": (8,)}}
TRAINING = TrainConfig(**NETWORK, epochs=6, batch_size=128, snapshots="none")
SMALL = {
    **NETWORK, "steps": 30, "batch_size": 64, "grid": (9,), "plane": 5, "examples": "100", "plane_examples": "40",
    "plan": "loop", "lr": 0.05,
}  # fmt: skip


def halved(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none") / 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trained networks, and one of another architecture, one on other data, one with normalisations."""
    folder = tmp_path_factory.mktemp("networks")
    for seed in range(3):
        run_train(replace(TRAINING, seed=seed), folder / f"r{seed}")
    run_train(replace(TRAINING, model_options={"hidden": (9,)}), folder / "wider")
    shutil.copytree(folder / "r1", folder / "others")
    stored = (folder / "others" / "config.yaml").read_text()
    (folder / "others" / "config.yaml").write_text(stored.replace("data: digits", "data: mnist"))
    trained_on_others(folder / "others")
    for seed in range(2):
        convolutional = replace(
            TRAINING, model="conv", seed=seed, epochs=1,
            model_options={"channels": (4,), "hidden": 6, "batch_norm": True, "max_pool": False},
        )  # fmt: skip
        run_train(convolutional, folder / f"bn{seed}")
    return folder


def trained_on_others(run: Path) -> None:
    """Let a run say that its training examples were others than those that are there."""
    place = run / "provenance.json"
    provenance = json.loads(place.read_text())
    provenance["fingerprints"]["data/train"] = "0" * 16
    place.write_text(json.dumps(provenance))


def config(runs: Path, *names: str, **options: object) -> ConnectConfig:
    return ConnectConfig(between=tuple(str(runs / name) for name in names), **{**SMALL, **options})


@pytest.fixture(scope="module")
def joined(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("joined") / "ab"
    run_connect(config(runs, "r0", "r1"), out)
    return out


def opened(path: Path) -> xr.Dataset:
    return xr.open_zarr(path, consolidated=False, chunks=None).load()


class TestARun:
    def test_its_ends_are_the_networks_bit_for_bit_and_its_files_are_there(self, joined: Path, runs: Path) -> None:
        chart = la.load_chart(joined / "chart.safetensors")
        recipe = build_connect(config(runs, "r0", "r1"))
        assert torch.equal(chart.points(torch.tensor([[0.0], [1.0]])), recipe.networks)
        assert not torch.allclose(chart.controls()[1], recipe.networks.mean(dim=0))
        assert {"curve", "curve_plane", "ensembles"} <= {path.stem for path in joined.glob("*.png")}
        report = (joined / "report.html").read_text()
        barrier = json.loads((joined / "summary.json").read_text())["straight_barrier"]
        assert f"<dd>{text('straight_barrier', barrier)}</dd>" in report
        steps = [json.loads(line) for line in (joined / "metrics.jsonl").read_text().splitlines()]
        assert [step["step"] for step in steps] == list(range(30))
        assert {"mean_loss", "highest_loss", "objective"} <= set(steps[0])

    def test_its_summary_says_what_the_surveys_hold(self, joined: Path) -> None:
        summary = json.loads((joined / "summary.json").read_text())
        survey, straight = opened(joined / "survey.zarr"), opened(joined / "straight.zarr")
        for split in ("train", "test"):
            losses, line = survey[f"{split}_loss"].values, straight[f"{split}_loss"].values
            assert losses[0] == pytest.approx(line[0], rel=1e-5)
            assert losses[-1] == pytest.approx(line[-1], rel=1e-5)
            numbers, worse = summary[f"{split}_scores"], max(losses[0], losses[-1])
            assert numbers["curve_barrier"] == pytest.approx(losses.max() - worse, abs=1e-6)
            assert numbers["straight_barrier"] == pytest.approx(line.max() - worse, abs=1e-5)
            assert numbers["curve_max"] == pytest.approx(losses.max())
            assert numbers["curve_mean"] == pytest.approx(losses.mean(), rel=1e-6)
            assert numbers["curve_error_max"] == pytest.approx(1 - survey[f"{split}_accuracy"].values.min(), rel=1e-6)
            lengths = survey[schema.Along.LENGTH].values
            assert numbers["curve_integral"] == pytest.approx(np.trapezoid(losses, lengths) / lengths[-1], rel=1e-6)
            assert np.array_equal(survey[schema.Along.of("straight", split, "loss")].values, line)
            accuracies = straight[f"{split}_accuracy"].values
            assert np.array_equal(survey[schema.Along.of("straight", split, "accuracy")].values, accuracies)
        assert summary["curve_max"] == summary["test_scores"]["curve_max"]
        assert summary["length_ratio"] > 1

    def test_norms_and_distances_are_those_of_the_points(self, joined: Path, runs: Path) -> None:
        survey, chart = opened(joined / "survey.zarr"), la.load_chart(joined / "chart.safetensors")
        recipe = build_connect(config(runs, "r0", "r1"))
        points = chart.points(torch.tensor(survey["t"].values)[:, None].float()).detach().double()
        assert np.allclose(survey[schema.Along.NORM].values, points.norm(dim=1))
        assert recipe.radial is not None
        path = recipe.radial.points(torch.linspace(0, 1, 1001)[:, None]).double()
        nearest = torch.cdist(points, path).min(dim=1).values
        assert np.allclose(survey[schema.Along.RADIAL_DISTANCE].values, nearest, atol=1e-4)
        assert nearest[4] > 0.1

    def test_the_radial_path_keeps_its_labels(self, joined: Path) -> None:
        path = opened(joined / "radial.zarr")["test_accuracy"].values
        assert np.allclose(path[:4], path[0])
        assert np.allclose(path[5:], path[-1])

    def test_the_plane_holds_the_curve(self, joined: Path) -> None:
        plane, curve = opened(joined / PLANE), opened(joined / "survey.zarr")
        at = np.stack([plane[schema.Along.coordinate(axis)].values for axis in ("u", "v")], axis=1)
        steps = np.linalg.norm(np.diff(at, axis=0), axis=1).sum()
        assert steps == pytest.approx(float(curve[schema.Along.LENGTH].values[-1]), rel=1e-3)
        corners = np.stack([plane[schema.Corner.coordinate(axis)].values for axis in ("u", "v")], axis=1)
        assert np.allclose(corners[0], 0)
        assert np.allclose(at[[0, -1]], corners, atol=1e-6)
        assert schema.parse_texts(plane[schema.Corner.coordinate("u")].attrs["names"]) == ["r0", "r1"]
        assert not plane[schema.Along.PLANE_DISTANCE].values.any()

    def test_ensembles_average_predictions(self, joined: Path, runs: Path) -> None:
        survey = opened(joined / "survey.zarr")
        recipe = build_connect(config(runs, "r0", "r1"))
        chart = la.load_chart(joined / "chart.safetensors")
        inputs, labels = recipe.surveyed["test"].take(torch.arange(len(recipe.surveyed["test"])))

        def probabilities(weights: torch.Tensor) -> torch.Tensor:
            params = recipe.space.unflatten(weights)
            with torch.no_grad():
                return torch.func.functional_call(recipe.problem.module.eval(), params, (inputs,)).softmax(dim=1)

        t = 3 / 8
        one, other = (probabilities(end) for end in recipe.networks)
        own = probabilities(chart.points(torch.tensor([[t]]))[0].detach())
        expected = {"alone": own, "first": (one + own) / 2, "all": (one + other + own) / 3}
        for metric in METRICS:
            found, random = (survey[schema.Along.ensemble(path, "test", metric)] for path in ("curve", "random"))
            assert tuple(schema.parse_texts(found.attrs["names"])) == tuple(expected) == MEMBERS
            for row, mean in enumerate(expected.values()):
                loss = functional.nll_loss(mean.log(), labels)
                hits = (mean.argmax(dim=1) == labels).float().mean()
                wanted = loss if metric == "loss" else hits
                assert found.values[row, 3] == pytest.approx(float(wanted), rel=1e-5)
            assert random.values[0, 0] == pytest.approx(found.values[0, 0])
            assert np.allclose(survey[f"test_{metric}"].values, found.values[0])

    def test_a_survey_of_its_chart_finds_the_same(self, joined: Path, tmp_path: Path) -> None:
        again = SurveyConfig(**NETWORK, run=str(joined), at=("0,0.5,1",), examples="100", plan="loop", range=())
        run_survey(again, tmp_path / "again", pictures=False)
        found = opened(tmp_path / "again" / "survey.zarr")["test_loss"].values
        assert np.allclose(found, opened(joined / "survey.zarr")["test_loss"].values[[0, 4, 8]], rtol=1e-5)


class TestElsewhere:
    @pytest.mark.parametrize("store", ["survey.zarr", "straight.zarr"])
    def test_a_curve_is_exported_and_read_back(self, store: str, joined: Path, tmp_path: Path) -> None:
        file = tmp_path / "curve.csv"
        assert main(["view", str(joined / store), "--export", str(file), "--no_pictures"]) == 0
        survey, (back, damaged) = opened(joined / store), open_survey(file)
        assert not damaged
        for name in ("train_loss", "test_loss", "test_accuracy"):
            assert back[name].dims == ("t",)
            assert np.allclose(back[name].values, survey[name].values)
        assert np.allclose(back["t"], survey["t"])

    def test_errors_alone_are_summed_up_like_accuracies(self, joined: Path, runs: Path, tmp_path: Path) -> None:
        settings = config(runs, "r0", "r1", metrics=("loss", "error"), plane=0, ensembles=False)
        found = run_connect(settings, tmp_path / "ab", pictures=False)["test_scores"]
        wanted = json.loads((joined / "summary.json").read_text())["test_scores"]
        keys = [key for key in wanted if "error" in key]
        assert len(keys) > 6
        assert {key: found[key] for key in keys} == pytest.approx({key: wanted[key] for key in keys}, abs=1e-6)


class TestResuming:
    @pytest.mark.parametrize("after", [12, 31, 36, 39])
    def test_stopped_anywhere_it_ends_the_same(self, after: int, joined: Path, runs: Path, tmp_path: Path) -> None:
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == after

        settings = config(runs, "r0", "r1")
        with pytest.raises(la.Interrupted, match="continue with --out"):
            run_connect(settings, tmp_path / "ab", stop=stop, checkpoint_seconds=0)
        run_connect(settings, tmp_path / "ab", resume=True, pictures=False)
        assert (tmp_path / "ab" / "chart.safetensors").read_bytes() == (joined / "chart.safetensors").read_bytes()
        for store in ("survey.zarr", "straight.zarr", PLANE):
            assert opened(tmp_path / "ab" / store).equals(opened(joined / store))
        summaries = [json.loads((out / "summary.json").read_text()) for out in (tmp_path / "ab", joined)]
        for summary in summaries:
            for name in ("seconds", "seconds_per_step", "survey_seconds", "peak_memory_bytes"):
                del summary[name]
        assert summaries[0] == summaries[1]

    def test_all_that_was_made_and_not_written_is_computed_again(
        self, joined: Path, runs: Path, tmp_path: Path
    ) -> None:
        run = shutil.copytree(joined, tmp_path / "ab")
        stores = ("survey.zarr", "straight.zarr", "radial.zarr", PLANE)
        names = {store: torn(run / store) for store in stores if (run / store).exists()}
        assert {schema.Along.PLANE_DISTANCE, "corner_u", "along_v"} <= names[PLANE]
        assert {"along_norm", "corner_t", "along_t"} <= names["survey.zarr"]
        (run / "summary.json").unlink()
        run_connect(config(runs, "r0", "r1"), run, resume=True, pictures=False)
        for store in names:
            assert opened(run / store).identical(opened(joined / store))

    def test_a_finished_run_is_left_alone_and_others_are_refused(self, joined: Path, runs: Path) -> None:
        before = (joined / "summary.json").stat().st_mtime_ns
        run_connect(config(runs, "r0", "r1"), joined, resume=True)
        assert (joined / "summary.json").stat().st_mtime_ns == before
        with pytest.raises(la.BadInput, match="bends was 1 and is 2"):
            run_connect(config(runs, "r0", "r1", bends=2), joined, resume=True)

    def test_an_option_that_is_younger_than_the_run_has_its_default_there(
        self, joined: Path, runs: Path, tmp_path: Path
    ) -> None:
        older = shutil.copytree(joined, tmp_path / "older")
        stored = yaml.safe_load((older / "config.yaml").read_text())
        del stored["train_ends"]
        (older / "config.yaml").write_text(yaml.safe_dump(stored))
        run_connect(config(runs, "r0", "r1"), older, resume=True)
        with pytest.raises(la.BadInput, match="train_ends was False and is True"):
            run_connect(config(runs, "r0", "r1", train_ends=True), older, resume=True)


class TestKinds:
    @pytest.mark.parametrize("objective", ["arclength", "max"])
    def test_other_objectives(self, objective: str, runs: Path, tmp_path: Path) -> None:
        summary = run_connect(
            config(runs, "r0", "r1", objective=objective, ensembles=False, plane=0, optimizer="adam", lr=1e-2),
            tmp_path / "ab", pictures=False,
        )  # fmt: skip
        assert summary["train_scores"]["curve_max"] < summary["train_scores"]["straight_max"]
        assert not (tmp_path / "ab" / PLANE).exists()

    def test_a_chain_through_three_networks_has_its_best_plane(self, runs: Path, tmp_path: Path) -> None:
        settings = config(runs, "r0", "r1", "r2", curve="chain", bends=2)
        summary = run_connect(settings, tmp_path / "abc", pictures=False)
        chart = la.load_chart(tmp_path / "abc" / "chart.safetensors")
        recipe = build_connect(settings)
        assert torch.equal(chart.points(torch.tensor([[0.0], [0.5], [1.0]])), recipe.networks)
        assert summary["networks_to_plane_max"] < summary["straight_length"]
        assert summary["curve_to_plane_max"] >= summary["curve_to_plane_rms"] > 0
        ways = recipe.networks.double().diff(dim=0).norm(dim=1).sum()
        assert summary["straight_length"] == pytest.approx(float(ways))
        survey = opened(tmp_path / "abc" / "survey.zarr")
        names = survey[schema.Corner.coordinate("t")]
        assert (names.values.tolist(), schema.parse_texts(names.attrs["names"])) == ([0, 0.5, 1], ["r0", "r1", "r2"])
        losses = survey["train_loss"].values
        assert summary["train_scores"]["worse_end"] == pytest.approx(losses[[0, 4, 8]].max())

    def test_the_grid_has_all_networks_of_a_chain(self, runs: Path) -> None:
        copies = [f"copy{k}.safetensors" for k in range(8)]
        state = load_file(runs / "r0" / "model.safetensors")
        for k, name in enumerate(copies):
            save_file({key: value + 1e-3 * k for key, value in state.items()}, runs / name)
        settings = config(runs, *copies, curve="chain", bends=2, grid=(9,))
        recipe = build_connect(settings)
        assert len(recipe.t) == 15
        assert len(build_connect(config(runs, "r0", "r1", "r2", curve="chain", grid=(3,))).t) == 5, (
            "points between them"
        )
        for path in (recipe.chart, recipe.straight):
            met = locate_points(path, recipe.t[::2, None].float())
            assert torch.equal(met.coefficients @ met.controls, recipe.networks)

    def test_ends_may_be_trained_too(self, runs: Path, tmp_path: Path) -> None:
        summary = run_connect(config(runs, "r0", "r1", train_ends=True, lr=0.2), tmp_path / "ab", pictures=False)
        recipe = build_connect(config(runs, "r0", "r1"))
        chart = la.load_chart(tmp_path / "ab" / "chart.safetensors")
        ends = chart.points(torch.tensor([[0.0], [1.0]])).detach()
        moved = (ends - recipe.networks).norm(dim=1)
        assert moved.min() > 0
        assert summary["ends_moved"] == pytest.approx(moved.tolist(), rel=1e-4)
        assert summary["networks_to_plane_max"] > 0, "the plane is the curve's"
        assert summary["curve_to_plane_max"] < 1e-5 * summary["length"]
        survey, straight = (opened(tmp_path / "ab" / name) for name in ("survey.zarr", "straight.zarr"))
        assert survey["train_loss"][0] < straight["train_loss"][0], "they go downhill"
        names = schema.parse_texts(survey[schema.Corner.coordinate("t")].attrs["names"])
        assert list(names) == ["from r0", "from r1"]
        for split in ("train", "test"):
            numbers = summary[f"{split}_scores"]
            worst = straight[f"{split}_loss"].values[[0, -1]].max()
            assert numbers["worse_end"] == pytest.approx(float(worst)), "the networks', not that of the ends now"
            assert numbers["curve_barrier"] == pytest.approx(max(0.0, numbers["curve_max"] - float(worst)), abs=1e-6)
            errors = 1 - straight[f"{split}_accuracy"].values[[0, -1]]
            assert numbers["worse_end_error"] == pytest.approx(float(errors.max()))

    def test_a_radial_path_that_there_is_no_room_for_is_left_out(self, runs: Path) -> None:
        size = build_connect(config(runs, "r0", "r1")).networks.nbytes
        assert build_connect(config(runs, "r0", "r1", memory=str(2 * size))).radial is not None
        recipe = build_connect(config(runs, "r0", "r1", memory=str(2 * size - 1)))
        assert recipe.radial is None
        assert "of which --memory leaves" in recipe.no_radial

    def test_statistics_are_reestimated_at_each_point_and_there_is_no_radial_path(
        self, runs: Path, tmp_path: Path
    ) -> None:
        network = {"channels": (4,), "hidden": 6, "batch_norm": True, "max_pool": False}
        settings = config(runs, "bn0", "bn1", model="conv", model_options=network, steps=3, grid=(3,), plane=2)
        summary = run_connect(settings, tmp_path / "ab", pictures=False)
        survey = opened(tmp_path / "ab" / "survey.zarr")
        assert survey["test_loss"].attrs["buffers"].startswith("reestimated from")
        assert not (tmp_path / "ab" / "radial.zarr").exists()
        assert "radial_distance_max" not in summary
        recipe = build_connect(settings)
        assert "it has normalisation layers" in recipe.no_radial
        # The same by hand: the middle's weights in the module, means and variances of the training examples, the loss.
        module = recipe.problem.module
        chart = la.load_chart(tmp_path / "ab" / "chart.safetensors")
        middle = chart.points(torch.tensor([[0.5]]))[0].detach()
        module.load_state_dict(recipe.space.unflatten(middle), strict=False)
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.reset_running_stats()
                part.momentum = None  # the plain mean of batches
        batches = [batch for batch, _ in zip(recipe.train.eval_batches(500), range(8), strict=False)]
        with torch.no_grad():
            for images, _ in batches:
                module.train()(images)
            images, labels = recipe.surveyed["test"].take(torch.arange(100))
            loss = functional.cross_entropy(module.eval()(images), labels)
        assert survey["test_loss"][1] == pytest.approx(float(loss), rel=1e-3)

    def test_bends_start_at_given_networks(self, runs: Path) -> None:
        recipe = build_connect(config(runs, "r0", "r1", start=(str(runs / "r2"),)))
        third = build_connect(config(runs, "r2", "r1")).networks[0]
        assert torch.equal(recipe.chart.bends[0], third)


def test_the_best_plane_is_that_of_the_singular_value_decomposition() -> None:
    curve = la.Bezier(torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    t = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    plane = find_best_plane(curve, t)
    points = curve.points(t).detach()
    away = points - points.mean(dim=0)
    _, extents, directions = torch.linalg.svd(away, full_matrices=False)
    wanted = away - away @ directions[:2].T @ directions[:2]
    assert torch.allclose(plane.distances, wanted.norm(dim=1))
    assert torch.allclose(plane.coords.square().sum(dim=0).sqrt(), extents[:2])
    coords, distances = plane.project(points)
    assert torch.allclose(coords, plane.coords)
    assert torch.allclose(distances, plane.distances)
    assert torch.allclose(plane.chart.directions @ plane.chart.directions.T, torch.eye(2).double(), atol=1e-10)
    with pytest.raises(la.BadInput, match="straight line"):
        find_best_plane(la.Chain(points[:2]), t)


def test_ensembles_of_sequences_count_positions_alike() -> None:
    from networks import make

    problem, split = make("tied")
    space = la.WeightSpace(problem.module)
    weights = torch.stack([space.vector_of(problem.module), torch.zeros(space.size).double()])
    engine = la.engine_for(problem, la.Chain(weights), split, plan="loop")
    one = torch.tensor([[1.0, 0.0]]).double()
    stay, zero = PathPoints(one, weights), PathPoints(one.flip(1), weights)
    losses = evaluate_ensembles(engine, stay, zero, problem.loss, split, 5)["loss"][:, 0].tolist()
    assert losses[0] == pytest.approx(math.log(7))
    assert losses[1] == losses[2]
    logits = problem.module(split.data[0]).detach()
    mean = (logits.softmax(dim=-1) + 1 / 7) / 2
    loss = functional.nll_loss(mean.log().flatten(0, 1), split.data[1].flatten())
    assert losses[1] == pytest.approx(float(loss))


class TestCommandLine:
    def test_from_end_to_end(self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "ab"
        tokens = ["connect", str(runs / "r0"), str(runs / "r1"), "--curve=bezier", "--bends=1", "--objective=uniform"]
        tokens += ["--steps=5", "--grid=5", "--plane=3", "--examples=40", "--plane_examples=20", "--plan=loop"]
        assert main([*tokens, f"--out={out}", "--dry_run"]) == 0
        assert not out.exists()
        assert "5 points" in capsys.readouterr().out
        assert main([*tokens, f"--out={out}", "--print_config"]) == 0
        assert "model.hidden" in capsys.readouterr().out, "lent by the first run"
        assert main([*tokens, f"--out={out}"]) == 0
        assert "straight_barrier" in capsys.readouterr().out
        assert main(["connect", f"--out={out}", "--resume"]) == 0
        assert main(["view", str(out), "--kinds", "curve", f"--out={tmp_path}"]) == 0
        assert main(["view", str(out / PLANE), "--kinds", "curve_plane", f"--out={tmp_path}"]) == 0
        assert {path.name for path in tmp_path.glob("*.png")} == {"curve.png", "curve_plane.png"}

    @pytest.mark.parametrize(
        "tokens",
        [
            "A B --curve=bezier --bends 2",
            "--curve bezier A B --bends 2",
            "--bends 2 --no_pictures A B --model.hidden 8 8",
            "--bends=2 A B --splits train test",
            "--between A B --bends 2",
            "A B --bends 2 --model mlp --model.hidden 8",
            "--bends 2 --model.hidden 8 --no_pictures A B",
        ],
    )
    def test_networks_stand_before_between_or_after_the_options(
        self, tokens: str, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ends = {"A": str(runs / "r0"), "B": str(runs / "r1")}
        assert main(["connect", *(ends.get(token, token) for token in tokens.split()), "--print_config"]) == 0
        settings = yaml.safe_load(capsys.readouterr().out)
        assert (settings["between"], settings["bends"]) == ([ends["A"], ends["B"]], 2)

    @pytest.mark.parametrize(
        ("tokens", "said"),
        [
            ([], "connects two or more networks; got 0"),
            (["r0"], "connects two or more networks; got 1"),
            (["r0", "wider"], "different architectures: model.hidden is"),
            (["r0", "others"], "data is 'digits' for the first and 'mnist' for the second"),
            (["r0", "r0"], "is named twice"),
            (["r0", "twin"], "are equal, so there is nothing between them"),
            (["r0", "foreign.safetensors"], "is of another model"),
            (["r0", "nan.safetensors"], "nan.safetensors has weights that are not finite"),
            (["r0", "r1", "--start", "nan.safetensors"], "nan.safetensors has weights that are not finite"),
            (["r0", "nowhere"], "nowhere"),
            (["r0", "empty"], "empty does not hold model.safetensors; name a run of lossatlas train"),
            (["r0", "r1", "--bends=1.5"], "--bends: 1.5 is not a whole number"),
            (["r0", "r1", "--model.hidden", "8.5"], "8.5 is not a whole number"),
            (["r0", "r1", "--bends=0"], "bends is 0; expected a positive number"),
            (["r0", "r1", "r2"], "choose chain"),
            (["r0", "r1", "--objective=maxx"], "'maxx' is not an objective"),
            (["r0", "r1", "--objective=max", "--points=1"], "expected 2 points or more per step"),
            (["r0", "r1", "--grid=2"], "expected 3 or more values of t"),
            (["r0", "r1", "--plane=1"], "expected 2 or more points along each side"),
            (["r0", "r1", "--start", "r2", "--bends=2"], "begin at points of shape"),
            (["r0", "r1", "--steps=3", "--seconds=3"], "give one of the two"),
            (["r0", "r1", "--metrics=accuracy"], "lack the loss"),
            (["r0", "r1", "--weight_decay=inf"], "weight_decay is inf; expected 0 or a positive number"),
            (["r0", "r1", "--weight_decay=-1"], "weight_decay is -1.0; expected 0 or a positive number"),
            (["r0", "r1", "--objective=max", "--temperature=nan"], "temperature is nan; expected a positive number"),
            (["r0", "r1", "--survey_buffers=foo"], "'foo' is not a buffers policy"),
            (["bn0", "bn1", "--buffers=interpolated"], "interpolated"),
        ],
    )
    def test_bad_input_is_one_line_and_leaves_nothing(
        self, tokens: list[str], said: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.chdir(runs)
        twin = runs / "twin"
        if not twin.exists():
            twin.mkdir()
            (runs / "empty").mkdir()
            (twin / "model.safetensors").write_bytes((runs / "r0" / "model.safetensors").read_bytes())
            (runs / "foreign.safetensors").write_bytes((runs / "wider" / "model.safetensors").read_bytes())
            state = load_file(runs / "r1" / "model.safetensors")
            next(iter(state.values()))[0] = math.nan
            save_file(state, runs / "nan.safetensors")
        assert main(["connect", *tokens, "--plan=loop", f"--out={tmp_path / 'x'}"]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert said in error
        assert not list(tmp_path.iterdir())

    def test_other_examples_under_the_same_name_are_refused(
        self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(runs / "r1", tmp_path / "changed")
        trained_on_others(tmp_path / "changed")
        assert main(["connect", str(runs / "r0"), str(tmp_path / "changed"), f"--out={tmp_path / 'x'}"]) == 2
        assert "different data: the hash of the train examples is" in capsys.readouterr().err

    def test_networks_are_not_joined_on_other_data_than_their_own(
        self, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("r0", "r1"):
            shutil.copytree(runs / name, tmp_path / name)
            trained_on_others(tmp_path / name)
        ends = [str(tmp_path / name) for name in ("r0", "r1")]
        assert main(["connect", *ends, f"--out={tmp_path / 'x'}"]) == 2
        said = capsys.readouterr().err
        assert "the train examples of digits are not those that" in said
        assert "Traceback" not in said
        assert not (tmp_path / "x").exists()

    def test_networks_under_other_losses_are_refused(self, runs: Path, tmp_path: Path) -> None:
        for name, loss in (("r1", "cross_entropy"), ("r2", "test_connect:halved")):
            shutil.copytree(runs / name, tmp_path / name)
            stored = (tmp_path / name / "config.yaml").read_text()
            (tmp_path / name / "config.yaml").write_text(stored.replace("loss: auto", f"loss: {loss}"))
        shutil.copytree(runs / "r0", tmp_path / "r0")
        build_connect(config(tmp_path, "r0", "r1"))  # auto is cross-entropy here
        with pytest.raises(la.BadInput, match="under different losses: CrossEntropy and PerExample"):
            build_connect(config(tmp_path, "r0", "r2"))


def test_metrics_with_values_of_their_own_dimension_lie_along_all_paths(runs: Path, tmp_path: Path) -> None:
    run_connect(config(runs, "r0", "r1", metrics=("auto", "class_accuracy")), tmp_path / "run", pictures=False)
    survey = xr.open_zarr(str(tmp_path / "run" / "survey.zarr"), consolidated=False, chunks=None)
    along = survey[schema.Along.of("straight", "test", "class_accuracy")]
    assert along.dims == (schema.Along.DIMENSION, schema.CLASSES)
    np.testing.assert_allclose(along[0], survey["test_class_accuracy"].isel(t=0))


def test_positions_without_a_label_do_not_count_in_ensembles() -> None:
    module = torch.nn.Embedding(5, 5).double()
    tokens = torch.randint(5, (6, 4), generator=torch.Generator().manual_seed(0))
    labels = tokens.roll(1, dims=1)
    labels[:, 1] = -100
    problem, split = la.Problem(module, la.CrossEntropy()), la.Split((tokens, labels))
    space = la.WeightSpace(module)
    weights = torch.stack([space.vector_of(module), torch.zeros(25, dtype=torch.float64)])
    engine = la.engine_for(problem, la.Simplex(weights), split, plan="loop")
    one = torch.eye(2, dtype=torch.float64)[:1]
    stay, zero = PathPoints(one, weights), PathPoints(one.flip(1), weights)
    found = evaluate_ensembles(engine, stay, zero, problem.loss, split, 4)
    mean = (module(tokens).detach().softmax(dim=-1) + 0.2) / 2
    kept = torch.tensor([0, 2, 3])
    losses = -mean.log().gather(-1, labels.clamp(min=0)[..., None])[..., 0][:, kept]
    assert float(found["loss"][1, 0]) == pytest.approx(float(losses.mean()), rel=1e-12)


def test_curves_that_close_have_a_best_plane() -> None:
    t = torch.linspace(0, 1, 41, dtype=torch.float64)[:, None]
    for seed in range(20):
        corners = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        curve = la.Chain(torch.cat([corners, corners[:1]]))
        plane = find_best_plane(curve, t)
        assert plane.chart.points(plane.coords).isfinite().all()


@pytest.mark.parametrize("end", ["r0", "r1"])
def test_a_run_does_not_replace_what_it_is_made_of(end: str, runs: Path, tmp_path: Path) -> None:
    for name in ("r0", "r1"):
        shutil.copytree(runs / name, tmp_path / name)
    with pytest.raises(la.BadInput, match=f"{end}, which is an input of the run; choose another --out"):
        run_connect(config(tmp_path, "r0", "r1"), tmp_path / end, overwrite=True)
    inner = SurveyConfig(checkpoint=str(tmp_path / end), **NETWORK)
    with pytest.raises(la.BadInput, match="which is an input of the run"):
        run_survey(inner, tmp_path / end, overwrite=True)
    assert (tmp_path / end / "model.safetensors").is_file()
