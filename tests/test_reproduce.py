"""Studies: what they fit, what they make of it, and how they are resumed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml

import lossatlas as la
from lossatlas.cli import main
from lossatlas.jobs.job import Handling
from lossatlas.jobs.sweep import run_sweep
from lossatlas.measures import measure_survey
from lossatlas.progress import Silent
from lossatlas.recipes import (
    PRESETS,
    ConnectConfig,
    EnsembleConfig,
    FitConfig,
    ProblemConfig,
    SurveyConfig,
    TrainConfig,
)
from lossatlas.reproduce import STUDIES, Run, Study
from lossatlas.reproduce.drawing import write_table
from lossatlas.reproduce.run import run_study
from lossatlas.reproduce.study import SCALES
from lossatlas.specs import MemberSpec
from lossatlas.training import Trajectory

ENSEMBLES = ("garipov-online", "mpo-ensemble", "swag")
SLICES = ("li-fig2", "li-fig3", "li-fig5", "li-fig7", "im-batchnorm")
CURVES = ("garipov-curve", "garipov-ensemble", "garipov-plane")
MINUTES = {"mpo-fig4": 45, "mpo-fig1": 15, "mpo-fig2": 15, "mpo-fig5": 15, "mpo-fig6": 15, "mpo-size": 15}


@pytest.mark.parametrize("name", list(MINUTES))
def test_every_study_of_fits_has_both_scales_and_the_small_one_leaves_time_for_its_surveys(name: str) -> None:
    small, paper = (STUDIES[name].runs(scale) for scale in ("small", "paper"))
    fitting = sum(config.seconds or 0.0 for config in small.values())
    assert fitting <= 0.85 * 60 * MINUTES[name]
    assert fitting > 0 or all(config.steps for config in small.values())
    for config in paper.values():
        assert (config.steps, config.batch_size, config.lr) == (11800, 512, 3e-4)
        assert (config.clip, config.cells, config.coarse) == ("cell", 50, ())
    assert {config.data for config in paper.values()} <= {"fashion_mnist", "cifar10"}


@pytest.mark.parametrize("name", ["li-fig8", "li-fig9"])
def test_a_study_of_trainings_surveys_what_it_trains_under_the_same_problem(name: str) -> None:
    for scale in ("small", "paper"):
        runs = STUDIES[name].runs(scale)
        for place, config in enumerate(runs.values()):
            if isinstance(config, SurveyConfig):
                assert config.trajectory in list(runs)[:place]
                trained = runs[config.trajectory]
                assert (config.data, config.model) == (trained.data, trained.model)
                assert config.model_options == trained.model_options
    paper = [config for config in STUDIES[name].runs("paper").values() if isinstance(config, TrainConfig)]
    for config in paper:
        assert (config.model, config.model_options["depth"], config.epochs) == ("vgg", 9, 300)
        assert (config.optimizer, config.lr, config.schedule) == ("nesterov", 0.1, "steps")


@pytest.mark.parametrize("name", CURVES)
def test_curves_join_runs_of_their_own_study_on_the_same_problem(name: str) -> None:
    for scale in ("small", "paper"):
        runs = STUDIES[name].runs(scale)
        joining = {key: config for key, config in runs.items() if isinstance(config, ConnectConfig)}
        for key, config in joining.items():
            assert set(config.between) <= set(list(runs)[: list(runs).index(key)])
            for end in config.between:
                trained = runs[end]
                assert (config.data, config.model, config.model_options) == (
                    trained.data, trained.model, trained.model_options
                )  # fmt: skip
            assert config.steps is not None, "the same whatever the machine"
            assert (config.schedule, config.schedule_options["low"]) == ("linear", 0.01)


def test_every_study_is_covered_here() -> None:
    assert set(STUDIES) == {
        *MINUTES,
        "li-fig8",
        "li-fig9",
        "im-switch",
        "im-matrix",
        *SLICES,
        *CURVES,
        *ENSEMBLES,
        "mpo-capacity",
    }


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_study_of_ensembles_scores_what_it_made_on_the_same_problem(name: str, scale: str) -> None:
    runs = STUDIES[name].runs(scale)
    scored = set()
    for place, (own, config) in enumerate(runs.items()):
        if isinstance(config, EnsembleConfig):
            for spec in config.members:
                made = MemberSpec.parse(spec).place.partition("@")[0]
                assert made in list(runs)[:place], own
                assert (config.model, config.model_options) == (runs[made].model, runs[made].model_options)
                assert (config.data, config.holdout) == (runs[made].data, runs[made].holdout)
                scored.add(made)
        elif not isinstance(config, TrainConfig):
            assert config.steps is not None, "the same whatever the machine"
    assert scored >= {own for own, config in runs.items() if isinstance(config, FitConfig)}


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("name", SLICES)
def test_a_study_of_slices_surveys_what_it_trained_under_the_same_problem(name: str, scale: str) -> None:
    runs = STUDIES[name].runs(scale)
    surveyed = set()
    for place, config in enumerate(runs.values()):
        if isinstance(config, SurveyConfig):
            around = [config.checkpoint] if config.checkpoint else list(config.between)
            for run in (spec.partition("@")[0] for spec in around):
                assert run in list(runs)[:place]
                trained = runs[run]
                assert (config.data, config.model, config.loss) == (trained.data, trained.model, trained.loss)
                assert config.model_options == trained.model_options
                surveyed.add(run)
    assert surveyed == {key for key, config in runs.items() if isinstance(config, TrainConfig)}


def test_the_slices_at_the_published_settings() -> None:
    line = STUDIES["li-fig2"].runs("paper")
    trained = {(c.batch_size, c.weight_decay): c for c in line.values() if isinstance(c, TrainConfig)}
    assert set(trained) == {(128, 0.0), (128, 5e-4), (8192, 0.0), (8192, 5e-4)}
    assert {(c.model, c.model_options["depth"], c.epochs, c.data) for c in trained.values()} == {
        ("vgg", 9, 300, "cifar10")
    }
    between = line["line-decay0.0005"]
    assert isinstance(between, SurveyConfig)
    assert (between.between, between.range) == (("batch128-decay0.0005", "batch8192-decay0.0005"), (-0.5, 1.5))
    assert (between.grid, between.examples) == ((401,), "all")

    honest = [c for c in STUDIES["li-fig3"].runs("paper").values() if isinstance(c, SurveyConfig)]
    assert {c.repeats for c in honest if len(c.directions) == 1} == {10}
    assert {c.ignore for c in honest} == {"biasbn"}
    assert {c.normalize for c in honest if len(c.directions) == 2} == {"filter"}

    deep = STUDIES["li-fig5"].runs("paper")
    rates = {
        (c.model_options["depth"], c.model_options["shortcuts"]): c.lr
        for c in deep.values()
        if isinstance(c, TrainConfig)
    }
    assert rates == {
        (depth, shortcuts): 0.1 if shortcuts else 0.01 for depth in (20, 56, 110) for shortcuts in (True, False)
    }
    assert {c.grid for c in deep.values() if isinstance(c, SurveyConfig)} == {(51,)}


def test_normalised_and_plain_networks_are_trained_alike() -> None:
    for scale in ("small", "paper"):
        runs = STUDIES["im-batchnorm"].runs(scale)
        for name, config in runs.items():
            if name.startswith("plain-"):
                other = runs[name.replace("plain", "batch-norm", 1)]
                assert other.model_options == config.model_options | {"batch_norm": True}
                if isinstance(config, TrainConfig):
                    assert other == replace(config, model_options=other.model_options)


def test_the_switches_start_from_one_initialisation_and_come_at_three_times_with_two_rates() -> None:
    runs = STUDIES["im-switch"].runs("paper")
    assert {config.seed for config in runs.values()} == {0}
    switched = [config for config in runs.values() if config.switch]
    assert len(runs) - len(switched) == 2
    times = {config.switch[0].partition(":")[0] for config in switched}
    assert times == {"100", "200", "300"}
    assert len(switched) == 3 * 2 * 2


def test_figure_4_is_masks_times_networks_times_repetitions() -> None:
    paper = STUDIES["mpo-fig4"].runs("paper")
    assert len(paper) == 9 * 5 * 3
    masks = {(config.pattern, config.pattern_options["seed"]) for config in paper.values()}
    assert len(masks) == 9 * 5
    plain = paper["plain-p0.3-2"]
    assert (plain.pattern, plain.size, plain.model_options["max_pool"]) == ("random:0.3", "30", False)
    assert paper["batch-norm-p0.3-2"].model_options["batch_norm"]


@pytest.mark.parametrize("scale", SCALES)
def test_charts_of_more_and_more_vectors_are_fitted_alike_with_two_budgets(scale: str) -> None:
    runs = STUDIES["mpo-capacity"].runs(scale)
    assert len(runs) == 7 * 2 * 2 * 3
    for name, config in runs.items():
        picture, count, seed, budget = name.split("-")
        assert (config.steps is None) == (budget == "seconds") != (config.seconds is None)
        plane = runs[f"{picture}-3-{seed}-{budget}"]
        # The rate of a scale is that of a plane's, which alone has one.
        alike = {"chart": plane.chart, "chart_options": plane.chart_options, "scale_lr": plane.scale_lr}
        assert replace(config, **alike) == plane
        assert not config.boundary_only, "an untrained vector would be as it was at the start"
        assert (config.size, config.splits, config.model) == ("24", ("test",), "mlp" if scale == "small" else "conv")
        if count != "3":
            assert int(config.chart_options["controls"]) ** 2 == int(count)
    masks = {config.pattern_options["seed"] for name, config in runs.items() if name.startswith("random")}
    assert masks == {0, 1, 2}


def test_at_the_trivial_end_each_cell_may_have_any_network() -> None:
    """Controls at all cells, whose coefficients there have full rank: weights at the cells can be chosen at will."""
    config = STUDIES["mpo-capacity"].runs("small")["skull-676-0-steps"]
    assert (config.chart_options, config.size) == ({"controls": "26", "degree": (2,)}, "24")
    cells = torch.from_numpy(la.picture("skull", 24).coords()).reshape(-1, 2)
    spline = la.Spline(torch.zeros(676, 1), net=(26, 26), degree=(2, 2), extent=(1, 1))
    assert float(torch.cdist(cells, spline.control_coords()).min(dim=1).values.max()) < 1e-6
    values = torch.linalg.svdvals(spline.coefficients(cells))
    assert float(values[0] / values[-1]) < 5


def test_the_capacity_of_charts_is_judged_by_means_over_seeds(tmp_path: Path) -> None:
    gaps = {3: 0.5, 9: 0.7, 16: 0.8, 36: 0.885, 81: 0.9, 196: 0.895, 676: 0.85}
    runs = {}
    for name, config in STUDIES["mpo-capacity"].runs("small").items():
        _, count, seed, budget = name.split("-")
        gap = gaps[int(count)] * (1 if budget == "steps" else 0.5) + 0.01 * (int(seed) - 1)
        folder = tmp_path / name
        run = a_run(gap, 0.2, folder) if seed == "0" and budget == "steps" else Run(config, {}, folder)
        scores = {"gap": gap, "iou": gap, "low_accuracy": gap, "high_accuracy": 0.0, "steps": 1500, "seconds": 20.0}
        runs[name] = Run(config, scores | {"held_bytes": 16 * 17_290 * int(count)}, run.path)
    text = STUDIES["mpo-capacity"].results(runs, tmp_path)
    assert "- skull, equal steps: the largest mean gap is 0.900; 36 weight vectors come within 0.02 of it" in text
    assert "and the plane's 3 have 0.500." in text
    assert "- random, equal seconds: the largest mean IoU is 0.450; 36 weight vectors" in text
    assert "| skull | steps | 81 | 0.900 ± 0.010 | 0.900 ± 0.010 |" in text
    assert "that end of the curve is trivial" in text
    assert "marked at 576: as many as cells (trivial from there)" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"gap-by-vectors.png", "iou-by-vectors.png", "maps.png"}


def test_a_study_of_capacity_fits_planes_and_splines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "lossatlas.reproduce.studies.mpo_capacity"
    for name, value in {"SEEDS": 1, "SIDES": (3, 6), "SHOWN": (3, 36)}.items():
        monkeypatch.setattr(f"{module}.{name}", value)
    study = STUDIES["mpo-capacity"]

    class Smaller(Study):
        title = study.title

        def runs(self, scale: str) -> dict[str, ProblemConfig]:
            tiny: dict[str, Any] = {"size": "7", "model_options": {"hidden": (8,)}, "cells": 4, "examples": "40"}
            return {
                key: replace(config, **tiny, steps=3 if config.steps else None, seconds=config.seconds and 0.02)
                for key, config in study.runs(scale).items()
            }

        def results(self, runs: Any, out: Path) -> str:
            assert runs["skull-36-0-steps"].summary["controls"] == 36
            return study.results(runs, out)

    run_study(Smaller(), "small", tmp_path / "study", plan="loop")
    text = (tmp_path / "study" / "results.md").read_text()
    assert "(3 steps) and for equal time (0.02 s of fitting)" in text
    assert "nan" not in text


def test_the_paper_preset_and_its_authors_code() -> None:
    paper, code = (FitConfig(**PRESETS[name]) for name in ("paper", "authors-code"))
    assert (paper.scale, paper.scale_unit, paper.size, paper.threshold) == (0.1, "cell", "50", 2.5)
    assert (paper.origin_at, paper.chart, paper.init) == ("corner", "plane", "xavier")
    assert (code.origin_at, code.chart, code.init) == ("centre", "corners", "module")


def a_run(gap: float, level: float, folder: Path) -> Run:
    u, v = np.linspace(-1, 1, 7), np.linspace(-1, 1, 5)
    values = np.full((7, 5), level) + 0.01 * np.arange(35).reshape(7, 5)
    variables = {
        f"test_{name}": (("u", "v"), values, {"long_name": f"test {name}", "units": units})
        for name, units in (("loss", "nat"), ("accuracy", "1"))
    }
    survey = xr.Dataset(variables, coords={"u": u, "v": v})
    summary = {"gap": gap, "low_accuracy": level + gap, "high_accuracy": level, "pattern": "random"}
    folder.mkdir(parents=True)
    survey.to_zarr(folder / "survey.zarr", zarr_format=3, consolidated=False)
    return Run(FitConfig(), summary, folder)


@pytest.mark.parametrize(("gap", "verdict"), [(0.5, "is found"), (0.1, "does not count")])
def test_figure_4_gives_means_and_deviations_over_the_repetitions(gap: float, verdict: str, tmp_path: Path) -> None:
    gaps = {"plain": [gap, gap + 0.2], "batch-norm": [0.05, 0.05]}
    runs = {
        f"{network}-p{p:g}-{seed}": a_run(gaps[network][seed], 0.2, tmp_path / "runs" / f"{network}{p}{seed}")
        for network in gaps
        for p in (0.1, 0.5)
        for seed in (0, 1)
    }
    text = STUDIES["mpo-fig4"].results(runs, tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| plain | 0.500"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:5] == ["2", f"{gap + 0.1:.3f}", f"{np.std([0, 0.2], ddof=1):.3f}"]
    assert cells[-3:] == ["0.438", "0.777", "0.337"], "the published values beside it"
    assert verdict in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"figure-3.png", "figure-4a.png", "figure-4b.png"}
    for name in ("figure-3", "figure-4a", "figure-4b"):
        assert f"({name}.png)" in text


class Tiny(Study):
    """Two fits of a second on the digits."""

    title = "a tiny study"

    def runs(self, scale: str) -> dict[str, FitConfig]:
        shared: dict[str, Any] = {
            "size": "8", "model_options": {"hidden": (8,)}, "cells": 4, "examples": "40", "plan": "loop",
        }  # fmt: skip
        return {name: FitConfig(pattern=name, steps=5, **shared) for name in ("heart", "ring")}

    def results(self, runs: Any, out: Path) -> str:
        return "\n".join(f"{name}: {run.summary['steps']} {dict(run.survey.sizes)}" for name, run in runs.items())


class Failing(Tiny):
    """Its first fit cannot reach what is asked of it."""

    def runs(self, scale: str) -> dict[str, FitConfig]:
        first, second = super().runs(scale).values()
        return {"hopeless": replace(first, target_gap=0.99, lr=1e-9), "ring": second}


class Branching(Study):
    """A training, a branch of it, and a survey of the branch."""

    title = "a branch"

    def runs(self, scale: str) -> dict[str, ProblemConfig]:
        problem: dict[str, Any] = {"model_options": {"hidden": (8,)}}
        training = TrainConfig(**problem, epochs=2, batch_size=400)
        return {
            "trunk": training,
            "branch": replace(training, init_from="trunk@3", optimizer="sgd"),
            "map": SurveyConfig(**problem, trajectory="branch", grid=(3,), examples="50", plan="loop"),
        }

    def results(self, runs: Any, out: Path) -> str:
        steps = len(runs["trunk"].log()), len(runs["branch"].log())
        return f"{steps} {runs['map'].survey.sizes['snapshot']}"


def test_the_runs_of_a_study_stand_on_each_other(tmp_path: Path) -> None:
    run_study(Branching(), "small", tmp_path / "study", plan="loop")
    assert "(6, 6) 3" in (tmp_path / "study" / "results.md").read_text()
    starts = [
        Trajectory(tmp_path / "study" / "runs" / name / "snapshots").snapshots[k].state()
        for name, k in (("trunk", 1), ("branch", 0))
    ]
    for key, value in starts[0].items():
        assert np.array_equal(value, starts[1][key])


def tiny(config: ProblemConfig) -> ProblemConfig:
    """The same run on the digits, a network of eight neurons, one step an epoch, which may switch after two."""
    small: dict[str, Any] = {"data": "digits", "data_options": {}, "model": "mlp", "model_options": {"hidden": (8,)}}
    if isinstance(config, TrainConfig):
        switch = tuple(re.sub(r"^[\d.]+", "2", each) for each in config.switch)
        small |= {"batch_size": 1347, "epochs": 4, "augment": (), "switch": switch}
        small |= {} if config.snapshots == "none" else {"snapshots": "epoch"}
    elif isinstance(config, ConnectConfig):
        small |= {"steps": 4, "batch_size": 32, "grid": (5,), "plane": config.plane and 3, "examples": "60",
                  "plane_examples": "30", "plan": "loop", "augment": (), "lr": 0.05}  # fmt: skip
    else:
        small |= {"grid": (3,), "examples": "40", "plan": "loop"}
    return replace(config, **small)


@pytest.mark.parametrize(
    ("name", "pictures", "said"),
    [
        ("li-fig8", {"components", "random", "solution"}, "| random and random |"),
        ("li-fig9", {f"batch{b}-decay0-plane" for b in (32, 1347)}, "angle to descent"),
        ("im-switch", {"accuracy", "distance", "norm"}, "| adam to adam-sgd |"),
        ("garipov-curve", {"curve", "objectives"}, "of 1 pairs of ends"),
        ("garipov-plane", {"bezier", "chain"}, "| bezier |"),
        ("garipov-ensemble", {"ensemble-D", "ensemble-E"}, "| D | no weight decay |"),
    ],
)
def test_a_study_of_trainings_makes_its_tables_and_pictures(
    name: str, pictures: set[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = STUDIES[name]
    monkeypatch.setattr("lossatlas.reproduce.studies.garipov_curve.SEEDS", 1)
    words = {"D": "no weight decay", "E": "larger initial weights"}
    monkeypatch.setattr("lossatlas.reproduce.studies.garipov_ensemble.WORDS", words)
    used = {"G", *(f"{prefix}{partner}" for partner in words for prefix in ("", "G-"))}
    # Of some studies few runs have every part of the results.
    left_out = {"li-fig9": "-decay0.005", "im-switch": "-0.(2|7)5-", "garipov-ensemble": f"^(?!({'|'.join(used)})$)"}

    class Smaller(Study):
        title = study.title

        def runs(self, scale: str) -> dict[str, ProblemConfig]:
            stated = study.runs(scale)
            kept = [key for key in stated if not re.search(left_out.get(name, "^$"), key)]
            return {key: tiny(stated[key]) for key in kept}

        def results(self, runs: Any, out: Path) -> str:
            return study.results(runs, out)

    run_study(Smaller(), "small", tmp_path / "study", plan="loop")
    text = (tmp_path / "study" / "results.md").read_text()
    assert said in text
    assert {path.stem for path in (tmp_path / "study").glob("*.png")} == pictures
    assert "nan" not in text


def slight(config: ProblemConfig) -> ProblemConfig:
    """The same run with eight neurons, one epoch, and few points."""
    small: dict[str, Any] = {"data": "digits", "data_options": {}, "model": "mlp", "model_options": {"hidden": (8,)}}
    if isinstance(config, TrainConfig):
        return replace(config, **small, epochs=1, augment=())
    assert isinstance(config, SurveyConfig)
    return replace(config, **small, grid=(5,), repeats=min(2, config.repeats), examples="40", plan="loop")


@pytest.mark.parametrize(
    ("name", "left_out", "pictures", "said"),
    [
        (
            "li-fig2",
            "-$",
            {"line-decay0", "line-decay0.005", "weights-decay0", "weights-decay0.005"},
            "wider histogram",
        ),
        (
            "li-fig3",
            "-[12]($|-)|-decay0.005",
            {"lines-filter", "lines-plain", "planes", "repeats"},
            "rank correlation of the test",
        ),
        ("li-fig5", "-(20|32)", {"planes"}, "The published order"),
        ("li-fig7", "-$", {"resnet-20-loss", "resnet-20-without-loss"}, "of the resolved points with shortcuts"),
        (
            "im-batchnorm",
            "(sgd|adam|ends|way|interpolated)-[23]$|others-[123]$",
            {"lines-ends", "lines-others", "lines-way", "lines-ends-interpolated", "triangle", "quadrilateral"},
            "curves stay together",
        ),
    ],
)
def test_a_study_of_slices_makes_its_tables_and_pictures(
    name: str, left_out: str, pictures: set[str], said: str, tmp_path: Path
) -> None:
    study = STUDIES[name]
    stated = {key: config for key, config in study.runs("small").items() if not re.search(left_out, key)}

    class Smaller(Study):
        title = study.title

        def runs(self, scale: str) -> dict[str, ProblemConfig]:
            return {key: slight(config) for key, config in stated.items()}

        def results(self, runs: Any, out: Path) -> str:
            return study.results({key: replace(run, config=stated[key]) for key, run in runs.items()}, out)

    run_study(Smaller(), "small", tmp_path / "study", plan="loop")
    text = (tmp_path / "study" / "results.md").read_text()
    assert said in text
    drawn = {path.stem for path in (tmp_path / "study").glob("*.png")}
    assert drawn >= pictures if name == "li-fig7" else drawn == pictures  # it draws all that apply
    assert "nan" not in text


def a_training(config: ProblemConfig, folder: Path, **summary: float) -> Run:
    scores = {"train_loss": 0.01, "train_accuracy": 1.0, "test_loss": 0.1, "test_accuracy": 0.9}
    return Run(config, scores | summary, folder)


def a_slice(config: ProblemConfig, folder: Path, losses: Any, *axes: Any, **beside: Any) -> Run:
    """A survey of the training loss, with the measures that a run of it would have."""
    names = ("u", "v")[: len(axes)] if np.ndim(losses) == len(axes) else ("repeat", *("u", "v")[: len(axes)])
    variables: dict[str, Any] = {"train_loss": (names, losses, {"units": "nat"}), **beside}
    survey = xr.Dataset(variables, coords=dict(zip(("u", "v"), axes, strict=False)))
    folder.mkdir(parents=True)
    survey.to_zarr(folder / "survey.zarr", zarr_format=3, consolidated=False)
    summary = {"train_surface": measure_survey(survey)["train"], "train_highest_loss": float(np.max(losses))}
    return Run(config, summary, folder)


@pytest.mark.parametrize(("decay", "verdict"), [("0", "as published"), ("0.005", "not as published")])
def test_both_ends_of_a_line_are_measured_alike(decay: str, verdict: str, tmp_path: Path) -> None:
    """Two parabolas: the curvature at an end gives the rise in a box around it."""
    u = np.linspace(-0.5, 1.5, 41)
    losses = np.minimum(2 * u**2, 8 * (u - 1) ** 2)
    corners = {
        "corner_u": (("corner",), [0.0, 1.0], {"names": ["small", "large"]}),
        "corner_weight": (("bin",), [-1.0, 0.0, 1.0]),
        "corner_weights": (("corner", "bin"), [[50, 0, 50], [1, 98, 1]], {"names": ["small", "large"]}),
    }
    configs = STUDIES["li-fig2"].runs("small")
    runs = {}
    for key, config in configs.items():
        if key.endswith(f"-decay{decay}"):
            line = key.startswith("line-")
            folder = tmp_path / key
            runs[key] = a_slice(config, folder, losses, u, **corners) if line else a_training(config, folder)
    text = STUDIES["li-fig2"].results(runs, tmp_path)
    small, large = (line.split(" | ") for line in text.splitlines() if line.startswith(f"| {decay} "))
    assert (small[2], large[2]) == (f"{100 * 2 / 16:.3f}", f"{100 * 8 / 16:.3f}")
    assert (small[4], large[4]) == ("1.000", f"{np.sqrt(0.02):.3f}")
    assert (small[3], large[3]) == ("0.444", "0.220"), "where chords between grid points are at 0.1 nat"
    assert f"the large batch's end is the sharper one on the line (12.5 % against 50 %, {verdict})" in text
    assert f"against 0.141, {verdict})" in text
    assert "Neither batch classifies more" in text


def test_sharpness_is_ranked_against_test_errors_and_repeats_against_each_other(tmp_path: Path) -> None:
    """Repeats that are multiples of each other have a spread that can be written down."""
    u = np.linspace(-1, 1, 9)
    factors = np.array([0.5, 1.0, 1.5])
    runs = {}
    trained = 0
    for key, config in STUDIES["li-fig3"].runs("small").items():
        folder = tmp_path / key
        if isinstance(config, TrainConfig):
            trained += 1
            runs[key] = a_training(config, folder, test_accuracy=1 - 0.01 * trained)
        elif key.endswith("-plane"):
            runs[key] = a_slice(config, folder, 0.1 + u[:, None] ** 2 + u**2, u, u)
        else:
            steep, reach = (trained, 1) if key.endswith("-filter") else (20 - trained, 20)
            runs[key] = a_slice(config, folder, factors[:, None] * (1 + steep * u**2), reach * u)
    text = STUDIES["li-fig3"].results(runs, tmp_path)
    first = next(line.split(" | ") for line in text.splitlines() if line.startswith("| 0 | 32 | 0 |"))
    rises = [100 * factor * 0.25 / (1 + factor) for factor in factors]
    assert first[5] == f"{np.mean(rises):.3f}"
    assert first[7] == f"{np.std(factors, ddof=1):.3f} |".removesuffix(" |")
    assert "the sharpness on filter-normalised lines is 1.00" in text
    assert "the sharpness on plain lines is -1.00" in text
    assert "Weight decay 0: filter-normalised, the minima of the large batch are the sharper ones" in text
    assert "differ by 50 to 50 %" in text


@pytest.mark.parametrize(("rough", "verdict"), [(False, "is found"), (True, "is not found")])
def test_the_order_of_depths_is_that_of_their_convex_shares(rough: bool, verdict: str, tmp_path: Path) -> None:
    u = np.linspace(-1, 1, 21)
    bowl = 0.1 + u[:, None] ** 2 + u**2
    ripples = 0.5 * np.sin(7 * np.pi * u[:, None]) ** 2
    runs = {}
    for key, config in STUDIES["li-fig5"].runs("small").items():
        if isinstance(config, SurveyConfig):
            rippled = "44" in key and ("without" in key) != rough
            runs[key] = a_slice(config, tmp_path / key, bowl + rippled * ripples, u, u)
        else:
            runs[key] = a_training(config, tmp_path / key)
    text = STUDIES["li-fig5"].results(runs, tmp_path)
    assert f"takes convexity most from what has no shortcuts, {verdict}." in text
    assert "| 44 | no |" in text
    level = next(line.split(" | ") for line in text.splitlines() if line.startswith("| 8 | yes"))
    assert level[7:10] == ["1.000", "2.000", "1"], "a bowl: convex, down and up once, one minimum"


def test_maps_of_the_ratio_take_as_many_examples_at_any_scale() -> None:
    maps = [
        config for scale in SCALES for config in STUDIES["li-fig7"].runs(scale).values()
        if isinstance(config, SurveyConfig)
    ]  # fmt: skip
    assert len(maps) == 5
    assert {config.examples for config in maps} == {"256"}


@pytest.mark.parametrize(("small", "verdict"), [(0.01, "is found"), (0.4, "is not found")])
def test_ratios_count_where_their_residuals_allow_it(
    small: float, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With shortcuts all resolved ratios are equal; without, half of them are 0.01."""
    monkeypatch.setattr("lossatlas.reproduce.studies.li_fig7.draw", lambda _, **__: {})
    u = np.linspace(-1, 1, 9)
    runs = {}
    for key, config in STUDIES["li-fig7"].runs("small").items():
        if isinstance(config, TrainConfig):
            runs[key] = a_training(config, tmp_path / key)
            continue
        ratio = np.full((9, 9), 0.3)
        residual = np.full((9, 9), 0.02)
        if "without" in key:
            ratio[:4] = 0.01
            ratio[8] = 0.01
            residual[8] = 0.0201  # not resolved
        else:
            ratio[:] = small
        values = {"hessian_ratio": ratio, "hessian_ratio_residual": residual, "hessian_max": 10 + ratio,
                  "hessian_min": -ratio}  # fmt: skip
        beside = {f"train_{name}": (("u", "v"), each, {"units": "1"}) for name, each in values.items()}
        runs[key] = a_slice(config, tmp_path / key, 1 + u[:, None] ** 2 + u**2, u, u, **beside)
    text = STUDIES["li-fig7"].results(runs, tmp_path)
    assert f"at 50 % without: the published order {verdict} (a" in text
    row = next(line.split(" | ") for line in text.splitlines() if line.startswith("| resnet-20-without |"))
    assert row[3:8] == ["10.300", "-0.300", "0.300", f"{8 / 9:.3f}", f"{np.median([0.01] * 36 + [0.3] * 36):.3f}"]


