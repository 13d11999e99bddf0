"""Runs as objects, networks in one weight space, and trainings, curves and comparisons from Python."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.recipes import TrainConfig
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.problem import build_problem
from lossatlas.schedules.kinds.constant import Constant
from lossatlas.training import parse_optimizer
from lossatlas.weights.files import collect_state, serialise_state

QUIET = ("--plan=loop", "--examples=60", "--eval_batch_size=30", "--no_pictures")
SMALL = ("--model.hidden=6", "--device=cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings, and a survey around the first."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in (1, 2):
            assert main(["train", f"--out=t{seed}", "--epochs=1", f"--seed={seed}", "--snapshots=epoch", *SMALL]) == 0
        assert main(["survey", "--out=s", "--checkpoint=t1", "--grid=3", *QUIET]) == 0
    return folder


def problem(seed: int = 0) -> la.Problem:
    torch.manual_seed(seed)
    return la.Problem(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), la.CrossEntropy())


def examples(count: int = 64, seed: int = 0) -> la.Split:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return la.Split((inputs, (inputs.sum(dim=1) > 0).long()))


def trained(seed: int) -> nn.Module:
    return la.train(problem(seed), examples(), epochs=4, batch_size=16, seed=seed, snapshots="none").module


class Permuted(la.NetworkTransform):
    """Reorders the hidden units of all networks but the first: functions stay, points of weight space do not."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = torch.tensor(order)

    def transform(
        self, networks: Sequence[la.NetworkState], problem: la.Problem, space: la.WeightSpace
    ) -> list[la.NetworkState]:
        first, *others = networks
        return [first, *(la.NetworkState(f"{other.name} permuted", self._of(other.state)) for other in others)]

    def _of(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        into, out = (name for name, value in state.items() if value.ndim == 2)
        bias = into.replace("weight", "bias")
        reordered = {into: state[into][self.order], bias: state[bias][self.order], out: state[out][:, self.order]}
        return {**state, **reordered}


class TestLoadedNetworks:
    """Networks that are named become points of one weight space, checked once."""

    def base(self, seed: int = 1):
        return build_problem(TrainConfig(model_options={"hidden": (6,)}, seed=seed, device="cpu"))

    def test_a_transform_of_ones_own_is_applied(self, runs: Path) -> None:
        base = self.base()
        specs = [str(runs / "t1"), str(runs / "t2")]
        plain = load_networks(specs, base)
        moved = load_networks(specs, base, [Permuted([5, 4, 3, 2, 1, 0])])
        assert moved.names == ("t1", "t2 permuted")
        assert torch.equal(moved.vectors[0], plain.vectors[0])
        assert not torch.equal(moved.vectors[1], plain.vectors[1])
        x = base.train.take(torch.arange(8))[0]
        outputs = [torch.func.functional_call(base.problem.module, loaded.states[1], (x,)) for loaded in (plain, moved)]
        torch.testing.assert_close(*outputs)

    def test_snapshots_runs_and_files_are_networks(self, runs: Path, tmp_path: Path) -> None:
        base = self.base()
        (tmp_path / "w.safetensors").write_bytes(serialise_state(collect_state(base.problem.module)))
        loaded = load_networks([f"{runs / 't1'}@0", str(runs / "t1"), str(tmp_path / "w.safetensors")], base)
        assert loaded.vectors.shape == (3, base.space.size)
        assert torch.equal(base.space.vector_of(base.problem.module), loaded.vectors[2]), "the module is as it was"
        loaded.bring(base.problem.module)
        assert torch.equal(base.space.vector_of(base.problem.module), loaded.vectors[0])

    def test_a_transform_that_changes_what_is_held_is_refused(self, runs: Path) -> None:
        base = build_problem(TrainConfig(model_options={"hidden": (6,)}, seed=1, device="cpu", parameters=("*weight",)))
        start = {name: value.clone() for name, value in collect_state(base.problem.module).items()}
        base = replace(base, networks={"a": start, "b": {**start, **self.other_weights(start)}})
        assert load_networks(["a", "b"], base).names == ("a", "b")
        with pytest.raises(la.BadInput, match="a and b permuted differ in parameter '.*bias', which is held fixed"):
            load_networks(["a", "b"], base, [Permuted([5, 4, 3, 2, 1, 0])])

    def other_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: 1.5 * value for name, value in state.items() if name.endswith("weight")}

    def test_a_run_that_networks_are_loaded_for_stays_what_it_is(self, runs: Path) -> None:
        run = la.open_run(runs / "s")
        before = run.base.space.vector_of(run.problem.module)
        la.load_networks([str(runs / "t2")], run.base)
        assert torch.equal(run.base.space.vector_of(run.problem.module), before)

    def test_networks_that_differ_in_what_does_not_vary_are_refused(self, runs: Path) -> None:
        base = build_problem(TrainConfig(model_options={"hidden": (6,)}, seed=1, device="cpu", parameters=("*weight",)))
        with pytest.raises(la.BadInput, match="t1 and t2 differ in parameter '.*bias', which is held fixed; let"):
            load_networks([str(runs / "t1"), str(runs / "t2")], base)

    def test_a_buffer_that_no_chart_interpolates_is_told(self) -> None:
        class Scaled(nn.Module):
            def __init__(self, scale: float) -> None:
                super().__init__()
                self.linear = nn.Linear(3, 2)
                self.register_buffer("scale", torch.tensor(scale))

        base = copy.copy(self.base())
        one, other = Scaled(1.0), Scaled(2.0)
        own = la.Problem(one, la.CrossEntropy())
        states = {"a": collect_state(one), "b": collect_state(other)}
        data = base.data
        base = type(base)(own, la.WeightSpace(one), data, base.train, base.device, states)
        assert load_networks(["a", "b"], base).notes == (
            "a and b differ in the buffer 'scale'; points between them have the first's",
        )


