"""The explorer's page in a real browser: what one clicks, types and walks is what is evaluated."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from browsing import Window, opened, serving, serving_here
from safetensors.torch import load

import lossatlas as la
from lossatlas.jobs.refine import refine_region
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.views.scales import number

MODEL: dict[str, Any] = {"model_options": {"hidden": (16,)}, "device": "cpu"}
SHOWN = 6e-5
"""Numbers are shown with four digits behind the point."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training, and surveys of it of every kind."""
    folder = tmp_path_factory.mktemp("runs")
    run_train(TrainConfig(**MODEL, epochs=6, snapshots="epoch:1"), folder / "net")
    run_train(TrainConfig(**MODEL, epochs=6, seed=1), folder / "other")
    around: dict[str, Any] = {**MODEL, "checkpoint": str(folder / "net"), "plan": "loop"}
    run_survey(SurveyConfig(**around, grid=(9, 9)), folder / "plane", pictures=False)
    run_survey(SurveyConfig(**around, grid=(5, 5), direction_seed=1), folder / "second", pictures=False)
    run_survey(SurveyConfig(**around, grid=(9,), directions=("random",)), folder / "line", pictures=False)
    run_survey(SurveyConfig(**around, grid=(5,), directions=("random",) * 3), folder / "volume", pictures=False)
    run_survey(SurveyConfig(**around, grid=(5,), repeats=2), folder / "repeats", pictures=False)
    follow = {**MODEL, "trajectory": str(folder / "net"), "plan": "loop"}
    run_survey(SurveyConfig(**follow, grid=(7, 7)), folder / "path", pictures=False)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def address(runs: Path, browser: Any) -> Iterator[str]:
    """The page of a plane."""
    with serving(runs / "plane") as found:
        yield found


@pytest.fixture(scope="module")
def lasting(browser: Any, address: str) -> Iterator[Window]:
    """A window that several tests use, one after the other."""
    shown = Window(browser, address)
    yield shown
    shown.close()


@pytest.fixture
def window(lasting: Window) -> Window:
    """A window with the mark at the centre."""
    lasting.page.locator("#home").click()
    lasting.wait_for_place({"u": 0.0, "v": 0.0})
    return lasting


@pytest.fixture
def fresh(browser: Any, address: str) -> Iterator[Window]:
    """A window in which nothing was done yet."""
    shown = Window(browser, address)
    yield shown
    shown.close()


def survey_anew(run: Path, coords: dict[str, float]) -> dict[str, float]:
    """The metrics at a point, of a module that is built anew and gets the point's weights."""
    opened_run = la.open_run(run)
    chart = opened_run.chart
    at = torch.tensor([[coords[axis] for axis in chart.axes]], dtype=torch.float64)
    module = la.MLP(hidden=(16,)).build((1, 8, 8), outputs=10)
    space = la.WeightSpace(module)
    module.load_state_dict(space.unflatten(chart.points(at)[0].float()))
    found = {}
    for split, examples in la.load_data("digits").splits.items():
        inputs, labels = examples.take(torch.arange(len(examples)))
        with torch.no_grad():
            outputs = module(inputs)
        found[f"{split} loss"] = float(torch.nn.functional.cross_entropy(outputs.double(), labels))
        found[f"{split} accuracy"] = float((outputs.argmax(dim=1) == labels).double().mean())
    return found


def has(window: Window, run: Path, coords: dict[str, float]) -> None:
    """The page shows what is found at a point."""
    window.wait_for_place(coords)
    shown, expected = window.read_numbers(), survey_anew(run, coords)
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        assert shown[name] == pytest.approx(value, abs=SHOWN), name