def test_claims_on_batch_normalisation_are_settled_by_numbers(tmp_path: Path) -> None:
    u = np.linspace(-0.5, 1.5, 21)
    hump = np.clip(1 - np.abs(2 * u - 1), 0, None)
    side = np.linspace(0, 1, 5)
    runs = {}
    for key, config in STUDIES["im-batchnorm"].runs("small").items():
        folder, normalised = tmp_path / key, key.startswith("batch-norm")
        if isinstance(config, TrainConfig):
            runs[key] = a_training(config, folder)
        elif key.endswith(("triangle", "quadrilateral")):
            accuracy = np.zeros((5, 5))
            accuracy[: 3 if normalised else 1] = 1
            beside = {"train_accuracy": (("u", "v"), accuracy)}
            runs[key] = a_slice(config, folder, 1 + side[:, None] + side, side, side, **beside)
        else:
            factor = 1 + 0.1 * int(key[-1]) * (not normalised)
            accuracy = np.where(hump > (0.5 if normalised else 0.1), 0.5, 1.0)
            corners = {"corner_u": (("corner",), [0.0, 1.0]), "train_accuracy": (("u",), accuracy)}
            runs[key] = a_slice(config, folder, factor * (1 + 3 * hump), u, **corners)
    text = STUDIES["im-batchnorm"].results(runs, tmp_path)
    spread = np.std([1, 1.1, 1.2, 1.3], ddof=1) / 1.15
    for where in ("from SGD's end (0) to Adam's end (1)", "from SGD's end (0) to that of the next initialisation (1)"):
        assert f"curves stay together (spread of the loss), {where}: 0 with, {spread:.3g} without: found." in text
        assert f"slopes are steeper, {where}: 6 with, {6 * 1.15:.3g} without: not found." in text
        assert f"barriers are sharper (slope by height), {where}: 2 with, 2 without: not found." in text
    assert f"half way to SGD's end): {4:.3g} with, {4 * 1.15:.3g} without: found." in text
    assert "low errors take more of the triangle: 0.6 with, 0.2 without: found." in text


