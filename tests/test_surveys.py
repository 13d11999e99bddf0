"""Surveys: what is measured at a point, by several processes, on grids that grow or are refined where they bend."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
import zarr
from hypothesis import given, settings, strategies as st
from killed_together import killed_together
from networks import make, plane
from nursery import result_of
from reference import module_at
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor, nn

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.directions import NORMALISATIONS, Around, make_directions
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.locks import Lock
from lossatlas.measures import measure_survey
from lossatlas.metrics import choose_metrics
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.recipes.sites.run import _shown
from lossatlas.schema import Corner, parse_texts
from lossatlas.streams import make_generator
from lossatlas.surveying import Refinement, Surveyor, SurveyStore
from lossatlas.surveying.tile_source import Claim
from lossatlas.weights.files import read_state


def opened(run: Path) -> xr.Dataset:
    return xr.open_zarr(str(run / "survey.zarr"), consolidated=False, chunks=None).load()


def grid(*counts: int) -> dict[str, np.ndarray]:
    return {axis: np.linspace(-1, 1, count) for axis, count in zip("uvw", counts, strict=False)}


def margins(outputs: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    """By how much the label's logit is above the largest other one."""
    own = outputs.gather(1, batch[1][:, None])[:, 0]
    return own - outputs.scatter(1, batch[1][:, None], -math.inf).amax(dim=1)


class TestMetrics:
    def found(self, metrics: list[object]) -> tuple[xr.Dataset, Tensor, la.Problem, la.Split, Tensor]:
        """A survey at two points, and the outputs of the network at the second."""
        problem, split = make("mlp")
        chart = plane(problem)
        survey = la.survey(chart, grid(2, 2), problem, {"test": split}, metrics=metrics, plan="loop").load()
        weights = chart.points(torch.tensor([[1.0, 1.0]], dtype=torch.float64))[0].detach()
        with torch.no_grad():
            outputs = module_at(problem, weights, "frozen")(split.data[0])
        return survey.isel(u=-1, v=-1), outputs, problem, split, weights

    def test_the_rate_of_errors_is_what_accuracy_leaves(self) -> None:
        survey, outputs, _, split, _ = self.found(["accuracy", "error"])
        wrong = (outputs.argmax(dim=1) != split.data[1]).double().mean()
        assert float(survey["test_error"]) == pytest.approx(float(wrong), abs=1e-7)
        assert float(survey["test_error"] + survey["test_accuracy"]) == pytest.approx(1, abs=1e-7)

    def test_the_accuracy_of_a_class_is_that_of_its_examples(self) -> None:
        survey, outputs, _, split, _ = self.found(["class_accuracy"])
        assert survey["test_class_accuracy"].dims == ("classes",)
        for label in range(4):
            mine = split.data[1] == label
            expected = (outputs.argmax(dim=1) == label)[mine].double().mean()
            assert float(survey["test_class_accuracy"][label]) == pytest.approx(float(expected), nan_ok=True)

    def test_weight_decay_adds_half_the_squared_norm(self) -> None:
        survey, *_, weights = self.found(["loss", "regularised_loss:0.02"])
        expected = float(survey["test_loss"]) + 0.01 * float(weights.square().sum())
        assert float(survey["test_regularised_loss"]) == pytest.approx(expected, rel=1e-6)

    def test_weight_decay_counts_what_the_chart_spans(self) -> None:
        problem, split = make("mlp")
        space = la.WeightSpace(problem.module, ["3.*"])
        centre = space.vector_of(problem.module)
        chart = la.Slice(centre, torch.ones(1, space.size, dtype=torch.float64))
        survey = la.survey(
            chart, grid(3), problem, {"test": split}, metrics=["loss", "regularised_loss:1"], space=space, plan="loop"
        )
        added = survey["test_regularised_loss"] - survey["test_loss"]
        assert float(added.sel(u=0)) == pytest.approx(0.5 * float(centre.square().sum()), rel=1e-6)

    @pytest.mark.parametrize("plan", ["loop", "vmap", "batched", "threads"])
    def test_a_users_function_sees_outputs_and_batch(self, plan: str) -> None:
        problem, split = make("mlp")
        chart = plane(problem)
        own = la.PerExampleMetric(margins, "margin")
        survey = la.survey(
            chart, grid(2, 3), problem, {"test": split}, metrics=[own], plan=plan, eval_batch_size=5
        ).load()
        for u in (-1.0, 1.0):
            weights = chart.points(torch.tensor([[u, 0.0]], dtype=torch.float64))[0]
            with torch.no_grad():
                outputs = module_at(problem, weights, "frozen")(split.data[0])
            expected = float(margins(outputs, split.data).mean())
            assert float(survey["test_margin"].sel(u=u, v=0)) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda outputs, _: outputs.mean(), "returned shape .* for 8 examples; expected one number each"),
            (lambda outputs, _: outputs, r"returned shape \(8, 4\) for 8 examples"),
            (lambda *_: 1.0, "returned float for 8 examples"),
            (lambda outputs, _: outputs @ outputs, "fails on the model's output"),
        ],
    )
    def test_of_a_wrong_shape_is_refused_before_anything_is_made(
        self, function: Callable[..., object], message: str, tmp_path: Path
    ) -> None:
        problem, split = make("mlp")
        own = la.PerExampleMetric(function, "own")
        with pytest.raises(la.BadInput, match=message):
            la.survey(
                plane(problem), grid(2, 2), problem, {"test": split}, metrics=[own], plan="loop", path=tmp_path / "s"
            )
        assert not (tmp_path / "s").exists()

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["acuracy"], "did you mean 'accuracy'"),
            (["loss:3"], "takes no argument"),
            (["regularised_loss:much"], "needs a weight decay, as in regularised_loss:5e-4"),
            (["nowhere:function"], "cannot import 'nowhere'"),
        ],
    )
    def test_that_are_not_there_are_refused(self, names: list[str], message: str) -> None:
        with pytest.raises(la.BadInput, match=message):
            choose_metrics(la.CrossEntropy(), names)

    def test_two_of_one_name_are_refused(self) -> None:
        with pytest.raises(la.BadInput, match="1 .MeanLoss. and 2 .PerExampleMetric. are both called 'loss'"):
            choose_metrics(la.CrossEntropy(), ["auto", la.PerExampleMetric(margins, "loss")])

    def test_positions_without_a_label_do_not_count(self) -> None:
        problem, split = make("tied")
        tokens, labels = split.data
        labels = labels.clone()
        labels[:, 2:] = -100
        chart = plane(problem)
        survey = la.survey(chart, grid(2, 2), problem, {"test": la.Split((tokens, labels))}, plan="loop").load()
        weights = chart.points(torch.tensor([[-1.0, 1.0]], dtype=torch.float64))[0]
        with torch.no_grad():
            outputs = module_at(problem, weights, "frozen")(tokens)[:, :2]
        right = (outputs.argmax(dim=-1) == labels[:, :2]).double().mean()
        assert float(survey["test_accuracy"].sel(u=-1, v=1)) == pytest.approx(float(right), abs=1e-7)