class TestTrain:
    def test_it_is_the_training_in_one_call(self) -> None:
        result = la.train(problem(3), examples(), epochs=2, batch_size=16, optimizer="momentum,lr=0.05", seed=5)
        other = problem(3)
        training = la.Training(
            other, la.WeightSpace(other.module), examples(), epochs=2,
            optimizer=parse_optimizer("momentum,lr=0.05"), schedule=Constant(), batch_size=16, seed=5,
        )  # fmt: skip
        while not training.done:
            training.step()
        for mine, theirs in zip(result.module.parameters(), other.module.parameters(), strict=True):
            assert torch.equal(mine, theirs)
        assert result.steps == len(result.history) == 8

    @pytest.mark.parametrize("where", ["memory", "folder"])
    def test_snapshots_are_kept(self, where: str, tmp_path: Path) -> None:
        path = tmp_path / "way" if where == "folder" else None
        result = la.train(problem(), examples(), epochs=3, batch_size=32, snapshots="epoch", path=path)
        assert result.trajectory is not None
        assert [snapshot.step for snapshot in result.trajectory.snapshots] == [0, 2, 4, 6]
        last = result.trajectory.snapshots[-1].state()
        for name, value in collect_state(result.module).items():
            assert torch.equal(last[name], value)
        assert result.trajectory.snapshots[-1].scalars["epoch"] == 3.0
        if path is not None:
            with pytest.raises(
                la.BadInput, match="holds the snapshots of another training; give each training a folder"
            ):
                la.train(problem(), examples(), epochs=1, path=path)


