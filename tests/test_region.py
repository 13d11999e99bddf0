"""Regions of a survey that are evaluated finer, and what lies between the points that are evaluated."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings, strategies as st
from nursery import Child
from small_runs import NETWORK

import lossatlas as la
from lossatlas.files.reading import parse_json
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.refine import refine_region
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import ConnectConfig, FitConfig, SurveyConfig, TrainConfig
from lossatlas.rundir import RunDirectory
from lossatlas.surveying import Region
from lossatlas.surveying.gaps import Gaps
from lossatlas.surveying.region import read_whole_grid, select_whole_grid

SHARED = {**NETWORK, "examples": "40", "plan": "batched"}
Box = dict[str, tuple[float, float]]
BOX = {"u": (-0.4, 0.3), "v": (0.1, 0.6)}


def axes(*counts: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Coordinates that are not equally spaced."""
    random = np.random.default_rng(seed)
    return tuple(np.cumsum(random.uniform(0.1, 1, count)) for count in counts)


def multilinear(coords: tuple[np.ndarray, ...]) -> np.ndarray:
    """The product of a linear function of each coordinate, different along each axis."""
    total = np.ones(())
    for k, axis in enumerate(coords):
        total = total[..., None] * (1 + (k + 0.5) * axis)
    return total


def scattered(shape: tuple[int, ...], share: float, seed: int) -> np.ndarray:
    known = np.random.default_rng(seed).random(shape) < share
    known[np.ix_(*([0, length - 1] for length in shape))] = True
    return known


class TestGaps:
    @settings(max_examples=60, deadline=None)
    @given(
        shape=st.lists(st.integers(2, 9), min_size=1, max_size=3),
        share=st.floats(0, 1),
        seed=st.integers(0, 999),
    )
    def test_multilinear_functions_are_exact_and_others_stay_between_their_ends(
        self, shape: list[int], share: float, seed: int
    ) -> None:
        coords, known = axes(*shape, seed=seed), scattered(tuple(shape), share, seed)
        truth = multilinear(coords)
        gaps = Gaps(coords, known)
        made = gaps.fill(np.where(known, truth, np.nan))
        np.testing.assert_allclose(made, truth, rtol=1e-12)
        values = np.random.default_rng(seed).normal(size=shape)
        made = gaps.fill(np.where(known, values, np.nan))
        np.testing.assert_array_equal(made[known], values[known])
        assert values[known].min() - 1e-12 <= made.min()
        assert made.max() <= values[known].max() + 1e-12

    @pytest.mark.parametrize("counts", [(129,), (65, 65)])
    def test_what_is_made_is_continuous(self, counts: tuple[int, ...]) -> None:
        """On a grid that becomes twice as fine between the same known points, steps become half as high."""

        def highest_step(times: int) -> float:
            finest = tuple(np.linspace(0, 1, (count - 1) * times + 1) for count in counts)
            known, values = np.zeros([len(axis) for axis in finest], dtype=bool), np.zeros([len(a) for a in finest])
            place = np.ix_(*(np.arange(0, len(axis), times) for axis in finest))
            known[place] = scattered(counts, 0.03, 5)
            values[place] = np.random.default_rng(1).normal(size=counts)
            made = Gaps(finest, known).fill(np.where(known, values, np.nan))
            return max(float(np.abs(np.diff(made, axis=k)).max()) for k in range(made.ndim))

        assert highest_step(4) == pytest.approx(highest_step(2) / 2, rel=1e-6)

    def test_a_point_that_is_known_on_one_side_alone_is_met_from_the_other(self) -> None:
        coords = (np.arange(3.0), np.arange(3.0))
        known = np.zeros((3, 3), dtype=bool)
        known[np.ix_([0, 2], [0, 2])] = known[1, 0] = True
        values = np.full((3, 3), np.nan)
        values[known] = 0.0
        values[1, 0] = 4.0
        np.testing.assert_array_equal(Gaps(coords, known).fill(values), [[0, 0, 0], [4, 2, 0], [0, 0, 0]])

    def test_what_is_not_finite_stays_among_its_neighbours(self) -> None:
        coords = (np.arange(5.0),)
        known = np.array([True, False, True, False, True])
        values = np.array([1.0, np.nan, 3.0, np.nan, np.inf])
        np.testing.assert_array_equal(Gaps(coords, known).fill(values), [1, 2, 3, np.inf, np.inf])

    def test_nothing_is_interpolated_between_repeats(self) -> None:
        coords = (np.arange(3.0), np.arange(3.0))
        known = np.array([[True, True, True], [False, True, False], [True, True, True]])
        values = np.array([[0.0, 1.0, 5.0], [np.nan, 7.0, np.nan], [2.0, 3.0, 9.0]])
        made = Gaps(coords, known, apart=(1,)).fill(values)
        np.testing.assert_array_equal(made, [[0, 1, 5], [1, 7, 7], [2, 3, 9]])
        alone = Gaps(coords, known[:, :1]).fill(values[:, :1])  # an axis of one point
        np.testing.assert_array_equal(alone, [[0], [1], [2]])

    def test_further_dimensions_are_interpolated_alike(self) -> None:
        coords, known = axes(5, 4), scattered((5, 4), 0.4, 3)
        values = np.random.default_rng(0).normal(size=(5, 4, 2, 3))
        both = Gaps(coords, known).fill(values)
        for k in np.ndindex(2, 3):
            np.testing.assert_allclose(both[(..., *k)], Gaps(coords, known).fill(values[(..., *k)]), rtol=1e-12)

    def test_without_its_corners_a_grid_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="corners of the grid are not evaluated"):
            Gaps((np.arange(3.0),), np.array([True, True, False]))