def test_a_study_is_resumed_by_another_spelling_of_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_study(Branching(), "small", Path("study"), plan="loop")
    run_study(Branching(), "small", tmp_path / "study", plan="loop", resume=True)


def test_a_fit_that_cannot_be_finished_stops_no_other(tmp_path: Path) -> None:
    with pytest.raises(la.CannotFinish, match="1 of 2 runs could not be finished: hopeless"):
        run_study(Failing(), "small", tmp_path / "study", plan="loop")
    assert (tmp_path / "study" / "runs" / "ring" / "summary.json").exists()


def test_a_run_that_is_made_of_one_that_could_not_be_finished_is_not_bad_input(tmp_path: Path) -> None:
    """A full disk in a training is what the sweep ends with, and not that the survey finds no network."""
    network = {"model_options": {"hidden": (4,)}, "device": "cpu"}
    configs = {
        "net": TrainConfig(**network, epochs=1, optimizer="sgd,lr=1e30"),
        "slice": SurveyConfig(**network, checkpoint=str(tmp_path / "net"), grid=(3,), plan="loop", examples="20"),
    }
    how = Handling(tmp_path, math.inf, pictures=False, reporter=Silent(), stop=lambda: False)
    with pytest.raises(
        la.CannotFinish, match=r"2 of 2 runs could not be finished: net \(.*; slice \(.*net does not hold"
    ):
        run_sweep(configs, how)
    with pytest.raises(la.BadInput, match="does not exist"):
        run_sweep({"slice": replace(configs["slice"], checkpoint=str(tmp_path / "none"))}, how)