class TestSubsets:
    def test_have_the_standard_error_of_a_draw_without_replacement(self) -> None:
        problem, split = make("mlp")
        drawn = split.subset(7, torch.Generator().manual_seed(1))
        chart = plane(problem)
        survey = la.survey(chart, grid(2, 2), problem, {"test": drawn}, plan="loop", eval_batch_size=3).load()
        weights = chart.points(torch.tensor([[1.0, -1.0]], dtype=torch.float64))[0]
        with torch.no_grad():
            outputs = module_at(problem, weights, "frozen")(drawn.data[0])
        losses = nn.functional.cross_entropy(outputs, drawn.data[1], reduction="none")
        expected = float(losses.std()) / math.sqrt(7) * math.sqrt(1 - 7 / len(split))
        at = {"u": 1.0, "v": -1.0}
        assert float(survey["test_loss_standard_error"].sel(at)) == pytest.approx(expected, rel=1e-6)
        assert "test_accuracy_standard_error" in survey

    def test_err_about_as_much_as_they_say(self) -> None:
        """Over many subsets the mean is within two standard errors of the whole about 95 times in 100."""
        torch.manual_seed(0)
        random = torch.Generator().manual_seed(0)
        inputs = torch.randn(400, 3, generator=random, dtype=torch.float64)
        targets = torch.randn(400, 1, generator=random, dtype=torch.float64)
        problem = la.Problem(nn.Linear(3, 1).double(), la.SquaredError())
        whole = la.Split((inputs, targets))
        chart = plane(problem, axes=1)
        engine = la.engine_for(problem, chart, whole, plan="loop")
        points = chart.coefficients(torch.tensor([[-1.0]], dtype=torch.float64)), chart.controls()

        def measured(split: la.Split) -> list[float]:
            """Its loss, and the standard error of that where there is one."""
            return [*map(float, engine.evaluate(*points, split, choose_metrics(problem.loss, ["loss"]), 400).values())]

        (truth,) = measured(whole)
        found = [measured(whole.subset(150, torch.Generator().manual_seed(k))) for k in range(200)]
        within = [abs(loss - truth) <= 2 * error for loss, error in found]
        assert 0.90 <= np.mean(within) <= 0.99

    def test_that_hold_everything_have_none(self) -> None:
        problem, split = make("mlp")
        survey = la.survey(plane(problem), grid(2, 2), problem, {"test": split}, plan="loop")
        assert not [name for name in survey if str(name).endswith("standard_error")]


