"""Metrics that say their shape and their company: k values, one computation for several, companions, named samples."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import xarray as xr
from shown import show
from torch import Tensor, nn

import lossatlas as la
from lossatlas import measures, schema
from lossatlas.engine import Derivatives, Evaluation, Folded, StreamingMetric
from lossatlas.errors import LossatlasError
from lossatlas.exchange import read_survey, write_survey
from lossatlas.metrics import Computation, OperatorMetric, choose_metrics, count_numbers
from lossatlas.schema import RESIDUAL, Companion, Quantity
from lossatlas.views import VIEWS, data

K = 3
DIMENSION = "rank"


@dataclass(frozen=True)
class Ritz:
    """Of the largest modulus, descending in it: values and residuals (p, k)."""

    values: Tensor
    residuals: Tensor


@dataclass(frozen=True)
class Subspace(Computation):
    """Subspace iteration on the Hessian at each point."""

    k: int = K
    steps: int = 2

    name = "subspace"
    runs: ClassVar[list[int]] = []
    """How many points each run was of."""

    def __call__(self, derivatives: Derivatives) -> Ritz:
        points, n = derivatives.gradient().shape
        self.runs.append(points)
        start = torch.randn(n, self.k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        basis = torch.linalg.qr(start.expand(points, n, self.k)).Q
        for _ in range(self.steps):
            basis = torch.linalg.qr(self.product(derivatives, basis)).Q
        image = self.product(derivatives, basis)
        values, turns = torch.linalg.eigh(basis.mT @ image)
        order = values.abs().argsort(dim=1, descending=True)
        values, turns = values.gather(1, order), turns.take_along_dim(order[:, None], dim=2)
        residuals = (image @ turns - basis @ turns * values[:, None]).norm(dim=1)
        return Ritz(values=values, residuals=residuals)

    @staticmethod
    def product(derivatives: Derivatives, basis: Tensor) -> Tensor:
        return torch.stack([derivatives.hessian_product(column) for column in basis.unbind(dim=2)], dim=2)


class Eigenvalues(OperatorMetric):
    """The k largest by modulus, with their residuals."""

    companions = (RESIDUAL,)

    def __init__(self, computation: Subspace | None = None, said: int | None = None) -> None:
        self.own = computation or Subspace()
        self.said = self.own.k if said is None else said

    @property
    def computation(self) -> Subspace:
        return self.own

    def applies(self, loss: la.Loss) -> bool:
        return True

    def quantity(self, loss: la.Loss) -> Quantity:
        return Quantity("eigenvalues", "eigenvalue of the Hessian", loss.units, DIMENSION)

    def length(self, evaluation: Evaluation) -> int:
        return self.said

    def value(self, found: Ritz) -> Tensor:
        return found.values

    def companion(self, companion: Companion, found: Ritz) -> Tensor:
        assert companion is RESIDUAL
        return found.residuals


class Largest(Eigenvalues):
    """The first of them alone: one number, of the same computation."""

    companions = ()

    def quantity(self, loss: la.Loss) -> Quantity:
        return Quantity("sharpness", "largest eigenvalue of the Hessian", loss.units)

    def value(self, found: Ritz) -> Tensor:
        return found.values[:, 0]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(Subspace, "runs", found)
    return found


torch.manual_seed(0)
MODULE = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
PROBLEM = la.Problem(MODULE, la.SquaredError())
DRAWN = torch.Generator().manual_seed(1)
SPLIT = la.Split(tuple(torch.randn(12, width, generator=DRAWN, dtype=torch.float64) for width in (2, 1)))
CHART = la.Plane.random(MODULE, initialiser=la.Xavier())
GRID = {"u": np.linspace(-1, 1, 3), "v": np.linspace(-1, 1, 2)}


def surveyed(metrics: list[Any], path: Path | None = None, **options: Any) -> xr.Dataset:
    options = {"eval_batch_size": 5, "plan": "loop"} | options
    splits = options.pop("splits", {"test": SPLIT})
    return la.survey(CHART, options.pop("grid", GRID), PROBLEM, splits, metrics=metrics, path=path, **options).load()


def weights_at(u: float, v: float) -> Tensor:
    return CHART.points(torch.tensor([[u, v]], dtype=torch.float64))[0].detach()


def outputs_at(weights: Tensor) -> Tensor:
    """Of the network with weights (n,) on all examples, without the engine."""
    shapes = {name: parameter.shape for name, parameter in MODULE.named_parameters()}
    parts = weights.split([shape.numel() for shape in shapes.values()])
    given = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    return torch.func.functional_call(MODULE, given, SPLIT.data[0])


def dense_eigenvalues(u: float, v: float) -> Tensor:
    """The K largest by modulus of the Hessian of the mean loss in float64, without the engine."""
    hessian = torch.autograd.functional.hessian(
        lambda weights: PROBLEM.loss(outputs_at(weights), SPLIT.data[1]).mean(), weights_at(u, v)
    )
    every = torch.linalg.eigvalsh(hessian)
    return every[every.abs().argsort(descending=True)[:K]]


class TestOperatorMetrics:
    def test_of_k_values_agree_with_a_dense_hessian(self, runs: list[int]) -> None:
        precise = Subspace(steps=60)
        found = surveyed([Eigenvalues(precise), Largest(precise)], grid={"u": np.array([-1.0, 1.0]), "v": np.ones(1)})
        values, residuals = found["test_eigenvalues"], found["test_eigenvalues_residual"]
        assert values.dims == residuals.dims == ("u", "v", DIMENSION)
        for u in found.u.values:
            for v in found.v.values:
                at = {"u": u, "v": v}
                exact = dense_eigenvalues(u, v).numpy()
                np.testing.assert_allclose(values.sel(at), exact, rtol=1e-3)
                assert (residuals.sel(at) < 0.05 * np.abs(exact).max()).all()
        assert found["test_sharpness"].equals(values.isel({DIMENSION: 0}).rename("test_sharpness"))
        assert sum(runs) == 2, "both metrics are made of one run at each point"

    def test_that_share_a_computation_are_one_group(self) -> None:
        found = surveyed([Eigenvalues(), "loss", Largest(), "gradient_norm"])
        shared = {
            str(name) for name, array in found.items() if array.attrs.get("computation") == f"Subspace(k={K}, steps=2)"
        }
        assert shared == {"test_eigenvalues", "test_eigenvalues_residual", "test_sharpness"}

    def test_tell_what_stands_beside_them(self) -> None:
        told = surveyed([Eigenvalues()])["test_eigenvalues_residual"].attrs
        assert told["companion"] == "residual"
        assert (told["split"], told["metric"], told["dimension"]) == ("test", "eigenvalues", DIMENSION)
        assert told["long_name"] == "residual of test eigenvalue of the Hessian"

    def test_are_stored_resumed_and_added_later(self, tmp_path: Path, runs: list[int]) -> None:
        path = tmp_path / "s.zarr"
        first = surveyed([Largest()], path)
        assert sum(runs) == 6
        assert surveyed([Largest()], path)["test_sharpness"].equals(first["test_sharpness"])
        assert sum(runs) == 6, "nothing was left to do"
        both = surveyed([Largest(), Eigenvalues()], path)
        assert sum(runs) == 12, "the group is evaluated again, once"
        assert both["test_sharpness"].equals(first["test_sharpness"])
        assert both["test_eigenvalues"].equals(surveyed([Eigenvalues()])["test_eigenvalues"])

    def test_of_another_computation_are_refused(self, tmp_path: Path) -> None:
        surveyed([Largest()], tmp_path / "s.zarr")
        with pytest.raises(la.BadInput, match=r"has computation = 'Subspace\(k=3, steps=2\)', this one .*steps=9"):
            surveyed([Largest(Subspace(steps=9))], tmp_path / "s.zarr")
        with pytest.raises(la.BadInput, match=r"'eigenvalues' and 'sharpness' are made of different .* 'subspace'"):
            surveyed([Eigenvalues(), Largest(Subspace(steps=9))])

    @pytest.mark.parametrize(
        ("metric", "message"),
        [
            (Eigenvalues(said=2), r"metric 'eigenvalues' gives torch.float64 \(6, 3\) for 6 points; expected 2 real"),
            (Eigenvalues(said=0), "metric 'eigenvalues' says that it has 0 values"),
        ],
    )
    def test_of_another_shape_than_they_say_are_refused(self, metric: OperatorMetric, message: str) -> None:
        with pytest.raises(LossatlasError, match=message) as caught:
            surveyed([metric])
        assert "\n" not in str(caught.value)

    def test_whose_companions_have_another_shape_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Eigenvalues, "companion", lambda *given: given[-1].residuals[:, 0])
        with pytest.raises(LossatlasError, match=r"'eigenvalues_residual' gives .* \(6,\) for 6 points; expected 3"):
            surveyed([Eigenvalues()])

    def test_whose_computation_fails_are_told_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Subspace, "__call__", lambda *_: 1 / 0)
        with pytest.raises(LossatlasError, match="computation 'subspace' fails on .*division by zero"):
            surveyed([Largest()])

    def test_are_interpolated_with_their_companions(self) -> None:
        grid = GRID | {"u": np.linspace(-1, 1, 33)}
        found = surveyed(["loss", Eigenvalues()], grid=grid, budget=40)
        assert not found["measured"].values.all()
        for name in ("test_eigenvalues", "test_eigenvalues_residual"):
            assert np.isfinite(found[name].values).all()

    def test_of_k_values_alone_cannot_lead_a_refinement(self) -> None:
        with pytest.raises(la.BadInput, match="refined by a metric with one value"):
            surveyed([Eigenvalues()], grid=GRID | {"u": np.linspace(-1, 1, 33)}, budget=40)

    def test_are_counted_with_their_companions(self) -> None:
        metrics = choose_metrics(PROBLEM.loss, ["loss", Eigenvalues(), Largest()])
        assert count_numbers(metrics, sampled=False) == 4
        assert count_numbers(metrics, sampled=True) == 5


class Named(Eigenvalues):
    """Eigenvalues under any name, along any dimension."""

    def __init__(
        self, name: Any = "named", k: int = K, dimension: Any = DIMENSION, computation: Any = None, suffix: str = ""
    ) -> None:
        super().__init__(computation or Subspace(k=k), getattr(computation, "k", k))
        self.name, self.dimension = name, dimension
        self.companions = (Companion(suffix),) if suffix else ()  # type: ignore[misc]

    def quantity(self, loss: la.Loss) -> Quantity:
        return Quantity(self.name, "eigenvalue of the Hessian", loss.units, self.dimension)

    def companion(self, companion: Companion, found: Ritz) -> Tensor:
        return found.residuals


@dataclass(frozen=True)
class Other(Subspace):
    name = "other"


@dataclass(frozen=True)
class Climbing(Subspace):
    name = "../x"


class Nameless(Computation):
    def __call__(self, derivatives: Derivatives) -> Tensor:
        return derivatives.gradient()


def refused(metrics: list[Any], path: Path | None = None, runs: list[int] | None = None) -> str:
    """The one line that a survey is refused with, before any derivative is asked for."""
    before = sum(runs or ())
    with pytest.raises(la.BadInput) as caught:
        surveyed(metrics, path)
    assert "\n" not in str(caught.value)
    assert sum(runs or ()) == before, "nothing is evaluated"
    return str(caught.value)


class TestClassesOfOnesOwn:
    """``--metrics module:Class``."""

    def test_are_surveyed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "own.py").write_text(
            "import lossatlas as la\nfrom lossatlas.metrics import OperatorMetric\n"
            "from test_metric_seams import Eigenvalues\n"
            "class Top(Eigenvalues): pass\n"
            "class Needy(Eigenvalues):\n    def __init__(self, k): pass\n"
            "class Nothing: pass\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.syspath_prepend(str(Path(__file__).parent))
        problem = la.Problem(nn.Linear(3, 2), la.CrossEntropy())
        top = choose_metrics(problem.loss, ["own:Top"])["eigenvalues"]
        assert isinstance(top, Eigenvalues)
        assert top.computation == Subspace()
        for name, message in (
            ("Needy", "cannot be made .*; name a class that takes no arguments"),
            ("Nothing", "is a class, and not of metrics"),
        ):
            with pytest.raises(la.BadInput, match=f"metric 'own:{name}' {message}"):
                choose_metrics(problem.loss, [f"own:{name}"])


class TestNames:
    @pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "2x", 3, None])
    def test_that_no_variable_can_have_are_refused(self, name: Any, tmp_path: Path, runs: list[int]) -> None:
        assert f"(Named) is called {name!r}; expected letters" in refused([Named(name)], tmp_path / "s", runs)
        mine = la.PerExampleMetric(lambda outputs, _: outputs[:, 0])
        mine.name = name
        assert "expected letters" in refused([mine], tmp_path / "s")
        if name is not None:
            assert "the dimension of metric 'named' is called" in refused([Named(dimension=name)], tmp_path / "s", runs)
        assert not (tmp_path / "s").exists()

    @pytest.mark.parametrize(
        "dimension", ["u", "w", "t", "loss", "repeat", "member", "along", "bin", "target", "x_done"]
    )
    def test_of_dimensions_that_mean_something_else_are_refused(self, dimension: str, runs: list[int]) -> None:
        assert f"the dimension {dimension!r} of metric 'named' means something" in refused(
            [Named(dimension=dimension)], None, runs
        )

    def test_of_dimensions_that_are_metrics_or_variables_are_refused(self, runs: list[int]) -> None:
        message = "metric 'sharpness' is called as the dimension of metric 'named'"
        assert message in refused([Named(dimension="sharpness"), Largest()], None, runs)
        assert "'test_sharpness' of metric 'named' is a variable of split 'test', too" in refused(
            [Named(dimension="test_sharpness"), Largest()], None, runs
        )

    def test_of_marks_companions_and_computations_are_refused(self, runs: list[int]) -> None:
        assert "metric 'subspace_done' ends in '_done' as marks do" in refused([Named("subspace_done")], None, runs)
        assert "what stands beside metric 'named' is called 'a/b'" in refused([Named(suffix="a/b")], None, runs)
        assert "what stands beside metric 'a_b' is called as what stands beside metric 'a', 'a_b_c'" in refused(
            [Named("a_b", suffix="c"), Named("a", suffix="b_c")], None, runs
        )
        assert "the computation of metric 'named' is called '../x'" in refused([Named(computation=Climbing())])
        assert "the computation of metric 'named' is called None" in refused([Named(computation=Nameless())])
        assert "the computation of metric 'named' is <class" in refused([Named(computation=Subspace)])

    def test_of_splits_and_metrics_that_make_one_variable_are_refused(self) -> None:
        splits = {"a": SPLIT, "a_b": SPLIT}
        with pytest.raises(la.BadInput, match="a_b_loss would be a variable of split 'a' and one of split 'a_b'"):
            surveyed(["loss", la.PerExampleMetric(lambda outputs, _: outputs[:, 0], "b_loss")], splits=splits)

    def test_what_is_not_an_object_of_a_metric_is_refused(self) -> None:
        assert refused([Largest]) == "metric Largest is a class; give an object of it, such as Largest()"
        assert "a metric is given as function; expected a name" in refused([lambda outputs, _: outputs])

    def test_two_of_one_name_that_differ_are_refused_and_equal_ones_are_one(self) -> None:
        message = "metrics 2 (Named) and 3 (Named) are both called 'named' and differ"
        assert message in refused(["loss", Named(k=3), Named(k=2)])
        assert "metrics 1 (MeanLoss) and 2 (PerExampleMetric)" in refused(["loss", la.PerExampleMetric(len, "loss")])
        metrics = ["loss", "auto", Named(), Named(), "regularised_loss:1e-3", "regularised_loss:1e-3"]
        assert list(choose_metrics(PROBLEM.loss, metrics)) == ["loss", "named", "regularised_loss"]
        assert "both called 'regularised_loss'" in refused(["regularised_loss:1e-3", "regularised_loss:1e-4"])


class TestLengths:
    def test_of_one_dimension_that_differ_in_a_call_are_refused(self, tmp_path: Path, runs: list[int]) -> None:
        message = "metrics 'named' and 'fewer' have 3 and 2 values along 'rank'"
        both = [Named(), Named("fewer", computation=Other(k=2))]
        assert message in refused(both, tmp_path / "s", runs)
        assert not (tmp_path / "s").exists()

    def test_of_one_dimension_that_differ_from_what_a_survey_holds_are_refused(
        self, tmp_path: Path, runs: list[int]
    ) -> None:
        path = tmp_path / "s"
        first = surveyed(["loss", Named()], path)
        assert "dimension 'rank' has 3 values in the survey, and 2 in metric 'fewer'" in refused(
            ["loss", Named("fewer", computation=Other(k=2))], path, runs
        )
        assert surveyed(["loss", Named()], path).identical(first), "the survey is as it was"
        along = Named("fewer", dimension="number", computation=Other(k=2))
        assert surveyed(["loss", Named(), along], path).sizes["number"] == 2

    def test_names_that_a_survey_holds_for_something_else_are_refused(self, tmp_path: Path, runs: list[int]) -> None:
        path = tmp_path / "s"
        surveyed([Named(dimension="test_loss_rank"), "loss"], path)
        mine = la.PerExampleMetric(lambda outputs, _: outputs[:, 0], "loss_rank")
        assert "test_loss_rank is a dimension in the survey" in refused(["loss", mine], path, runs)
        over = Named("over", dimension="test_named", computation=Other())
        assert "test_named is a variable in the survey" in refused([over], path, runs)

    @pytest.mark.parametrize("again", [2, None])
    def test_of_a_metric_that_a_survey_holds_with_another_length_are_refused(
        self, again: int | None, tmp_path: Path, runs: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "s"
        first = surveyed([Named()], path)
        monkeypatch.setattr(Named, "length", lambda *_: 2)
        message = (
            f"test_named in the survey has 3 along 'rank' at a point, this one {'2 along' if again else 'one value'}"
        )
        assert message in refused([Named(dimension=DIMENSION if again else None)], path, runs)
        monkeypatch.undo()
        assert surveyed([Named()], path).identical(first)


class Pair(StreamingMetric):
    """The mean of the outputs and of their squares, which says that it has as many values as it is told to say."""

    def __init__(self, said: int = 2) -> None:
        self.said = said

    def applies(self, loss: la.Loss) -> bool:
        return True

    def quantity(self, loss: la.Loss) -> Quantity:
        return Quantity("moments", "moment of the outputs", "1", "order")

    def length(self, evaluation: Evaluation) -> int:
        return self.said

    def sums(self, evaluation: Evaluation) -> Tensor:
        outputs = evaluation.outputs.flatten(1)
        return torch.stack([outputs.sum(dim=1), outputs.square().sum(dim=1)], dim=1)

    def value(self, folded: Folded) -> Tensor:
        return folded.sums / folded.examples


class TestStreamingMetrics:
    def test_of_a_dimension_of_their_own_are_surveyed(self) -> None:
        found = surveyed([Pair()])["test_moments"]
        assert found.dims == ("u", "v", "order")
        outputs = outputs_at(weights_at(1.0, -1.0)).detach().numpy()
        np.testing.assert_allclose(found.sel(u=1, v=-1), [outputs.mean(), (outputs**2).mean()], rtol=1e-6)

    def test_of_another_shape_than_they_say_are_refused_before_anything_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match=r"'moments' returned shape \(1, 2\) .* expected a row of the 3 values"):
            surveyed([Pair(3)], tmp_path / "s.zarr")
        assert not (tmp_path / "s.zarr").exists()

    def test_may_not_be_called_as_what_stands_beside_others(self) -> None:
        mine = la.PerExampleMetric(lambda outputs, _: outputs[:, 0], "loss_standard_error")
        with pytest.raises(la.BadInput, match="'loss_standard_error' is called as what stands beside metric 'loss'"):
            choose_metrics(PROBLEM.loss, ["loss", mine])

    def test_of_a_subset_say_that_errors_are_companions(self) -> None:
        part = SPLIT.subset(7, torch.Generator().manual_seed(0))
        found = surveyed(["loss"], splits={"half": part, "test": SPLIT})
        assert found["half_loss_standard_error"].attrs["companion"] == "standard_error"
        assert "companion" not in found["half_loss"].attrs
        assert "test_loss_standard_error" not in found


class TestCompanions:
    def test_are_known_by_what_they_say_and_only_then_by_their_names(self) -> None:
        found = surveyed(["loss", Largest()])
        number = found["test_sharpness"]
        named = found.assign(
            test_sharpness_residual=number.assign_attrs(metric="sharpness_residual"),
            test_sharpness_off=number.assign_attrs(companion="off"),
            test_loss_standard_error=number.assign_attrs({}).drop_attrs(),
        )
        assert set(data.others(named)) == {"sharpness", "sharpness_residual"}
        (loss,) = data.fields(named, "loss")
        np.testing.assert_array_equal(loss.error, number.values)
        assert list(measures.take_surfaces(named, "sharpness")) == ["test"]
        assert list(measures.take_surfaces(named, "sharpness_residual")) == ["test"]


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    part = SPLIT.subset(7, torch.Generator().manual_seed(0))
    return surveyed(["loss", Eigenvalues(), Largest()], splits={"test": part})


class TestViewsAndFormats:
    def test_pictures_show_axes_and_no_ranks(self, found: xr.Dataset) -> None:
        assert data.axes(found) == ("u", "v")
        assert data.axes(found.drop_vars(["test_loss", "test_sharpness"])) == ("u", "v")
        assert {"loss", "others"} <= set(show(found))

    @pytest.mark.parametrize("suffix", ["csv", "vts", "h5"])
    def test_files_hold_each_value(self, suffix: str, found: xr.Dataset, tmp_path: Path) -> None:
        write_survey(found, tmp_path / f"s.{suffix}")
        if suffix == "csv":
            with (tmp_path / "s.csv").open() as file:
                header = next(csv.reader(file))
            ranks = {f"test_eigenvalues_rank{k}{beside}" for k in range(K) for beside in ("", "_residual")}
            assert ranks <= set(header)
            again = read_survey(tmp_path / "s.csv")
            one = found["test_eigenvalues"].isel({DIMENSION: 1}).values
            np.testing.assert_array_equal(again["test_eigenvalues_rank1"].values, one)
            assert set(data.others(again)) == {"sharpness", *(f"eigenvalues_rank{k}" for k in range(K))}
        if suffix == "vts":
            assert b'Name="test_eigenvalues_rank2_residual"' in (tmp_path / "s.vts").read_bytes()


@pytest.mark.parametrize("dimension", schema.SAMPLE_DIMENSIONS)
class TestSamples:
    """Several surveys of one thing along a dimension that is not an axis, whatever it is called."""

    @pytest.fixture
    def several(self, dimension: str) -> xr.Dataset:
        one = surveyed(["loss"])
        return xr.concat([one[["test_loss"]] * factor for factor in (1.0, 2.0, 4.0)], dimension).assign(
            test_loss=lambda made: made["test_loss"].assign_attrs(one["test_loss"].attrs)
        )

    def test_are_drawn_together(self, dimension: str, several: xr.Dataset, text: Callable[[Any], str]) -> None:
        assert data.axes(several) == ("u", "v")
        assert list(data.split_samples(several)) == [f"{dimension} {k}" for k in range(3)]
        assert data.notes(data.take_first_sample(several)) == [f"the first of 3 {dimension}s"]
        figures = show(several)
        assert f"{dimension} 2" in text(figures["repeats"])
        assert f"the first of 3 {dimension}s" in text(figures["filled"])

    def test_along_a_line_are_counted_in_its_words(
        self, dimension: str, several: xr.Dataset, text: Callable[[Any], str]
    ) -> None:
        line = several.isel(v=0, drop=True)
        assert f"3 {dimension}s" in text(show(line)["repeats"])
        told = VIEWS["repeats"]().describe(line)
        assert told == f"The loss of 3 {dimension}s, which shows how much the landscape depends on the choice of one."

    def test_are_measured_each(self, dimension: str, several: xr.Dataset) -> None:
        (surface,) = measures.take_surfaces(several).values()
        assert surface.repeats is not None
        assert surface.repeats.shape == (3, 3, 2)
        np.testing.assert_allclose(surface.values, several["test_loss"].mean(dimension).transpose("u", "v"))
        with pytest.raises(la.BadInput, match=f"has no {dimension}s; expected at least one along '{dimension}'"):
            measures.take_surfaces(several.isel({dimension: slice(0)}))

    def test_are_written_to_tables_and_grids(self, dimension: str, several: xr.Dataset, tmp_path: Path) -> None:
        write_survey(several, tmp_path / "s.csv")
        again = read_survey(tmp_path / "s.csv")
        np.testing.assert_array_equal(again["test_loss"].values, several["test_loss"].transpose(dimension, "u", "v"))
        write_survey(several, tmp_path / "s.vts")
        assert f'Name="test_loss_{dimension}2"'.encode() in (tmp_path / "s.vts").read_bytes()
        with pytest.raises(la.BadInput, match=f"holds 3 {dimension}s and .h5 files of surfaces hold one"):
            write_survey(several, tmp_path / "s.h5")


@pytest.fixture
def text() -> Callable[[Any], str]:
    """All that a figure says."""
    from matplotlib.text import Text

    return lambda figure: " ".join(each.get_text() for each in figure.findobj(Text))


def test_members_of_members_are_told_apart() -> None:
    sizes = {schema.REPEAT: 2, schema.MEMBER: 3, "u": 4}
    survey = xr.Dataset({"test_loss": (tuple(sizes), np.ones(tuple(sizes.values())))})
    assert data.count_samples(survey) == 6
    assert data.samples_in_words(survey) == "2 repeats x 3 members"
    assert list(data.split_samples(survey))[4] == "repeat 1, member 1"


def test_members_are_surveyed_on_whole_grids() -> None:
    from lossatlas.surveying.survey import make_refinement

    with pytest.raises(la.BadInput, match="several members are surveyed on whole grids"):
        make_refinement({"u": np.zeros(1), schema.MEMBER: np.zeros(1)}, 0.1, None)
