"""Curvature at networks and along trajectories: the verb, its runs, what continues them, and the same from Python."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from torch import nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.curvatures import judge_point
from lossatlas.errors import Interrupted
from lossatlas.exchange.curvature import read_curvature
from lossatlas.jobs.curvature import run_curvature
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SpectraConfig, TrainConfig
from lossatlas.schema import parse_texts
from lossatlas.weights.files import load_state, read_state

MODEL: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
FEW = ["--examples=200", "--probes=2", "--density_steps=12", "--top=3", "--bottom=2"]
SMALL = {"examples": "200", "probes": 2, "density_steps": 12, "top": 3, "bottom": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings with snapshots, and one of a network with batch normalisation."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(2):
        config = TrainConfig(**MODEL, epochs=4.0, snapshots="step:10", seed=seed, optimizer="adam,lr=0.02")
        run_train(config, folder / f"net{seed}")
    small = {"channels": (2,), "hidden": 4, "batch_norm": True, "max_pool": False}
    run_train(TrainConfig(model="conv", model_options=small, device="cpu", epochs=0.2), folder / "normalised")
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problem_of(run: Path) -> tuple[la.Problem, la.Split]:
    """The problem of a training, with its network, and the examples that are measured."""
    opened = la.open_run(run)
    return opened.problem, opened.base.take_examples("200", ["train"])["train"]


def dense_hessian(problem: la.Problem, split: la.Split) -> torch.Tensor:
    """The Hessian of the mean loss, in float64, entry by entry."""
    module = problem.module.double()
    inputs, labels = split.take(torch.arange(len(split)))
    names = [name for name, _ in module.named_parameters()]
    shapes = [value.shape for value in module.parameters()]
    start = torch.cat([value.detach().reshape(-1) for value in module.parameters()])

    def loss(weights: torch.Tensor) -> torch.Tensor:
        parts = torch.split(weights, [shape.numel() for shape in shapes])
        params = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        outputs = torch.func.functional_call(module, params, (inputs.double(),))
        return nn.functional.cross_entropy(outputs, labels)

    hessian: torch.Tensor = torch.autograd.functional.hessian(loss, start)
    module.float()
    return hessian


def strip(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in ("seconds", "peak_memory_bytes")}


class Asked:
    """Asks a job to stop after so many questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_run_holds_the_eigenvalues_of_the_dense_hessian_of_the_same_sample(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curvature", str(trained / "net0"), *FEW, "--operator=both", "--out=runs/c"]) == 0
    data = read_curvature(Path("runs/c"))
    problem, split = problem_of(trained / "net0")
    hessian = dense_hessian(problem, split)
    values = torch.linalg.eigvalsh(hessian)
    norm = float(values.abs().max())
    np.testing.assert_allclose(data["hessian_top"][0, 0], values.flip(0)[:3], atol=1e-3 * norm)
    np.testing.assert_allclose(data["hessian_bottom"][0, 0], values[:2], atol=1e-3 * norm)
    assert (data["hessian_top_residual"] <= 1e-3 * norm).all()
    summary = json.loads(Path("runs/c/summary.json").read_text())
    found = summary["networks"]["net0"]
    low, high = found["hessian_trace_interval"]
    assert low < found["hessian_trace"] < high
    assert abs(found["hessian_trace"] - float(hessian.trace())) < high - low  # of one seed, which may be unlucky
    weights, nodes = data["hessian_weight"][0], data["hessian_node"][0]
    np.testing.assert_allclose(weights.sum("node"), 1.0)
    assert float(nodes.max()) <= norm * (1 + 1e-4)
    assert float(data["ggn_top"][0, 0, 0]) > 0
    assert found["loss"] == pytest.approx(float(data["loss"][0, 0]))
    negative = int((values[:2] < -1e-3 * norm).sum())
    assert found["negative_found"] == negative == int(data["negative_found"][0])
    out = capsys.readouterr().out
    assert found["verdict"] in out.replace("\n", " ")
    told = " ".join(out.split())
    for name in ("hessian_max", "hessian_min", "ggn_max"):
        assert f"{name} {found[name]:.4g} ± {found[f'{name}_residual']:.2g}" in told
    for name in ("hessian_trace", "ggn_trace"):
        low, high = found[f"{name}_interval"]
        assert f"{name} {found[name]:.4g} ({low:.4g} to {high:.4g})" in told
    assert summary["unconverged"] == 0
    assert "above the tolerance" not in told
    assert Path("runs/c/report.html").read_text().count(found["verdict"][:30]) >= 1
    assert {"config.yaml", "provenance.json", "chart.safetensors"} <= {path.name for path in Path("runs/c").iterdir()}


@pytest.mark.parametrize("where", [["NET", "--per_layer", "--top=3", "--bottom=2"], ["--trajectory=NET"]])
def test_what_has_not_converged_is_counted(where: list[str], trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = [token.replace("NET", str(trained / "net0")) for token in where]
    few = [] if tokens[0].startswith("--traj") else ["--probes=0", "--metrics=loss"]
    tokens += ["--examples=100", "--curvature_products=3", "--out=runs/c", "--no_pictures", *few]
    assert main(["curvature", *tokens]) == 0
    data, summary = read_curvature(Path("runs/c")), json.loads(Path("runs/c/summary.json").read_text())
    ends = ("hessian_top", "hessian_bottom", "layer_top", "layer_bottom", "path_hessian_max", "path_hessian_min")
    assert 0 < summary["unconverged"] <= sum(data[name].size for name in ends if name in data)
    told = " ".join(capsys.readouterr().out.split())
    assert f"above the tolerance, or that were not found: {summary['unconverged']}; allow more" in told
    assert " ± " in told


def test_slices_along_its_eigenvectors_have_their_curvature(trained: Path) -> None:
    """Of a network that is not the first, through the directions of its file, and of the first on the run's chart."""
    nets = [str(trained / f"net{seed}") for seed in range(2)]
    assert main(["curvature", *nets, "--examples=200", "--probes=0", "--out=runs/c", "--no_pictures"]) == 0
    data = read_curvature(Path("runs/c"))
    step = 0.05
    line = [f"--at=-{step},0,{step}", "--splits=train", "--examples=200", "--plan=loop", "--no_pictures"]
    second = ["--checkpoint", nets[1], "--directions", "file:runs/c/network_2"]
    plane = ["--run=runs/c"]
    for number, (tokens, out) in enumerate(((plane, "plane"), (second, "line"))):
        assert main(["survey", *tokens, *line, f"--out={out}"]) == 0
        survey = xr.open_zarr(f"{out}/survey.zarr")
        assert f"eigenvalue {float(data['hessian_top'][number, 0, 0]):.4g}" in survey["u"].attrs["long_name"]
        losses = survey["train_loss"].values.astype(np.float64)
        losses = losses[:, 1] if losses.ndim == 2 else losses
        curvature = (losses[0] - 2 * losses[1] + losses[2]) / step**2
        assert curvature == pytest.approx(float(data["hessian_top"][number, 0, 0]), rel=0.1)


def test_negative_directions_are_kept_and_labels_name_operator_and_residual(trained: Path) -> None:
    nets = [str(trained / f"net{seed}") for seed in range(2)]
    assert main(["curvature", *nets, *FEW, "--metrics=loss", "--out=runs/c", "--no_pictures"]) == 0
    data = read_curvature(Path("runs/c"))
    assert data["negative_found"].values.tolist() == [2, 2]
    step = 0.05
    line = [f"--at=-{step},0,{step}", "--splits=train", "--examples=200", "--plan=loop", "--no_pictures"]
    for number, folder in enumerate(("runs/c/negative", "runs/c/network_2/negative")):
        directions = ["--checkpoint", nets[number], "--directions", f"file:{folder}"]
        assert main(["survey", *directions, *line, f"--out=line{number}"]) == 0
        survey = xr.open_zarr(f"line{number}/survey.zarr")
        value, residual = (float(data[name][number, 0, 0]) for name in ("hessian_bottom", "hessian_bottom_residual"))
        told = f"eigenvector 1 from below (eigenvalue {value:.4g} ± {residual:.2g})"
        assert survey["u"].attrs["long_name"].startswith(told)
        losses = survey["train_loss"].values.astype(np.float64)
        assert (losses[0] - 2 * losses[1] + losses[2]) / step**2 == pytest.approx(
            value, rel=0.3
        )  # kinks of ReLU are within reach
    problem, split = problem_of(trained / "net0")
    found = la.curvature(problem, split, operator="ggn", probes=0, top=2, metrics=["loss"])
    assert found.charts["network"].axis_labels["u"].startswith("Gauss-Newton eigenvector 1 (eigenvalue ")
    assert not found.negative


def test_a_run_that_is_stopped_between_pieces_continues_to_the_same_numbers(trained: Path) -> None:
    nets = tuple(str(trained / f"net{seed}") for seed in range(2))
    networks = SpectraConfig(networks=nets, **MODEL, **SMALL, subsets=1, per_layer=True)
    snapshots = SpectraConfig(trajectory=nets[0], **MODEL, examples="200")
    for name, config in (("networks", networks), ("snapshots", snapshots)):
        whole = run_curvature(config, Path(name, "whole"), pictures=False)
        parts = Path(name, "parts")
        for questions in (1, 3):
            with pytest.raises(Interrupted, match=f"continue with --out {parts} --resume"):
                run_curvature(config, parts, resume=True, pictures=False, stop=Asked(questions))
        # What a kill leaves between the two files of a piece: the checkpoint is ahead of the data.
        if name == "snapshots":
            before = (parts / "curvature.nc").read_bytes()
            with pytest.raises(Interrupted):
                run_curvature(config, parts, resume=True, pictures=False, stop=Asked(1))
            (parts / "curvature.nc").write_bytes(before)
        resumed = run_curvature(config, parts, resume=True, pictures=False)
        assert strip(resumed) == strip(whole)
        xr.testing.assert_identical(read_curvature(parts), read_curvature(Path(name, "whole")))


def test_a_trajectory_of_which_a_snapshot_has_changed_is_not_continued(trained: Path) -> None:
    """Also one between its ends."""
    net = Path(shutil.copytree(trained / "net0", "net"))
    config = SpectraConfig(trajectory="net", **MODEL, examples="60")
    with pytest.raises(Interrupted):
        run_curvature(config, Path("runs/t"), pictures=False, stop=Asked(2))
    snapshots = la.Trajectory(net / "snapshots").snapshots
    shutil.copy(snapshots[0].path, snapshots[len(snapshots) // 2].path)
    with pytest.raises(la.BadInput, match="trajectory"):
        run_curvature(config, Path("runs/t"), resume=True, pictures=False)


def test_more_eigenvalues_than_dimensions_are_refused_by_their_number(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the vectors of so many would not fit the memory."""
    assert main(["curvature", str(trained / "net0"), "--top=1000000", "--out=runs/c"]) == 2
    assert capsys.readouterr().err.startswith(
        "lossatlas: 1,000,000 eigenvalues are asked for, and curvature is taken in "
    )
    assert not Path("runs/c").exists()


@pytest.mark.parametrize("damage", ["missing", "short", "other", "chart"])
def test_a_finished_run_whose_results_are_damaged_is_not_called_finished(
    damage: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["curvature", str(trained / "net0"), *FEW, "--out=runs/c", "--no_pictures"]
    assert main(tokens) == 0
    file = Path("runs/c") / ("chart.safetensors" if damage == "chart" else "curvature.nc")
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(b"garbage" if damage in ("other", "chart") else content[: len(content) // 2])
    capsys.readouterr()
    assert main([*tokens, "--resume"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"lossatlas: runs/c was finished, and {file}")
    assert line.endswith("carry it out again with --overwrite")
    assert main([*tokens, "--overwrite"]) == 0


def test_subsets_are_disjoint_where_there_are_enough_examples_and_layers_are_blocks(trained: Path) -> None:
    net = str(trained / "net0")
    assert main(["curvature", net, *FEW, "--subsets=2", "--per_layer", "--out=runs/c", "--no_pictures"]) == 0
    data = read_curvature(Path("runs/c"))
    assert data.attrs["subsets"] == "disjoint"
    assert dict(data.sizes) | {"network": 1, "sample": 3, "layer": 2} == dict(data.sizes)
    problem, split = problem_of(trained / "net0")
    hessian = dense_hessian(problem, split)
    at = 0
    for k, size in enumerate(data["layer_size"].values.astype(int)):
        block = torch.linalg.eigvalsh(hessian[at : at + size, at : at + size])
        at += size
        for name, value in (("layer_top", block[-1]), ("layer_bottom", block[0])):
            assert float(data[name][0, k]) == pytest.approx(float(value), abs=1e-3 * float(block.abs().max()))
    assert at == len(hessian)
    # The mean over disjoint samples of the whole split is that of the whole split, as far as they cover it.
    every = la.open_run(trained / "net0").splits["train"]
    found = la.curvature(problem, {"train": every}, examples=len(every) // 3, subsets=2, probes=0)
    alone = la.curvature(problem, {"train": every}, examples="all", probes=0)
    assert found.data["loss"].mean() == pytest.approx(float(alone.data["loss"][0, 0]), rel=1e-3)
    spread = found.summary["networks"]["network"]["spread"]["hessian_max"]
    assert spread["lowest"] < spread["mean"] < spread["highest"]
    settings = la.CurvatureSettings(tolerance=1e-2, parameters=("*.bias",))
    few = la.curvature(problem, split, examples=150, subsets=1, probes=0, top=1, bottom=1, curvature=settings)
    assert (few.data.attrs["curvature_tolerance"], few.data.attrs["dimension"]) == (1e-2, 14)
    assert few.data.attrs["subsets"] == "random"


def test_from_python_the_numbers_are_those_of_the_verb(trained: Path) -> None:
    nets = [trained / f"net{seed}" for seed in range(2)]
    assert main(["curvature", *map(str, nets), *FEW, "--out=runs/c", "--no_pictures"]) == 0
    opened = la.open_run("runs/c")
    problem = la.open_run(nets[1]).problem
    before = {name: value.clone() for name, value in problem.module.state_dict().items()}
    states = {path.name: read_state(path / "model.safetensors") for path in nets}
    found = la.curvature(problem, la.open_run(nets[0]).splits, states, **SMALL)
    xr.testing.assert_identical(found.data, opened.curvature)
    assert strip(opened.summary) == strip(found.summary)
    assert found.verdicts == tuple(parse_texts(opened.curvature.attrs["verdict"]))
    chart = opened.chart
    assert isinstance(chart, la.Slice)
    torch.testing.assert_close(found.charts["net0"].directions, chart.directions, rtol=0, atol=0)
    assert "2 networks" in repr(found)
    assert "net1" in found._repr_html_()
    assert all(torch.equal(value, before[name]) for name, value in problem.module.state_dict().items())
    load_state(problem.module, states["net1"], "net1")
    assert opened.verb == "curvature"
    assert opened.finished
    assert opened.engine.plan.derivatives == found.plan.derivatives


def test_a_network_whose_loss_is_not_finite_is_stored_as_such_and_the_others_are_measured(trained: Path) -> None:
    problem, split = problem_of(trained / "net0")
    good = read_state(trained / "net0" / "model.safetensors")
    name = next(name for name in good if good[name].ndim > 1)
    bad = {**good, name: good[name].sign() * 3e38}
    alone = la.curvature(problem, split, {"good": good}, **SMALL)
    both = la.curvature(problem, split, {"bad": bad, "good": good}, **SMALL)
    assert both.verdicts == ("bad: not finite: the loss or a product with the operator is not finite.", *alone.verdicts)
    xr.testing.assert_identical(both.data.isel(network=[1]).drop_attrs(), alone.data.drop_attrs())
    assert not np.isfinite(both.data["hessian_top"][0]).any()
    assert list(both.charts) == ["good"]


def test_the_gauss_newton_matrix_alone_says_nothing_of_negative_curvature(trained: Path) -> None:
    problem, split = problem_of(trained / "net0")
    loose = {"gradient_tolerance": 1e3, "probes": 0, "top": 1}
    found = la.curvature(problem, split, operator="ggn", **loose)
    assert "hessian_top" not in found.data
    assert "stationary: " in found.verdicts[0]
    assert "negative curvature was not looked for" in found.verdicts[0]


def test_metrics_of_curvature_that_are_not_measured_in_any_case_can_be_asked_for(trained: Path) -> None:
    """Also those of the other operator, with what stands beside them."""
    problem, split = problem_of(trained / "net0")
    asked = ["hessian_ratio", "ggn_max", "ggn_trace"]
    found = la.curvature(problem, split, examples="all", metrics=asked, probes=0)
    both = la.curvature(problem, split, examples="all", metrics=["loss"], probes=0, operator="both")
    ends = [float(both.data[name][0, 0, 0]) for name in ("hessian_bottom", "hessian_top", "ggn_top")]
    assert float(found.data["hessian_ratio"][0, 0]) == pytest.approx(abs(ends[0] / ends[1]), abs=2e-3)
    numbers = found.summary["networks"]["network"]
    assert numbers["ggn_max"] == pytest.approx(ends[2], rel=2e-3)
    assert numbers["ggn_max_residual"] <= 1e-3 * numbers["ggn_max"]
    low, high = both.summary["networks"]["network"]["ggn_trace_interval"]
    assert low <= numbers["ggn_trace"] <= high
    assert numbers["ggn_trace_probe_error"] > 0
    assert "hessian_ratio" in found._repr_html_() or "ratio" in str(found.data)
    ggn = la.curvature(
        problem, split, examples="all", metrics=["hessian_max", "hessian_trace"], probes=0, operator="ggn"
    )
    assert ggn.summary["networks"]["network"]["hessian_max"] == pytest.approx(ends[1], rel=2e-3)


@pytest.mark.parametrize("name", ["top", "network", "hessian_top", "weight_norm", "spread", "layer_top"])
def test_a_metric_cannot_have_the_name_of_something_that_is_measured(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("metrics_of_mine.py").write_text(f"def {name}(outputs, batch):\n    return outputs[:, 0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "metrics_of_mine", raising=False)
    problem, split = problem_of(trained / "net0")
    with pytest.raises(la.BadInput, match=f"^(metric )?'{name}' .*(rename it|another name)$"):
        la.curvature(problem, split, metrics=[f"metrics_of_mine:{name}"])


def test_along_a_trajectory_warm_starts_find_what_cold_ones_do_in_fewer_products(trained: Path) -> None:
    net = trained / "net0"
    assert main(["curvature", "--trajectory", str(net), "--examples=200", "--out=runs/t"]) == 0
    data = read_curvature(Path("runs/t"))
    snapshots = la.Trajectory(net / "snapshots").snapshots
    assert data["path_step"].values.tolist() == [snapshot.step for snapshot in snapshots]
    np.testing.assert_allclose(data["path_lr"][1:], 0.02, rtol=1e-6)
    problem, split = problem_of(net)
    states = {f"step {snapshot.step}": snapshot.state() for snapshot in snapshots}
    cold = la.curvature(problem, {"train": split}, states, examples="all", top=1, bottom=1, probes=0)
    largest = cold.data["hessian_top"][:, 0, 0].values
    scale = np.abs(np.stack([largest, cold.data["hessian_bottom"][:, 0, 0].values])).max(axis=0)
    assert (np.abs(data["path_hessian_max"].values - largest) <= 2e-3 * scale).all()
    assert (np.abs(data["path_hessian_min"].values - cold.data["hessian_bottom"][:, 0, 0].values) <= 2e-3 * scale).all()
    np.testing.assert_allclose(data["path_loss"], cold.data["loss"][:, 0], rtol=1e-6)
    np.testing.assert_allclose(data["path_gradient_norm"], cold.data["gradient_norm"][:, 0], rtol=1e-5)
    assert float(data["path_products"][1:].sum()) < float(cold.data["hessian_products"][1:, 0].sum())
    assert not Path("runs/t/chart.safetensors").exists()
    assert "Curvature along a trajectory" in Path("runs/t/report.html").read_text()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "curvature lacks a network; name weights or runs"),
        (["nothing"], "checkpoint nothing does not exist"),
        (["NET", "NET"], "NET is named twice"),
        (["NET", "--trajectory=NET"], "networks and a trajectory are given"),
        (["NET", "--top=311"], "311 eigenvalues are asked for, and curvature is taken in 310 dimensions"),
        (["NET", "--curvature_parameters=head.*"], "no parameters that vary match head.*"),
        (["NET", "--curvature_tolerance=1e-8"], "the tolerance of curvature is 1e-08"),
        (["NET", "--memory=10KB"], "memory"),
        (["NET", "--splits", "train", "test"], "splits is train test; expected one"),
        (["NET", "--splits=valid"], "'valid' is not a split"),
        (["NET", "--examples=all", "--subsets=2"], "there are no further subsets; state their number"),
        (["NET", "--examples=5000", "--subsets=2"], "there are no further subsets of 5,000"),
        (["NET", "--metrics=hessian_max"], "hessian_max is measured in any case"),
        (["NET", "--operator=ggn", "--metrics=ggn_trace"], "ggn_trace is measured in any case"),
        (["NET", "--metrics=gradient_norm"], "gradient_norm is measured in any case"),
        (["NET", "--metrics=hessian_top:3"], "has several values at a network; survey it, or choose one of a single"),
        (["NET", "--metrics=class_accuracy"], "has several values at a network"),
        (["NET", "--operator=ggn", "--bottom=3"], "bottom means nothing with operator ggn, of which no eigenvalue"),
        (["NET", "--probes=0", "--density_steps=9"], "density_steps means nothing with 0 probes"),
        (["--trajectory=NET", "--top=3"], "top means nothing with a trajectory"),
        (["BN", "--buffers=batch"], "under statistics of the batch"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line_and_leaves_nothing(
    tokens: list[str], message: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = str(trained / "net0")
    given = [token.replace("NET", net).replace("BN", str(trained / "normalised")) for token in tokens]
    for more in ([], ["--dry_run"]):
        assert main(["curvature", *given, *more, "--out=runs/x"]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert message.replace("NET", net) in line
        assert not Path("runs").exists()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curvature", str(trained / "net0"), "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "1 network of 310 parameters x 1,347 examples" in out
    assert "time" in out
    assert not Path("runs").exists()
    assert main(["curvature", str(trained / "net0"), "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model.hidden"] == [4]
    assert printed["splits"] == ["train"]


NAN = float("nan")


class TestVerdict:
    @pytest.mark.parametrize(
        ("gradient", "bottom", "kind", "negative"),
        [
            (1e-6, [(0.1, 1e-5)], "minimum", 0),
            (1e-6, [(0.0005, 1e-3)], "undecided", 0),  # its sign is open
            (1e-6, [(-0.003, 1e-5)], "undecided", 0),  # negative, but within the tolerance
            (1e-6, [(-0.5, 1e-5), (-0.4, 0.1), (0.0, 1e-5)], "saddle", 1),
            (1e-6, [(-0.5, 0.1)], "undecided", 0),
            (1e-6, [], "undecided", 0),
            (1e-6, [(-0.5, 1e-5), (NAN, NAN)], "saddle", 1),
            (1e-6, [(NAN, NAN), (NAN, NAN)], "undecided", 0),
            (0.5, [(-0.5, 1e-5)], "not stationary", 1),
            (0.5, [(-0.5, 300.0)], "undecided", 0),  # the curvature may be large enough
            (NAN, [(0.0, 0.0)], "not finite", 0),
        ],
    )
    def test_follows_from_gradient_and_eigenvalues(
        self, gradient: float, bottom: list[tuple[float, float]], kind: str, negative: int
    ) -> None:
        verdict = judge_point(0.5, gradient, 3.0, [(4.0, 1e-5), (1.0, 1e-5)], bottom, 1e-3, 1e-3)
        assert (verdict.kind, verdict.negative) == (kind, negative)
        assert verdict.sentence.startswith("a minimum") == (kind == "minimum")
        unconverged = any(not residual <= 4e-3 for _, residual in bottom)
        assert ("have not converged" in verdict.sentence) == unconverged

    def test_a_search_that_did_not_come_to_its_end_shows_no_minimum(self, trained: Path) -> None:
        given = (0.5, 1e-6, 3.0, [(4.0, 1e-5)], [(0.1, 1e-5)], 1e-3, 1e-3)
        assert judge_point(*given).kind == "minimum"
        verdict = judge_point(*given, settled=False)
        assert verdict.kind == "undecided"
        assert "allow more products" in verdict.sentence
        problem, split = problem_of(trained / "net0")
        small = {"top": 1, "bottom": 1, "probes": 0, "metrics": ["loss"], "curvature_tolerance": 0.3}
        for products, ended in ((4, 0), (300, 1)):
            found = la.curvature(problem, split, curvature_products=products, **small)
            assert float(found.data["hessian_converged"][0, 0]) == ended

    def test_without_curvature_only_the_gradient_counts(self) -> None:
        flat = judge_point(0.5, 0.0, 3.0, [(0.0, 0.0)], [(0.0, 0.0)], 1e-3, 1e-3)
        assert (flat.kind, flat.sentence[:20]) == ("undecided", "flat to second order")
        sloping = judge_point(0.5, 0.1, 3.0, [(0.0, 0.0)], [(0.0, 0.0)], 1e-3, 1e-3)
        assert (sloping.kind, "no curvature limits the descent" in sloping.sentence) == ("not stationary", True)

    def test_is_not_a_minimum_where_a_flat_way_leads_far_down(self) -> None:
        """w_1^2 / 2 + (0.03 w_2)^2 / 2 at w_2 = 1000: one step hardly lowers it, the bottom is at 0."""
        loss, slope, flat = 450.0, 0.9, 9e-4
        verdict = judge_point(loss, slope, 1000.0, [(1.0, 1e-9), (flat, 1e-9)], [(flat, 1e-9), (1.0, 1e-9)], 1e-3, 1e-3)
        assert verdict.kind == "undecided"
        assert "whether a minimum is near is not known" in verdict.sentence
        near = judge_point(loss, 1e-2, 1000.0, [(1.0, 1e-9), (flat, 1e-9)], [(flat, 1e-9), (1.0, 1e-9)], 1e-3, 1e-3)
        assert near.kind == "minimum"

    def test_does_not_depend_on_the_units_of_loss_and_weights(self) -> None:
        """Of f(w) = 3 g(5 w) the gradient is 15 times that of g, the Hessian 75 times, and w a fifth."""
        # At 0.0632 the descent is a thousandth of the loss, and at 1.2e-5 a step is a millionth of the weights.
        for loss, limit in ((0.5, 0.0632), (1e-20, 1.2e-5)):
            for gradient in (0.95 * limit, 1.05 * limit):
                one = judge_point(loss, gradient, 3.0, [(4.0, 0.0)], [(4.0, 0.0)], 1e-3, 1e-3)
                other = judge_point(3 * loss, 15 * gradient, 0.6, [(300.0, 0.0)], [(300.0, 0.0)], 1e-3, 1e-3)
                assert one.kind == other.kind == ("minimum" if gradient < limit else "not stationary")

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_minimum_of_loss_zero_is_stationary(self, dtype: torch.dtype) -> None:
        """Targets that a linear layer fits exactly, solved to the precision; moved by a thousandth, they are not."""
        torch.manual_seed(0)
        module, inputs = nn.Linear(6, 3).to(dtype), torch.randn(40, 6, dtype=dtype)
        problem = la.Problem(module, la.SquaredError())
        targets = module(inputs).detach()
        with torch.no_grad():
            ones = torch.cat([inputs, torch.ones(40, 1, dtype=dtype)], dim=1)
            solved = torch.linalg.lstsq(ones, targets).solution
            module.weight.copy_(solved[:-1].T)
            module.bias.copy_(solved[-1])
        found = la.curvature(problem, (inputs, targets), examples="all", top=1, bottom=1, probes=0)
        assert 0 < float(found.data["loss"][0, 0]) < 1e-11
        assert found.verdicts[0].startswith("network: a minimum within the tolerance")
        with torch.no_grad():
            module.weight.mul_(1.001)
        moved = la.curvature(problem, (inputs, targets), examples="all", top=1, bottom=1, probes=0)
        assert moved.verdicts[0].startswith("network: not stationary")

    def test_after_too_few_products_eigenvalues_have_not_converged(self, trained: Path) -> None:
        problem, split = problem_of(trained / "net0")
        few = {"top": 5, "bottom": 5, "probes": 0, "metrics": ["loss"]}
        found = la.curvature(problem, split, curvature_products=4, **few)
        assert np.isnan(found.data["hessian_top"][0, 0]).any()
        assert "eigenvalues were found, and they have not converged: allow more products" in found.verdicts[0]
        assert "not finite" not in found.verdicts[0]

    def test_of_chosen_parameters_it_speaks_of_those(self, trained: Path) -> None:
        problem, split = problem_of(trained / "net0")
        small = {"top": 1, "bottom": 1, "probes": 0}
        whole = la.curvature(problem, split, **small)
        assert "alone" not in whole.verdicts[0]
        assert "chosen_gradient_norm" not in whole.data
        chosen = la.curvature(problem, split, curvature_parameters=["*.bias"], **small)
        assert chosen.verdicts[0].startswith("network, in 14 of its 310 parameters alone: ")
        varying = la.curvature(problem, split, parameters=["*.bias"], **small)
        assert varying.verdicts[0].startswith("network, in 14 of its 310 parameters alone: ")
        # The gradient norm is that in all parameters that vary, as the metric of surveys is.
        inputs, labels = split.take(torch.arange(len(split)))
        loss = nn.functional.cross_entropy(problem.module(inputs), labels)
        names, weights = zip(*problem.module.named_parameters(), strict=True)
        gradient = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))
        biases = sum(float(part.square().sum()) for name, part in gradient.items() if name.endswith("bias")) ** 0.5
        every = sum(float(part.square().sum()) for part in gradient.values()) ** 0.5
        for found, norm in ((whole, every), (chosen, every), (varying, biases)):
            assert float(found.data["gradient_norm"][0, 0]) == pytest.approx(norm, rel=1e-4)
        assert float(chosen.data["chosen_gradient_norm"][0, 0]) == pytest.approx(biases, rel=1e-4)

    def test_a_quadratic_bowl_and_a_saddle_are_called_so(self) -> None:
        """Both as networks: softmax regression on its optimum, and the product of two weights at the origin."""

        class Product(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

            def forward(self, inputs: torch.Tensor) -> torch.Tensor:
                return self.a * self.b * inputs

        inputs, targets = torch.ones(8, 1), torch.ones(8, 1)
        problem = la.Problem(Product(), la.SquaredError())
        saddle = la.curvature(problem, {"train": (inputs, targets)}, examples="all", top=1, bottom=1, probes=0)
        assert "a saddle: at least 1 negative direction found" in saddle.verdicts[0]
        with torch.no_grad():
            for parameter in problem.module.parameters():
                parameter.fill_(0.99999)
        bowl = la.curvature(
            problem, {"train": (inputs, targets + 0.5 * inputs)}, examples="all", top=1, bottom=1, probes=0
        )
        assert "not stationary" in bowl.verdicts[0]