class TestCharts:
    def corners(self, count: int) -> Tensor:
        return torch.randn(count, 9, generator=torch.Generator().manual_seed(count), dtype=torch.float64)

    @pytest.mark.parametrize(
        ("kind", "count"), [(la.Simplex, 2), (la.Simplex, 3), (la.Simplex, 4), (la.Through, 3), (la.Quadrilateral, 4)]
    )
    def test_between_networks_pass_through_them_with_weights_that_sum_to_one(
        self, kind: type[la.Simplex], count: int
    ) -> None:
        corners = self.corners(count)
        chart = kind(corners)
        torch.testing.assert_close(chart.points(chart.corner_coords()), corners, rtol=0, atol=1e-12)
        random = torch.randn(20, len(chart.axes), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        torch.testing.assert_close(chart.coefficients(random).sum(dim=1), torch.ones(20).double())
        again = la.charts.files.CHARTS[kind.__name__.lower()].from_state(chart.state_dict())
        assert again.fingerprint() == chart.fingerprint()

    def test_through_three_networks_coordinates_are_distances(self) -> None:
        chart = la.Through(self.corners(3))
        coords = torch.randn(15, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        torch.testing.assert_close(torch.cdist(chart.points(coords), chart.points(coords)), torch.cdist(coords, coords))

    def test_a_quadrilateral_is_linear_along_each_axis_and_bends_across(self) -> None:
        corners = self.corners(4)
        chart = la.Quadrilateral(corners)
        at = torch.tensor([[0.25, 0.5]], dtype=torch.float64)
        left, right = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
        torch.testing.assert_close(chart.points(at)[0], 0.75 * left + 0.25 * right)

    def test_several_draws_are_several_slices(self) -> None:
        problem, split = make("mlp")
        space = la.WeightSpace(problem.module)
        origin = space.vector_of(problem.module)
        directions = torch.randn(3, 2, space.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        axes = {**grid(3, 2), "repeat": np.arange(3.0)}
        together = la.survey(la.RepeatedSlice(origin, directions), axes, problem, {"test": split}, plan="loop").load()
        for k in range(3):
            alone = la.survey(la.Slice(origin, directions[k]), grid(3, 2), problem, {"test": split}, plan="loop")
            np.testing.assert_allclose(together["test_loss"].sel(repeat=k), alone["test_loss"], rtol=1e-6)

    @pytest.mark.parametrize(
        ("corners", "kind", "message"),
        [
            ([0, 1, 0], la.Simplex, "networks 1 and 3 are equal"),
            ([0, 0], la.Simplex, "networks 1 and 2 are equal"),
            ([0, 1], la.Through, "needs 3 weight vectors"),
            ([0, 1, 2], la.Quadrilateral, "needs 4 weight vectors"),
            ([0], la.Simplex, "needs at least 2 weight vectors"),
        ],
    )
    def test_networks_that_span_nothing_are_refused(
        self, corners: list[int], kind: type[la.Simplex], message: str
    ) -> None:
        with pytest.raises(la.BadInput, match=message):
            kind(self.corners(3)[corners]).check_spans()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("kind", [la.Simplex, la.Through])
    def test_networks_on_one_line_are_refused(self, kind: type[la.Simplex], dtype: torch.dtype) -> None:
        a, b, _ = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0)).to(dtype)
        with pytest.raises(la.BadInput, match="lie in 1 dimension"):
            kind(torch.stack([a, b, 0.3 * a + 0.7 * b])).check_spans()


class TestEveryPolicy:
    @pytest.mark.parametrize(
        ("policy", "shortcuts"),
        [("batch", True), ("frozen", True), ("reestimated", True), ("interpolated", True), ("batch", False)],
    )
    def test_a_resnet_equals_the_module_point_by_point(self, policy: str, shortcuts: bool) -> None:
        torch.manual_seed(0)
        modules = [la.ResNet(depth=8, width=4, shortcuts=shortcuts).build((3, 8, 8), 10) for _ in range(2)]
        images, labels = torch.randn(24, 3, 8, 8), torch.randint(10, (24,))
        for module in modules:
            module.train()
            module(images + 1)
        split = la.Split((images, labels))
        problem = la.Problem(modules[0], la.CrossEntropy())
        space = la.WeightSpace(modules[0])
        ends = [space.vector_of(module) for module in modules]
        chart = (
            la.Simplex.between(modules, space)
            if policy == "interpolated"
            else la.Slice(ends[0], (ends[1] - ends[0])[None])
        )
        policies = {
            "batch": la.BatchStatistics(),
            "frozen": la.FrozenStatistics(),
            "reestimated": la.ReestimatedStatistics.for_run(split, 12, 2),
            "interpolated": la.InterpolatedStatistics(),
        }
        at = {"u": np.array([0.0, 0.3, 1.0])}
        for plan in ("loop", "batched"):
            survey = la.survey(
                chart, at, problem, {"test": split}, buffers=policies[policy], plan=plan, eval_batch_size=12
            ).load()
            for u in at["u"]:
                found = float(survey["test_loss"].sel(u=u))
                assert found == pytest.approx(self.plain(modules, split, float(u), policy), rel=1e-5), plan

    @staticmethod
    def plain(modules: list[nn.Module], split: la.Split, u: float, policy: str) -> float:
        """The obvious way: weights in a module, statistics by hand, two groups of twelve."""
        net = copy.deepcopy(modules[0])
        with torch.no_grad():
            for own, one, other in zip(net.parameters(), modules[0].parameters(), modules[1].parameters(), strict=True):
                own.copy_((1 - u) * one + u * other)
            norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
            groups = [(split.data[0][:12], split.data[1][:12]), (split.data[0][12:], split.data[1][12:])]
            net.eval()
            if policy == "interpolated":
                for name, buffer in net.named_buffers():
                    if buffer.is_floating_point():
                        one, other = (dict(module.named_buffers())[name] for module in modules)
                        buffer.copy_((1 - u) * one + u * other)
            elif policy == "batch":
                for part in norms:
                    part.train()
            elif policy == "reestimated":
                for part in norms:
                    part.reset_running_stats()
                    part.momentum = None
                    part.train()
                for images, _ in groups:
                    net(images)
                net.eval()
            losses = [float(nn.functional.cross_entropy(net(images), labels)) for images, labels in groups]
        return sum(losses) / 2


class TestGrowth:
    def survey(self, path: Path, counts: tuple[int, ...] = (5, 3), **options: object) -> xr.Dataset:
        problem, split = make("mlp")
        splits = options.pop("splits", {"train": split})
        return la.survey(plane(problem), grid(*counts), problem, splits, plan="loop", path=path, **options).load()

    def test_points_are_added_between_those_that_are_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        coarse = self.survey(tmp_path / "s")
        visited: list[int] = []
        evaluate = Surveyor.evaluate

        def counted(surveyor: Surveyor, store: SurveyStore, claim: Claim) -> int:
            visited.append(evaluate(surveyor, store, claim))
            return visited[-1]

        monkeypatch.setattr(Surveyor, "evaluate", counted)
        fine = self.survey(tmp_path / "s", (9, 5))
        assert sum(visited) == 9 * 5 - 5 * 3, "points that were known were evaluated again"
        whole = self.survey(tmp_path / "other", (9, 5))
        for name in ("train_loss", "train_accuracy"):
            np.testing.assert_array_equal(fine[name].sel(u=coarse["u"], v=coarse["v"]), coarse[name])
            np.testing.assert_allclose(fine[name], whole[name], rtol=1e-6)
        assert bool(np.isfinite(fine["train_loss"]).all())

    def test_a_replacement_that_was_cut_off_is_undone(self, tmp_path: Path) -> None:
        coarse = self.survey(tmp_path / "s")
        (tmp_path / "s").rename(tmp_path / ".s.replaced")
        assert self.survey(tmp_path / "s").identical(coarse)
        (tmp_path / ".s.replaced").mkdir()
        fine = self.survey(tmp_path / "s", (9, 5))
        assert not (tmp_path / ".s.replaced").exists()
        np.testing.assert_array_equal(fine["train_loss"][::2, ::2], coarse["train_loss"])

    def test_what_cannot_be_read_is_said_and_made_again_before_points_are_added(self, tmp_path: Path) -> None:
        self.survey(tmp_path / "s")
        chunk = tmp_path / "s" / "train_loss" / "c" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-5])
        with pytest.warns(la.Caution, match="train_loss in .* at u 0 to 4, v 0 to 2 .*; it is computed again"):
            fine = self.survey(tmp_path / "s", (9, 5))
        whole = self.survey(tmp_path / "other", (9, 5))
        for name in ("train_loss", "train_accuracy"):
            np.testing.assert_allclose(fine[name], whole[name], rtol=1e-6)

    def test_points_are_not_added_under_somebody_who_writes(self, tmp_path: Path) -> None:
        self.survey(tmp_path / "s")
        problem, _ = make("mlp")
        other = SurveyStore(tmp_path / "s", grid(5, 3), {"chart": plane(problem).fingerprint()})
        with pytest.raises(la.BadInput, match="another process writes to .*; add points when it has finished"):
            self.survey(tmp_path / "s", (9, 5))
        other.close()
        assert self.survey(tmp_path / "s", (9, 5)).sizes == {"u": 9, "v": 5}

    def test_metrics_and_splits_join_and_nothing_else_changes(self, tmp_path: Path) -> None:
        before = self.survey(tmp_path / "s", metrics=["loss"])
        _, split = make("mlp")
        both = {"train": split, "half": split.subset(6, torch.Generator())}
        after = self.survey(tmp_path / "s", metrics=["loss", "error", "class_accuracy"], splits=both)
        assert after["train_loss"].equals(before["train_loss"])
        assert {"half_loss", "half_loss_standard_error", "train_error", "half_class_accuracy"} <= set(after)
        assert after["train_class_accuracy"].dims == ("u", "v", "classes")

    @pytest.mark.parametrize("names", [("loss", "accuracy"), ("hessian_max", "hessian_min")])
    def test_a_metric_that_new_points_lack_is_evaluated_there_when_it_is_asked_for(
        self, names: tuple[str, str], tmp_path: Path
    ) -> None:
        first, second = (f"train_{name}" for name in names)
        coarse = self.survey(tmp_path / "s", (3, 2), metrics=names)
        part = self.survey(tmp_path / "s", (5, 2), metrics=names[:1])
        assert bool(part[second][1::2].isnull().all())
        np.testing.assert_array_equal(part[second][::2], coarse[second])
        both = self.survey(tmp_path / "s", (5, 2), metrics=names)
        np.testing.assert_allclose(both[first], part[first], rtol=1e-6)
        assert bool(np.isfinite(both[second]).all())
        np.testing.assert_allclose(both[second][::2], coarse[second], rtol=1e-6)

    def test_metrics_that_are_left_out_of_a_whole_survey_stay_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.survey(tmp_path / "s")
        self.survey(tmp_path / "s", metrics=["loss"])
        monkeypatch.setattr(Surveyor, "evaluate", lambda *_: pytest.fail("evaluated again"))
        assert bool(np.isfinite(self.survey(tmp_path / "s")["train_accuracy"]).all())

    def test_metrics_are_not_left_out_under_somebody_who_writes_them(self, tmp_path: Path) -> None:
        whole = self.survey(tmp_path / "s")
        (tmp_path / "s" / "done" / "train_streaming" / "c" / "0" / "0").unlink()
        problem, _ = make("mlp")
        with (
            SurveyStore(tmp_path / "s", grid(5, 3), {"chart": plane(problem).fingerprint()}),
            pytest.raises(la.BadInput, match="which also holds train_accuracy; name those metrics as well, or"),
        ):
            self.survey(tmp_path / "s", metrics=["loss"])
        np.testing.assert_allclose(self.survey(tmp_path / "s")["train_accuracy"], whole["train_accuracy"])

    def test_a_store_remembers_its_plan(self, tmp_path: Path) -> None:
        self.survey(tmp_path / "s")
        problem, split = make("mlp")
        again = la.survey(plane(problem), grid(9, 3), problem, {"train": split}, path=tmp_path / "s")
        assert json.loads(again.attrs["plan"])["evaluate"]["strategy"] == "loop"

    def test_a_finished_run_takes_more_of_everything(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = tmp_path / "run"
        torch.save(la.MLP(hidden=(8,)).build((1, 8, 8), 10).state_dict(), tmp_path / "w.pt")
        tokens = ["survey", f"--checkpoint={tmp_path / 'w.pt'}", "--model.hidden", "8", "--examples=50", "--plan=loop"]
        assert main([*tokens, "--grid", "5", "--splits", "test", f"--out={run}", "--no_pictures"]) == 0
        before = opened(run)
        more = ["--metrics", "error", "--splits", "train", "--grid", "9", "5", "--resume"]
        assert main(["survey", *more, f"--out={run}", "--no_pictures"]) == 0
        after = opened(run)
        assert {"train_loss", "train_error", "test_accuracy", "test_error"} <= set(after)
        assert (after.sizes["u"], after.sizes["v"]) == (9, 5)
        np.testing.assert_array_equal(after["test_loss"][::2], before["test_loss"])
        assert yaml.safe_load((run / "config.yaml").read_text())["metrics"] == ["auto", "error"]
        summary = (run / "summary.json").read_bytes()
        assert main(["survey", "--resume", f"--out={run}"]) == 0
        assert (run / "summary.json").read_bytes() == summary, "there was nothing to do"
        capsys.readouterr()
        for wrong, message in (
            (["--grid", "8"], "another grid: 9 points along u that the 8 wanted do not hold"),
            (["--examples=51"], "was started with other settings: examples was '50' and is '51'"),
            (["--range", "-2", "2"], "was started with other settings: range"),
        ):
            assert main(["survey", *wrong, "--resume", f"--out={run}"]) == 2
            errors = capsys.readouterr().err
            assert message in errors
            assert len(errors.splitlines()) == 1
            assert (run / "summary.json").read_bytes() == summary, f"{wrong} left the run unfinished"


@pytest.fixture(scope="module")
def surface() -> tuple[np.ndarray, np.ndarray]:
    """The training loss around a small network that was trained on digits, at 201x201 points."""
    data = la.load_data("digits")
    torch.manual_seed(0)
    module = la.MLP(hidden=(16,)).build((1, 8, 8), 10)
    split = data.splits["train"].subset(200, torch.Generator().manual_seed(0))
    images, labels = split.take(torch.arange(200))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    space = la.WeightSpace(module)
    around = Around(space, space.vector_of(module), NORMALISATIONS["filter"](), without_vectors=True)
    vectors, _ = make_directions(["random", "random"], around)
    chart = la.Slice(around.origin, vectors)
    problem = la.Problem(module, la.CrossEntropy())
    at = la.make_grid(chart, (129, 129))
    survey = la.survey(chart, at, problem, {"train": split}, metrics=["loss"], plan="batched", eval_batch_size=200)
    return at["u"], np.log(survey["train_loss"].values.astype(np.float64))


class TestRefinement:
    def test_as_good_as_a_whole_grid_with_two_fifths_of_its_points(
        self, surface: tuple[np.ndarray, np.ndarray]
    ) -> None:
        coords, truth = surface
        axis, whole = coords[::2], truth[::2, ::2]
        everywhere = np.stack(np.meshgrid(coords, coords, indexing="ij"), axis=-1)

        def largest_error(values: np.ndarray) -> float:
            return float(np.abs(RegularGridInterpolator((axis, axis), values)(everywhere) - truth).max())

        refinement = Refinement((axis, axis), tolerance=largest_error(whole))
        known = refined(refinement, whole)
        made = refinement.interpolated(np.where(known, whole, np.nan), known)
        assert known.mean() <= 0.4, f"{known.mean():.1%} of the points"
        assert largest_error(made) <= 1.001 * largest_error(whole)
        np.testing.assert_array_equal(made[known], whole[known])

    def test_a_surface_that_is_multilinear_is_cut_once(self) -> None:
        axes = (np.linspace(0, 1, 65), np.linspace(-2, 1, 33))
        u, v = np.meshgrid(*axes, indexing="ij")
        values = 3 + u - 2 * v + u * v
        refinement = Refinement(axes, tolerance=1e-9)
        known = refined(refinement, values)
        assert known.sum() == 33 * 33, "the coarsest cells are cut once, to see whether they bend"
        np.testing.assert_allclose(refinement.interpolated(np.where(known, values, np.nan), known), values, atol=1e-12)

    @settings(max_examples=40, deadline=None)
    @given(
        shape=st.lists(st.integers(2, 17), min_size=1, max_size=3),
        seed=st.integers(0, 99),
        tolerance=st.floats(1e-3, 1.0),
        budget=st.one_of(st.none(), st.integers(1, 400)),
    )
    def test_what_is_evaluated_stays_and_everything_gets_a_value(
        self, shape: list[int], seed: int, tolerance: float, budget: int | None
    ) -> None:
        random = np.random.default_rng(seed)
        axes = tuple(np.cumsum(random.uniform(0.1, 1, n)) for n in shape)
        values = random.normal(size=shape)
        try:
            refinement = Refinement(axes, tolerance, budget)
            known = refined(refinement, values)
        except la.BadInput:
            assert budget is not None
            return
        if budget is not None:
            assert known.sum() <= budget
        made = refinement.interpolated(np.where(known, values, np.nan), known)
        np.testing.assert_array_equal(made[known], values[known])
        assert np.isfinite(made).all()
        assert made.min() >= values.min() - 1e-12
        assert made.max() <= values.max() + 1e-12

    def test_beside_what_is_not_finite_every_point_is_evaluated(self) -> None:
        axis = np.linspace(-1, 1, 65)
        values = np.where(np.abs(axis) < 0.4, 0.0, np.inf)
        refinement = Refinement((axis,), tolerance=0.1)
        known = refined(refinement, values)
        made = refinement.interpolated(np.where(known, values, np.nan), known)
        np.testing.assert_array_equal(made, values)
        assert known.sum() < 60

    def test_a_survey_is_refined_and_says_where(self, tmp_path: Path) -> None:
        problem, split = make("mlp")
        chart = plane(problem, scale=1.5)
        options = {"problem": problem, "splits": {"train": split, "test": split}, "plan": "batched"}
        whole = la.survey(chart, grid(49, 49), **options).load()
        some = la.survey(chart, grid(49, 49), tolerance=0.05, path=tmp_path / "s", **options).load()
        measured = some["measured"].values
        assert 0 < measured.sum() < measured.size
        assert bool((zarr.open_array(tmp_path / "s" / "done" / "train_streaming")[...] == measured).all())
        for name in ("train_loss", "test_loss", "test_accuracy"):
            np.testing.assert_allclose(some[name].values[measured], whole[name].values[measured], rtol=1e-5)
            assert np.isfinite(some[name]).all()
        assert float(np.abs(np.log(some["test_loss"]) - np.log(whole["test_loss"])).max()) < 0.1
        again = la.survey(chart, grid(49, 49), tolerance=0.05, path=tmp_path / "s", **options).load()
        assert again.identical(some)

    def test_a_budget_is_kept(self) -> None:
        problem, split = make("mlp")
        found = la.survey(
            plane(problem, scale=3.0), grid(49, 49), problem, {"train": split}, plan="batched", budget=900
        ).load()
        assert 810 <= int(found["measured"].sum()) <= 900

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tolerance": 0.0}, "tolerance is 0.0; expected a positive number"),
            ({"tolerance": -1.0}, "tolerance is -1.0"),
            ({"tolerance": math.nan}, "tolerance is nan"),
            ({"budget": 0}, "budget is 0; expected a positive number of points"),
            ({"budget": 20}, "budget is 20 points; the coarsest cells alone have 289"),
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, options: dict[str, float], message: str) -> None:
        problem, split = make("mlp")
        with pytest.raises(la.BadInput, match=message):
            la.survey(plane(problem), grid(33, 33), problem, {"train": split}, plan="loop", **options)


