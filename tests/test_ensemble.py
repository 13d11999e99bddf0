"""``lossatlas ensemble`` and ``la.ensemble``: members from anywhere, scores against networks built anew."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.data import load_data
from lossatlas.errors import BadInput, Interrupted
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.ensemble import run_ensemble
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import ConnectConfig, EnsembleConfig, FitConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.effort import find_cost
from lossatlas.recipes.ensemble import build_ensemble
from lossatlas.weights.files import load_state, read_checkpoint

MODEL = {"model": "conv", "model_options": {"channels": (4,), "hidden": 8, "batch_norm": True}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, settings in {
            "a": {"epochs": 2.0},
            "b": {"epochs": 2.0, "seed": 1},
            "cycles": {"epochs": 2.0, "schedule": "warm_restarts", "schedule_options": {"cycles": 3}},
            "averaged": {"epochs": 3.0, "snapshots": "none", "average": "step:3", "average_from": 0.3},
            "continued": {"epochs": 1.0, "init_from": "a"},
        }.items():
            run_train(TrainConfig(**MODEL, **settings), Path(name))
        run_fit(
            FitConfig(**MODEL, pattern="heart", size="8", steps=4, padding=0, splits=("test",), examples="50"),
            Path("heart"), pictures=False,
        )  # fmt: skip
        run_connect(
            ConnectConfig(
                **MODEL, between=("a", "b"), steps=4, grid=(3,), plane=0, splits=("test",), examples="50",
                ensembles=False,
            ),
            Path("curve"), pictures=False,
        )  # fmt: skip
    return folder


@pytest.fixture
def there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs)
    return runs


def build(*members: str, **settings: object) -> EnsembleConfig:
    return EnsembleConfig(**MODEL, members=members, **settings)


def predict_anew(file: str) -> torch.Tensor:
    """Probabilities of the test examples by a module built anew, with the weights and statistics of a file."""
    data = load_data("digits")
    module = la.Conv(channels=(4,), hidden=8, batch_norm=True).build((1, 8, 8), 10)
    load_state(module, read_checkpoint(Path(file)), file)
    module.eval()
    assert data.test is not None
    inputs, _ = data.test.take(torch.arange(len(data.test)))
    with torch.no_grad():
        found: torch.Tensor = module(inputs).softmax(dim=-1)
    return found.double()


def labels() -> torch.Tensor:
    data = load_data("digits")
    assert data.test is not None
    found: torch.Tensor = data.test.take(torch.arange(len(data.test)))[1]
    return found


def test_scores_are_those_of_averaged_probabilities_of_networks_built_anew(there: Path, tmp_path: Path) -> None:
    summary = run_ensemble(build("a", "b", "a@0"), tmp_path / "run", pictures=False)
    data = la.open_run(tmp_path / "run").ensemble
    own = [predict_anew(f"{name}/model.safetensors") for name in ("a", "b")]
    own.append(predict_anew("a/snapshots/000000000.safetensors"))
    right = labels()
    for count in (1, 2, 3):
        averaged = torch.stack(own[:count]).mean(dim=0)
        each = -averaged[torch.arange(len(right)), right].log()
        wrong = (averaged.argmax(dim=1) != right).double()
        assert float(data["nll"].sel(count=count)) == pytest.approx(float(each.mean()), rel=1e-4)
        assert float(data["error"].sel(count=count)) == pytest.approx(float(wrong.mean()), abs=1e-9)
        assert float(data["nll_standard_error"].sel(count=count)) == pytest.approx(
            float(each.std() / len(each) ** 0.5), rel=1e-2
        )
    assert summary["nll"] == pytest.approx(float(data["nll"].values[-1]))
    assert data["training_steps"].values.tolist() == [24, 48, 48] or np.isfinite(data["training_steps"].values).all()


def test_members_of_all_kinds_are_named_in_their_order(there: Path) -> None:
    config = build(
        "a", "a@snapshots:2", "cycles@members", "curve@points:3", "curve@corners", "curve@at:0.5", "heart@low:3",
        "averaged@swa", "averaged@swag:2", "a@swa", "a@ema:0.5", average_from=0.0,
    )  # fmt: skip
    recipe = build_ensemble(config)
    assert [len(group) for group in recipe.groups] == [6, 3, 2, 1, 3, 1, 2, 2]
    assert len(set(recipe.names)) == len(recipe.names) == 20
    assert any("running moments" in note for note in recipe.notes)
    assert any("kept snapshots" in note for note in recipe.notes)
    assert any("train split" in note for note in recipe.notes)


def test_a_training_that_members_share_costs_once(there: Path, tmp_path: Path) -> None:
    run_ensemble(build("cycles@members", pairs=False, greedy=False), tmp_path / "run", pictures=False)
    data = la.open_run(tmp_path / "run").ensemble
    steps = data["training_steps"].values
    whole = la.open_run("cycles").summary["steps"]
    assert steps[-1] == whole
    assert (np.diff(steps) > 0).all()
    assert (data["training_passes"].values == 128 * steps).all()
    assert (np.diff(data["bytes"].values) == data["bytes"].values[0]).all()


def test_a_training_that_continues_another_costs_both(there: Path) -> None:
    cost, before = find_cost("continued"), find_cost("a")
    assert cost.efforts is not None
    assert before.efforts is not None
    assert before.efforts.items() <= cost.efforts.items()
    assert len(cost.efforts) == 2


def test_members_of_a_chart_share_its_bytes_and_its_fit(there: Path, tmp_path: Path) -> None:
    run_ensemble(build("heart@low:4", pairs=False, greedy=False), tmp_path / "run", pictures=False)
    data, chart = la.open_run(tmp_path / "run").ensemble, la.open_run("heart").chart
    held = sum(value.numel() * value.element_size() for value in chart.state_dict().values())
    assert (data["bytes"].values == held).all()
    assert (data["training_steps"].values == 4).all()


def test_a_stopped_run_continues_with_the_members_that_are_left(there: Path, tmp_path: Path) -> None:
    config = build("a", "b", "heart@low:3", plan="loop")
    whole = run_ensemble(config, tmp_path / "whole", pictures=False)
    seen = iter([False, True])
    with pytest.raises(Interrupted, match="--resume"):
        run_ensemble(config, tmp_path / "run", pictures=False, stop=lambda: next(seen, True))
    assert 0 < json.loads((tmp_path / "run" / "predictions.json").read_text())["done"] < 5
    spoiled = {
        "lost": lambda file: file.unlink(),
        "cut": lambda file: os.truncate(file, 100),
        "whole": os.fspath,
    }
    for name, spoil in spoiled.items():  # what is gone of the predictions is made again
        shutil.copytree(tmp_path / "run", tmp_path / f"run-{name}")
        spoil(tmp_path / f"run-{name}" / "predictions.bin")
        again = run_ensemble(config, tmp_path / f"run-{name}", pictures=False, resume=True)
        assert again["nll"] == whole["nll"]
    del whole["seconds"], again["seconds"], whole["peak_memory_bytes"], again["peak_memory_bytes"]
    assert again == whole
    left = {path.name for path in (tmp_path / "run-whole").iterdir()}
    assert not {"predictions.bin", "predictions.json"} & left


def test_python_and_the_command_line_agree(there: Path, tmp_path: Path) -> None:
    run_ensemble(build("a", "b", plan="loop"), tmp_path / "run", pictures=False)
    stored = la.open_run(tmp_path / "run").ensemble
    data = load_data("digits")
    module = la.Conv(channels=(4,), hidden=8, batch_norm=True).build((1, 8, 8), 10)
    states = {name: read_checkpoint(Path(name) / "model.safetensors") for name in ("a", "b")}
    found = la.ensemble(la.Problem(module, la.CrossEntropy()), data.splits, states, plan="loop")
    assert isinstance(found, xr.Dataset)
    np.testing.assert_allclose(found["nll"].values, stored["nll"].values, rtol=1e-6)
    np.testing.assert_allclose(found["nll_halves"].values, stored["nll_halves"].values, rtol=1e-5)
    assert "members" in found._repr_html_()


def test_a_mapped_file_changes_nothing(there: Path) -> None:
    data = load_data("digits")
    networks = [la.MLP(hidden=(4,)).build((1, 8, 8), 10) for _ in range(8)]
    problem = la.Problem(networks[0], la.CrossEntropy())
    held = la.ensemble(problem, data.splits, networks, plan="loop")
    mapped = la.ensemble(problem, data.splits, networks, plan="loop", memory="100kB")
    xr.testing.assert_allclose(held.drop_attrs(), mapped.drop_attrs(), rtol=1e-6)


class Masked(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(6, 3)
        self.mask: torch.Tensor
        self.register_buffer("mask", (torch.rand(6) > 0.5).float())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(inputs * self.mask)
        return found


def test_networks_that_differ_in_another_buffer_keep_their_own() -> None:
    inputs, right = torch.randn(40, 6), torch.randint(3, (40,))
    networks = [Masked(seed) for seed in range(3)]
    found = la.ensemble(
        la.Problem(Masked(9), la.CrossEntropy()), {"train": (inputs, right)}, networks, halvings=0, plan="loop"
    )
    with torch.no_grad():
        averaged = torch.stack([network(inputs).softmax(dim=-1) for network in networks]).mean(dim=0)
    expected = float(-averaged[torch.arange(40), right].log().mean())
    assert float(found["nll"].values[-1]) == pytest.approx(expected, rel=1e-5)


def test_points_without_a_network_of_their_own_have_the_rest_of_the_problem_s() -> None:
    """Whatever networks stand before them, and the problem has its weights back at the end."""
    inputs, right = torch.randn(40, 6), torch.randint(3, (40,))
    own, other = Masked(0), Masked(1)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    space = la.WeightSpace(own)
    line = la.Simplex(torch.stack([space.vector_of(own), space.vector_of(other)]))
    points = la.Members(chart=line, coords=torch.tensor([[0.0], [0.5]]))
    found = la.ensemble(
        la.Problem(own, la.CrossEntropy()), {"train": (inputs, right)}, [other, points], halvings=0, plan="loop"
    )
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(own(inputs), right)
    assert float(found["member_nll"].values[1]) == pytest.approx(float(expected), rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert found["member"].values.tolist()[0] == "member 1"


def test_members_have_the_given_order_whatever_they_are() -> None:
    inputs, right = torch.randn(40, 6), torch.randint(3, (40,))
    networks = [nn.Linear(6, 3) for _ in range(3)]
    line = la.Simplex.between(networks[:2])
    points = la.Members(chart=line, coords=torch.tensor([[0.25]]), names=("point",))
    problem = la.Problem(nn.Linear(6, 3), la.CrossEntropy())
    found = la.ensemble(
        problem, {"train": (inputs, right)}, [networks[0], points, networks[2]], halvings=0, plan="loop"
    )
    assert found["member"].values.tolist() == ["member 1", "point", "member 3"]
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(networks[2](inputs), right)
    assert float(found["member_nll"].values[2]) == pytest.approx(float(expected), rel=1e-5)


def test_python_takes_names_and_trajectories(there: Path) -> None:
    data = load_data("digits")
    module = la.Conv(channels=(4,), hidden=8, batch_norm=True).build((1, 8, 8), 10)
    problem = la.Problem(module, la.CrossEntropy())
    members = ["a", "heart@low:2", la.Trajectory("b/snapshots")]
    found = la.ensemble(problem, data.splits, members, plan="loop", halvings=0)
    assert found.sizes["member"] == 2 + len(la.Trajectory("b/snapshots").snapshots)  # all but the first
    expected = -predict_anew("a/model.safetensors")[torch.arange(len(labels())), labels()].log().mean()
    assert float(found["member_nll"].values[0]) == pytest.approx(float(expected), rel=1e-4)


def test_python_compares_with_another_ensemble() -> None:
    inputs, right = torch.randn(60, 6), torch.arange(60) % 3
    networks = [nn.Linear(6, 3) for _ in range(4)]
    problem, splits = la.Problem(networks[0], la.CrossEntropy()), {"train": (inputs, right)}
    one = la.ensemble(problem, splits, networks[:2], plan="loop")
    difference = la.compare_ensembles(la.ensemble(problem, splits, networks[2:], plan="loop"), one)["nll"]
    with torch.no_grad():
        pairs = [
            torch.stack([network(inputs).double().softmax(dim=1) for network in two]).mean(dim=0)
            for two in (networks[:2], networks[2:])
        ]
    each = (pairs[0].log() - pairs[1].log())[torch.arange(60), right]
    assert difference.difference == pytest.approx(float(each.mean()), rel=1e-3, abs=1e-6)
    with pytest.raises(BadInput, match="compare_ensembles"):
        la.ensemble(problem, splits, networks, against="elsewhere")


def test_a_chart_that_several_names_share_is_held_once(there: Path, tmp_path: Path) -> None:
    config = build(
        "heart@low:2", "heart@at:0,0", "a@swag:2", "a@swag:3", pairs=False, greedy=False, average_from=0.0, plan="loop"
    )
    run_ensemble(config, tmp_path / "run", pictures=False)
    held = la.open_run(tmp_path / "run").ensemble["bytes"].values
    assert len(set(held)) == 2  # the plane, then the posterior beside it


def test_points_between_networks_lie_in_the_figure_that_they_span(there: Path) -> None:
    run_train(TrainConfig(**MODEL, epochs=1.0, seed=3), Path("third"), resume=True)
    survey = SurveyConfig(**MODEL, between=("a", "b", "third"), grid=(2,), splits=("test",), examples="20")
    run_survey(survey, Path("triangle"), resume=True, pictures=False)
    (group,) = build_ensemble(build("triangle@points:20")).groups
    corners = la.open_run("triangle").chart.corner_coords()
    basis = torch.cat([corners.T, torch.ones(1, 3, dtype=torch.float64)])
    shares = torch.linalg.solve(basis, torch.cat([group.coords.T, torch.ones(1, 20, dtype=torch.float64)])).T
    assert (shares > 0).all()
    assert shares.std(dim=0).min() > 0.1


def test_results_from_python_are_drawn_from_their_folder(tmp_path: Path) -> None:
    inputs, right = torch.randn(40, 6), torch.arange(40) % 3
    networks = [nn.Linear(6, 3) for _ in range(2)]
    splits = {"train": (inputs, right), "holdout": (inputs[:20], right[:20])}
    found = la.ensemble(la.Problem(networks[0], la.CrossEntropy()), splits, networks, path=tmp_path / "result")
    assert found.attrs["split"] == "holdout"
    assert found.attrs["model"] == "Linear"
    assert "score" in la.view(tmp_path / "result")
    assert "score" in la.view(tmp_path / "result" / "ensemble.nc")
    with pytest.raises(BadInput, match="one of the splits"):
        la.ensemble(la.Problem(networks[0], la.CrossEntropy()), splits, networks, split="test")


def test_members_that_are_none_are_refused() -> None:
    line = la.Simplex.between([nn.Linear(6, 3), nn.Linear(6, 3)])
    for wrong in ({"coords": torch.zeros(0, 1)}, {"coords": torch.zeros(2, 1), "names": ("a", "a")}):
        with pytest.raises(BadInput, match="expected"):
            la.Members(chart=line, **wrong)
    with pytest.raises(BadInput, match="chart"):
        la.Members(chart=None, coords=torch.zeros(1, 1))  # type: ignore[arg-type]


def test_a_regression_has_a_gaussian_likelihood_of_mean_and_spread() -> None:
    inputs, targets = torch.randn(50, 4), torch.randn(50, 1)
    networks = [nn.Linear(4, 1) for _ in range(4)]
    found = la.ensemble(la.Problem(networks[0], la.SquaredError()), {"train": (inputs, targets)}, networks, plan="loop")
    with torch.no_grad():
        predicted = torch.stack([network(inputs) for network in networks]).double()
    centre, variance = predicted.mean(dim=0), predicted.var(dim=0, unbiased=False)
    likelihood = (targets - centre).square() / (2 * variance) + (2 * torch.pi * variance).log() / 2
    assert float(found["squared_error"].values[-1]) == pytest.approx(
        float((targets - centre).square().mean()), rel=1e-4
    )
    assert float(found["gaussian_nll"].values[-1]) == pytest.approx(float(likelihood.mean()), rel=1e-3)
    assert np.isnan(found["gaussian_nll"].values[0])


def test_differences_from_another_ensemble_are_paired(there: Path, tmp_path: Path) -> None:
    run_ensemble(build("a", "a@0", plan="loop"), tmp_path / "one", pictures=False)
    config = build("a", "b", against=(str(tmp_path / "one"),), plan="loop")
    summary = run_ensemble(config, tmp_path / "other", pictures=False)
    own = [predict_anew(f"{name}/model.safetensors") for name in ("a", "b")]
    start, right = predict_anew("a/snapshots/000000000.safetensors"), labels()
    at = torch.arange(len(right)), right
    each = ((own[0] + start) / 2)[at].log() - ((own[0] + own[1]) / 2)[at].log()
    found = summary["against"][str(tmp_path / "one")]
    assert found["nll"] == pytest.approx(float(each.mean()), rel=1e-3, abs=1e-6)
    assert found["nll_standard_error"] == pytest.approx(float(each.std() / len(each) ** 0.5), rel=1e-2)
    with pytest.raises(BadInput, match="examples"):
        run_ensemble(
            build("a", "b", against=(str(tmp_path / "one"),), examples="100"), tmp_path / "third", pictures=False
        )
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("members", "settings", "message"),
    [
        ((), {}, "lacks members"),
        (("a",), {}, "single member"),
        (("a", "a"), {}, "twice"),
        (("a@nothing:3",), {}, "kind of members"),
        (("a@snapshots:99",), {}, "name fewer"),
        (("a@members",), {}, "cyclic schedule"),
        (("a@low",), {}, "a@snapshots"),
        (("curve@low",), {}, "low cells"),
        (("heart@low:9999",), {}, "name fewer"),
        (("heart@at:0.5",), {}, "a number for each of u, v"),
        (("a@ema:2",), {}, "between 0 and 1"),
        (("averaged@snapshots",), {}, "snapshots"),
        (("a", "b"), {"sizes": (3,)}, "sizes names 3"),
        (("a", "b"), {"predictions": "values"}, "they are classes"),
        (("a", "b"), {"against": ("a",)}, "ensemble"),
        (("missing", "b"), {"halvings": 50}, "halvings is 50; expected a number from 0 to 20"),
        (("missing", "b"), {"bins": 101}, "bins is 101; expected a number from 1 to 100"),
        (("a", "b"), {"examples": "3"}, "halves"),
        (("a", "b"), {"examples": "1", "halvings": 0}, "two examples"),
        (("a", "missing"), {}, "missing"),
        (("a", "missing@swa"), {}, "missing does not exist"),
        (("a", "missing@swag:3"), {}, "missing does not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    there: Path, tmp_path: Path, members: tuple[str, ...], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        run_ensemble(build(*members, **settings), tmp_path / "run", pictures=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_members_of_another_architecture_are_refused(there: Path, tmp_path: Path) -> None:
    run_train(TrainConfig(model_options={"hidden": (4,)}, epochs=1.0), tmp_path / "mlp")
    with pytest.raises(BadInput, match="mlp"):
        run_ensemble(build("a", str(tmp_path / "mlp")), tmp_path / "run", pictures=False)


def test_the_command_line_tells_differences_and_bounds(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["ensemble", "heart@low:3", "--examples=100", "--no_pictures", "--plan=loop"]
    assert main([*verb, f"--out={tmp_path / 'one'}"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"of 60 temperatures \d+ in given order and \d+ in greedy order ended at the bounds 0.05 and 20", said
    )
    assert main([*verb, f"--against={tmp_path / 'one'}", f"--out={tmp_path / 'other'}"]) == 0
    assert re.search(r"less .*one: nll 0(.000)? ± 0", capsys.readouterr().out)


def test_the_command_line_tells_scores(there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"--out={tmp_path / 'run'}"
    assert main(["ensemble", "a", "b", out]) == 0
    assert "2 members: nll" in capsys.readouterr().out
    assert (tmp_path / "run" / "report.html").is_file()
    assert main(["ensemble", "a", "b", out, "--resume"]) == 0
    capsys.readouterr()
    assert main(["ensemble", "a@low", f"--out={tmp_path / 'other'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "other").exists()
    assert main(["ensemble", "cycles@members", "--dry_run"]) == 0


def test_members_of_a_fit_are_its_members(there: Path, tmp_path: Path) -> None:
    config = FitConfig(
        **MODEL, pattern="members:5", steps=2, batch_size=32, splits=("test",), examples="30", plan="loop"
    )
    run_fit(config, tmp_path / "plane", pictures=False)
    plane = str(tmp_path / "plane")
    (whole,) = build_ensemble(build(f"{plane}@members")).groups
    (low,) = build_ensemble(build(f"{plane}@low")).groups
    assert len(whole) == 5
    assert sorted(whole.coords.tolist()) == sorted(low.coords.tolist())
    (last,) = build_ensemble(build(f"{plane}@members:2")).groups
    assert torch.equal(last.coords, whole.coords[-2:])
    both = build_ensemble(build(f"{plane}@members", "cycles@members"))
    assert [len(group) for group in both.groups] == [5, 3]
    with pytest.raises(BadInput, match="holds 5 members and .*@members:6 names 6"):
        build_ensemble(build(f"{plane}@members:6"))
    with pytest.raises(BadInput, match="heart does not hold members"):
        build_ensemble(build("heart@members"))


def test_points_of_a_posterior_are_its_first_samples(there: Path, tmp_path: Path) -> None:
    survey = {"splits": ("test",), "examples": "30", "plan": "loop"}
    run_survey(SurveyConfig(**MODEL, **survey, posterior="averaged", samples=2), tmp_path / "samples", pictures=False)
    posterior, swag = f"{tmp_path / 'samples'}@points:3", "averaged@swag:3"
    config = build(posterior, swag, "averaged")
    one, other, _ = build_ensemble(config).groups
    assert one.coords.tolist() == [[0.0], [1.0], [2.0]]
    assert torch.equal(one.chart.points(one.coords), other.chart.points(other.coords))
    recipe = build_ensemble(config)
    assert [recipe.make_buffers(group).record[:11] for group in recipe.groups[:2]] == ["reestimated"] * 2
    assert one.costs[0] == other.costs[0]
    (at,) = build_ensemble(build(f"{tmp_path / 'samples'}@at:1;4")).groups
    assert at.coords.tolist() == [[1.0], [4.0]]
    repeated = SurveyConfig(**MODEL, **survey, checkpoint="a", grid=(2,), repeats=2)
    run_survey(repeated, tmp_path / "repeated", pictures=False)
    with pytest.raises(BadInput, match="repeats of one slice, each along directions of its own"):
        build_ensemble(build(f"{tmp_path / 'repeated'}@points:3"))