class TestPlane:
    def test_the_centre_is_evaluated_when_the_page_is_opened(self, fresh: Window, runs: Path) -> None:
        has(fresh, runs / "plane", {"u": 0.0, "v": 0.0})
        assert "token" not in fresh.page.url

    def test_a_click_evaluates_the_network_there(self, window: Window, runs: Path) -> None:
        window.click("map", {"u": 0.5, "v": -0.25})
        has(window, runs / "plane", {"u": 0.5, "v": -0.25})
        stored = la.open_run(runs / "plane").survey["test_loss"].sel(u=0.5, v=-0.25)
        assert window.read_numbers()["test loss"] == pytest.approx(float(stored), abs=SHOWN)
        assert window.read_fields() == {"u": 0.5, "v": -0.25}

    def test_coordinates_that_are_typed_may_lie_between_the_points(self, window: Window, runs: Path) -> None:
        window.wait_for_place({"u": 0.0, "v": 0.0})
        field = window.page.locator("input[type=number]").first
        field.fill("0.123")
        field.press("Enter")
        has(window, runs / "plane", {"u": 0.123, "v": 0.0})

    def test_arrow_keys_move_by_a_point(self, window: Window) -> None:
        window.wait_for_place({"u": 0.0, "v": 0.0})
        window.card().locator(".picture.map").focus()
        window.page.keyboard.press("ArrowRight")
        window.wait_for_place({"u": 0.25, "v": 0.0})
        window.page.keyboard.press("ArrowUp")
        window.wait_for_place({"u": 0.25, "v": 0.25})

    def test_the_slider_walks_along_a_line(self, window: Window, runs: Path) -> None:
        window.wait_for_place({"u": 0.0, "v": 0.0})
        thumb = window.page.get_by_role("slider")
        thumb.focus()
        window.page.keyboard.press("End")
        window.wait_for_place({"u": 1.0, "v": 1.0})
        window.page.keyboard.press("Home")
        window.wait_for_place({"u": 0.0, "v": 0.0})

    def test_the_metric_and_the_scale_are_chosen(self, fresh: Window) -> None:
        fresh.wait_for_place({"u": 0.0, "v": 0.0})
        note = fresh.card().locator(".note", has_text="scale from")
        assert "test mean loss" in note.inner_text()
        fresh.choose("metric", "accuracy")
        fresh.wait_for_text("test accuracy: scale from")
        fresh.choose("split", "train")
        fresh.wait_for_text("train accuracy: scale from")
        fresh.choose("scale", "log")
        fresh.wait_for_text("train accuracy: log scale from")

    def test_a_link_restores_what_is_seen(self, fresh: Window, browser: Any) -> None:
        fresh.click("map", {"u": -0.5, "v": 0.75})
        fresh.wait_for_place({"u": -0.5, "v": 0.75})
        fresh.choose("metric", "accuracy")
        fresh.wait("location.hash.includes('metric=accuracy')")
        fresh.page.evaluate(
            """() => Plotly.relayout(document.querySelector('.map .js-plotly-plot'),
                                     {'xaxis.range[0]': -0.75, 'xaxis.range[1]': 0.25})"""
        )
        fresh.wait("location.hash.includes('views=')")
        link = fresh.page.url
        assert "token" not in link
        again = Window(browser, link, context=fresh.context)
        again.wait_for_place({"u": -0.5, "v": 0.75})
        again.wait_for_text("test accuracy: scale from")
        again.wait(
            """() => {
                const [low, high] = document.querySelector('.map .js-plotly-plot')._fullLayout.xaxis.range;
                return Math.abs(low + 0.75) < 0.05 && Math.abs(high - 0.25) < 0.05;
            }"""
        )
        assert again.read_fields() == {"u": -0.5, "v": 0.75}
        again.close()

    @pytest.mark.parametrize(
        "nonsense",
        [
            "metric=__import__&at.u=nan&at.v=1e400&snapshot=-3&views=%7B&walk=path&along=7&sample=99",
            'from={}&to={"u":"x","v":1}&walk=line&along=0.5&views=[1]',
            'views={"0.map":null,"x":1,"0.nothing":{"xaxis.range[0]":0},"7.map":{"xaxis.autorange":true}}',
            'views={"0.map":{"xaxis":5,"title":"X","__proto__.odd":1},"0.surface":{"scene.camera":5,"x.y":{"x":0}}}',
        ],
    )
    def test_a_link_with_nonsense_shows_the_page(self, nonsense: str, window: Window, browser: Any) -> None:
        again = Window(browser, f"{window.page.url.partition('#')[0]}#{nonsense}", context=window.context)
        again.wait_for_text("test mean loss")
        again.page.get_by_role("slider").focus()
        again.page.keyboard.press("End")
        again.wait_for_place({"u": 1.0, "v": 1.0})
        assert again.page.locator("#alert").text_content() == ""
        assert again.page.evaluate("document.querySelector('.map .js-plotly-plot').layout.title") is None
        again.close()

    def test_a_link_that_is_pasted_into_the_same_window_is_followed(self, fresh: Window) -> None:
        fresh.wait_for_place({"u": 0.0, "v": 0.0})
        with fresh.page.expect_event("load"):
            fresh.page.evaluate("location.hash = '#at.u=0.5&at.v=-0.25&metric=accuracy'")
        fresh.wait("document.querySelector('.told') !== null")
        fresh.wait_for_place({"u": 0.5, "v": -0.25})
        fresh.wait_for_text("test accuracy: scale from")

    def test_what_went_wrong_is_not_said_of_what_comes_after(self, fresh: Window) -> None:
        fresh.wait_for_place({"u": 0.0, "v": 0.0})
        fresh.page.evaluate("dash_clientside.set_props('question', {data: 'nonsense'})")
        fresh.wait("document.querySelector('#alert').textContent.includes('cannot be read')")
        fresh.click("map", {"u": 0.5, "v": 0.5})
        fresh.wait_for_place({"u": 0.5, "v": 0.5})
        assert fresh.page.locator("#alert").text_content() == ""

    def test_the_address_follows_a_fast_walk_without_changing_at_each_step(self, fresh: Window) -> None:
        """Browsers refuse changes of the address that are too many, and then the last one, too."""
        fresh.wait_for_place({"u": 0.0, "v": 0.0})
        fresh.page.evaluate(
            """() => {
                const replace = history.replaceState.bind(history);
                window.changes = 0;
                history.replaceState = (...all) => { window.changes += 1; replace(...all); };
                const picture = document.querySelector('.picture.map');
                for (let k = 0; k < 101; k += 1) {
                    const key = k % 2 ? 'ArrowLeft' : 'ArrowRight';
                    picture.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
                }
            }"""
        )
        fresh.wait_for_place({"u": 0.25, "v": 0.0})
        fresh.wait("location.hash.includes('at.u=0.25')")
        assert fresh.page.evaluate("window.changes") < 20

    def test_a_link_changes_nothing_of_a_picture_but_its_view(self, window: Window, browser: Any) -> None:
        views = '{"0.map":{"title.text":"elsewhere","xaxis.range[0]":-0.5,"xaxis.range[1]":0.5},"0.surface":7}'
        link = f"{window.page.url.partition('#')[0]}#views={quote(views)}&from=%7B%22u%22:1%7D&to=[]"
        again = Window(browser, link, context=window.context)
        again.wait(
            "document.querySelector('.map .js-plotly-plot')._fullLayout.xaxis.range.every((x) => Math.abs(x) < 0.55)"
        )
        assert again.page.evaluate("document.querySelector('.map .js-plotly-plot').layout.title?.text ?? ''") == ""
        again.close()

    def test_two_windows_do_not_disturb_each_other(self, window: Window, browser: Any, runs: Path) -> None:
        other = Window(browser, window.page.url, context=window.context)
        window.click("map", {"u": 1.0, "v": 0.0})
        other.click("map", {"u": -1.0, "v": 0.5})
        has(window, runs / "plane", {"u": 1.0, "v": 0.0})
        has(other, runs / "plane", {"u": -1.0, "v": 0.5})
        other.close()

    def test_the_network_there_can_be_downloaded(self, window: Window, runs: Path, tmp_path: Path) -> None:
        window.click("map", {"u": 0.25, "v": 0.25})
        window.wait_for_place({"u": 0.25, "v": 0.25})
        window.page.get_by_role("button", name="Weights of this network").click()
        with window.page.expect_download() as found:
            window.page.get_by_role("link", name=re.compile("safetensors")).click()
        found.value.save_as(tmp_path / "there.safetensors")
        state = load((tmp_path / "there.safetensors").read_bytes())
        module = la.MLP(hidden=(16,)).build((1, 8, 8), outputs=10)
        module.load_state_dict(state)
        test = la.load_data("digits").splits["test"]
        inputs, labels = test.take(torch.arange(len(test)))
        with torch.no_grad():
            loss = float(torch.nn.functional.cross_entropy(module(inputs), labels))
        assert window.read_numbers()["test loss"] == pytest.approx(loss, abs=SHOWN)

    def test_says_which_examples_break_first_and_where(self, window: Window) -> None:
        window.wait_for_place({"u": 0.0, "v": 0.0})
        window.page.get_by_role("button", name="Which examples break first?").click()
        window.wait_for_text("The most fragile direction is")
        first = window.card().locator(".actions .examples li").first
        assert re.search(r"label \d, predicted \d", first.inner_text())
        first.get_by_role("button", name="Go there").click()
        window.wait("!document.querySelector('.told').textContent.includes('u = 0, v = 0:')")
        at = window.read_fields()
        assert 0 < np.hypot(at["u"], at["v"]) < np.sqrt(2)

    def test_curvature_is_measured_on_request(self, window: Window) -> None:
        window.wait_for_place({"u": 0.0, "v": 0.0})
        window.page.get_by_role("button", name="Measure curvature here").click()
        cell = window.card().locator(".actions tr", has_text="largest eigenvalue of the Hessian").locator("td").first
        assert float(cell.inner_text()) > 0