def refined(refinement: Refinement, values: np.ndarray) -> np.ndarray:
    """The points that are asked for until no more are."""
    known = np.zeros(values.shape, dtype=bool)
    while True:
        wanted = refinement.wanted(np.where(known, values, np.nan), known)
        assert not (known & ~wanted).any(), "a point was asked for and then not any more"
        if known[wanted].all():
            return known
        known |= wanted


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trainings of one architecture from different seeds."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(4):
        config = TrainConfig(
            model_options={"hidden": (8,)}, seed=seed, epochs=2, optimizer="adam,lr=0.01", snapshots="epoch:1"
        )
        run_train(config, folder / f"net{seed}")
    return folder


class TestTogether:
    def test_kills_of_two_writers_end_as_one_without(self, trained: Path, tmp_path: Path) -> None:
        config = SurveyConfig(
            between=tuple(str(trained / f"net{k}") for k in range(3)), grid=(41, 37), examples="60", plan="batched",
            model_options={"hidden": (8,)}, metrics=("auto", "gradient_norm"),
        )  # fmt: skip
        run_survey(config, tmp_path / "alone", pictures=False)
        kills = result_of(killed_together, tmp_path / "run", tmp_path / "alone" / "config.yaml", 8, 3)
        assert kills >= 8
        xr.testing.assert_identical(opened(tmp_path / "run"), opened(tmp_path / "alone"))
        summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("run", "alone")]
        assert summaries[0]["test_surface"] == summaries[1]["test_surface"]

    def test_two_writers_share_the_tiles(self, tmp_path: Path) -> None:
        problem, _ = make("mlp")
        axes = grid(48, 48)
        chart = plane(problem)
        one = SurveyStore(tmp_path / "s", axes, {"chart": chart.fingerprint()})
        quantity = choose_metrics(problem.loss, ["loss"])["loss"].quantity(problem.loss)
        one.add("test", "streaming", {quantity: None}, {})
        other = SurveyStore(tmp_path / "s", axes, {"chart": chart.fingerprint()})
        taken: list[tuple[str, str]] = []

        def write(name: str, store: SurveyStore) -> None:
            for claim in store.tiles.claims(store.work("test", "streaming")):
                taken.append((name, str(claim.tile)))
                time.sleep(0.02)  # what an evaluation takes
                with claim:
                    values = np.full(int(claim.missing.sum()), 1.0)
                    store.write("test", "streaming", claim.tile, claim.missing, {"loss": values})

        writers = [threading.Thread(target=write, args=pair) for pair in (("one", one), ("other", other))]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len({tile for _, tile in taken}) == len(taken) == 9, "a tile was taken twice"
        assert {name for name, _ in taken} == {"one", "other"}
        assert bool((one.open()["test_loss"] == 1).all())