class TestRegion:
    grid: ClassVar = {"u": np.linspace(-1, 1, 9), "v": np.array([0.0, 0.1, 0.4, 1.0])}

    def full(self) -> np.ndarray:
        return np.ones((9, 4), dtype=bool)

    def finished(self, region: Region, known: np.ndarray, before: dict[str, np.ndarray]) -> np.ndarray:
        """What is known after a region is evaluated."""
        there = region.inside.copy()
        there[np.ix_(*(np.isin(region.grid[axis], before[axis]) for axis in before))] |= known
        return there

    def test_intervals_that_overlap_get_their_middles(self) -> None:
        region = Region.select(self.grid, self.full(), {"u": (-0.3, 0.2), "v": (0.2, 0.3)})
        np.testing.assert_array_equal(np.setdiff1d(region.grid["u"], self.grid["u"]), [-0.375, -0.125, 0.125])
        np.testing.assert_array_equal(np.setdiff1d(region.grid["v"], self.grid["v"]), [0.25])
        within = np.outer(np.abs(region.grid["u"] + 0.125) <= 0.375, np.isin(region.grid["v"], [0.1, 0.25, 0.4]))
        np.testing.assert_array_equal(region.inside, within)
        np.testing.assert_array_equal(region.coarsest().sum(), 36)

    def test_again_is_twice_as_dense_and_after_a_stop_goes_on(self) -> None:
        box = {"u": (-0.3, 0.2)}
        first = Region.select(self.grid, self.full(), box)
        known = self.finished(first, self.full(), self.grid)
        second = Region.select(first.grid, known, box, first.whole)
        assert float(np.diff(second.grid["u"]).min()) == 0.0625
        known[np.flatnonzero(np.isin(first.grid["u"], -0.125)), 1] = False  # what was not evaluated when it was stopped
        again = Region.select(first.grid, known, box, first.whole)
        np.testing.assert_array_equal(again.grid["u"], first.grid["u"])
        np.testing.assert_array_equal(again.inside, first.inside)

    def test_beside_another_region_it_is_as_dense_as_that(self) -> None:
        """Lines of the other one cross it, where nothing is evaluated on them."""
        first = Region.select(self.grid, self.full(), {"u": (-0.3, 0.2), "v": (0.0, 0.1)})
        known = self.finished(first, self.full(), self.grid)
        second = Region.select(first.grid, known, {"u": (-0.3, 0.2), "v": (0.4, 1.0)}, first.whole)
        np.testing.assert_array_equal(second.grid["u"], first.grid["u"])
        np.testing.assert_array_equal(np.setdiff1d(second.grid["v"], first.grid["v"]), [0.7])

    def test_the_grid_of_twice_as_many_intervals_holds_it(self) -> None:
        even = {"u": np.linspace(-1, 1, 9), "v": np.linspace(-3, 2, 6)}
        region = Region.select(even, np.ones((9, 6), dtype=bool), {"u": (-0.3, 0.2)})
        for axis, count in (("u", 17), ("v", 11)):
            whole = np.linspace(even[axis][0], even[axis][-1], count)
            assert np.abs(region.grid[axis][:, None] - whole).min(axis=1).max() < 1e-12

    def test_repeats_are_in_it_as_a_whole(self) -> None:
        grid = {"u": np.linspace(-1, 1, 5), "repeat": np.arange(3.0)}
        region = Region.select(grid, np.ones((5, 3), dtype=bool), {"u": (0.0, 0.5)})
        assert region.inside.sum() == 9
        np.testing.assert_array_equal(region.grid["repeat"], grid["repeat"])

    @pytest.mark.parametrize(
        ("box", "message"),
        [
            ({"u": (1.5, 2.0)}, "1.5 to 2 along u, outside the survey; choose one in -1 to 1"),
            ({"u": (0.5, 0.5)}, "0.5 to 0.5 along u; expected a low and a higher end"),
            ({"u": (float("nan"), 1.0)}, "expected a low and a higher end"),
            ({"w": (0.0, 1.0)}, "limited along w; expected u and v"),
        ],
    )
    def test_boxes_that_are_not_in_the_grid_are_refused(self, box: Box, message: str) -> None:
        with pytest.raises(la.BadInput, match=message):
            Region.select(self.grid, self.full(), box)

    def test_what_has_nothing_between_its_points_or_too_much_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="one point along v"):
            Region.select({"u": np.arange(3.0), "v": np.zeros(1)}, np.ones((3, 1), dtype=bool), {})
        with pytest.raises(la.BadInput, match="a survey of samples alone has no region"):
            Region.select({"sample": np.arange(3.0)}, np.ones(3, dtype=bool), {})
        with pytest.raises(la.BadInput, match="has 83 points to evaluate, more than 82; choose a smaller one"):
            Region.select(self.grid, self.full(), {}, most=82)
        close = {"u": np.array([0.0, 1e-9, 1.0])}
        with pytest.raises(la.BadInput, match="as close along u as numbers tell apart"):
            Region.select(close, np.ones(3, dtype=bool), {"u": (0.0, 1e-9)})

    def test_a_record_that_does_not_fit_says_nothing(self) -> None:
        region = Region.select(self.grid, self.full(), {"u": (-0.3, 0.2)})
        read = read_whole_grid({"whole_grid": region.record()}, region.grid)
        np.testing.assert_array_equal(read["u"], self.grid["u"])
        for text in ("", "no JSON", '{"u": [0.3]}', '{"u": [7.0], "v": [0.0]}'):
            assert read_whole_grid({"whole_grid": text}, region.grid) is region.grid


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of all verbs that have a survey."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        run_train(TrainConfig(**NETWORK, seed=seed, epochs=2, snapshots="epoch:1"), folder / f"net{seed}")
    net, other = str(folder / "net0"), str(folder / "net1")
    around = SurveyConfig(**SHARED, checkpoint=net, grid=(9, 7), metrics=("loss", "class_accuracy", "gradient_norm"))
    run_survey(around, folder / "around", pictures=False)
    drawn = SurveyConfig(**SHARED, checkpoint=net, directions=("random",), repeats=3, grid=(9,))
    run_survey(drawn, folder / "repeats", pictures=False)
    volume = SurveyConfig(**SHARED, checkpoint=net, directions=("random",) * 3, grid=(4, 3, 5))
    run_survey(volume, folder / "volume", pictures=False)
    picture = FitConfig(
        **SHARED, pattern="heart", size="9x7", steps=4, batch_size=32, padding=1, chart="bezier_surface",
        chart_options={"degree": (2, 2)},
    )  # fmt: skip
    run_fit(picture, folder / "fit", pictures=False)
    curve = ConnectConfig(
        **SHARED, between=(net, other), steps=2, batch_size=64, grid=(5,), plane=0, plane_examples="20"
    )
    run_connect(curve, folder / "connect", pictures=False)
    return folder


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(runs / name, tmp_path / name))

    return copy