@pytest.mark.parametrize(("width", "dark"), [(1400, True), (420, False), (420, True)])
def test_wide_and_narrow_light_and_dark(width: int, dark: bool, browser: Any, address: str) -> None:
    shown = Window(browser, address, width=width, dark=dark)
    shown.wait_for_place({"u": 0.0, "v": 0.0})
    wide = shown.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0  # nothing sticks out at the side
    ink = shown.page.evaluate("getComputedStyle(document.body).color")
    bright = sum(map(int, re.findall(r"\d+", ink)[:3])) > 380
    letters = shown.page.evaluate("document.querySelector('.map .js-plotly-plot').layout.font.color")
    assert bright == dark
    assert (int(letters[1:3], 16) > 127) == dark
    shown.close()


class TestKinds:
    """Surveys of all kinds, each with what is particular to it."""

    def test_a_region_is_surveyed_finer_into_the_store(self, browser: Any, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "plane", tmp_path / "plane")
        before = la.open_run(tmp_path / "plane").survey
        with serving_here(tmp_path / "plane") as address:
            shown = Window(browser, address)
            shown.wait_for_place({"u": 0.0, "v": 0.0})
            shown.select("map", {"u": -0.3, "v": -0.3}, {"u": 0.3, "v": 0.3})
            shown.wait_for_text("selected: u from")
            shown.page.get_by_role("button", name="Survey the selected region finer").click()
            shown.wait_for_text("points evaluated")
            shown.wait("document.querySelector('.map .js-plotly-plot')._fullData[0].x.length > 9")
            shown.close()
        after = la.open_run(tmp_path / "plane").survey
        assert after.sizes["u"] > before.sizes["u"]
        at = {"u": 0.125, "v": 0.125}
        assert bool(after["measured"].sel(at))
        assert float(after["test_loss"].sel(at)) == pytest.approx(
            survey_anew(tmp_path / "plane", at)["test loss"], rel=1e-5
        )
        kept = after["test_loss"].sel(u=before.u, v=before.v)
        assert np.array_equal(kept.values, before["test_loss"].values)

    def test_what_another_process_writes_is_followed(self, browser: Any, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "plane", tmp_path / "plane")
        with serving_here(tmp_path / "plane") as address:
            shown = Window(browser, address)
            shown.wait_for_place({"u": 0.0, "v": 0.0})
            box = {"u": (-0.2, 0.2), "v": (-0.2, 0.2)}
            refine_region(la.open_run(tmp_path / "plane"), box, on_points=lambda *_: None)
            shown.wait("document.querySelector('.map .js-plotly-plot')._fullData[0].x.length > 9")
            shown.close()

    def test_numbers_that_are_damaged_while_they_are_shown(self, browser: Any, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "plane", tmp_path / "plane")
        with serving_here(tmp_path / "plane") as address:
            shown = Window(browser, address)
            shown.wait_for_place({"u": 0.0, "v": 0.0})
            high = "[...document.querySelectorAll('.picture .js-plotly-plot')].map((each) => each.clientHeight)"
            before = shown.page.evaluate(high)
            for chunk in (tmp_path / "plane/survey.zarr/test_loss/c").glob("*/*"):
                chunk.write_bytes(b"not what it was")
            shown.wait_for_text("no point has a finite value yet")
            shown.wait_for_text("damaged: test_loss")
            assert shown.page.evaluate(high) == before
            shown.close()

    def test_several_runs_are_linked(self, browser: Any, runs: Path) -> None:
        with serving_here(runs / "plane", runs / "second") as address:
            shown = Window(browser, address)
            shown.wait_for_pictures(1)
            shown.click("map", {"u": 0.5, "v": -0.5})
            shown.wait_for_place({"u": 0.5, "v": -0.5})
            shown.wait_for_place({"u": 0.5, "v": -0.5}, run=1)
            expected = survey_anew(runs / "second", {"u": 0.5, "v": -0.5})["test loss"]
            assert shown.read_numbers(run=1)["test loss"] == pytest.approx(expected, abs=SHOWN)
            shown.close()

    def test_a_line_and_its_walk(self, browser: Any, runs: Path) -> None:
        with serving_here(runs / "line") as address:
            shown = Window(browser, address)
            shown.click("line", {"u": 0.25})
            has(shown, runs / "line", {"u": 0.25})
            shown.page.get_by_role("slider").focus()
            shown.page.keyboard.press("End")
            has(shown, runs / "line", {"u": 1.0})
            shown.close()

    def test_a_volume_and_its_cuts(self, browser: Any, runs: Path) -> None:
        with serving_here(runs / "volume") as address:
            shown = Window(browser, address)
            shown.click("first", {"u": 0.5, "v": 0.5})
            has(shown, runs / "volume", {"u": 0.5, "v": 0.5, "w": 0.0})
            shown.click("third", {"v": 0.5, "w": -1.0})
            has(shown, runs / "volume", {"u": 0.5, "v": 0.5, "w": -1.0})
            shown.wait("document.querySelector('.first .js-plotly-plot').layout.title.text === 'w = -1'")
            shown.close()

    def test_a_trajectory_is_walked_snapshot_by_snapshot(self, browser: Any, runs: Path) -> None:
        survey = la.open_run(runs / "path").survey
        with serving_here(runs / "path") as address:
            shown = Window(browser, address)
            shown.page.get_by_role("slider").focus()
            shown.page.keyboard.press("End")
            shown.wait("document.querySelector('.told').textContent.startsWith('snapshot')")
            shown.page.keyboard.press("Home")
            shown.wait("document.querySelector('.told').textContent.startsWith('snapshot 0')")
            shown.wait("document.querySelector('.told').textContent.endsWith('evaluated')")
            expected = float(survey["path_loss_test"][0])
            assert shown.read_numbers()["test loss"] == pytest.approx(expected, abs=SHOWN)
            shown.close()

    def test_repeats_are_chosen(self, browser: Any, runs: Path) -> None:
        survey = la.open_run(runs / "repeats").survey
        with serving_here(runs / "repeats") as address:
            shown = Window(browser, address)
            shown.choose("sample", "repeat 1")
            shown.click("map", {"u": 0.5, "v": 0.5})
            shown.wait_for_place({"u": 0.5, "v": 0.5})
            expected = float(survey["test_loss"].sel(u=0.5, v=0.5, repeat=1))
            shown.wait("!document.querySelector('.told').textContent.includes('…')")
            assert shown.read_numbers()["test loss"] == pytest.approx(expected, abs=SHOWN)
            shown.close()

    def test_a_snapshot_is_one_of_its_own_run_beside_others(self, browser: Any, runs: Path) -> None:
        with serving_here(runs / "path", runs / "plane") as address:
            shown = Window(browser, address)
            shown.page.get_by_role("slider").focus()
            shown.page.keyboard.press("End")
            shown.wait("document.querySelectorAll('.told')[0].textContent.startsWith('snapshot')")
            shown.wait("/^u = .*evaluated$/.test(document.querySelectorAll('.told')[1].textContent)")
            shown.card().get_by_role("button", name="Measure curvature here").click()
            shown.wait_for_text("a snapshot of the training is marked")
            shown.close()

    def test_a_run_that_cannot_compute_is_shown_and_says_why(self, browser: Any, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "net", tmp_path / "net")
        around = SurveyConfig(**MODEL, checkpoint=str(tmp_path / "net"), plan="loop", grid=(5, 5))
        run_survey(around, tmp_path / "lost", pictures=False)
        shutil.rmtree(tmp_path / "net")
        with serving_here(tmp_path / "lost") as address:
            shown = Window(browser, address)
            shown.click("map", {"u": 0.5, "v": 0.5})
            shown.wait_for_text("nearest point, u = 0.5, v = 0.5")
            said = shown.card().locator(".answer").inner_text()
            stored = la.open_run(tmp_path / "lost").survey["test_loss"].sel(u=0.5, v=0.5)
            assert str(tmp_path / "net") in said
            assert f"u = 0.5, v = 0.5: test mean loss {number(float(stored))}" in said
            shown.close()