class TestSites:
    def run(self, trained: Path, out: Path, *tokens: str) -> xr.Dataset:
        replaced = [token.replace("NET", str(trained / "net")) for token in tokens]
        given = ["--grid", "3"] if not {"--grid", "--at"} & {token.partition("=")[0] for token in tokens} else []
        assert main(["survey", *replaced, *given, "--examples=40", "--plan=loop", "--no_pictures", f"--out={out}"]) == 0
        return opened(out)

    def loss_of(self, state: dict[str, Tensor]) -> float:
        """Of weights on the forty test images of a survey."""
        module = la.MLP(hidden=(8,)).build((1, 8, 8), 10)
        module.load_state_dict(state)
        split = la.load_data("digits").splits["test"].subset(40, make_generator(0, "survey/test"))
        images, labels = split.take(torch.arange(40))
        with torch.no_grad():
            return float(nn.functional.cross_entropy(module(images), labels))

    def state(self, trained: Path, k: int) -> dict[str, Tensor]:
        return read_state(trained / f"net{k}" / "model.safetensors")

    def test_a_line_between_two_reaches_beyond_them(self, trained: Path, tmp_path: Path) -> None:
        found = self.run(trained, tmp_path / "s", "--between", "NET0", "NET1", "--grid", "9")
        np.testing.assert_allclose(found["u"], np.linspace(-0.5, 1.5, 9))
        one, other = self.state(trained, 0), self.state(trained, 1)
        for u in (0.0, 0.25, 1.0, 1.5):
            state = {name: (1 - u) * one[name] + u * other[name] for name in one}
            assert float(found["test_loss"].sel(u=u)) == pytest.approx(self.loss_of(state), rel=1e-5)
        assert parse_texts(found["corner_u"].attrs["names"]) == ["net0", "net1"]
        assert found["corner_u"].values.tolist() == [0, 1]
        assert found["corner_weights"].sum("bin").values.tolist() == [64 * 8 + 8 + 80 + 10] * 2

    @pytest.mark.parametrize("chart", ["auto", "simplex"])
    def test_three_networks_lie_where_they_are_said_to(self, chart: str, trained: Path, tmp_path: Path) -> None:
        found = self.run(trained, tmp_path / "s", "--between", "NET0", "NET1", "NET2", "--chart", chart)
        chart_of = la.load_chart(tmp_path / "s" / "chart.safetensors")
        where = torch.tensor(np.stack([found["corner_u"], found["corner_v"]], axis=1), dtype=torch.float32)
        for k, weights in enumerate(chart_of.points(where)):
            module = la.MLP(hidden=(8,)).build((1, 8, 8), 10)
            module.load_state_dict(self.state(trained, k))
            expected = nn.utils.parameters_to_vector(module.parameters())
            torch.testing.assert_close(weights, expected.detach(), rtol=1e-4, atol=1e-5)

    def test_four_are_a_quadrilateral_or_a_volume(self, trained: Path, tmp_path: Path) -> None:
        nets = ["NET0", "NET1", "NET2", "NET3"]
        flat = self.run(trained, tmp_path / "flat", "--between", *nets, "--range", "0", "1")
        volume = self.run(trained, tmp_path / "volume", "--between", *nets, "--chart=simplex", "--range", "0", "1")
        assert set(flat["test_loss"].dims) == {"u", "v"}
        assert set(volume["test_loss"].dims) == {"u", "v", "w"}
        for k, (u, v) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            expected = self.loss_of(self.state(trained, k))
            assert float(flat["test_loss"].sel(u=u, v=v)) == pytest.approx(expected, rel=1e-5)
        assert float(volume["test_loss"].sel(u=0, v=0, w=1)) == pytest.approx(expected, rel=1e-5)

    def test_between_networks_that_normalise_statistics_are_reestimated(self, tmp_path: Path) -> None:
        for k in range(2):
            torch.manual_seed(k)
            torch.save(la.ResNet(depth=8, width=2).build((1, 8, 8), 10).state_dict(), tmp_path / f"{k}.pt")
        nets = tuple(str(tmp_path / f"{k}.pt") for k in range(2))
        options = {"model": "resnet", "model_options": {"depth": 8, "width": 2}, "examples": "40", "plan": "loop"}
        config = SurveyConfig(between=nets, grid=(3,), **options)
        run_survey(config, tmp_path / "line", pictures=False)
        again = SurveyConfig(run=str(tmp_path / "line"), grid=(3,), **options)
        run_survey(again, tmp_path / "again", pictures=False)
        found = [opened(tmp_path / name) for name in ("line", "again")]
        for survey in found:
            assert survey["test_loss"].attrs["buffers"].startswith("reestimated")
        np.testing.assert_array_equal(found[0]["test_loss"], found[1]["test_loss"])

    def test_the_chart_of_a_run_is_surveyed_again(self, trained: Path, tmp_path: Path) -> None:
        first = self.run(trained, tmp_path / "first", "--between", "NET0", "NET1", "--at=0,0.25,0.5,1")
        assert first["u"].values.tolist() == [0, 0.25, 0.5, 1]
        again = self.run(
            trained, tmp_path / "again", f"--run={tmp_path / 'first'}", "--grid", "5", "--metrics", "error"
        )
        assert again["u"].values.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert set(again) >= {"test_error", "corner_u"}
        assert "test_loss" not in again
        third = self.run(trained, tmp_path / "third", f"--run={tmp_path / 'again'}", "--at=0,0.25,0.5,1")
        np.testing.assert_array_equal(third["test_loss"], first["test_loss"])

    def test_of_a_run_whose_survey_is_damaged_it_is_said_that_its_extent_is_not_known(
        self, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.run(trained, tmp_path / "first", "--between", "NET0", "NET1", "--range", "0", "1", "--grid", "3")
        (tmp_path / "first/survey.zarr/u/zarr.json").write_text("{")
        again = self.run(trained, tmp_path / "again", f"--run={tmp_path / 'first'}", "--grid", "3")
        assert "its extent is not known, so each axis goes from -1 to 1 unless" in " ".join(
            capsys.readouterr().err.split()
        )
        assert again["u"].values.tolist() == [-1, 0, 1]

    def test_directions_of_all_kinds_go_together(self, trained: Path, tmp_path: Path) -> None:
        found = self.run(
            trained, tmp_path / "mixed", "--checkpoint=NET0", "--directions", "random", "towards:NET1",
            "--normalize=filter", "--range", "-1", "1", "0", "1", "--grid", "3", "2",
        )  # fmt: skip
        assert float(found["test_loss"].sel(u=0, v=1)) == pytest.approx(self.loss_of(self.state(trained, 1)), rel=1e-5)
        assert found["corner_v"].values.tolist() == [0, 1]
        again = self.run(
            trained, tmp_path / "again", "--checkpoint=NET0", "--directions", f"file:{tmp_path / 'mixed'}",
            f"file:{tmp_path / 'mixed'}", "--range", "-1", "1", "0", "1", "--grid", "3", "2",
        )  # fmt: skip
        np.testing.assert_array_equal(again["test_loss"], found["test_loss"])

    def test_orthogonal_directions_keep_their_lengths(self, trained: Path, tmp_path: Path) -> None:
        tokens = ("--checkpoint=NET0", "--directions", "towards:NET1", "towards:NET2")
        self.run(trained, tmp_path / "as_is", *tokens)
        self.run(trained, tmp_path / "orthogonal", *tokens, "--orthogonal")
        as_is, turned = (
            la.load_chart(tmp_path / name / "chart.safetensors").directions for name in ("as_is", "orthogonal")
        )
        torch.testing.assert_close(turned[0], as_is[0])
        torch.testing.assert_close(turned.norm(dim=1), as_is.norm(dim=1))
        assert abs(float(turned[0] @ turned[1])) < 1e-4 * float(turned[0].norm() * turned[1].norm())

    def test_draws_are_other_directions_each_of_the_same_kind(self, trained: Path, tmp_path: Path) -> None:
        tokens = ("--checkpoint=NET0", "--directions", "random", "--normalize=layer", "--direction_seed=4")
        many = self.run(trained, tmp_path / "many", *tokens, "--repeats=3")
        assert many["test_loss"].dims == ("u", "repeat")
        last = self.run(trained, tmp_path / "last", *tokens[:-1], "--direction_seed=6")
        np.testing.assert_allclose(many["test_loss"].sel(repeat=2), last["test_loss"], rtol=1e-6)
        summary = json.loads((tmp_path / "many" / "summary.json").read_text())
        assert summary["test_surface"]["spread_mean"] > 0

    def test_not_a_number_stays_and_is_counted(self, trained: Path, tmp_path: Path) -> None:
        found = self.run(trained, tmp_path / "s", "--checkpoint=NET0", "--directions", "random", "--at=-1e38,0,1e38")
        lost = ~np.isfinite(found["test_loss"].values)
        assert lost.tolist() == [True, False, True]
        summary = json.loads((tmp_path / "s" / "summary.json").read_text())
        surface = summary["test_surface"]
        assert surface["unmeasurable_nan"] + surface["unmeasurable_inf"] == 2

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["--between", "NET0"], "between is one network; expected two, three or four"),
            (["--between", "NET0", "NET0"], "is named twice"),
            (["--between", "NET0", "COPY"], "networks 1 and 2 are equal"),
            (["--between", "NET0", "NET1", "MIDDLE"], "lie in 1 dimension"),
            (
                ["--between", "NET0", "WIDE"],
                "'1.weight' has shape (9, 64) there and has shape (8, 64)",
            ),
            (["--between", "NET0", "NET1", "--chart=quadrilateral"], "lies between 4 networks, 2 are given"),
            (["--between", "NET0", "NET1", "--directions", "random"], "directions means nothing with between"),
            (["--between", "NET0", "NET1", "--grid", "3", "3"], "grid gives 2 numbers of points; expected one for all"),
            (["--checkpoint=NET0", "--grid", "1"], "grid is 1; expected one number of at least 2 points"),
            (["--checkpoint=NET0", "--range", "1", "0"], "range is 1 0; expected two rising numbers"),
            (["--checkpoint=NET0", "--range", "0"], "range is 0; expected two rising numbers"),
            (["--checkpoint=NET0", "--at=0,1", "0,x"], "expected numbers with commas"),
            (["--checkpoint=NET0", "--at=0,1", "1,0"], "expected two or more rising numbers for each axis"),
            (["--checkpoint=NET0", "--at=0,1", "0,1", "0,1"], "at gives 3 lists of coordinates"),
            (
                ["--checkpoint=NET0", "--at=0,1", "--grid", "3"],
                "at gives all coordinates of a grid; leave out the grid",
            ),
            (["--checkpoint=NET0", "--chart=through"], "chart means nothing with checkpoint; leave it out"),
            (["--between", "NET0", "NET1", "--normalize=filter"], "normalize means nothing with between"),
            (["--checkpoint=NET0", "--directions", "towards:NET1", "--normalize=filter"], "that are not random"),
            (["--checkpoint=NET0", "--metrics=none"], "no metrics are surveyed; expected some, or auto"),
            (["--checkpoint=NET0", "--direction_seed=-1"], "direction_seed is -1; expected a seed of 0 or more"),
            (["--checkpoint=NET0", "--budget=10", "--grid", "101"], "the coarsest cells alone have 289"),
            (["--between", "NET0", "LOST"], "lost.pt has weights that are not finite: '1.weight'"),
            (["--checkpoint=LOST", "--model.hidden", "8"], "has weights that are not finite: '1.weight'"),
            (["--checkpoint=NET0", "--directions", "towards:NET1", "towards:FAR"], "are linearly dependent"),
            (["--checkpoint=NET0", "--metrics", "acuracy"], "'acuracy' is not a metric; did you mean 'accuracy'"),
            (["--checkpoint=NET0", "--directions", "towards"], "lacks its checkpoint; expected towards:CHECKPOINT"),
            (["--checkpoint=NET0", "--directions", "random:3"], "direction 'random' takes no argument"),
            (["--checkpoint=NET0", "--directions", "towards:NET0"], "has the weights of the centre"),
            (["--checkpoint=NET0", "--directions", "towards:NET1", "--repeats=2"], "need random directions"),
            (["--checkpoint=NET0", "--directions", "file:nowhere.pt"], "nowhere.pt does not exist"),
            (["--checkpoint=NET0", "--repeats=0"], "repeats is 0; expected a positive number"),
            (["--checkpoint=NET0", "--repeats=2", "--tolerance=0.1"], "repeats are surveyed on whole grids"),
            (["--run=NET0"], "holds no chart"),
            (["--run=NET0", "--checkpoint=NET0"], "checkpoint and run are given"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, tokens: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        state = self.state(trained, 0)
        torch.save(state, tmp_path / "copy.pt")
        other = self.state(trained, 1)
        torch.save({name: (state[name] + other[name]) / 2 for name in state}, tmp_path / "middle.pt")
        torch.save(la.MLP(hidden=(9,)).build((1, 8, 8), 10).state_dict(), tmp_path / "wide.pt")
        names = {"NET": trained / "net", "COPY": tmp_path / "copy.pt", "MIDDLE": tmp_path / "middle.pt"}
        names |= {"WIDE": tmp_path / "wide.pt", "LOST": tmp_path / "lost.pt", "FAR": tmp_path / "far.pt"}
        torch.save({name: 3 * other[name] - 2 * state[name] for name in state}, tmp_path / "far.pt")
        torch.save({**state, "1.weight": state["1.weight"] * float("nan")}, tmp_path / "lost.pt")
        for name, path in names.items():
            tokens = [token.replace(name, str(path)) for token in tokens]
        assert main(["survey", *tokens, "--examples=40", "--plan=loop", f"--out={tmp_path / 'run'}"]) == 2
        errors = capsys.readouterr().err
        assert message in " ".join(errors.split())
        assert len(errors.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    def test_a_dry_run_counts_what_a_budget_leaves(self, trained: Path) -> None:
        config = SurveyConfig(
            checkpoint=str(trained / "net0"), model_options={"hidden": (8,)}, grid=(101,), budget=500, plan="loop"
        )
        assert run_survey.estimate(config).work["survey"].startswith("500 points")


class Product(nn.Module):
    """``x -> b a x`` for numbers a and b: the smallest linear network of two layers."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([a], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor([b], dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.b * self.a * inputs


class TestClosedForms:
    def test_a_quadratic_is_one_to_the_last_digit(self) -> None:
        """The loss of a linear network along a slice, its widths and curvatures."""
        random = torch.Generator().manual_seed(0)
        inputs, truth = torch.randn(50, 4, generator=random).double(), torch.randn(4, generator=random).double()
        module = nn.Linear(4, 1, bias=False).double()
        with torch.no_grad():
            module.weight.copy_(truth[None])
        split = la.Split((inputs, (inputs @ truth)[:, None]))
        directions = torch.randn(2, 4, generator=random).double()
        chart = la.Slice(truth, directions)
        at = {"u": np.linspace(-1, 1, 9), "v": np.linspace(-2, 1, 7)}
        survey = la.survey(chart, at, la.Problem(module, la.SquaredError()), {"train": split}, plan="loop").load()
        form = (directions @ inputs.T @ inputs @ directions.T / 50).numpy()
        u, v = np.meshgrid(*at.values(), indexing="ij")
        closed = form[0, 0] * u**2 + 2 * form[0, 1] * u * v + form[1, 1] * v**2
        np.testing.assert_allclose(survey["train_loss"], closed, rtol=1e-10, atol=1e-12)
        found = measure_survey(survey)["train"]
        expected = np.linalg.eigvalsh(2 * form)
        assert found["curvature_u"] == pytest.approx(2 * form[0, 0], rel=1e-10)
        assert found["curvature_uv"] == pytest.approx(2 * form[0, 1], rel=1e-10)
        assert found["curvature_smallest"] == pytest.approx(expected[0], rel=1e-10)
        assert found["curvature_largest"] == pytest.approx(expected[1], rel=1e-10)

    def test_between_two_minima_of_a_linear_network_is_the_barrier_that_it_has(self) -> None:
        """(b a - 1)^2 from (2, 1/2) to (1/2, 2): a b - 1 = 2.25 t (1 - t), highest in the middle, 0.5625^2."""
        ends = [Product(2.0, 0.5), Product(0.5, 2.0)]
        split = la.Split((torch.ones(1, 1).double(), torch.ones(1, 1).double()))
        problem = la.Problem(ends[0], la.SquaredError())
        chart = la.Simplex.between(ends)
        t = np.linspace(-0.5, 1.5, 81)
        survey = la.survey(chart, {"u": t}, problem, {"train": split}, plan="loop").load()
        closed = (2.25 * t * (1 - t)) ** 2
        np.testing.assert_allclose(survey["train_loss"], closed, rtol=1e-10, atol=1e-12)
        survey["corner_u"] = ("corner", [0.0, 1.0], {"names": ["a", "b"]})
        found = measure_survey(survey)["train"]
        assert found["barrier_height"] == pytest.approx(0.5625**2, rel=1e-10)
        assert found["barrier_above_higher_end"] == pytest.approx(0.5625**2, rel=1e-10)
        assert found["barrier_at"] == pytest.approx(0.5, abs=1e-10)
        assert found["minima_more_persistent_than_0.1"] == 2
        first, second = found["minima_most_persistent"][:2]
        assert sorted((first["at"][0], second["at"][0])) == pytest.approx([0, 1], abs=1e-10)
        assert second["persistence"] == pytest.approx(0.5625**2, rel=1e-10)
        assert second["saddle_at"] == pytest.approx([0.5], abs=1e-10)

    def test_the_valley_of_a_linear_network_has_no_pass(self) -> None:
        """On the plane of a and b both minima lie in the valley b a = 1."""
        corner = torch.tensor([[1.0, 1.0]]).double()
        chart = la.Slice(corner[0] * 0, torch.eye(2).double())
        split = la.Split((torch.ones(1, 1).double(), torch.ones(1, 1).double()))
        at = {axis: np.linspace(0.25, 4, 201) for axis in "uv"}
        survey = la.survey(chart, at, la.Problem(Product(1, 1), la.SquaredError()), {"train": split}, plan="batched")
        survey = survey.load()
        a, b = np.meshgrid(*at.values(), indexing="ij")
        np.testing.assert_allclose(survey["train_loss"], (a * b - 1) ** 2, rtol=1e-10, atol=1e-12)
        for axis, places in (("u", [2.0, 0.5]), ("v", [0.5, 2.0])):
            survey[f"corner_{axis}"] = ("corner", places, {"names": ["a", "b"]})
        found = measure_survey(survey)["train"]
        assert found["pass_height_between_a_and_b"] < 1e-3, "a staircase of the grid along the valley"


class TestOthersAtWork:
    """What happens to a run, or to the store of one, beside a process that works on it."""

    def config(self, trained: Path, **options: object) -> SurveyConfig:
        shared = {"model_options": {"hidden": (8,)}, "grid": (5,), "examples": "40", "plan": "loop"}
        return SurveyConfig(checkpoint=str(trained / "net0"), **{**shared, **options})

    def test_it_is_not_replaced_and_gets_nothing_more(self, trained: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        run_survey(self.config(trained), run, pictures=False)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        other = Lock(run / ".writers")
        other.share()
        with pytest.raises(la.BadInput, match="is being written by .*; wait until"):
            run_survey(self.config(trained, direction_seed=1), run, overwrite=True, pictures=False)
        for more in ({"grid": (9,)}, {"metrics": ("auto", "error")}):
            with pytest.raises(la.BadInput, match="is being written by .*; wait until"):
                run_survey(self.config(trained, **more), run, resume=True, pictures=False)
        after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert after == before
        other.release()
        run_survey(self.config(trained, grid=(9,), metrics=("error",)), run, resume=True, pictures=False)
        assert opened(run)["test_error"].shape == (9, 9)

    def test_metrics_do_not_join_a_store_that_somebody_writes(self, tmp_path: Path) -> None:
        problem, split = make("mlp")
        chart = plane(problem)
        options = {"problem": problem, "splits": {"train": split}, "plan": "loop", "path": tmp_path / "s"}
        la.survey(chart, grid(3, 3), metrics=["loss"], **options)
        with (
            SurveyStore(tmp_path / "s", grid(3, 3), {"chart": chart.fingerprint()}),
            pytest.raises(la.BadInput, match="another process writes to .*; add metrics when it has finished"),
        ):
            la.survey(chart, grid(3, 3), metrics=["loss", "error"], **options)
        both = la.survey(chart, grid(3, 3), metrics=["loss", "error"], **options)
        assert bool(np.isfinite(both["train_error"]).all())

    def test_a_metric_of_one_name_and_another_meaning_is_refused(self, tmp_path: Path) -> None:
        problem, split = make("mlp")
        chart = plane(problem)
        options = {"problem": problem, "splits": {"train": split}, "plan": "loop", "path": tmp_path / "s"}
        la.survey(chart, grid(3, 3), metrics=["regularised_loss:0.1"], **options)
        with pytest.raises(la.BadInput, match="is weight decay 0.1, this one weight decay 0.2"):
            la.survey(chart, grid(3, 3), metrics=["regularised_loss:0.2"], **options)
        with pytest.raises(la.BadInput, match="are both called 'regularised_loss' and differ"):
            choose_metrics(problem.loss, ["regularised_loss:0.1", "regularised_loss:0.2"])

    def test_an_addition_that_is_refused_changes_nothing(self, trained: Path, tmp_path: Path) -> None:
        run, end = tmp_path / "run", tmp_path / "end.pt"
        torch.save(read_state(trained / "net1" / "model.safetensors"), end)
        options = {"directions": ("random", f"towards:{end}")}
        run_survey(self.config(trained, **options), run, pictures=False)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        before.pop(run / ".writers")  # says when somebody came
        torch.save(read_state(trained / "net2" / "model.safetensors"), end)
        with pytest.raises(la.BadInput, match="has chart = "):
            run_survey(self.config(trained, metrics=("error",), **options), run, resume=True, pictures=False)
        assert {path: path.read_bytes() for path in before} == before
        assert {path for path in run.rglob("*") if path.is_file()} == {*before, run / ".writers"}

    def test_a_refined_survey_grows_and_becomes_whole(self, tmp_path: Path) -> None:
        problem, split = make("mlp")
        chart = plane(problem, scale=1.5)
        options = {"problem": problem, "plan": "batched", "path": tmp_path / "s"}
        la.survey(chart, grid(25, 25), splits={"t": split}, tolerance=0.05, **options)
        both = la.survey(chart, grid(49, 49), splits={"t": split, "u": split}, tolerance=0.05, **options).load()
        assert bool(np.isfinite(both["u_loss"]).all())
        np.testing.assert_allclose(both["u_loss"], both["t_loss"], rtol=1e-6)
        whole = la.survey(chart, grid(49, 49), splits={"t": split, "u": split}, **options).load()
        assert bool(whole["measured"].all())
        assert bool(zarr.open_array(tmp_path / "s" / "done" / "t_streaming")[...].all())

    def test_losses_of_zero_do_not_change_what_is_refined(self) -> None:
        """Level by level or point by point: what is asked for at the end is the same."""
        axis = np.linspace(-1, 1, 129)
        values = np.maximum(0, np.abs(axis - 0.013) - 0.3) ** 2 + 1e-3 * (axis < 0)
        refinement = Refinement((axis,), tolerance=0.1)
        whole = refined(refinement, np.log(np.maximum(values, 1e-12)))
        known = np.zeros(values.shape, dtype=bool)
        random = np.random.default_rng(0)
        while True:
            there = np.where(known, np.log(np.maximum(values, 1e-12)), np.nan)
            lacking = np.flatnonzero(refinement.wanted(there, known) & ~known)
            if not lacking.size:
                break
            known[random.permutation(lacking)[: 1 + lacking.size // 2]] = True
        np.testing.assert_array_equal(known, whole)


class TestChartsOfRuns:
    def saved(self, folder: Path, seed: int) -> Path:
        torch.manual_seed(seed)
        module = la.ResNet(depth=8, width=2).build((1, 8, 8), 10)
        module.train()
        module(3 * torch.randn(32, 1, 8, 8))
        torch.save(module.state_dict(), folder / f"{seed}.pt")
        return folder / f"{seed}.pt"

    def test_have_the_statistics_of_their_centre_however_often_they_are_surveyed_again(self, tmp_path: Path) -> None:
        options = {"model": "resnet", "model_options": {"depth": 8, "width": 2}, "examples": "40", "plan": "loop"}
        first = SurveyConfig(checkpoint=str(self.saved(tmp_path, 0)), grid=(3,), **options)
        run_survey(first, tmp_path / "first", pictures=False)
        for before, name in (("first", "second"), ("second", "third")):
            run_survey(SurveyConfig(run=str(tmp_path / before), grid=(3,), **options), tmp_path / name, pictures=False)
            np.testing.assert_array_equal(opened(tmp_path / name)["test_loss"], opened(tmp_path / "first")["test_loss"])
        torch.save(torch.load(self.saved(tmp_path, 1)), tmp_path / "0.pt")
        with pytest.raises(la.BadInput, match="has changed since"):
            run_survey(SurveyConfig(run=str(tmp_path / "third"), grid=(3,), **options), tmp_path / "x", pictures=False)

    @pytest.mark.parametrize("damage", ["corner_u/c/0", "corner_u/zarr.json"])
    def test_whose_networks_are_damaged_are_refused(self, damage: str, trained: Path, tmp_path: Path) -> None:
        shared = {"model_options": {"hidden": (8,)}, "examples": "40", "plan": "loop", "grid": (3,)}
        around = SurveyConfig(checkpoint=str(trained / "net0"), directions=("random",), **shared)
        run_survey(around, tmp_path / "first", pictures=False)
        file = tmp_path / "first" / "survey.zarr" / damage
        content = file.read_bytes()
        file.write_bytes(content.replace(b'"names"', b'"nam\\u0000"') if damage.endswith("json") else content[:9])
        with pytest.raises(la.BadInput, match=r"survey.zarr is damaged .*; resume its run with --resume, or carry"):
            run_survey(SurveyConfig(run=str(tmp_path / "first"), **shared), tmp_path / "again", pictures=False)
        assert not (tmp_path / "again").exists()

    def test_have_all_their_repeats(self, trained: Path, tmp_path: Path) -> None:
        shared = {"model_options": {"hidden": (8,)}, "grid": (3,), "examples": "40", "plan": "loop"}
        drawn = SurveyConfig(checkpoint=str(trained / "net0"), directions=("random",), repeats=3, **shared)
        run_survey(drawn, tmp_path / "first", pictures=False)
        run_survey(SurveyConfig(run=str(tmp_path / "first"), **shared), tmp_path / "again", pictures=False)
        np.testing.assert_array_equal(opened(tmp_path / "again")["test_loss"], opened(tmp_path / "first")["test_loss"])

    def test_splits_join_a_trajectory(self, trained: Path, tmp_path: Path) -> None:
        shared = {"trajectory": str(trained / "net0"), "model_options": {"hidden": (8,)}, "grid": (3,), "plan": "loop"}
        shared |= {"examples": "40"}
        run_survey(SurveyConfig(splits=("test",), **shared), tmp_path / "way", pictures=False)
        run_survey(SurveyConfig(splits=("train",), **shared), tmp_path / "way", resume=True, pictures=False)
        assert {"path_loss_train", "path_loss_test"} <= set(opened(tmp_path / "way"))

    def test_grids_of_charts_with_repeats_number_them(self) -> None:
        problem, split = make("mlp")
        chart = la.slice_around(problem.module, ["random"], repeats=3)
        axes = la.make_grid(chart, (5,))
        assert axes["repeat"].tolist() == [0, 1, 2]
        assert la.survey(chart, axes, problem, {"test": split}, plan="loop")["test_loss"].shape == (5, 3)
        with pytest.raises(la.BadInput, match="are not numbers of repeats; expected whole numbers from 0 to 2"):
            la.survey(chart, {**axes, "repeat": np.array([0.0, 3.0])}, problem, {"test": split}, plan="loop")

    @pytest.mark.parametrize("coords", [[1.0, 0.0], [0.0, 0.0], [0.0, math.nan]])
    def test_coordinates_that_do_not_rise_are_refused(self, coords: list[float]) -> None:
        problem, split = make("mlp")
        with pytest.raises(la.BadInput, match="the coordinates along u do not rise"):
            la.survey(plane(problem, axes=1), {"u": np.array(coords)}, problem, {"test": split}, plan="loop")

    def test_filters_of_zero_are_told(self, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        state = read_state(trained / "net0" / "model.safetensors")
        state["1.weight"][:3] = 0
        torch.save(state, tmp_path / "zero.pt")
        tokens = [f"--checkpoint={tmp_path / 'zero.pt'}", "--model.hidden", "8", "--normalize=filter", "--grid", "3"]
        tokens += ["--examples=40", "--plan=loop", "--no_pictures", f"--out={tmp_path / 'run'}"]
        assert main(["survey", *tokens]) == 0
        assert "3 of 8 filters of '1.weight' are zero" in capsys.readouterr().err


CORNERS = (Corner.coordinate("u"), Corner.coordinate("v"))
WHOLE = {"whole": True, "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda survey: survey.rename(u="w"), "No variable named"),
        (lambda survey: survey.isel(u=slice(0, 0)), "u does not hold numbers"),
        (lambda survey: survey.assign_coords(v=[0.0, np.nan, 1.0]), "v does not hold numbers"),
        (lambda survey: survey.assign_coords(v=["a", "b", "c"]), "could not convert string"),
        (lambda survey: survey.assign({CORNERS[0]: ("n", ["a", "b"], WHOLE)}), "could not convert string"),
        (lambda survey: survey.assign({CORNERS[1]: ("m", [1.0], WHOLE)}), "does not name its networks"),
        (lambda survey: survey.assign({CORNERS[0]: ("n", [0.0, 1.0], {"whole": True})}), "does not name its networks"),
        (
            lambda survey: survey.assign({CORNERS[0]: ("n", [0.0, 1.0], {**WHOLE, "names": "ab"})}),
            "does not name its networks",
        ),
    ],
)
def test_a_survey_of_something_else_beside_a_chart_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    chart = la.Slice(torch.zeros(3), torch.eye(3)[:2])
    places = {name: ("n", [0.0, 1.0], WHOLE) for name in CORNERS}
    survey = xr.Dataset(places, coords={"u": [0.0, 1.0], "v": [0.0, 0.5, 1.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of texts
        survey.to_zarr(tmp_path / "whole.zarr", zarr_format=3, consolidated=False)
        change(survey).to_zarr(tmp_path / "odd.zarr", zarr_format=3, consolidated=False)
    boxes, networks = _shown(tmp_path / "whole.zarr", chart)
    assert (boxes["v"], [network.name for network in networks]) == ((0.0, 1.0), ["a", "b"])
    with pytest.raises(la.BadInput, match=f"odd.zarr is damaged .*{message}"):
        _shown(tmp_path / "odd.zarr", chart)
