"""What members cost: every network that a run names, and the passes that steps of a fit really made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.ensembles import Cost
from lossatlas.fitting import Fit, Steps
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.objectives.coarse_to_fine import CoarseToFine, Stage
from lossatlas.recipes import ConnectConfig, FitConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.effort import find_cost, measure_run

SMALL: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu"}
CHEAP: dict[str, Any] = {**SMALL, "examples": "30", "splits": ("test",), "plan": "loop"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate("abc"):
            run_train(TrainConfig(**SMALL, epochs=1.0, snapshots="step:2", seed=seed), Path(name))
    return folder


@pytest.fixture
def there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs)
    return runs


@pytest.mark.parametrize(
    ("settings", "trainings"),
    [
        ({"checkpoint": "a"}, {"a"}),
        ({"checkpoint": "a", "directions": ("random", "towards:b")}, {"a", "b"}),
        ({"between": ("a", "b@4")}, {"a", "b"}),
        ({"trajectory": "c"}, {"c"}),
        ({"posterior": "c", "samples": 2, "average_from": 0.0}, {"c"}),
        ({"checkpoint": "a@swa", "average_from": 0.0}, {"a"}),
    ],
)
def test_all_networks_that_a_survey_names_count(
    there: Path, tmp_path: Path, settings: dict[str, Any], trainings: set[str]
) -> None:
    grid = {} if "posterior" in settings else {"grid": (2,)}
    run_survey(SurveyConfig(**CHEAP, **settings, **grid), tmp_path / "run", pictures=False)
    efforts = measure_run(la.open_run(tmp_path / "run")).efforts
    assert efforts is not None
    assert {Path(each).name for each in efforts} == trainings
    steps = la.open_run("a").summary["steps"]
    expected = [4 if "b@4" in settings.get("between", ()) and Path(each).name == "b" else steps for each in efforts]
    assert [effort.steps for effort in efforts.values()] == expected


def test_networks_that_bends_start_at_count(there: Path, tmp_path: Path) -> None:
    config = ConnectConfig(
        **CHEAP, between=("a", "b"), start=("c",), steps=3, batch_size=64, grid=(3,), plane=0, ensembles=False
    )
    summary = run_connect(config, tmp_path / "run", pictures=False)
    efforts = measure_run(la.open_run(tmp_path / "run")).efforts
    assert efforts is not None
    assert {Path(each).name for each in efforts} == {"a", "b", "c", "run"}
    assert summary["training_passes"] == 3 * 64


def test_a_network_of_unknown_cost_makes_that_of_a_chart_unknown(there: Path, tmp_path: Path) -> None:
    shutil.copy("a/model.safetensors", tmp_path / "found.safetensors")
    config = SurveyConfig(**CHEAP, checkpoint="b", directions=(f"towards:{tmp_path / 'found.safetensors'}",), grid=(2,))
    run_survey(config, tmp_path / "run", pictures=False)
    assert measure_run(la.open_run(tmp_path / "run")).efforts is None


def test_files_in_a_folder_of_members_that_the_run_did_not_keep_cost_nothing_known(there: Path, tmp_path: Path) -> None:
    cycles = TrainConfig(**SMALL, epochs=1.0, schedule="warm_restarts", schedule_options={"cycles": 2})
    run_train(cycles, tmp_path / "cycles")
    assert find_cost(str(tmp_path / "cycles/members/000.safetensors")).efforts
    shutil.copy(tmp_path / "cycles/members/000.safetensors", tmp_path / "cycles/members/009.safetensors")
    assert find_cost(str(tmp_path / "cycles/members/009.safetensors")).efforts is None
    run_survey(SurveyConfig(**CHEAP, checkpoint="a", grid=(2,)), tmp_path / "survey", pictures=False)
    shutil.copytree(tmp_path / "cycles/members", tmp_path / "survey/members")
    assert find_cost(str(tmp_path / "survey/members/000.safetensors")).efforts is None


def count_points(objective: la.Objective) -> list[int]:
    """Have an objective note how many points each step samples."""
    counts: list[int] = []
    sample = objective.sample

    def noted(*args: Any, **named: Any) -> Any:
        found = sample(*args, **named)
        counts.append(len(found.coords))
        return found

    objective.sample = noted  # type: ignore[method-assign]
    return counts


@pytest.mark.parametrize("coupled", [True, False])
def test_passes_are_those_of_the_points_that_were_sampled(coupled: bool) -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    problem, split = la.Problem(module, la.CrossEntropy()), la.Split.of((torch.randn(40, 3), torch.randint(2, (40,))))

    def make() -> tuple[Fit, list[int]]:
        objective: la.Objective = (
            la.Decorrelated(la.MemberGrid(5), weight=0.3)
            if coupled
            else CoarseToFine(
                [Stage(la.Pattern(la.picture("heart", size=size), cells=30), 0.5) for size in (6, 12)], there=0.9
            )
        )
        counts = count_points(objective)
        plane = la.Plane.random(module, initialiser=la.Xavier(), scale=2.0)
        engine = la.engine_for(problem, plane, split, buffers=la.BatchStatistics(), plan="loop")
        return Fit(plane, objective, engine, split, Steps(6), optimizer=la.Adam(), batch_size=8, seed=1), counts

    fit, counts = make()
    for _ in range(4):
        fit.step()
    again, more = make()
    again.restore(*fit.state())
    while not again.done:
        again.step()
    assert coupled or len(set(counts + more)) == 2
    sampled = 8 * (sum(counts) + sum(more))
    assert again.training_passes == (round(sampled + sampled / 3) if coupled else sampled)


def test_an_ensemble_on_a_plane_costs_what_its_fit_says(there: Path, tmp_path: Path) -> None:
    config = FitConfig(**CHEAP, pattern="members:4", decorrelation=0.2, steps=3, batch_size=32)
    summary = run_fit(config, tmp_path / "plane", pictures=False)
    assert summary["training_passes"] == 3 * 4 * 32 * 4 / 3
    effort = Cost.join([measure_run(la.open_run(tmp_path / "plane"))]).add_up()
    assert effort is not None
    assert (effort.steps, effort.passes) == (3, 512)
