"""Scores of ensembles: against slow loops, SciPy and torchmetrics, and what cannot be scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from ensembles_by_hand import (
    average,
    draw_classes,
    draw_values,
    find_temperature,
    order_greedily,
    score_classes,
    temper,
)
from scipy.spatial.distance import jensenshannon
from torch.utils._python_dispatch import TorchDispatchMode

from lossatlas import schema
from lossatlas.ensembles import Predictions, Rows, ScoringSettings, check_comparable, compare_ensembles, score_ensemble
from lossatlas.ensembles.halves import halve
from lossatlas.errors import BadInput, Caution
from lossatlas.schema import STANDARD_ERROR, InEnsemble
from lossatlas.studies import disagreement, jensen_shannon

CLASSES = draw_classes()
VALUES = draw_values()
OF_CLASSES, OF_VALUES = ["nll", "error", "brier", "ece"], ["squared_error", "gaussian_nll"]
SETTINGS = ScoringSettings(halvings=2, seed=3, bins=5)


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return score_ensemble(CLASSES, SETTINGS)


@pytest.fixture(scope="module")
def found_values() -> xr.Dataset:
    return score_ensemble(VALUES, SETTINGS)


class _Largest(TorchDispatchMode):
    """Measures the largest tensor of numbers that is made, but for views of a given one."""

    def __init__(self, given: torch.Tensor) -> None:
        super().__init__()
        self.given, self.numbers = given.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else [found]:
            numbers = isinstance(each, torch.Tensor) and each.is_floating_point()
            if numbers and each.untyped_storage().data_ptr() != self.given:
                self.numbers = max(self.numbers, each.numel())
        return found


class TestClasses:
    def test_have_the_scores_of_the_averaged_probabilities(self, found: xr.Dataset) -> None:
        first = score_classes(average(CLASSES, [0]), CLASSES.targets, 5)
        for count in range(1, 5):
            expected = score_classes(average(CLASSES, range(count)), CLASSES.targets, 5)
            for name in OF_CLASSES:
                at = {"count": count}
                assert found[name].sel(at).item() == pytest.approx(expected[name], abs=1e-6), name
                difference = found[InEnsemble.difference(name)].sel(at).item()
                assert difference == pytest.approx(expected[name] - first[name], abs=1e-6), name
                own = score_classes(average(CLASSES, [count - 1]), CLASSES.targets, 5)[name]
                assert found[InEnsemble.of_member(name)][count - 1].item() == pytest.approx(own, abs=1e-6), name

    def test_are_scored_on_the_half_that_nothing_was_found_on(self, found: xr.Dataset) -> None:
        labels, halves = CLASSES.targets, halve(CLASSES.rows, 2, 3)
        for order in ("given", "greedy"):
            for count in (1, 3, 4):
                raw, tempered = [], []
                for halving, half in enumerate(halves):
                    crossed = {scale: torch.empty(60, 3, dtype=torch.float64) for scale in ("raw", "tempered")}
                    for side in (0, 1):
                        here, there = half == side, half != side
                        chosen = order_greedily(CLASSES, here) if order == "greedy" else list(range(4))
                        if order == "greedy":
                            positions = found[InEnsemble.POSITION].sel(halving=halving, half=side)
                            assert positions.values.argsort().tolist() == chosen
                        probabilities = average(CLASSES, chosen[:count])
                        temperature = find_temperature(probabilities[here], labels[here])
                        at = {"order": order, "count": count, "halving": halving, "half": side}
                        assert found[InEnsemble.TEMPERATURE].sel(at).item() == pytest.approx(temperature, rel=1e-5)
                        crossed["raw"][there] = probabilities[there]
                        crossed["tempered"][there] = temper(probabilities[there], temperature)
                    raw.append(score_classes(crossed["raw"], labels, 5))
                    tempered.append(score_classes(crossed["tempered"], labels, 5))
                for scale, scores in (("raw", raw), ("tempered", tempered)):
                    for name in OF_CLASSES:
                        own = found[InEnsemble.halves(name)].sel(order=order, scale=scale, count=count).item()
                        assert own == pytest.approx(np.mean([each[name] for each in scores]), abs=2e-6), name

    def test_differ_as_pairs(self, found: xr.Dataset) -> None:
        for i in range(4):
            for k in range(4):
                one, other = CLASSES.of(i), CLASSES.of(k)
                at = found.isel(member=i, other_member=k)
                assert at[InEnsemble.DISAGREEMENT].item() == pytest.approx(disagreement(one, other))
                assert at[InEnsemble.JS_DIVERGENCE].item() == pytest.approx(jensen_shannon(one, other), abs=1e-14)
                p, q = (logarithms.double().exp().numpy() for logarithms in (one, other))
                distances = [jensenshannon(a, b) for a, b in zip(p, q, strict=True)]
                assert at[InEnsemble.JS_DIVERGENCE].item() == pytest.approx(
                    np.square(np.nan_to_num(distances)).mean(), abs=1e-7
                )
        three = found[InEnsemble.JS_DIVERGENCE].values[:3, :3]
        means = found[InEnsemble.mean(InEnsemble.JS_DIVERGENCE)]
        assert means.sel(count=3).item() == pytest.approx(three[np.triu_indices(3, 1)].mean())
        assert means.sel(count=1).isnull().item()

    def test_are_reliable_in_bins(self, found: xr.Dataset) -> None:
        for stage, chosen in ((0, [0]), (1, range(4))):
            probabilities = average(CLASSES, chosen)
            confidence, label = probabilities.max(dim=1)
            right = (label == CLASSES.targets).double()
            bins = (confidence * 5).long().clamp(max=4)
            for k in range(5):
                own, at = bins == k, found.isel(stage=stage, bin=k)
                assert at[InEnsemble.SHARE].item() == pytest.approx(float(own.double().mean()))
                if not own.any():
                    assert at[InEnsemble.ACCURACY].isnull().item()
                    continue
                assert at[InEnsemble.ACCURACY].item() == pytest.approx(float(right[own].mean()))
                assert at[InEnsemble.CONFIDENCE].item() == pytest.approx(float(confidence[own].mean()))
                error = found[STANDARD_ERROR.of(InEnsemble.ACCURACY)].isel(stage=stage, bin=k).item()
                share = float(right[own].mean())
                assert error == pytest.approx(np.sqrt(share * (1 - share) / int(own.sum()) * 60 / 59), abs=1e-7)
        gaps = found[InEnsemble.SHARE] * abs(found[InEnsemble.ACCURACY] - found[InEnsemble.CONFIDENCE])
        errors = gaps.sum("bin")
        assert errors.sel(stage="first member").item() == pytest.approx(found["ece"].sel(count=1).item())
        assert errors.sel(stage="all members").item() == pytest.approx(found["ece"].sel(count=4).item())
        assert found[InEnsemble.SHARE].sum("bin").values == pytest.approx(1)
        np.testing.assert_allclose(found["bin"], [0.1, 0.3, 0.5, 0.7, 0.9])

    def test_of_examples_average_to_the_scores(self, found: xr.Dataset) -> None:
        for name in OF_CLASSES:
            means = found[InEnsemble.of_example(name)].mean("example")
            assert means.sel(scale="raw").item() == pytest.approx(found[name].sel(count=4).item(), rel=1e-5)
            halves = found[InEnsemble.halves(name)].sel(order="given", count=4)
            assert means.sel(scale="tempered").item() == pytest.approx(halves.sel(scale="tempered").item(), rel=1e-5)

    def test_of_tokens_are_those_of_their_positions(self) -> None:
        examples = torch.arange(20).repeat_interleave(3)
        tokens = draw_classes(examples=examples)
        own, plain = (score_ensemble(each, ScoringSettings(halvings=0)) for each in (tokens, CLASSES))
        for name in OF_CLASSES:
            np.testing.assert_allclose(own[name], plain[name])
            assert own[InEnsemble.of_example(name)].shape == (1, 20)
            weighted = own[InEnsemble.of_example(name)][0].weighted(own[InEnsemble.EXAMPLE_ROWS]).mean()
            assert weighted.item() == pytest.approx(own[name].sel(count=4).item(), rel=1e-5)
        assert not own["nll_standard_error"].equals(plain["nll_standard_error"])

    def test_of_tokens_are_as_reliable_as_their_examples(self) -> None:
        copies = [
            each.repeat_interleave(3, dim=d) for each, d in ((CLASSES.some(slice(None)), 1), (CLASSES.targets, 0))
        ]
        rows = Rows("classes", copies[1], 3, torch.arange(60).repeat_interleave(3), 60)
        own, plain = (
            score_ensemble(each, replace(SETTINGS, halvings=0))
            for each in (Predictions("abcd", rows, copies[0]), CLASSES)
        )
        for name in (InEnsemble.ACCURACY, STANDARD_ERROR.of(InEnsemble.ACCURACY)):
            np.testing.assert_allclose(own[name], plain[name], atol=1e-9)
        assert (own.attrs[InEnsemble.EXAMPLES], own.attrs[InEnsemble.ROWS]) == (60, 180)

    def test_without_halvings_have_none_of_their_dimensions(self) -> None:
        own = score_ensemble(CLASSES, ScoringSettings(halvings=0, pairs=False))
        assert not {"order", "halving", "half", "other_member"} & set(own.dims)
        assert own["scale"].values.tolist() == ["raw"]
        assert own["stage"].values.tolist() == ["first member", "all members"]

    def test_in_blocks_are_the_same(self, found: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lossatlas.ensembles.averaged.BLOCK", 50)
        xr.testing.assert_allclose(score_ensemble(CLASSES, SETTINGS), found, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("memory", [0, 2**30])
    def test_of_tokens_in_blocks_are_the_same(self, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
        examples = torch.arange(24).repeat_interleave(torch.tensor([1, 4]).repeat(12))
        tokens = draw_classes(examples=examples)
        whole = score_ensemble(tokens, SETTINGS)
        monkeypatch.setattr("lossatlas.ensembles.averaged.BLOCK", 22)
        own = score_ensemble(tokens, replace(SETTINGS, memory=memory))
        xr.testing.assert_allclose(own, whole, rtol=1e-6, atol=1e-9)

    def test_made_again_where_they_do_not_fit_the_memory_are_the_same(
        self, found: xr.Dataset, found_values: xr.Dataset
    ) -> None:
        for predictions, kept in ((CLASSES, found), (VALUES, found_values)):
            again = score_ensemble(predictions, replace(SETTINGS, memory=0))
            xr.testing.assert_allclose(again, kept, rtol=1e-6, atol=1e-9)

    def test_are_made_of_blocks_of_bounded_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lossatlas.ensembles.averaged.BLOCK", 2000)
        many = draw_classes(rows=1500, classes=20)
        with _Largest(many.some(slice(None))) as largest:
            score_ensemble(many, replace(SETTINGS, memory=0, bootstrap=20))
        assert largest.numbers < 1500 * 20 / 4  # of an average of all rows

    @pytest.mark.parametrize("classes", [2, 20])
    def test_of_two_classes_and_of_few_rows_of_each(self, classes: int) -> None:
        predictions = draw_classes(rows=40, classes=classes)
        own = score_ensemble(predictions, ScoringSettings(halvings=2))
        expected = score_classes(average(predictions, range(4)), predictions.targets)
        for name in OF_CLASSES:
            assert own[name].sel(count=4).item() == pytest.approx(expected[name], abs=1e-6), name

    def test_of_a_class_that_the_split_lacks(self) -> None:
        four = torch.cat([CLASSES.some(slice(None)), torch.full((4, 60, 1), -5.0)], dim=2).log_softmax(dim=2)
        rows = Rows("classes", CLASSES.targets, 4, torch.arange(60), 60)
        own = score_ensemble(Predictions("abcd", rows, four), SETTINGS)
        assert own["nll_halves"].notnull().all()
        assert own["nll"].sel(count=4).item() == pytest.approx(
            score_classes(average(Predictions("abcd", rows, four), range(4)), CLASSES.targets)["nll"]
        )


class TestProbabilitiesOfZeroAndOne:
    def certain(self, wrong: int) -> Predictions:
        """Two members that are certain of everything, both wrong in the last rows."""
        labels = torch.arange(40) % 2
        guesses = labels.clone()
        guesses[40 - wrong :] = 1 - guesses[40 - wrong :]
        logarithms = torch.nn.functional.one_hot(guesses, 2).double().log().float()
        return Predictions("ab", Rows("classes", labels, 2, torch.arange(40), 40), logarithms.expand(2, 40, 2))

    def test_that_are_right_are_perfect(self) -> None:
        own = score_ensemble(self.certain(0))
        for name in OF_CLASSES:
            assert (own[name] == 0).all()
            assert (own[STANDARD_ERROR.of(name)] == 0).all(), name
            assert (own[InEnsemble.halves(name)] == 0).all()
        assert (own[InEnsemble.TEMPERATURE] == 1).all()
        assert (own[InEnsemble.AT_BOUND] == 0).all()
        assert (own[InEnsemble.JS_DIVERGENCE] == 0).all()

    def test_that_are_wrong_have_an_infinite_likelihood_and_say_so(self) -> None:
        with pytest.warns(Caution, match="gives a label probability 0: its negative log likelihood is infinite"):
            own = score_ensemble(self.certain(10))
        assert own["nll"].values.tolist() == [np.inf, np.inf]
        assert own["error"].values == pytest.approx(0.25)
        assert own["ece"].values == pytest.approx(0.25)
        assert own["brier"].values == pytest.approx(0.5)
        assert own[InEnsemble.TEMPERATURE].isnull().any()

    def test_are_mended_by_a_member_that_has_none(self) -> None:
        both = torch.stack([self.certain(10).of(0), torch.full((40, 2), 0.5).log()])
        own = score_ensemble(Predictions("ab", self.certain(10).rows, both))
        assert own["nll"].values[0] == np.inf
        assert own["nll"].values[1] == pytest.approx(-(30 * np.log(0.75) + 10 * np.log(0.25)) / 40)
        assert own[InEnsemble.TEMPERATURE].sel(count=2).notnull().all()
        assert (own[InEnsemble.POSITION].sel(member="b") == 0).all()


def test_temperatures_at_a_bound_are_counted_and_said() -> None:
    labels = torch.arange(40) % 2
    right = 5 * torch.nn.functional.one_hot(labels, 2).float()  # so that no temperature is low enough
    predictions = Predictions(
        "ab", Rows("classes", labels, 2, torch.arange(40), 40), right.log_softmax(1).expand(2, 40, 2)
    )
    with pytest.warns(Caution, match="40 of 40 temperatures ended at the bounds 0.05 and 20 of their search") as told:
        own = score_ensemble(predictions)
    assert len(told) == 1
    assert own[InEnsemble.AT_BOUND].values.tolist() == [[10, 10], [10, 10]]


class TestValues:
    def test_have_the_scores_of_mean_and_spread(self, found_values: xr.Dataset) -> None:
        values, targets = VALUES.some(slice(None)).double().numpy(), VALUES.targets.double().numpy()
        for count in range(1, 5):
            mean, spread = values[:count].mean(axis=0), values[:count].std(axis=0)
            at = found_values.sel(count=count)
            assert at["squared_error"].item() == pytest.approx(((mean - targets) ** 2).mean())
            if count == 1:
                assert at["gaussian_nll"].isnull().item()
                continue
            density = np.log(2 * np.pi * spread**2) / 2 + (mean - targets) ** 2 / spread**2 / 2
            assert at["gaussian_nll"].item() == pytest.approx(density.mean())
        assert found_values["member_gaussian_nll"].isnull().all()

    def test_are_scored_with_a_spread_that_was_fitted_on_the_other_half(self, found_values: xr.Dataset) -> None:
        values, targets = VALUES.some(slice(None)).double().numpy(), VALUES.targets.double().numpy()
        mean, spread = values.mean(axis=0), values.std(axis=0)
        densities = []
        for halving, half in enumerate(halve(VALUES.rows, 2, 3).numpy()):
            factors = np.array([np.sqrt((((mean - targets) / spread) ** 2)[half == side].mean()) for side in (0, 1)])
            own = found_values[InEnsemble.TEMPERATURE].sel(order="given", count=4, halving=halving)
            np.testing.assert_allclose(own, factors.clip(0.05, 20))
            wide = spread * factors[1 - half][:, None]
            densities.append((np.log(2 * np.pi * wide**2) / 2 + (mean - targets) ** 2 / wide**2 / 2).mean())
        tempered = found_values["gaussian_nll_halves"].sel(order="given", scale="tempered", count=4)
        assert tempered.item() == pytest.approx(np.mean(densities))
        assert tempered.item() < found_values["gaussian_nll"].sel(count=4).item()

    def test_differ_as_pairs(self, found_values: xr.Dataset) -> None:
        values = VALUES.some(slice(None)).double()
        expected = (values[1] - values[3]).square().sum(dim=1).mean()
        own = found_values[InEnsemble.SQUARED_DIFFERENCE].isel(member=1, other_member=3)
        assert own.item() == pytest.approx(float(expected))

    def test_in_greedy_order_have_the_lowest_error_first(self, found_values: xr.Dataset) -> None:
        values, targets, halves = VALUES.some(slice(None)).double(), VALUES.targets.double(), halve(VALUES.rows, 2, 3)
        for halving, half in enumerate(halves):
            for side in (0, 1):
                errors = (values - targets)[:, half == side].square().sum(dim=(1, 2))
                positions = found_values[InEnsemble.POSITION].sel(halving=halving, half=side)
                assert int(positions.values.argmin()) == int(errors.argmin())

    def test_that_agree_exactly_have_no_likelihood_and_say_so(self) -> None:
        same = VALUES.some(slice(None)).clone()
        same[:, 5] = 1.0
        with pytest.warns(Caution, match="all members agree exactly in an output"):
            own = score_ensemble(Predictions("abcd", VALUES.rows, same))
        assert own["gaussian_nll"].isnull().all()
        assert own["squared_error"].notnull().all()
        # The half with the row has no best factor on the spread; the other one has.
        assert own[InEnsemble.TEMPERATURE].sel(count=4, order="given").isnull().sum("half").values.tolist() == [1] * 5
        assert (own[InEnsemble.AT_BOUND].sel(count=4) == 0).all()


class TestRefusals:
    def test_of_one_member(self) -> None:
        with pytest.raises(BadInput, match="member 0 alone is not an ensemble; expected two members or more"):
            score_ensemble(draw_classes(members=1))

    @pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
    @pytest.mark.parametrize("given", [CLASSES, VALUES])
    def test_of_members_that_predict_no_numbers(self, given: Predictions, wrong: float) -> None:
        values = given.some(slice(None)).clone()
        values[2, 4:7, 0] = wrong
        with pytest.raises(
            BadInput, match=f"member 'member 2' predicts what is not a number in 3 of {len(given.rows)}"
        ):
            score_ensemble(Predictions(given.names, given.rows, values))

    def test_of_what_are_not_probabilities_of_classes(self) -> None:
        values = CLASSES.some(slice(None)).clone()
        values[1, 50:] = 0  # as a file is that was lost
        with pytest.raises(BadInput, match="member 'member 1' predicts probabilities that do not sum to 1 in 10 of 60"):
            score_ensemble(Predictions(CLASSES.names, CLASSES.rows, values))

    def test_of_halves_that_cannot_be(self) -> None:
        with pytest.raises(BadInput, match="has a single example"):
            score_ensemble(draw_classes(rows=4))
        assert score_ensemble(draw_classes(rows=4), ScoringSettings(halvings=0))["nll"].notnull().all()

    def test_of_one_example(self) -> None:
        with pytest.raises(BadInput, match="one example has no standard error"):
            score_ensemble(draw_classes(rows=1), ScoringSettings(halvings=0))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"orders": ("greedy",)}, "expected 'given', or 'given' and 'greedy'"),
            ({"orders": ("given", "mine")}, "expected 'given', or 'given' and 'greedy'"),
            ({"halvings": -1}, "halvings of an ensemble's scores are -1; expected from 0 to 20"),
            ({"bins": 0}, "bins of an ensemble's scores are 0; expected from 1 to 100"),
            ({"memory": -1}, "memory of an ensemble's scores are -1"),
            ({"bootstrap": 3}, "bootstrap of an ensemble's scores are 3"),
        ],
    )
    def test_of_settings(self, wrong: dict[str, object], message: str) -> None:
        with pytest.raises(BadInput, match=message):
            ScoringSettings(**wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("size", [0, 5, -1])
    def test_of_numbers_of_members(self, size: int) -> None:
        with pytest.raises(BadInput, match=f"{size} members cannot be averaged; expected numbers from 1 to 4"):
            score_ensemble(CLASSES, ScoringSettings(sizes=(2, size)))


class TestData:
    @pytest.mark.parametrize(("predictions", "scores"), [(CLASSES, OF_CLASSES), (VALUES, OF_VALUES)])
    def test_say_what_they_are(self, predictions: Predictions, scores: list[str], tmp_path: Path) -> None:
        found = score_ensemble(predictions, SETTINGS)
        for name, variable in found.data_vars.items():
            assert {"long_name", "units"} <= set(variable.attrs), name
        assert schema.parse_texts(found.attrs[InEnsemble.SCORES]) == scores
        assert found.attrs[InEnsemble.KIND] == predictions.kind
        assert found["member"].values.tolist() == list(predictions.names)
        for score in scores:
            for name in (score, InEnsemble.difference(score), InEnsemble.of_member(score), InEnsemble.halves(score)):
                assert found[name].dims == found[STANDARD_ERROR.of(name)].dims
        found.to_netcdf(tmp_path / "a.nc", engine="scipy")
        with xr.open_dataset(tmp_path / "a.nc") as read:
            assert read.load().equals(found)

    def test_have_the_numbers_of_members_that_were_asked_for(self) -> None:
        many = draw_classes(members=20)
        quick = ScoringSettings(halvings=0, pairs=False)
        assert score_ensemble(many, quick)["count"].values.tolist() == [1, 2, 3, 4, 5, 7, 9, 12, 15, 20]
        own = score_ensemble(many, ScoringSettings(halvings=1, pairs=False, sizes=(7, 3)))
        assert own["count"].values.tolist() == [3, 7, 20]
        assert own["nll_halves"].notnull().all()
        assert own["nll_difference"].sel(count=3).item() == pytest.approx(
            own["nll"].sel(count=3).item() - own["member_nll"][0].item()
        )

    def test_list_what_is_read_first_and_what_has_bins(self, found: xr.Dataset, found_values: xr.Dataset) -> None:
        listed = {
            name: [schema.parse_texts(each.attrs[name]) for each in (found, found_values)]
            for name in (InEnsemble.BINNED, InEnsemble.PAIRWISE)
        }
        assert listed[InEnsemble.BINNED] == [["ece"], []]
        assert listed[InEnsemble.PAIRWISE] == [["disagreement", "js_divergence"], ["squared_difference"]]

    def test_tell_how_far_they_are(self) -> None:
        told: list[float] = []
        score_ensemble(CLASSES, SETTINGS, told.append)
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1)

    def test_are_the_same_again(self, found: xr.Dataset) -> None:
        assert score_ensemble(CLASSES, SETTINGS).identical(found)

    def test_without_greedy_orders_are_the_same(self, found: xr.Dataset) -> None:
        own = score_ensemble(CLASSES, ScoringSettings(("given",), halvings=2, seed=3, bins=5))
        xr.testing.assert_equal(own["nll_halves"], found["nll_halves"].sel(order=["given"]))


class TestComparisons:
    def pair(self, **attributes: str) -> tuple[xr.Dataset, xr.Dataset]:
        other = Predictions("abc", CLASSES.rows, CLASSES.some(slice(None))[1:])
        one, two = (score_ensemble(each, SETTINGS).assign_attrs(data_hash="x") for each in (CLASSES, other))
        return one, two.assign_attrs(attributes)

    @pytest.mark.parametrize("scale", ["raw", "tempered"])
    def test_are_those_of_pairs_of_examples(self, scale: str) -> None:
        one, other = self.pair()
        found = compare_ensembles(one, other, scale)
        assert list(found) == OF_CLASSES
        for name, own in found.items():
            scores = [each[InEnsemble.halves(name)].sel(order="given", scale=scale)[-1].item() for each in (one, other)]
            assert own.difference == pytest.approx(scores[0] - scores[1], abs=1e-6)
        one_nll, other_nll = (each["example_nll"].sel(scale=scale).values for each in (one, other))
        assert found["nll"].standard_error == pytest.approx((one_nll - other_nll).std(ddof=1) / np.sqrt(60), rel=1e-5)

    def test_need_the_same_examples(self) -> None:
        with pytest.raises(BadInput, match="two ensembles were scored on different examples"):
            compare_ensembles(*self.pair(data_hash="y"))
        one, other = self.pair()
        del other.attrs["data_hash"]
        with pytest.raises(BadInput, match="do not say on which examples"):
            compare_ensembles(one, other)

    def test_need_the_same_bins_and_temperatures(self) -> None:
        one, other = self.pair(bins=7)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="have 5 and 7 bins of confidence"):
            compare_ensembles(one, other)
        plain = score_ensemble(CLASSES, ScoringSettings(halvings=0, bins=5)).assign_attrs(data_hash="x")
        with pytest.raises(BadInput, match="an ensemble has no tempered scores"):
            compare_ensembles(plain, plain, "tempered")

    def test_need_scores_of_the_same_examples(self) -> None:
        one, other = self.pair()
        damaged = [
            other.drop_vars("example_nll"),
            other.isel(example=slice(50)),
            other.drop_vars("scale"),
            other.assign_attrs(scores=[]),
        ]
        for wrong in damaged:
            with pytest.raises(BadInput, match="an ensemble lacks the scores of its 60 examples"):
                compare_ensembles(one, wrong)
            with pytest.raises(BadInput, match="an ensemble lacks the scores of its"):
                compare_ensembles(wrong, one)

    def test_can_be_refused_before_anything_is_scored(self) -> None:
        _, other = self.pair()
        right = {"data_hash": "x", "kind": "classes", "bins": 5, "examples": 60}
        check_comparable(other, **right)  # type: ignore[arg-type]
        for name, wrong, message in (
            ("data_hash", "y", "different examples"),
            ("kind", "values", "have values and classes predictions"),
            ("bins", 7, "have 7 and 5 bins"),
            ("examples", 61, "lacks the scores of its 61 examples"),
        ):
            with pytest.raises(BadInput, match=message):
                check_comparable(other, **{**right, name: wrong})  # type: ignore[arg-type]
