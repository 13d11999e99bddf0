"""Runs as the explorer's page shows them: samples, progress, code of their own, what is stored, and other surveys."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import lossatlas as la
from lossatlas.jobs.refine import refine_region
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.views.scales import number

dash = pytest.importorskip("dash", reason="the extra explore is not installed")
from lossatlas.explorer.layout import lay_page  # noqa: E402
from lossatlas.explorer.look import Look, choose_field  # noqa: E402
from lossatlas.explorer.subject import Subject, find_revision  # noqa: E402

MODEL: dict[str, Any] = {"model_options": {"hidden": (6,)}, "device": "cpu"}
CHEAP: dict[str, Any] = {**MODEL, "plan": "loop", "examples": "60"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    run_train(TrainConfig(**MODEL, epochs=2, batch_size=300, average="step:2", average_rank=2), folder / "net")
    around = {**CHEAP, "checkpoint": str(folder / "net")}
    run_survey(SurveyConfig(**around, grid=(5, 3)), folder / "plane", pictures=False)
    run_survey(SurveyConfig(**around, grid=(5, 3), repeats=2), folder / "repeats", pictures=False)
    samples = SurveyConfig(**CHEAP, posterior=str(folder / "net"), samples=2)
    run_survey(samples, folder / "samples", pictures=False)
    return folder


def open_subject(run: Path) -> Subject:
    return Subject(la.open_run(run), run.name)


def list_texts(component: Any) -> list[str]:
    """All texts of a component and those in it."""
    if isinstance(component, str):
        return [component]
    inner = component if isinstance(component, list | tuple) else getattr(component, "children", None)
    return [text for each in (inner or ()) for text in list_texts(each)] if not isinstance(inner, str) else [inner]


def test_a_survey_of_samples_alone_has_a_card_that_says_so_and_spoils_no_other(runs: Path) -> None:
    texts = list_texts(lay_page([open_subject(runs / "samples"), open_subject(runs / "plane")]))
    assert "the survey has numbered networks alone, which lie along no axis; lossatlas view draws them" in texts
    assert "plane: a map with contour lines" in str(lay_page([open_subject(runs / "plane")]))


class TestSamples:
    """Several runs share one choice of a sample."""

    def test_a_run_without_samples_shows_itself_whatever_is_chosen_for_others(self, runs: Path) -> None:
        now = open_subject(runs / "plane").read()
        assert choose_field(now, Look(sample=1)).name == choose_field(now, Look()).name
        assert open_subject(runs / "plane").list_coords({"u": 0.5}, 1) == [0.5, 0.0]

    def test_a_sample_that_a_run_does_not_have_is_refused(self, runs: Path) -> None:
        subject = open_subject(runs / "repeats")
        assert subject.list_coords({"u": 0.5}, 1) == [0.5, 0.0, 1.0]
        for wanted in (-1, 2):
            with pytest.raises(la.BadInput, match="counted from 0, and this run has 2 repeats; choose one of them"):
                choose_field(subject.read(), Look(sample=wanted))
            with pytest.raises(la.BadInput, match="this run has 2 repeats"):
                subject.list_coords({"u": 0.5}, wanted)

    def test_what_is_stored_is_that_of_the_sample(self, runs: Path) -> None:
        now, survey = open_subject(runs / "repeats").read(), la.open_run(runs / "repeats").survey
        for repeat in (0, 1):
            stored = float(survey["test_loss"].sel(u=0.5, v=1.0, repeat=repeat))
            said = now.tell_nearest({"u": 0.4, "v": 0.9}, repeat)
            assert f"u = 0.5, v = 1: test mean loss {number(stored)}" in said


def test_says_of_a_stored_point_that_it_is_interpolated(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "plane", tmp_path / "plane")
    refine_region(la.open_run(tmp_path / "plane"), {"u": (-0.2, 0.2), "v": (-0.2, 0.2)}, on_points=lambda *_: None)
    now = open_subject(tmp_path / "plane").read()
    at = {axis: now.survey[axis].values for axis in now.axes}
    measured = now.survey["measured"].transpose("u", "v").values
    assert measured.any()
    assert not measured.all()
    for place in np.ndindex(measured.shape):
        said = now.tell_nearest({axis: float(at[axis][k]) for axis, k in zip(now.axes, place, strict=True)}, 0)
        assert ("interpolated" in said) == (not measured[place])


class TestProgress:
    def test_changes_when_the_process_ends_though_the_store_does_not(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "plane", tmp_path / "plane")
        (tmp_path / "plane" / "summary.json").rename(tmp_path / "summary.json")
        subject = open_subject(tmp_path / "plane")
        before = subject.read()
        assert "not finished" in subject.tell_progress()
        (tmp_path / "summary.json").rename(tmp_path / "plane" / "summary.json")
        assert subject.read(anew=True) is before
        assert subject.tell_progress() == ""

    def test_says_that_what_is_shown_cannot_be_read_any_more(self, runs: Path, tmp_path: Path) -> None:
        shutil.copytree(runs / "plane", tmp_path / "plane")
        subject = open_subject(tmp_path / "plane")
        before = subject.read()
        store = tmp_path / "plane" / "survey.zarr"
        store.rename(tmp_path / "away")
        assert subject.read(anew=True) is before
        assert "what is shown is how the survey was before" in subject.tell_progress()
        (tmp_path / "away").rename(store)
        assert subject.read(anew=True) is before
        assert subject.tell_progress() == ""


def test_a_revision_sees_a_file_that_is_put_in_place_later_than_it_was_written(tmp_path: Path) -> None:
    for name, age in (("old", 100), ("new", 200), ("late", 150)):
        (tmp_path / name).write_bytes(b"1234")
        os.utime(tmp_path / name, (age, age))
    (tmp_path / "store").mkdir()
    for name in ("old", "new"):
        (tmp_path / name).rename(tmp_path / "store" / name)
    before = find_revision(tmp_path / "store")
    assert find_revision(tmp_path / "store") == before
    (tmp_path / "late").replace(tmp_path / "store" / "old")
    assert find_revision(tmp_path / "store") != before


class TestOwnCode:
    """Opening a page executes nothing that a run names."""

    def write(self, run: Path, settings: Mapping[str, Any]) -> None:
        run.mkdir()
        (run / "config.yaml").write_text(json.dumps(settings))
        (run / "provenance.json").write_text(json.dumps({"format": "lossatlas run 2", "verb": "survey"}))

    def test_is_found_in_a_run_and_in_that_which_its_chart_is_of(self, tmp_path: Path) -> None:
        self.write(tmp_path / "maker", {"data": "digits", "chart": "mine:Chart"})
        self.write(tmp_path / "run", {"data": "digits", "metrics": ["loss"], "run": str(tmp_path / "maker")})
        assert open_subject(tmp_path / "maker").own_code == "mine:Chart"
        assert open_subject(tmp_path / "run").own_code == "mine:Chart"

    def test_is_found_where_the_run_of_the_chart_is_gone(self, tmp_path: Path) -> None:
        self.write(tmp_path / "run", {"metrics": ["loss", "mine.inner:Score"], "run": str(tmp_path / "gone")})
        assert open_subject(tmp_path / "run").own_code == "mine.inner:Score"

    def test_plain_runs_have_none(self, runs: Path) -> None:
        assert open_subject(runs / "plane").own_code == ""
        assert isinstance(open_subject(runs / "plane").read().survey, xr.Dataset)
