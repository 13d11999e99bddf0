"""Trajectories through weight space: principal components, projections, and what a survey says of one."""

from __future__ import annotations

import copy
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from networks import make
from safetensors.torch import load_file
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torn import torn

import lossatlas as la
from lossatlas import schema
from lossatlas.cli.main import main
from lossatlas.data.split import Split
from lossatlas.directions import Around, make_directions
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.recipes.survey import build_survey
from lossatlas.streams import make_generator
from lossatlas.training import Trajectory
from lossatlas.training.weight_trajectory import WeightTrajectory
from lossatlas.weights.files import load_state


def wandering(name: str, count: int, folder: Path) -> tuple[WeightTrajectory, np.ndarray]:
    """A random walk of a network, and all its vectors (S, n)."""
    problem, _ = make(name)
    space = la.WeightSpace(problem.module)
    random = torch.Generator().manual_seed(1)
    trajectory = Trajectory(folder)
    rows = []
    for step in range(count):
        with torch.no_grad():
            for k, parameter in enumerate(problem.module.parameters()):
                parameter += 10.0 ** -(k % 3) * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        trajectory.record(problem.module, step)
        rows.append(space.vector_of(problem.module).numpy())
    return WeightTrajectory(trajectory, space), np.stack(rows)


class Alive(TorchDispatchMode):
    """Counts slices of snapshots that are made, and the most bytes of tensors that are alive together."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = self.peak = self._now = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            # Views and results of operations in place hold nothing of their own.
            held = [other.untyped_storage().data_ptr() for other in tree_leaves(args) if isinstance(other, Tensor)]
            if not isinstance(leaf, Tensor) or leaf.untyped_storage().data_ptr() in held:
                continue
            size = leaf.numel() * leaf.element_size()
            self._now += size
            self.peak = max(self.peak, self._now)
            self.slices += func is torch.ops.aten.empty.memory_format and leaf.dtype == torch.float64 and leaf.ndim == 2
            weakref.finalize(leaf, self._free, size)
        return result

    def _free(self, size: int) -> None:
        self._now -= size


class TestComponents:
    @pytest.mark.parametrize("name", ["conv", "tied", "batch_norm"])
    @pytest.mark.parametrize("share", [0.5, 100.0])
    def test_are_those_of_scikit_learn_on_the_whole_matrix(self, name: str, share: float, tmp_path: Path) -> None:
        """Within a memory that holds half of the snapshots, and within one that holds them all."""
        walk, rows = wandering(name, 9, tmp_path)
        memory = int(share * rows.nbytes)
        with Alive() as alive:
            explained = walk.explained(memory)
        assert alive.peak <= memory + 4 * 8 * 9**2, "beside the matrix and its eigenvectors"
        assert (alive.slices > 1) == (share < 1)
        found = walk.components(4, memory)

        exact = PCA(svd_solver="full").fit(rows)
        np.testing.assert_allclose(explained[:8], exact.explained_variance_ratio_[:8], rtol=1e-6)
        signs = np.sign((found.numpy() * exact.components_[:4]).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(found, signs * exact.components_[:4], atol=1e-6)
        torch.testing.assert_close(found @ found.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)

    def test_let_the_trajectory_run_from_left_to_right(self, tmp_path: Path) -> None:
        walk, rows = wandering("conv", 6, tmp_path)
        along = (rows - rows[-1]) @ walk.components(3).numpy().T
        assert (along[0] < 0).all()

    def test_hold_more_of_the_trajectory_than_other_planes_and_as_much_as_they_say(self, tmp_path: Path) -> None:
        walk, rows = wandering("conv", 9, tmp_path)
        origin = torch.from_numpy(rows[-1])
        path = walk.project(origin, walk.components(2))
        assert path.captured == pytest.approx(float(walk.explained()[:2].sum()), rel=1e-9)
        torch.testing.assert_close(path.shares, walk.explained()[:2], rtol=1e-9, atol=0)
        other = walk.project(origin, torch.randn(2, walk.space.size, dtype=torch.float64))
        assert other.captured < 0.1 < path.captured

    def test_more_than_the_trajectory_has_are_refused(self, tmp_path: Path) -> None:
        walk, _ = wandering("conv", 3, tmp_path)
        assert len(walk.components(2)) == 2
        with pytest.raises(
            la.BadInput, match="the trajectory of 3 snapshots spans 2 dimensions, fewer than the 3 components"
        ):
            walk.components(3)

    def test_a_memory_below_one_row_says_what_it_takes(self, tmp_path: Path) -> None:
        walk, _ = wandering("conv", 3, tmp_path)
        with pytest.raises(
            la.BadInput, match=r"100 bytes are too few for one row of .* of 3 snapshots; expected (\d+)"
        ) as refused:
            walk.components(1, 100)
        need = int(str(refused.value).split("expected ")[1].split()[0])
        assert need > 100
        walk.components(1, 10 * need)

    def test_of_a_trajectory_that_stands_still_there_are_none(self, tmp_path: Path) -> None:
        problem, _ = make("mlp")
        trajectory = Trajectory(tmp_path)
        for step in range(3):
            trajectory.record(problem.module, step)
        with pytest.raises(la.BadInput, match="spans 0 dimensions"):
            WeightTrajectory(trajectory, la.WeightSpace(problem.module)).components(1)


class TestProjection:
    def test_of_snapshots_onto_their_own_plane_and_back_is_where_they_were(self, tmp_path: Path) -> None:
        """Along directions that are neither orthogonal nor of one length."""
        walk, rows = wandering("conv", 3, tmp_path)
        points = torch.from_numpy(rows)
        vectors = torch.stack([points[0] - points[2], 3 * (points[1] - points[2]) + points[0] - points[2]])
        path = walk.project(points[2], vectors)
        torch.testing.assert_close(points[2] + path.coords @ vectors, points, rtol=0, atol=1e-6)
        assert float(path.distances.max()) < 1e-6
        assert path.captured == pytest.approx(1.0)

    def test_is_least_squares_and_states_what_is_left(self, tmp_path: Path) -> None:
        walk, rows = wandering("conv", 5, tmp_path)
        vectors = torch.randn(2, walk.space.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        path = walk.project(torch.from_numpy(rows[1]), vectors)
        for index, row in enumerate(rows):
            exact, *_ = np.linalg.lstsq(vectors.numpy().T, row - rows[1], rcond=None)
            np.testing.assert_allclose(path.coords[index], exact, atol=1e-9)
            left = np.linalg.norm(row - rows[1] - exact @ vectors.numpy())
            assert float(path.distances[index]) == pytest.approx(left, rel=1e-9, abs=1e-9)

    def test_along_dependent_directions_is_refused(self, tmp_path: Path) -> None:
        walk, rows = wandering("conv", 3, tmp_path)
        vector = torch.randn(walk.space.size, dtype=torch.float64)
        with pytest.raises(la.BadInput, match="linearly dependent"):
            walk.project(torch.from_numpy(rows[0]), torch.stack([vector, 2 * vector]))


class TestRefusals:
    def test_one_snapshot_is_not_a_trajectory(self, tmp_path: Path) -> None:
        problem, _ = make("mlp")
        with pytest.raises(la.BadInput, match="holds no snapshots; a trajectory needs two or more"):
            WeightTrajectory(Trajectory(tmp_path), la.WeightSpace(problem.module))
        trajectory = Trajectory(tmp_path)
        trajectory.record(problem.module, 0)
        with pytest.raises(la.BadInput, match="holds 1 snapshot; a trajectory needs two or more"):
            WeightTrajectory(trajectory, la.WeightSpace(problem.module))

    def test_another_architecture_is_named_by_its_first_difference(self, tmp_path: Path) -> None:
        wandering("conv", 2, tmp_path)
        other = la.Conv(channels=(3, 5), hidden=6).build((2, 8, 7), 3)
        with pytest.raises(
            la.BadInput, match=r"step 0 is of another model: '.*weight' has shape \(4, 3, .* in the model"
        ):
            WeightTrajectory(Trajectory(tmp_path), la.WeightSpace(other))

    def test_a_snapshot_that_is_cut_off_is_named(self, tmp_path: Path) -> None:
        walk, _ = wandering("conv", 3, tmp_path)
        path = walk.snapshots[1].path
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(
            la.BadInput, match=r"000000001.safetensors cannot be read; those of steps 0, 2 are complete"
        ):
            WeightTrajectory(Trajectory(tmp_path), walk.space)


def test_directions_are_of_length_one_and_in_the_order_of_the_axes(tmp_path: Path) -> None:
    walk, rows = wandering("conv", 4, tmp_path)
    around = Around(walk.space, torch.from_numpy(rows[-1]), trajectory=walk, seed=3)
    vectors, labels = make_directions(["random", "solution", "component", "random"], around)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4, dtype=torch.float64))
    straight = torch.from_numpy(rows[-1] - rows[0])
    torch.testing.assert_close(vectors[1], straight / straight.norm())
    torch.testing.assert_close(vectors[2], walk.components(1)[0])
    assert abs(float(vectors[0] @ vectors[3])) < 0.3
    assert labels == ["random direction 1", "from start to solution", "principal component 1", "random direction 2"]
    again, _ = make_directions(["random"], around)
    torch.testing.assert_close(again[0], vectors[0])
    with pytest.raises(la.BadInput, match="direction 'solution' is given for 2 axes"):
        make_directions(["solution", "solution"], around)
    with pytest.raises(la.BadInput, match="is computed from a trajectory; name one with --trajectory"):
        make_directions(["component"], Around(walk.space, around.origin))
    with pytest.raises(la.BadInput, match="'componnt' is not a direction; did you mean 'component'"):
        make_directions(["componnt"], around)


TRAINED = TrainConfig(
    model="conv", model_options={"channels": (3,), "hidden": 6, "batch_norm": True, "max_pool": False},
    seed=3, epochs=4, batch_size=300, optimizer="momentum,lr=0.1", schedule="steps", schedule_options={"at": (0.5,)},
    switch=("3:adam",),
)  # fmt: skip
PROBLEM = {"model": TRAINED.model, "model_options": TRAINED.model_options}
SURVEYED = SurveyConfig(**PROBLEM, grid=(5, 4), examples="200", plan="loop", eval_batch_size=100)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    run_train(TRAINED, out)
    return out


@pytest.fixture(scope="module")
def surveyed(trained: Path) -> Path:
    out = trained.parent / "survey"
    run_survey(replace(SURVEYED, trajectory=str(trained)), out)
    return out


def opened(run: Path) -> xr.Dataset:
    return xr.open_zarr(str(run / "survey.zarr"), consolidated=False, chunks=None).load()


def examples(name: str) -> Split:
    return la.load_data("digits").splits[name]


class TestSurveyOfATrajectory:
    def test_has_the_losses_of_the_snapshots_with_their_own_statistics(self, trained: Path, surveyed: Path) -> None:
        survey = opened(surveyed)
        assert survey.sizes["u"] == 5
        assert survey.sizes["v"] == 4
        module = la.Conv(channels=(3,), hidden=6, batch_norm=True, max_pool=False).build((1, 8, 8), 10)
        chart = la.load_chart(surveyed / "chart.safetensors")
        space = la.WeightSpace(module)
        end = load_file(trained / "model.safetensors")
        split = examples("test").subset(200, make_generator(0, "survey/test"))
        images, labels = split.take(torch.arange(len(split)))

        def loss() -> float:
            module.eval()
            with torch.no_grad():
                return float(nn.functional.cross_entropy(module(images), labels))

        for index, snapshot in enumerate(Trajectory(trained / "snapshots").snapshots):
            load_state(module, snapshot.state(), "it")
            assert float(survey["path_loss_test"][index]) == pytest.approx(loss(), rel=1e-4)
            coords = torch.tensor([[float(survey[f"path_{axis}"][index]) for axis in ("u", "v")]])
            load_state(module, end, "the end")
            nn.utils.vector_to_parameters(chart.points(coords)[0].detach(), module.parameters())
            assert float(survey["path_loss_under_test"][index]) == pytest.approx(loss(), rel=1e-3)
            left = space.flatten(snapshot.state()) - chart.points(coords)[0].detach()
            assert float(survey["path_distance"][index]) == pytest.approx(float(left.norm()), rel=1e-3, abs=1e-4)

    def test_has_the_angle_between_steps_and_descent(self, trained: Path, surveyed: Path) -> None:
        survey = opened(surveyed)
        module = la.Conv(channels=(3,), hidden=6, batch_norm=True, max_pool=False).build((1, 8, 8), 10)
        split = examples("train").subset(200, make_generator(0, "survey/train"))
        images, labels = split.take(torch.arange(len(split)))
        snapshots = Trajectory(trained / "snapshots").snapshots
        space = la.WeightSpace(module)
        for index in range(len(snapshots) - 1):
            load_state(module, snapshots[index].state(), "it")
            module.eval()
            module.zero_grad()
            nn.functional.cross_entropy(module(images), labels).backward()
            gradient = torch.cat([parameter.grad.reshape(-1) for parameter in module.parameters()])
            step = space.flatten(snapshots[index + 1].state()) - space.flatten(snapshots[index].state())
            cosine = float(-gradient @ step / gradient.norm() / step.norm())
            assert float(survey["path_angle"][index]) == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.1)
        assert np.isnan(survey["path_angle"][-1])

    def test_reaches_beyond_the_path(self, surveyed: Path) -> None:
        survey = opened(surveyed)
        for axis in ("u", "v"):
            path = survey[f"path_{axis}"].values
            assert survey[axis].values[0] < path.min()
            assert survey[axis].values[-1] > path.max()

    def test_interrupted_anywhere_it_ends_the_same(self, trained: Path, surveyed: Path, tmp_path: Path) -> None:
        config = replace(SURVEYED, trajectory=str(trained))
        for after in (1, 2, 4):
            out, asked = tmp_path / str(after), 0

            def stop(after: int = after) -> bool:
                nonlocal asked
                asked += 1
                return asked == after

            with pytest.raises(la.Interrupted, match="continue with"):
                run_survey(config, out, stop=stop, pictures=False)
            run_survey(config, out, resume=True, pictures=False)
            xr.testing.assert_identical(opened(out), opened(surveyed))

    def test_all_that_was_made_and_not_written_is_computed_again(
        self, trained: Path, surveyed: Path, tmp_path: Path
    ) -> None:
        run = shutil.copytree(surveyed, tmp_path / "run")
        assert {"path_step", "path_u", "path_loss_train", "path_elsewhere"} <= torn(run / "survey.zarr")
        (run / "summary.json").unlink()
        run_survey(replace(SURVEYED, trajectory=str(trained)), run, resume=True, pictures=False)
        xr.testing.assert_identical(opened(run), opened(surveyed))

    def test_does_not_depend_on_the_number_of_threads(self, trained: Path) -> None:
        before, found = torch.get_num_threads(), []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(build_survey(replace(SURVEYED, trajectory=str(trained))))
                assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        one, two = found
        assert one.chart.fingerprint() == two.chart.fingerprint()
        assert all(np.array_equal(one.grid[axis], two.grid[axis]) for axis in ("u", "v"))

    def test_holds_the_variance_along_all_components(self, surveyed: Path) -> None:
        explained = opened(surveyed)["path_explained"].values
        assert explained.shape == (5,)
        assert explained.sum() == pytest.approx(1.0)
        assert (np.diff(explained) <= 0).all()

    @pytest.mark.parametrize(
        ("rates", "dropped"),
        [
            ([1, 1, 0.1, 0.1, 0.01], [1, 3]),
            ([1, 1, 0.7, 0.7], [1]),
            ([float(1 + np.cos(k / 3)) for k in range(9)], []),
            ([float(9 - k) for k in range(9)], []),
            ([1, 0.5, 0.1, 1, 0.5, 0.1], []),
            ([float("nan")] * 4, []),
        ],
        ids=["steps", "small steps", "cosine", "linear", "restarts", "untold"],
    )
    def test_a_rate_that_glides_has_no_drops(self, rates: list[float], dropped: list[int], surveyed: Path) -> None:
        survey = opened(surveyed).isel(snapshot=[0] * len(rates))
        survey["path_lr"] = ("snapshot", np.array(rates))
        survey["path_phase"] = ("snapshot", np.zeros(len(rates)))
        figure = la.view(survey, kinds=["trajectory"])["trajectory"].figure
        marked = [line for ax in figure.axes for line in ax.get_lines() if line.get_label() == "rate drops"]
        assert [len(line.get_xydata()) for line in marked] == ([len(dropped)] if dropped else [])

    def test_is_drawn_with_drops_and_switches(self, surveyed: Path) -> None:
        survey = opened(surveyed)
        figure = la.view(survey, kinds=["trajectory"])["trajectory"].figure
        main_panel, *small = [ax for ax in figure.axes if ax.get_legend() or ax.get_title()]
        marks = {line.get_label(): line.get_xydata() for line in main_panel.get_lines()}
        path = np.stack([survey["path_u"], survey["path_v"]], axis=1)
        np.testing.assert_allclose(marks["rate drops"], path[[2]])
        np.testing.assert_allclose(marks["optimiser switches"], path[[3]])
        np.testing.assert_allclose(marks["end"], path[[-1]])
        shares = [ax.get_title() for ax in small if ax.get_title()]
        assert len(shares) == 2
        assert all("of the trajectory's variance" in share for share in shares)
        assert (surveyed / "trajectory.png").exists()
        assert "principal component 1" in survey["u"].attrs["long_name"]

    def test_without_a_path_there_is_no_such_picture(self, surveyed: Path) -> None:
        bare = opened(surveyed)
        bare = bare.drop_vars([name for name in bare.data_vars if str(name).startswith("path_")])
        with pytest.raises(la.BadInput, match="it needs two axes, a loss, and a trajectory on them"):
            la.view(bare, kinds=["trajectory"])

    def test_says_how_much_other_planes_hold(self, surveyed: Path) -> None:
        summary = json.loads((surveyed / "summary.json").read_text())
        random = summary["captured_elsewhere"]["random direction 1 and random direction 2"]
        through = summary["captured_elsewhere"]["from start to solution and random direction 1"]
        assert random < 0.1 < through < summary["captured_variance"] <= 1


class TestCommandLine:
    def test_takes_the_problem_from_the_run(self, trained: Path, tmp_path: Path) -> None:
        tokens = ["survey", f"--trajectory={trained}", f"--out={tmp_path / 'run'}", "--grid=3", "--examples=50"]
        assert main([*tokens, "--plan=loop", "--no_pictures", "--splits", "test"]) == 0
        stored = stored_config(tmp_path / "run")
        assert stored["model"] == "conv"
        assert stored["model.channels"] == [3]
        assert stored["model.batch_norm"] is True
        assert stored["seed"] == 3, "of the data that the run was trained on"
        assert set(opened(tmp_path / "run").data_vars) >= {"test_loss", "path_loss_test", schema.OnTrajectory.ELSEWHERE}

    @pytest.mark.parametrize("how", ["file", "folder"])
    def test_takes_it_however_the_run_is_named(self, how: str, trained: Path, tmp_path: Path) -> None:
        (tmp_path / "s.yaml").write_text(f"trajectory: {trained}\ngrid: [3]\nexamples: 50\nplan: loop\n")
        named = {
            "file": [f"--config={tmp_path / 's.yaml'}"],
            "folder": [f"--trajectory={trained / 'snapshots'}", "--grid=3", "--examples=50", "--plan=loop"],
        }
        assert main(["survey", *named[how], f"--out={tmp_path / 'run'}", "--no_pictures"]) == 0
        assert stored_config(tmp_path / "run")["model"] == "conv"

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["--trajectory="], "trajectory is empty; give a value, or leave it out"),
            (["--trajectory=nowhere"], "holds no snapshots; a trajectory needs two or more"),
            (
                ["--trajectory=RUN", "--directions", "compnent"],
                "'compnent' is not a direction; did you mean 'component'",
            ),
            (["--trajectory=RUN", "--directions", "solution", "solution"], "direction 'solution' is given for 2 axes"),
            (["--trajectory=RUN", "--grid", "1"], "grid is 1; expected one number of at least 2 points"),
            (["--trajectory=RUN", "--grid", "3", "3", "3"], "or one for each of u, v"),
            (["--trajectory=RUN", "--model=mlp"], "is of another model"),
            (["--trajectory=RUN", "--metrics", "lss"], "'lss' is not a metric"),
            (["--trajectory=RUN", "--margin=-1"], "margin is -1"),
            (["--trajectory=RUN", "--directions", *["random"] * 4], "4 directions are given; expected one per axis"),
            (["--trajectory=RUN", "--memory=1KB"], "or more: raise --memory"),
            (["--trajectory=RUN", "--splits", "valid"], "'valid' is not a split"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, tokens: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tokens = [token.replace("RUN", str(trained)) for token in tokens]
        assert main(["survey", *tokens, f"--out={tmp_path / 'run'}"]) == 2
        errors = capsys.readouterr().err
        assert message in " ".join(errors.split())
        assert len(errors.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    def test_a_network_that_stood_still_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        module = la.MLP(hidden=(8,)).build((1, 8, 8), 10)
        for step in range(3):
            Trajectory(tmp_path / "way").record(module, step)
        tokens = [f"--trajectory={tmp_path / 'way'}", "--model.hidden", "8", "--directions", "random", "random"]
        assert main(["survey", *tokens, f"--out={tmp_path / 'run'}"]) == 2
        assert "are all equal, so there is nothing to survey" in " ".join(capsys.readouterr().err.split())

    def test_a_dry_run_writes_nothing(self, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = ["--grid", "5", "4", "--examples=100", "--plan=loop", "--dry_run", f"--out={tmp_path / 'run'}"]
        assert main(["survey", f"--trajectory={trained}", *tokens]) == 0
        printed = capsys.readouterr().out
        assert "survey     20 points x 200 examples" in printed
        assert "trajectory 5 snapshots x 200 examples" in printed
        assert not list(tmp_path.iterdir())


def test_a_trajectory_that_ends_where_it_began_has_no_plane_through_its_solution(tmp_path: Path) -> None:
    module = la.MLP(hidden=(8,)).build((1, 8, 8), 10)
    trajectory = Trajectory(tmp_path / "way")
    start = copy.deepcopy(module.state_dict())
    for step in range(3):
        trajectory.record(module, step)
        with torch.no_grad():
            next(module.parameters()).add_(torch.randn(8, 64))
    module.load_state_dict(start)
    trajectory.record(module, 3)
    config = SurveyConfig(
        model_options={"hidden": (8,)}, trajectory=str(tmp_path / "way"), grid=(3,), examples="50", plan="loop",
        directions=("random", "random"),
    )  # fmt: skip
    summary = run_survey(config, tmp_path / "run")
    assert list(summary["captured_elsewhere"]) == ["random direction 1 and random direction 2"]
    assert (tmp_path / "run" / "trajectory.png").exists()


def stored_config(run: Path) -> dict[str, object]:
    return yaml.safe_load((run / "config.yaml").read_text())


def test_a_trajectory_of_a_users_own_module_needs_its_module_alone(tmp_path: Path) -> None:
    problem, split = make("tied")
    trajectory = Trajectory(tmp_path)
    module = copy.deepcopy(problem.module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for step in range(5):
        trajectory.record(module, step)
        optimizer.zero_grad()
        outputs = problem.feed.output(module(split.data[0]))
        problem.loss(outputs, split.data[1]).mean().backward()
        optimizer.step()
    walk = WeightTrajectory(trajectory, la.WeightSpace(problem.module))
    found = walk.components(2)
    plane = la.Plane(walk.vector(4), found, order=range(2), train_origin=False)
    path = walk.project(plane.origin, plane.controls()[1:])
    survey = la.survey(plane, la.make_grid(plane, (4, 4)), problem, {"train": split}, plan="loop")
    assert np.isfinite(survey["train_loss"]).all()
    assert path.captured > 0.9
