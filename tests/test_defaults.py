"""What holds by default: running statistics, random directions, coordinates, refinement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

import lossatlas as la
from lossatlas.charts import CHARTS, CoefficientChart, encode_chart
from lossatlas.cli.main import main
from lossatlas.directions import NORMALISATIONS, Around, make_directions
from lossatlas.jobs.survey import run_survey
from lossatlas.recipes import SurveyConfig
from lossatlas.surveying.refinement import Refinement
from lossatlas.surveying.scale import Scale
from lossatlas.weights.files import collect_state, serialise_state

AT = np.array([-0.5, 0.0, 0.4, 1.0])


def rows(count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + 0.3
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def normalised(seed: int = 0) -> nn.Sequential:
    """A network whose running statistics are neither those of a fresh one nor those of its examples."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
        for _ in range(5):
            net(2 * torch.randn(30, 4) + 0.5)
    return net


def plain(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def problem(net: nn.Module) -> la.Problem:
    return la.Problem(net, la.CrossEntropy())


def with_weights(net: nn.Module, weights: Tensor) -> nn.Module:
    """A copy of a network with weights (n,) put in place, in evaluation mode."""
    twin = copy.deepcopy(net).eval()
    nn.utils.vector_to_parameters(weights.detach(), twin.parameters())
    return twin


def with_reestimated_statistics(net: nn.Module, weights: Tensor, x: Tensor) -> nn.Module:
    """The same with the statistics that a pass in training mode with a cumulative average leaves."""
    twin = with_weights(net, weights)
    for part in twin.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.reset_running_stats()
            part.momentum = None
    twin.train()
    with torch.no_grad():
        twin(x)
    return twin.eval()


def by_hand(chart: CoefficientChart, of: Callable[[Tensor], nn.Module], axis: np.ndarray = AT) -> np.ndarray:
    x, y = rows()
    with torch.no_grad():
        return np.array([float(cross_entropy(of(w)(x), y)) for w in chart.points(torch.from_numpy(axis)[:, None])])


def surveyed(chart: CoefficientChart, net: nn.Module, axis: np.ndarray = AT, **options: Any) -> xr.Dataset:
    splits = options.pop("splits", {"test": la.Split(rows())})
    return la.survey(chart, {chart.axes[0]: axis}, problem(net), splits, metrics=["loss"], plan="loop", **options)


def recorded(survey: xr.Dataset, split: str = "test") -> str:
    return str(survey[f"{split}_loss"].attrs["buffers"])


def vectors(count: int, space: la.WeightSpace, make: Callable[[int], nn.Module] = normalised) -> Tensor:
    return torch.stack([space.vector_of(make(seed)) for seed in range(count)])


class TestStatistics:
    def test_around_a_network_they_are_its_own(self) -> None:
        net = normalised()
        chart = la.slice_around(net, ["random"], seed=3)
        survey = surveyed(chart, net)
        assert recorded(survey) == "frozen"
        np.testing.assert_allclose(survey["test_loss"], by_hand(chart, lambda w: with_weights(net, w)), rtol=1e-5)
        own = by_hand(chart, lambda _: copy.deepcopy(net).eval())[0]
        assert float(survey["test_loss"].sel(u=0.0)) == pytest.approx(own, rel=1e-5)
        batch = surveyed(chart, net, buffers=la.BatchStatistics())
        assert abs(float(batch["test_loss"].sel(u=0.0)) - own) > 0.01

    def test_so_they_are_on_planes_and_repeats_around_one(self) -> None:
        net = normalised()
        space = la.WeightSpace(net)
        plane = la.Plane.random(net, 1, initialiser=la.Xavier(), origin=space.vector_of(net))
        assert recorded(surveyed(plane, net)) == "frozen"
        repeats = la.slice_around(net, ["random"], repeats=2)
        axes = {"u": AT, "repeat": np.array([0.0, 1.0])}
        found = la.survey(repeats, axes, problem(net), {"test": la.Split(rows())}, plan="loop")
        assert recorded(found) == "frozen"

    @pytest.mark.parametrize(
        "make",
        [
            lambda ends: la.Simplex(ends[:2]),
            lambda ends: la.Chain(ends),
            lambda ends: la.Bezier(ends),
            lambda ends: la.Grown(ends[:2]),
            lambda ends: la.Radial(ends[:2], torch.ones(ends.shape[1])),
        ],
    )
    def test_between_networks_they_are_reestimated(self, make: Callable[[Tensor], CoefficientChart]) -> None:
        net = normalised()
        chart = make(vectors(3, la.WeightSpace(net)))
        axis, (x, _) = np.array([0.1, 0.5, 0.8]), rows(seed=7)
        splits = {"test": la.Split(rows()), "train": la.Split(rows(seed=7))}
        survey = surveyed(chart, net, axis, splits=splits)
        assert recorded(survey).startswith("reestimated from 60 examples")
        wanted = by_hand(chart, lambda w: with_reestimated_statistics(net, w, x), axis)
        np.testing.assert_allclose(survey["test_loss"], wanted, rtol=1e-4)

    def test_without_a_split_called_train_the_first_one_serves(self) -> None:
        net = normalised()
        chart = la.Simplex(vectors(2, la.WeightSpace(net)))
        splits = {"first": la.Split(rows(seed=7)), "test": la.Split(rows())}
        found = surveyed(chart, net, splits=splits)
        stated = la.ReestimatedStatistics(splits["first"], 8, 500)
        xr.testing.assert_equal(found, surveyed(chart, net, splits=splits, buffers=stated))

    @pytest.mark.parametrize(("count", "kind"), [(3, la.Simplex), (3, la.Through), (4, la.Quadrilateral)])
    def test_every_figure_between_networks_says_so(self, count: int, kind: type[Any]) -> None:
        net = normalised()
        corners = vectors(count, la.WeightSpace(net))
        engine = la.engine_for(problem(net), kind(corners), la.Split(rows()), plan="loop")
        assert engine.network.buffers.startswith("reestimated")

    def test_all_kinds_of_charts_have_said_what_they_lie_on(self) -> None:
        joining = {name for name in CHARTS if CHARTS[name].joins_networks}
        assert {*CHARTS} - joining == {"plane", "corners", "slice", "repeated_slice", "bezier_surface", "spline"}

    @pytest.mark.parametrize(("buffers", "record"), [(None, "batch"), (la.FrozenStatistics(), "frozen")])
    def test_a_fitted_plane_keeps_those_of_its_fit(self, buffers: Any, record: str, tmp_path: Path) -> None:
        net = normalised()
        origin = la.WeightSpace(net).vector_of(net)
        chart = la.Plane.random(net, initialiser=la.Xavier(), origin=origin, train_origin=False)
        split = la.Split(rows())
        picture = la.picture("heart", size=(7, 7))
        pattern = la.Pattern(picture, cells=2)
        la.fit(chart, pattern, problem(net), split, steps=2, buffers=buffers, plan="loop")
        (tmp_path / "chart").write_bytes(encode_chart(chart))
        for one in (chart, la.load_chart(tmp_path / "chart"), copy.deepcopy(chart)):
            assert isinstance(one, la.Plane)
            found = la.survey(one, picture, problem(net), {"test": split}, padding=0, plan="loop")
            assert recorded(found) == record

    def test_a_curve_is_surveyed_otherwise_than_it_was_fitted(self) -> None:
        net = normalised()
        curve = la.Bezier.between(vectors(2, la.WeightSpace(net)))
        la.fit(curve, la.Uniform(2), problem(net), la.Split(rows()), steps=2, plan="loop")
        assert curve.fitted_under == "batch"
        assert recorded(surveyed(curve, net)).startswith("reestimated")

    def test_through_random_weights_they_are_the_batchs_own(self) -> None:
        net = normalised()
        chart = la.Plane.random(net, 1, initialiser=la.Xavier())
        survey = surveyed(chart, net)
        assert recorded(survey) == "batch"

        def training(w: Tensor) -> nn.Module:
            return with_weights(net, w).train()

        np.testing.assert_allclose(survey["test_loss"], by_hand(chart, training), rtol=1e-4)

    def test_a_policy_that_only_the_user_knows_is_requested(self) -> None:
        net = normalised()
        chart = la.Plane.random(net, 1, initialiser=la.Xavier())
        chart.fitted_under = "my own"
        with pytest.raises(la.BadInput, match=r"fitted under a policy of its own, my own; give it as buffers"):
            surveyed(chart, net)

    def test_other_ones_are_not_part_of_a_store(self, tmp_path: Path) -> None:
        net = normalised()
        chart = la.slice_around(net, ["random"])
        surveyed(chart, net, path=tmp_path / "s", buffers=la.BatchStatistics())
        with pytest.raises(la.BadInput, match=r"buffers was 'batch' and is 'frozen'|buffers.*batch.*frozen"):
            surveyed(chart, net, path=tmp_path / "s")
        surveyed(chart, net, path=tmp_path / "s", buffers=la.BatchStatistics())

    def test_without_normalisations_a_store_goes_on_whatever_they_were_called(self, tmp_path: Path) -> None:
        net = plain()
        chart = la.Simplex(vectors(2, la.WeightSpace(net), plain))
        policies = (la.BatchStatistics(), la.InterpolatedStatistics(), la.ReestimatedStatistics(la.Split(rows())))
        for number, policy in enumerate(policies):
            before = surveyed(chart, net, path=tmp_path / f"{number}", buffers=policy).load()
            finer = np.sort(np.append(AT, 0.6))
            after = surveyed(chart, net, finer, path=tmp_path / f"{number}")
            np.testing.assert_array_equal(after["test_loss"].sel(u=AT), before["test_loss"])
            assert recorded(after) == recorded(before)

    def test_without_normalisations_nothing_is_estimated(self) -> None:
        calls = []

        class Counting(nn.Linear):
            def forward(self, input: Tensor) -> Tensor:  # noqa: A002
                calls.append(len(input))
                return super().forward(input)

        net = Counting(4, 3)
        ends = torch.stack([la.WeightSpace(net).vector_of(net) + k for k in range(2)])
        counts = []
        for policy in (None, la.BatchStatistics(), la.ReestimatedStatistics(la.Split(rows()), 2, 30)):
            calls.clear()
            surveyed(la.Simplex(ends), net, buffers=policy)
            counts.append(len(calls))
        assert counts[0] == counts[1] == counts[2]


class TestOfTheCommandLine:
    MODEL: Mapping[str, Any] = {
        "model": "conv",
        "model_options": {"batch_norm": True, "channels": (3, 4), "hidden": 5},
        "examples": "60",
        "plan": "loop",
        "metrics": ("loss",),
    }

    def saved(self, folder: Path, seed: int) -> tuple[nn.Module, Path]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = la.Conv(channels=(3, 4), hidden=5, batch_norm=True).build((1, 8, 8), 10)
            for _ in range(3):
                net(torch.rand(50, 1, 8, 8) + 0.5)
        (path := folder / f"net{seed}.safetensors").write_bytes(serialise_state(collect_state(net)))
        return net, path

    @staticmethod
    def splits() -> dict[str, la.Split]:
        from lossatlas.streams import make_generator

        data = la.load_data("digits")
        return {name: data.splits[name].subset(60, make_generator(0, f"survey/{name}")) for name in ("train", "test")}

    def test_a_slice_is_the_one_of_python(self, tmp_path: Path) -> None:
        net, path = self.saved(tmp_path, 0)
        run_survey(SurveyConfig(checkpoint=str(path), grid=(3, 4), **self.MODEL), tmp_path / "run", pictures=False)
        theirs = xr.open_zarr(str(tmp_path / "run" / "survey.zarr"), consolidated=False, chunks=None).load()
        chart = la.slice_around(net)
        stored = la.load_chart(tmp_path / "run" / "chart.safetensors")
        assert stored.fingerprint() == chart.fingerprint()
        grid = {axis: theirs[axis].values for axis in chart.axes}
        ours = la.survey(chart, grid, problem(net), self.splits(), metrics=["loss"], plan="loop")
        for name in ("train_loss", "test_loss"):
            np.testing.assert_array_equal(ours[name].values, theirs[name].values)
        assert recorded(ours) == recorded(theirs) == "frozen"

    def test_between_networks_both_reestimate(self, tmp_path: Path) -> None:
        nets, paths = zip(*(self.saved(tmp_path, seed) for seed in range(2)), strict=True)
        config = SurveyConfig(between=tuple(map(str, paths)), grid=(5,), **self.MODEL)
        run_survey(config, tmp_path / "run", pictures=False)
        theirs = xr.open_zarr(str(tmp_path / "run" / "survey.zarr"), consolidated=False, chunks=None).load()
        chart = la.Simplex.between(list(nets))
        train = la.load_data("digits").train
        ours = la.survey(
            chart, {"u": theirs["u"].values}, problem(nets[0]), self.splits(), metrics=["loss"], plan="loop",
            buffers=la.ReestimatedStatistics(train, 8, 500),
        )  # fmt: skip
        np.testing.assert_array_equal(ours["test_loss"].values, theirs["test_loss"].values)
        again = SurveyConfig(run=str(tmp_path / "run"), grid=(5,), **self.MODEL)
        run_survey(again, tmp_path / "again", pictures=False)
        found = xr.open_zarr(str(tmp_path / "again" / "survey.zarr"), consolidated=False, chunks=None)
        assert recorded(found) == recorded(theirs)

    def test_help_of_compare_says_which_hold_where(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            raise SystemExit(main(["compare", "--help_all"]))
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert (
            "Where the default is auto, they are frozen around one network, reestimated between several networks"
            in text
        )


class TestRandomDirections:
    @staticmethod
    def around(net: nn.Module, kind: str, without_vectors: bool) -> Tensor:
        space = la.WeightSpace(net)
        place = Around(space, space.vector_of(net), NORMALISATIONS[kind](), without_vectors, seed=4)
        return make_directions(["random", "random"], place)[0]

    def test_are_filter_normalised_and_hold_biases(self) -> None:
        net = normalised()
        chart = la.slice_around(net, seed=4)
        assert torch.equal(chart.directions, self.around(net, "filter", True))
        own = dict(net.named_parameters())
        for name, value in la.WeightSpace(net).unflatten(chart.directions[0]).items():
            if own[name].ndim < 2:
                assert not value.any()
            else:
                torch.testing.assert_close(value.norm(dim=1), own[name].detach().norm(dim=1))

    def test_as_they_are_drawn_where_that_is_asked_for(self) -> None:
        net = normalised()
        chart = la.slice_around(net, normalize="none", without_vectors=False, seed=4)
        assert torch.equal(chart.directions, self.around(net, "none", False))
        torch.testing.assert_close(chart.directions.norm(dim=1), torch.ones(2))

    def test_others_are_left_alone(self, tmp_path: Path) -> None:
        net = plain()
        (path := tmp_path / "other.safetensors").write_bytes(serialise_state(collect_state(plain(1))))
        chart = la.slice_around(net, [f"towards:{path}"])
        space = la.WeightSpace(net)
        torch.testing.assert_close(chart.directions[0], space.vector_of(plain(1)) - space.vector_of(net))

    def test_nothing_is_left_of_them_where_biases_alone_vary(self) -> None:
        net = plain()
        space = la.WeightSpace(net, ["*.bias"])
        with pytest.raises(
            la.BadInput, match=r"--ignore none --normalize none \(in Python without_vectors=False"
        ) as told:
            la.slice_around(net, space=space)
        assert len(str(told.value).splitlines()) == 1
        chart = la.slice_around(net, space=space, normalize="none", without_vectors=False)
        assert chart.points(torch.zeros(1, 2)).shape == (1, 9)

    def test_nor_where_all_filters_are_zero(self) -> None:
        net = nn.Linear(4, 3)
        nn.init.zeros_(net.weight)
        with pytest.raises(la.BadInput, match="and these are zero; leave them unnormalised with --normalize none"):
            la.slice_around(net, ["random"])
        la.slice_around(net, ["random"], normalize="none")

    @pytest.mark.parametrize(
        ("options", "normalize", "ignore"),
        [
            ({"checkpoint": "a"}, "filter", "biasbn"),
            ({"checkpoint": "a", "directions": ("towards:b", "random")}, "filter", "biasbn"),
            ({"checkpoint": "a", "normalize": "none", "ignore": "none"}, "none", "none"),
            ({"checkpoint": "a", "normalize": "layer"}, "layer", "biasbn"),
            ({"trajectory": "a", "directions": ("solution", "random")}, "filter", "biasbn"),
            ({"trajectory": "a"}, "none", "none"),
            ({"checkpoint": "a", "directions": ("towards:b",)}, "none", "none"),
            ({"between": ("a", "b")}, "none", "none"),
            ({"between": ("a", "b"), "normalize": "none", "ignore": "none"}, "none", "none"),
            ({"run": "a"}, "none", "none"),
            ({}, "auto", "auto"),
        ],
    )
    def test_what_a_survey_records_of_them(self, options: Any, normalize: str, ignore: str) -> None:
        config = SurveyConfig(**options)
        assert (config.normalize, config.ignore) == (normalize, ignore)
        assert SurveyConfig.from_flat(config.flat()) == config

    @pytest.mark.parametrize("given", [{"normalize": "filter"}, {"ignore": "biasbn"}, {"normalize": "weight"}])
    def test_options_that_mean_nothing_are_refused_where_they_are_given(self, given: dict[str, Any]) -> None:
        (name,) = given
        for place in ({"between": ("a", "b")}, {"run": "a"}):
            with pytest.raises(la.BadInput, match=f"{name} means nothing with {next(iter(place))}; leave it out"):
                SurveyConfig(**place, **given)
        with pytest.raises(la.BadInput, match=f"{name} means nothing for directions that are not random"):
            SurveyConfig(checkpoint="a", directions=("towards:b",), **given)


def charts(dtype: torch.dtype) -> list[CoefficientChart]:
    """One of each kind in R^5, in these numbers."""
    points = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    return [
        la.Slice(points[0], points[1:3]),
        la.RepeatedSlice(points[0], points[1:3, None]),
        la.Plane(points[0], points[1:3], 0.5),
        la.Corners(points[0], points[1], points[2:3], 0.5),
        la.Simplex(points[:3]),
        la.Through(points[:3]),
        la.Quadrilateral(points),
        la.Chain(points),
        la.Bezier(points),
        la.Grown(points[:3]),
        la.Radial(points[:2], torch.tensor([1, 1, 2, 2, 3])),
    ]


KINDS = len(charts(torch.float32))


class TestCoordinates:
    @pytest.mark.parametrize("kind", range(KINDS))
    @pytest.mark.parametrize("own", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_are_taken_in_any_precision(self, kind: int, own: torch.dtype) -> None:
        chart, exact = charts(own)[kind], charts(torch.float64)[kind]
        exact.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in chart.state_dict().items()})
        whole = torch.ones(2, len(chart.axes)).long()
        part = torch.full((2, len(chart.axes)), 0.375)
        if "repeat" in chart.axes:
            part[:, -1] = 1
        for coords, dtypes in (
            (whole, (torch.int64, torch.int32, torch.float64)),
            (part, (torch.float16, torch.bfloat16, torch.float32, torch.float64)),
        ):
            wanted = exact.points(coords.double())
            for given in dtypes:
                found = chart.points(coords.to(given))
                assert found.dtype == own
                torch.testing.assert_close(found.double(), wanted, rtol=0, atol=40 * torch.finfo(own).eps)

    def test_are_not_rounded_to_the_numbers_of_the_weights(self) -> None:
        """In bfloat16 0.9 is 0.8984, whose square is 0.807; that of 0.9 is 0.81, or 0.8086."""
        chart = la.Chain(torch.tensor([[0.0], [256.0]]).bfloat16())
        assert float(chart.points(torch.tensor([[0.9]]))) == float(torch.tensor(0.9).bfloat16() * 256)
        bezier = la.Bezier(torch.tensor([[0.0], [0.0], [256.0]]).bfloat16())
        assert float(bezier.points(torch.tensor([[0.9]])).detach()) == float(torch.tensor(0.81).bfloat16() * 256)

    def test_gradients_reach_them(self) -> None:
        coords = torch.tensor([[0.5, 0.25]], dtype=torch.float64, requires_grad=True)
        la.Slice(torch.zeros(5), torch.ones(2, 5)).points(coords).sum().backward()
        assert coords.grad is not None
        torch.testing.assert_close(coords.grad, torch.full((1, 2), 5.0, dtype=torch.float64))

    @pytest.mark.parametrize("kind", range(KINDS))
    def test_of_another_shape_are_refused(self, kind: int) -> None:
        chart = charts(torch.float32)[kind]
        for wrong in (torch.zeros(2, len(chart.axes) + 1), torch.zeros(2), torch.zeros(1, 1, 1)):
            with pytest.raises(la.BadInput, match=rf"expected \(P, {len(chart.axes)}\), along "):
                chart.points(wrong)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_surveys_lie_at_the_points_of_the_chart(self, dtype: torch.dtype) -> None:
        net = plain().to(dtype)
        chart = la.slice_around(net, ["random"])
        x, y = rows()
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        survey = la.survey(chart, {"u": AT}, problem(net), {"t": la.Split((x.to(dtype), y))}, plan="loop")
        weights = chart.points(torch.from_numpy(AT)[:, None]).to(wide)
        wider = copy.deepcopy(net).to(wide)
        with torch.no_grad():
            wanted = [float(cross_entropy(with_weights(wider, w)(x.to(dtype).to(wide)), y)) for w in weights]
        np.testing.assert_allclose(survey["t_loss"], wanted, rtol=1e-6)


def bowl(shape: int = 65, depth: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """A valley that bends, with its lowest point beside the middle."""
    u, v = np.meshgrid(np.linspace(-1, 1, shape), np.linspace(-1, 1, shape), indexing="ij")
    return scale * ((u - 0.2) ** 2 + 10 * (v - u**2 / 2) ** 2 + depth)


def refined(refinement: Refinement, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that are requested, and the whole surface that is made of them."""
    known = np.zeros(values.shape, dtype=bool)
    while True:
        scale = Scale.of(np.where(known, values, np.nan)[refinement.coarsest()])
        wanted = refinement.wanted(scale.forward(np.where(known, values, np.nan)), known)
        if known[wanted].all():
            return known, np.where(known, values, scale.back(refinement.interpolated(scale.forward(values), known)))
        known |= wanted


class TestRefinementOfLossesThatAreNotPositive:
    AXES = (np.linspace(-1, 1, 65), np.linspace(-1, 1, 65))

    @pytest.mark.parametrize(("depth", "scale"), [(-100.0, 1.0), (-3.0, 1.0), (-3.0, 1e4), (-1e3, 1e-3), (-0.5, 1.0)])
    def test_neither_another_zero_nor_another_unit_matters(self, depth: float, scale: float) -> None:
        refinement = Refinement(self.AXES, tolerance=0.05)
        reference, _ = refined(refinement, bowl(depth=-0.25))
        values = bowl(depth=depth, scale=scale)
        known, found = refined(refinement, values)
        assert known.sum() < 0.7 * known.size
        assert np.mean(known == reference) > 0.99  # but for what rounding decides
        heights = (values - values.min()) / scale
        unit = np.quantile(heights[refinement.coarsest()], 0.1)
        assert (np.abs(found - values) / scale <= 0.1 * (heights + unit)).all()

    def test_what_rises_without_bounds_hides_no_valley(self) -> None:
        values = np.exp(bowl() / 2) - 2
        assert values.max() > 1e5
        known, found = refined(Refinement(self.AXES, tolerance=0.05), values)
        assert known.sum() < 0.8 * known.size
        assert np.abs(found - values)[values < 0].max() < 0.02
        assert (np.abs(found - values) / (values + 2)).max() < 0.1

    def test_what_is_negative_between_the_coarsest_points_is_found(self) -> None:
        """The coarsest points are all positive, so that logarithms are refined; the dent is evaluated all the same."""
        refinement = Refinement(self.AXES, tolerance=0.05)
        values = bowl(depth=1.0)
        dent = np.zeros(values.shape)
        dent[33:36, 33:36] = -5.0  # between the lattice lines of every fourth point, across one of those between
        values += dent
        assert (values[refinement.coarsest()] > 0).all()
        assert values.min() < -3
        known, found = refined(refinement, values)
        np.testing.assert_allclose(found[values < 0], values[values < 0])
        assert known.sum() < known.size

    def test_a_scale_and_back(self) -> None:
        for values in (np.array([0.5, 1e-9, 3.0, np.inf, np.nan]), np.array([-2.0, 0.0, 7.0, np.inf, np.nan])):
            scale = Scale.of(values)
            np.testing.assert_allclose(scale.back(scale.forward(values)), values, rtol=1e-9, atol=1e-9)
        below = Scale.of(np.array([1.0, 2.0]))
        np.testing.assert_allclose(below.back(below.forward(np.array([-4.0, 0.0]))), [-4.0, 0.0], rtol=1e-9, atol=1e-11)
        assert np.isfinite(Scale.of(np.full(3, -1.0)).forward(np.array([-1.0, -3.0]))).all()

    def test_a_survey_of_a_density(self) -> None:
        net = plain()
        x, y = rows()[0], torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
        chart = la.slice_around(net, normalize="layer")
        grid = la.make_grid(chart, (65, 65))

        def density(outputs: Tensor, targets: Tensor) -> Tensor:
            return 300 * (mse_loss(outputs, targets, reduction="none").mean(dim=1) - 2.5)

        asked: dict[str, Any] = {"problem": la.Problem(net, density), "splits": {"t": la.Split((x, y))}}
        whole = la.survey(chart, grid, **asked, plan="batched")["t_loss"].values
        some = la.survey(chart, grid, **asked, plan="batched", tolerance=0.1)
        assert whole.max() < 0
        assert some["measured"].sum() < 0.6 * whole.size
        assert np.abs(some["t_loss"].values - whole).max() < 0.1 * (whole.max() - whole.min())

    def test_of_the_command_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "density_of_mine.py").write_text(
            "import torch\n"
            "def loss(outputs, targets):\n"
            "    return 100 * torch.nn.functional.cross_entropy(outputs, targets, reduction='none') - 1000\n"
        )
        net = la.MLP(hidden=(4,)).build((1, 8, 8), 10)
        (path := tmp_path / "net.safetensors").write_bytes(serialise_state(collect_state(net)))
        tokens = ["survey", f"--checkpoint={path}", "--model.hidden", "4", "--loss=density_of_mine:loss", "--grid=65"]
        tokens += ["--examples=50", "--plan=batched", "--no_pictures", "--splits=test", "--metrics=loss"]
        assert main([*tokens, f"--out={tmp_path / 'whole'}"]) == 0
        assert main([*tokens, f"--out={tmp_path / 'some'}", "--tolerance=0.1"]) == 0
        whole, some = (
            xr.open_zarr(str(tmp_path / name / "survey.zarr"), consolidated=False, chunks=None)["test_loss"].values
            for name in ("whole", "some")
        )
        assert whole.max() < 0
        assert np.abs(some - whole).max() < 0.1 * (whole.max() - whole.min())
        measured = xr.open_zarr(str(tmp_path / "some" / "survey.zarr"), consolidated=False, chunks=None)["measured"]
        assert int(measured.sum()) < 0.6 * measured.size