def test_tables_are_markdown() -> None:
    lines = write_table(["a", "b"], [[1, 0.12345], ["x", None]]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 0.123 |", "| x | - |"]


def test_a_study_is_resumed_fit_by_fit_and_ends_the_same(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_study(Tiny(), "small", whole, plan="loop")
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 9  # in the second fit

    with pytest.raises(la.Interrupted, match=f"continue with --out {parts} --resume"):
        run_study(Tiny(), "small", parts, plan="loop", stop=stop)
    assert not (parts / "results.md").exists()
    first = (parts / "runs" / "heart" / "summary.json").stat().st_mtime_ns
    run_study(Tiny(), "small", parts, plan="loop", resume=True)
    assert (parts / "runs" / "heart" / "summary.json").stat().st_mtime_ns == first, "not done again"
    assert (parts / "results.md").read_text() == (whole / "results.md").read_text()
    for name in ("heart", "ring"):
        charts = [out / "runs" / name / "chart.safetensors" for out in (whole, parts)]
        assert charts[0].read_bytes() == charts[1].read_bytes()
    assert set(json.loads((whole / "summary.json").read_text())) == {"heart", "ring"}


def test_bad_input_to_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for tokens, expected in [
        (["mpo-fig9"], "'mpo-fig9' is not a study; did you mean"),
        (["mpo-fig4", "--scale=tiny"], "'tiny' is not a scale"),
        (["mpo-fig4", "--folder=nowhere"], "nowhere"),
        (["mpo-fig4", "--scale=tiny", "--print_config"], "'tiny' is not a scale"),
        (["mpo-size", "--plan=nonsense", "--folder=nowhere"], "'nonsense' is not a plan"),
        (["mpo-size", "--resume", "--overwrite"], "give one of the two"),
    ]:
        assert main(["reproduce", *tokens]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert expected in error
        assert not list(tmp_path.iterdir())


def test_a_study_prints_its_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "mpo-fig2", "--print_config"]) == 0
    (fit,) = yaml.safe_load(capsys.readouterr().out).values()
    assert (fit["pattern"], fit["data"]) == ("skull", "fashion_mnist")
