"""What the explorer draws of a survey, and what it takes from a window."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import lossatlas as la

pytest.importorskip("dash", reason="the extra explore is not installed")

from lossatlas.explorer.look import (
    Look,
    choose_field,
    choose_limits,
    parse_look,
    parse_place,
    parse_question,
    parse_window,
)
from lossatlas.explorer.scene import HERE, SCENES, View, find_scene, pack
from lossatlas.explorer.subject import Subject, SurveyNow
from lossatlas.explorer.thinning import MOST, choose_points
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig

AXES = ("u", "v", "w")


def bowl(*sizes: int) -> xr.Dataset:
    """A survey whose loss is the squared distance from a point beside the middle, plus 0.1."""
    coords = {axis: np.linspace(-1, 1, size) for axis, size in zip(AXES, sizes, strict=False)}
    grids = np.meshgrid(*coords.values(), indexing="ij")
    loss = 0.1 + sum((grid - 0.25) ** 2 for grid in grids)
    dims = tuple(coords)
    told = {"split": "test", "metric": "loss", "long_name": "test mean loss", "units": "nat"}
    return xr.Dataset(
        {
            "test_loss": (dims, loss, told),
            "train_loss": (dims, loss / 2, {**told, "split": "train", "long_name": "train mean loss"}),
            "test_accuracy": (
                dims,
                1 / (1 + loss),
                {"split": "test", "metric": "accuracy", "long_name": "test accuracy", "units": "1"},
            ),
        },
        coords,
    )


def look_at(survey: xr.Dataset, window: Any = None, **at: float) -> View:
    now = SurveyNow(survey, "1", ())
    field = choose_field(now, Look())
    return View(now, survey, field, choose_limits([field], Look()), {**now.home, **at}, window)


def unpack(packed: dict[str, str]) -> np.ndarray:
    """An array as the page has it."""
    values = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=f"<{packed['dtype']}")
    return values.reshape([int(size) for size in packed["shape"].split(", ")]) if "shape" in packed else values


class TestThinning:
    @pytest.mark.parametrize("count", [1, 2, 199, 200, 201, 1001])
    def test_no_more_points_than_can_be_drawn_and_both_ends(self, count: int) -> None:
        chosen = choose_points(np.linspace(0, 1, count))
        assert len(chosen) == min(count, MOST)
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert (np.diff(chosen) > 0).all()

    def test_all_points_of_a_window_that_holds_no_more(self) -> None:
        at = np.linspace(-1, 1, 1001)
        chosen = choose_points(at, (0.1, 0.3))
        inside = np.flatnonzero((at >= 0.1) & (at <= 0.3))
        assert set(inside) <= set(chosen)
        assert (np.diff(chosen) == 1).all()
        assert at[chosen[0]] <= 0.1
        assert at[chosen[-1]] >= 0.3

    @pytest.mark.parametrize("shown", [(3.0, 4.0), (-9.0, -8.0), (0.5, 0.5), (1.0, -1.0)])
    def test_a_window_beside_the_points_shows_some(self, shown: tuple[float, float]) -> None:
        chosen = choose_points(np.linspace(-1, 1, 5), shown)
        assert len(chosen) >= 1
        assert set(chosen) <= set(range(5))


class TestScenes:
    def test_every_scene_is_found_and_draws_its_parts(self) -> None:
        sizes = {"Line": (9,), "Plane": (9, 7), "Volume": (5, 4, 3)}
        assert {SCENES[name].__name__ for name in SCENES} == set(sizes)
        for name, shape in sizes.items():
            view = look_at(bowl(*shape))
            scene = find_scene(view.now)
            assert type(scene).__name__ == name
            drawn = scene.draw(view)
            assert set(drawn) == set(scene.parts)
            for picture in drawn.values():
                named = [trace.get("name") for trace in picture["data"]]
                assert named.count(HERE) == 1
                assert picture["layout"]["meta"]["x"] in AXES

    def test_a_map_shows_the_losses_where_they_are(self) -> None:
        view = look_at(bowl(9, 7))
        trace = find_scene(view.now).draw(view)["map"]["data"][0]
        expected = view.survey["test_loss"].transpose("v", "u").values
        assert np.allclose(unpack(trace["customdata"]), expected, rtol=1e-6)
        assert np.allclose(unpack(trace["z"]), np.log10(expected) if view.limits.log else expected, rtol=1e-6)
        assert np.allclose(unpack(trace["x"]), view.survey["u"].values)

    def test_what_is_not_evaluated_is_a_hole(self) -> None:
        survey = bowl(5, 5)
        survey["test_loss"][2, 3] = np.nan
        survey["test_loss"][1, 1] = np.inf
        view = look_at(survey)
        heights = unpack(find_scene(view.now).draw(view)["map"]["data"][0]["z"])
        assert np.isnan(heights[3, 2])
        assert np.isnan(heights[1, 1])
        assert np.isfinite(heights).sum() == 23

    def test_a_cut_goes_through_the_place(self) -> None:
        view = look_at(bowl(5, 4, 3), w=1.0)
        trace = find_scene(view.now).draw(view)["first"]["data"][0]
        expected = view.survey["test_loss"].sel(w=1.0).transpose("v", "u").values
        assert np.allclose(unpack(trace["customdata"]), expected, rtol=1e-6)

    def test_no_more_than_200_by_200_points_are_drawn_and_all_on_zooming_in(self) -> None:
        survey = bowl(301, 301)
        view = look_at(survey)
        picture = find_scene(view.now).draw(view)["map"]
        assert unpack(picture["data"][0]["z"]).shape == (200, 200)
        assert picture["layout"]["meta"]["thinned"]
        window = {"u": (-0.2, 0.2), "v": (0.0, 0.5)}
        zoomed = look_at(survey, window)
        drawn = unpack(find_scene(zoomed.now).draw(zoomed)["map"]["data"][0]["x"])
        inside = survey["u"].values[np.abs(survey["u"].values) <= 0.2]
        assert np.isin(inside, drawn).all()

    def test_a_survey_without_axes_is_refused(self) -> None:
        lone = xr.Dataset({"test_loss": ("sample", [1.0, 2.0], {"split": "test", "metric": "loss"})})
        with pytest.raises(la.BadInput, match="lie along no axis"):
            find_scene(SurveyNow(lone, "1", ()))

    def test_arrays_are_packed_in_32_bits(self) -> None:
        values = np.array([[1.0, np.nan], [-np.inf, 1e-3]])
        assert np.array_equal(unpack(pack(values)), values.astype("f4"), equal_nan=True)


class TestLook:
    def test_what_a_run_lacks_is_replaced_by_what_is_nearest(self) -> None:
        now = SurveyNow(bowl(3, 3), "1", ())
        assert choose_field(now, Look("accuracy", "test")).name == "test_accuracy"
        assert choose_field(now, Look("accuracy", "train")).name == "test_accuracy"
        assert choose_field(now, Look("brier", "train")).name == "train_loss"
        assert choose_field(now, Look("accuracy", "test", sample=1)).name == "test_accuracy"  # of another run's samples

    @pytest.mark.parametrize(
        ("parse", "raw"),
        [
            (parse_look, {"scale": "cubic"}),
            (parse_look, {"sample": "first"}),
            (parse_look, [1, 2]),
            (parse_place, {"at": {"u": "far"}}),
            (parse_place, {"at": {"u": float("nan")}}),
            (parse_place, {"at": {"u": float("inf")}}),
            (parse_place, {"at": 3}),
            (parse_question, {"at": {}, "turn": "now"}),
            (parse_window, {"u": 3}),
            (parse_window, {"u": [1, 2, 3]}),
        ],
    )
    def test_nonsense_is_refused_in_one_line(self, parse: Any, raw: Any) -> None:
        with pytest.raises(la.BadInput) as refusal:
            parse(raw)
        assert "\n" not in str(refusal.value)

    def test_a_logarithmic_scale_leaves_out_what_has_no_logarithm(self) -> None:
        survey = bowl(3, 3)
        survey["test_loss"][0, 0] = -1.0
        field = choose_field(SurveyNow(survey, "1", ()), Look())
        limits = choose_limits([field], Look(scale="log"))
        assert limits.log
        assert limits.low > 0
        assert not choose_limits([field], Look(scale="linear")).log


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    model: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
    run_train(TrainConfig(**model, epochs=0.1), folder / "net")
    around = SurveyConfig(**model, checkpoint=str(folder / "net"), grid=(3, 3), examples="40", plan="loop")
    run_survey(around, folder / "survey", pictures=False)
    return folder / "survey"


class TestSubject:
    def test_the_survey_is_read_again_when_it_was_written(self, run: Path) -> None:
        subject = Subject(la.open_run(run), "survey")
        first = subject.read()
        assert subject.read() is first
        chunk = run / "survey.zarr" / "test_loss" / "c" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes())
        again = subject.read(anew=True)
        assert again is not first
        assert again.survey.identical(first.survey)
        assert subject.tell_progress() == ""

    def test_coordinates_are_completed_and_put_in_order(self, run: Path) -> None:
        subject = Subject(la.open_run(run), "survey")
        assert subject.list_coords({"v": 0.5, "elsewhere": 3.0}, 0) == [0.0, 0.5]
        assert subject.say_place({"v": 0.5}) == "u = 0, v = 0.5"
        with pytest.raises(la.BadInput, match="not a finite number"):
            subject.settle({"u": float("inf")})

    def test_code_of_a_runs_own_is_known(self, run: Path) -> None:
        assert Subject(la.open_run(run), "survey").own_code == ""