def quiet(done: int, total: int) -> None:
    """Let it go on."""


class Stopped(Exception):
    """What a stop button raises."""


def stop_at(count: int) -> Callable[[int, int], None]:
    def on_points(done: int, total: int) -> None:
        if done >= count:
            raise Stopped

    return on_points


def survey_of(run: Path) -> xr.Dataset:
    return la.open_run(run).survey


def marks_of(run: Path) -> dict[str, np.ndarray]:
    group = zarr.open_group(str(run / "survey.zarr" / "done"), mode="r")
    return {name: array[...] for name, array in group.arrays() if array.dtype == bool}


class TestRuns:
    @pytest.mark.parametrize(
        ("name", "box", "shape"),
        [
            ("around", BOX, (13, 9)),
            ("repeats", {"u": (-0.3, 0.3)}, (13, 3)),
            ("volume", {"u": (-0.1, 0.1), "w": (0.1, 0.9)}, (5, 5, 7)),
            ("fit", {"u": (-0.2, 0.1)}, None),
            ("connect", {"t": (0.3, 0.6)}, (7,)),
        ],
    )
    def test_new_points_are_what_a_survey_finds_there_and_the_others_stay(
        self,
        name: str,
        box: Box,
        shape: tuple[int, ...] | None,
        copied: Callable[[str], Path],
    ) -> None:
        path = copied(name)
        before, run = survey_of(path), la.open_run(path)
        summary = (path / "summary.json").read_bytes()
        told: list[tuple[int, int]] = []
        count = refine_region(run, box, on_points=lambda *numbers: told.append(numbers))
        after = survey_of(path)
        measured = after["measured"].values
        if shape is not None:
            assert measured.shape == shape
        assert count == measured.sum() - prod(before.sizes[axis] for axis in after["measured"].dims)
        assert told[0] == (0, told[-1][1])
        assert told[-1][0] == told[-1][1] == count * len(marks_of(path))
        assert all((mask == measured).all() for mask in marks_of(path).values())
        assert (path / "summary.json").read_bytes() == summary
        stays = select_whole_grid(after).drop_vars("measured")
        for variable in before.data_vars:
            np.testing.assert_array_equal(stays[variable].values, before[variable].values)
            assert after[variable].attrs == before[variable].attrs

        found = la.survey(
            run.chart, {axis: after[axis].values.copy() for axis in after["measured"].dims}, run.problem, run.splits,
            metrics=[*run.metrics.values()], plan="loop", eval_batch_size=run.config.eval_batch_size,
            buffers=run.recipe.survey_buffers,
        ).load()  # fmt: skip
        for variable in found.data_vars:
            if found[variable].attrs.get("metric") is None or np.isnan(found[variable]).any():
                continue
            np.testing.assert_allclose(
                after[variable].values[measured], found[variable].values[measured], rtol=2e-4, atol=1e-6
            )
            assert np.isfinite(after[variable]).all()

    def test_what_lies_outside_is_interpolated_in_the_logarithm(self, copied: Callable[[str], Path]) -> None:
        path = copied("around")
        refine_region(la.open_run(path), BOX, on_points=quiet)
        survey = survey_of(path)
        logarithm = np.log(survey["test_loss"].astype(np.float64))
        lines, whole = survey["u"].values, select_whole_grid(survey)["u"].values
        (k,) = np.flatnonzero(~np.isin(lines, whole))[:1]
        assert not survey["measured"].values[k, 0]
        between = (logarithm[k - 1, 0] + logarithm[k + 1, 0]) / 2
        assert float(logarithm[k, 0]) == pytest.approx(float(between), abs=1e-6)

    def test_a_stop_leaves_no_holes_and_changes_no_bit_of_the_end(
        self, copied: Callable[[str], Path], tmp_path: Path
    ) -> None:
        path = copied("around")
        shutil.copytree(path, tmp_path / "whole")
        refine_region(la.open_run(tmp_path / "whole"), BOX, on_points=quiet)
        stopped = 0
        for count in (1, 20, 40):
            with pytest.raises(Stopped):
                refine_region(la.open_run(path), BOX, on_points=stop_at(count))
            survey, marks = survey_of(path), marks_of(path)
            assert np.isfinite(survey["train_loss"]).all()
            np.testing.assert_array_equal(survey["measured"].values, np.logical_and.reduce(list(marks.values())))
            assert sum(int(mask.sum()) for mask in marks.values()) > stopped
            stopped = sum(int(mask.sum()) for mask in marks.values())
        refine_region(la.open_run(path), BOX, on_points=quiet)
        xr.testing.assert_identical(survey_of(path), survey_of(tmp_path / "whole"))

    def test_kills_leave_a_store_that_is_whole(self, copied: Callable[[str], Path], tmp_path: Path) -> None:
        path = copied("repeats")
        box = {"u": (-0.3, 0.3)}
        shutil.copytree(path, tmp_path / "whole")
        refine_region(la.open_run(tmp_path / "whole"), box, on_points=quiet)
        wanted = survey_of(tmp_path / "whole")
        with Child(refine_until_killed, path, box) as child:
            assert child.wait() == -signal.SIGKILL, child.errors
        between = survey_of(path)
        assert np.isfinite(between["test_loss"]).all()
        for name, mask in marks_of(path).items():
            variable = f"{name.partition('_')[0]}_loss"
            np.testing.assert_array_equal(between[variable].values[mask], wanted[variable].values[mask])
            assert not (between["measured"].values & ~mask).any()
        refine_region(la.open_run(path), box, on_points=quiet)
        xr.testing.assert_identical(survey_of(path), wanted)

    def test_a_picture_is_at_new_points_that_of_their_cells(self, copied: Callable[[str], Path]) -> None:
        path = copied("fit")
        before = survey_of(path)
        for _ in range(2):
            refine_region(la.open_run(path), {"u": (-0.2, 0.1)}, on_points=quiet)
        after = survey_of(path)
        centres = before["u"].values
        for k, u in enumerate(after["u"].values):
            cell = int(np.searchsorted((centres[1:] + centres[:-1]) / 2, u, side="right"))
            at = {"v": before["v"]}
            np.testing.assert_array_equal(after["target"][k].sel(at), before["target"][cell])
        assert np.isfinite(after["chart_area"]).all()
        assert after["chart_area"].attrs == before["chart_area"].attrs

    def test_it_grows_to_the_whole_grid_that_holds_it(self, runs: Path, tmp_path: Path) -> None:
        config = {**SHARED, "checkpoint": str(runs / "net0"), "splits": ("test",)}
        run_survey(SurveyConfig(**config, grid=(5, 4)), tmp_path / "run", pictures=False)
        refine_region(la.open_run(tmp_path / "run"), {"u": (0.0, 0.5)}, on_points=quiet)
        with pytest.raises(la.BadInput, match=r"6 points along u \(a region is finer\) .* such as 9, or"):
            run_survey(
                SurveyConfig(**{**config, "splits": ("test", "train")}, grid=(5, 4)), tmp_path / "run", resume=True
            )
        run_survey(SurveyConfig(**config, grid=(9, 7)), tmp_path / "run", resume=True, pictures=False)
        run_survey(SurveyConfig(**config, grid=(9, 7)), tmp_path / "other", pictures=False)
        grown, other = survey_of(tmp_path / "run"), survey_of(tmp_path / "other")
        assert grown["measured"].values.all()
        assert "whole_grid" not in grown.attrs
        np.testing.assert_allclose(grown["test_loss"], other["test_loss"], rtol=1e-5)

    def test_runs_that_cannot_be_refined_are_refused_and_left(self, copied: Callable[[str], Path]) -> None:
        path = copied("around")
        content = sorted((str(file), file.stat().st_mtime_ns) for file in (path / "survey.zarr").rglob("*"))
        with pytest.raises(la.BadInput, match="outside the survey"):
            refine_region(la.open_run(path), {"u": (3.0, 4.0)}, on_points=quiet)
        other = RunDirectory(path)
        other.claim(shared=True)
        with pytest.raises(la.BadInput, match="process"):
            refine_region(la.open_run(path), BOX, on_points=quiet)
        other.close()
        (path / "summary.json").rename(path / "away.json")
        with pytest.raises(la.BadInput, match=r"is not finished, .* continue it with lossatlas survey --out"):
            refine_region(la.open_run(path), BOX, on_points=quiet)
        (path / "away.json").rename(path / "summary.json")
        assert content == sorted((str(file), file.stat().st_mtime_ns) for file in (path / "survey.zarr").rglob("*"))

    def test_a_run_without_a_survey_is_refused(self, runs: Path) -> None:
        with pytest.raises(la.BadInput, match="net0 holds no chart"):
            refine_region(la.open_run(runs / "net0"), BOX, on_points=quiet)

    def test_another_network_is_refused_before_anything_changes(self, copied: Callable[[str], Path]) -> None:
        path = copied("around")
        description = path / "survey.zarr" / "zarr.json"
        stored = json.loads(description.read_text())
        probe = parse_json(stored["attributes"]["probe"], dict)
        probe["values"]["loss"] = [2 * value for value in probe["values"]["loss"]]
        stored["attributes"]["probe"] = json.dumps(probe)
        description.write_text(json.dumps(stored))
        with pytest.raises(la.BadInput, match="is not the one that the survey was begun with"):
            refine_region(la.open_run(path), BOX, on_points=quiet)
        assert survey_of(path).sizes["u"] == 9


def refine_until_killed(path: Path, box: Box) -> None:
    """Refine a region, and end in the middle of it."""

    def on_points(done: int, total: int) -> None:
        if done:
            os.kill(os.getpid(), signal.SIGKILL)

    refine_region(la.open_run(path), box, on_points=on_points)