class TestConnect:
    def networks(self) -> list[nn.Module]:
        return [trained(1), trained(2)]

    def test_in_memory_and_in_a_folder_alike(self, tmp_path: Path) -> None:
        networks, own = self.networks(), problem(9)
        before = copy.deepcopy(own.module.state_dict())
        settings = {"steps": 20, "grid": 9, "plane": 3, "plan": "loop", "seed": 4, "batch_size": 16, "device": "cpu"}
        told: list[dict[str, float]] = []
        splits = {"train": examples(), "test": examples(32, 1)}
        memory = la.connect(networks, own, splits, on_step=told.append, **settings)
        stored = la.connect(networks, own, splits, path=tmp_path / "curve", **settings)
        xr.testing.assert_equal(memory.survey.drop_attrs(), stored.survey.drop_attrs())
        assert memory.history[-1]["objective"] == stored.history[-1]["objective"]
        assert len(told) == 20
        assert memory.plane is not None
        assert memory.summary["curve_max"] == stored.summary["curve_max"]
        assert (tmp_path / "curve" / "survey.zarr").is_dir()
        for name, value in own.module.state_dict().items():
            assert torch.equal(value, before[name]), "the problem's module is as it was"
        ends = memory.chart.points(torch.tensor([[0.0], [1.0]]))
        for end, network in zip(ends, networks, strict=True):
            assert torch.equal(end, la.WeightSpace(network).vector_of(network))
        x, y = splits["test"].take(torch.arange(32))
        with torch.no_grad():
            losses = [float(nn.functional.cross_entropy(network.eval()(x), y)) for network in networks]
        np.testing.assert_allclose(memory.survey["test_loss"].values[[0, -1]], losses, rtol=1e-5)
        assert "curve" in la.view(memory.survey)

    def test_wrong_settings_are_one_line(self) -> None:
        networks, own, splits = self.networks(), problem(), {"train": examples()}
        with pytest.raises(la.BadInput, match="'stepps' is not a setting of lossatlas connect; did you mean 'steps'"):
            la.connect(networks, own, splits, stepps=3)
        with pytest.raises(la.BadInput, match="steps is '3'; expected a positive number"):
            la.connect(networks, own, splits, steps="3")
        with pytest.raises(
            la.BadInput, match="data is not a setting in Python, where the problem and the splits take its place"
        ):
            la.connect(networks, own, splits, data="digits")
        with pytest.raises(la.BadInput, match="test is not a choice of splits; expected train, and beside it test,"):
            la.connect(networks, own, {"test": examples()}, steps=3)
        with pytest.raises(la.BadInput, match="a curve connects two or more networks; got 1"):
            la.connect(networks[:1], own, splits, steps=3)
        with pytest.raises(la.BadInput, match="between is not a setting in Python, where the networks take its place"):
            la.connect(networks, own, splits, between=("a", "b"))
        with pytest.raises(
            la.BadInput, match="network 2, a int, is not a network; expected a module, or its tensors by name"
        ):
            la.connect([networks[0], 3], own, splits)
        with pytest.raises(la.BadInput, match="1 is not a name of a network; expected printable"):
            la.connect({1: networks[0], 2: networks[1]}, own, splits)

    def test_a_folder_with_a_curve_is_left_alone(self, tmp_path: Path) -> None:
        networks, own, splits = self.networks(), problem(9), {"train": examples()}
        settings = {"steps": 3, "grid": 5, "plane": 0, "plan": "loop", "device": "cpu", "ensembles": False}
        la.connect(networks, own, splits, path=tmp_path / "curve", **settings)
        before = {path: path.read_bytes() for path in (tmp_path / "curve").rglob("*") if path.is_file()}
        with pytest.raises(la.BadInput, match="curve is not an empty folder; give each curve a folder of its own"):
            la.connect(networks[::-1], own, splits, path=tmp_path / "curve", **settings)
        assert before == {path: path.read_bytes() for path in (tmp_path / "curve").rglob("*") if path.is_file()}
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", ""):
            with pytest.raises(la.BadInput, match="is not a folder"):
                la.connect(networks, own, splits, path=path, **settings)

    def test_numbers_may_be_numpys_and_counts_numbers(self) -> None:
        networks, own, splits = self.networks(), problem(9), {"train": examples()}
        settings = {"steps": np.int64(3), "plane": 0, "plan": "loop", "device": "cpu", "ensembles": False}
        found = la.connect(networks, own, splits, grid=np.int32(5), examples=50, **settings)
        same = la.connect(networks, own, splits, grid=(5,), examples="50", **settings)
        xr.testing.assert_equal(found.survey.drop_attrs(), same.survey.drop_attrs())

    def test_bends_start_at_other_networks(self) -> None:
        networks, own, splits = self.networks(), problem(9), {"train": examples()}
        settings = {"steps": 1, "lr": 1e-12, "grid": 3, "plane": 0, "plan": "loop", "device": "cpu", "ensembles": False}
        middle = trained(3)
        curve = la.connect(networks, own, splits, start=[middle], **settings).chart
        bend = curve.controls().detach()[1]
        torch.testing.assert_close(bend, la.WeightSpace(middle).vector_of(middle), rtol=0, atol=1e-6)

    def test_a_start_takes_no_networks_place_whatever_it_is_called(self) -> None:
        networks, own, splits = self.networks(), problem(9), {"train": examples()}
        settings = {"steps": 1, "grid": 3, "plane": 0, "plan": "loop", "device": "cpu", "ensembles": False}
        named = dict(zip(("start 1", "b"), networks, strict=True))
        for start in ([trained(3)], {"b": trained(3)}):
            controls = la.connect(named, own, splits, start=start, **settings).chart.controls()
            for place, network in ((0, networks[0]), (-1, networks[1])):
                assert torch.equal(controls[place].detach(), la.WeightSpace(network).vector_of(network))

    @pytest.mark.parametrize("place", [0, 1])
    def test_the_module_of_the_problem_may_be_one_of_the_networks(self, place: int) -> None:
        networks, splits = self.networks(), {"train": examples()}
        settings = {"steps": 3, "grid": 5, "plane": 0, "plan": "loop", "device": "cpu", "ensembles": False}
        apart = la.connect(networks, problem(9), splits, **settings)
        own = la.connect(networks, la.Problem(networks[place], la.CrossEntropy()), splits, **settings)
        xr.testing.assert_equal(apart.survey.drop_attrs(), own.survey.drop_attrs())

    def test_buffers_that_differ_are_told_of(self) -> None:
        class Shifted(nn.Module):
            def __init__(self, shift: float) -> None:
                super().__init__()
                self.linear = nn.Linear(3, 2)
                self.register_buffer("shift", torch.tensor(shift))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.linear(x) + self.shift

        networks = [Shifted(0.0), Shifted(4.0)]
        own, splits = la.Problem(Shifted(0.0), la.CrossEntropy()), {"train": examples()}
        with pytest.warns(la.Caution, match="network 1 and network 2 differ in the buffer 'shift'; points between"):
            la.connect(networks, own, splits, steps=1, grid=3, plane=0, plan="loop", device="cpu", ensembles=False)
        with pytest.warns(la.Caution, match="a and b differ in the buffer 'shift'; points between them have"):
            la.compare(
                dict(zip("ab", networks, strict=True)), own, splits, grid=3, line=3, slice_points=3, repeats=1,
                plan="loop", device="cpu",
            )  # fmt: skip


class TestCompare:
    def test_networks_with_and_without_starts(self) -> None:
        start = copy.deepcopy(problem(7).module)
        networks = {}
        for seed in (1, 2):
            own = problem(7)
            networks[f"n{seed}"] = la.train(own, examples(), epochs=3, batch_size=8, seed=seed, snapshots="none").module
        settings = {"grid": [8], "line": 9, "slice_points": 5, "repeats": 2, "plan": "loop", "device": "cpu"}
        splits = {"train": examples(), "test": examples(32, 1)}
        own = problem(0)
        bare = la.compare(networks, own, splits, **settings)
        whole = la.compare(networks, own, splits, starts=dict.fromkeys(networks, start), **settings)
        np.testing.assert_array_equal(bare["line_train_loss"], whole["line_train_loss"])
        assert "surface_train_loss" not in bare
        assert str(bare["reason"].values[0, 1]) == "starts are not known"
        assert np.isnan(bare["start_norm"].values).all()
        assert whole["surface_train_loss"].shape == (2, 2, 8, 8)
        assert str(whole["chart"].values[0, 1]) == "simplex"
        x, y = splits["train"].take(torch.arange(64))
        with torch.no_grad():
            losses = [float(nn.functional.cross_entropy(n.eval()(x), y)) for n in networks.values()]
        line = whole["line_train_loss"].sel(run="n1", other_run="n2")
        np.testing.assert_allclose([line.sel(alpha=0.0), line.sel(alpha=1.0)], losses, rtol=1e-5)
        np.testing.assert_allclose(whole["train_loss"], losses, rtol=1e-5)
        apart = [la.WeightSpace(n).vector_of(n) for n in networks.values()]
        assert float(whole["distance"].values[0, 1]) == pytest.approx(float((apart[0] - apart[1]).norm()), rel=1e-5)

    def test_the_module_of_the_problem_may_be_one_of_the_networks(self) -> None:
        networks = {f"n{seed}": trained(seed) for seed in (1, 2, 3)}
        settings = {"grid": [8], "line": 5, "slice_points": 3, "repeats": 1, "plan": "loop", "device": "cpu"}
        apart = la.compare(networks, problem(9), {"train": examples()}, **settings)
        for network in networks.values():
            own = la.compare(networks, la.Problem(network, la.CrossEntropy()), {"train": examples()}, **settings)
            xr.testing.assert_equal(apart, own)

    def test_names_that_would_give_two_surveys_one_folder(self, tmp_path: Path) -> None:
        networks = {name: trained(seed) for seed, name in enumerate(("a--b", "c", "a", "b--c"))}
        settings = {"grid": [8], "line": 3, "slice_points": 3, "repeats": 1, "plan": "loop", "device": "cpu"}
        memory = la.compare(networks, problem(9), {"train": examples()}, **settings)
        stored = la.compare(networks, problem(9), {"train": examples()}, path=tmp_path / "kept", **settings)
        xr.testing.assert_equal(memory, stored)
        assert len(list((tmp_path / "kept").glob("*.zarr"))) == 6 + 4

    def test_too_few_networks_and_strangers_among_the_groups_are_refused(self) -> None:
        networks, own, splits = {"a": trained(1), "b": trained(2)}, problem(), {"train": examples()}
        for few in ({}, {"a": networks["a"]}):
            with pytest.raises(la.BadInput, match="a comparison needs two or more networks; got [01]"):
                la.compare(few, own, splits)
        with pytest.raises(la.BadInput, match="'z' in groups is not a name of a network; expected a, b"):
            la.compare(networks, own, splits, groups={"z": "g"})
        with pytest.raises(la.BadInput, match="runs is not a setting in Python, where the networks take its place"):
            la.compare(networks, own, splits, runs=("a",))

    def test_strangers_among_the_starts_are_refused(self) -> None:
        with pytest.raises(la.BadInput, match="'c' in starts is not a name of a network"):
            la.compare({"a": trained(1), "b": trained(2)}, problem(), {"train": examples()}, starts={"c": trained(1)})
