"""What runs are foretold to take, how many examples a fit's survey takes, and that foretelling changes nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import yaml
from hypothesis import given, settings, strategies as st

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.jobs import fit_cost, survey_cost, train
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.examples import CAUTION, COUNTS, choose_examples
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase, format_duration
from lossatlas.jobs.sampling import FEW, MOST_SECONDS, SUSTAINED, Rate, Work, sample_points, sample_steps
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.survey_cost import count_points_left
from lossatlas.jobs.sweep import JOBS
from lossatlas.jobs.train import run_train
from lossatlas.progress import Reporter
from lossatlas.recipes import CompareConfig, ConnectConfig, FitConfig, SurveyConfig, TrainConfig

HIDDEN: dict[str, Any] = {"model_options": {"hidden": (8,)}}
FIT = FitConfig(
    pattern="heart", size="8x10", steps=6, **HIDDEN, cells=4, padding=1, plan="loop", coarse=(0.7,), shares=(0.5, 0.5)
)
POINTS = 12 * 10
"""Of the survey of that fit."""
TRAINING = TrainConfig(**HIDDEN, epochs=1, batch_size=400, snapshots="none")


class Machine:
    """A machine with a clock of its own, on which work takes what a formula says."""

    def __init__(self, seconds: Any) -> None:
        self.now = 0.0
        self.calls: list[tuple[int, ...]] = []
        self._seconds = seconds

    def clock(self) -> float:
        return self.now

    def run(self, *parts: int) -> None:
        self.calls.append(parts)
        self.now += self._seconds(*parts)


class Listening(Reporter):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, line: str) -> None:
        self.told.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        self.told.append("progress")

    @property
    def foretold(self) -> str:
        """The one line that foretells, which comes before anything is done."""
        lines = [line for line in self.told if line.startswith("this will take")]
        assert len(lines) == 1, self.told
        assert "progress" not in self.told[: self.told.index(lines[0])]
        return lines[0]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("networks")
    for seed in (0, 1):
        run_train(replace(TRAINING, seed=seed), folder / f"r{seed}")
    return [str(folder / f"r{seed}") for seed in (0, 1)]


def taking(seconds: float) -> Callable[..., Rate]:
    """Measuring that finds a unit to take so long."""
    return lambda *_: Rate(seconds, 1.5)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second; a point on an example a hundredth."""
    monkeypatch.setattr(survey_cost, "sample_points", taking(0.01))
    for module in (fit_cost, train):
        monkeypatch.setattr(module, "sample_steps", taking(1.0))


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> Rate:
        raise AssertionError("measured although there is no listener")

    for module, name in ((survey_cost, "sample_points"), (fit_cost, "sample_steps"), (train, "sample_steps")):
        monkeypatch.setattr(module, name, measured)


def read(said: str) -> int:
    """The seconds of a time in words."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (\w+)", said))


def seconds_of(line: str, phase: str) -> int:
    (said,) = re.findall(rf"{phase} ([^,]+)", line)
    return read(said)


class TestSampling:
    @settings(max_examples=60)
    @given(
        unit=st.floats(1e-7, 0.1),
        points=st.integers(1, 256),
        examples=st.integers(1, 500),
        passed=st.sampled_from([0, 4000]),
        work=st.floats(1e3, 1e8),
    )
    def test_a_machine_without_overheads_is_known_exactly_and_asked_little(
        self, unit: float, points: int, examples: int, passed: int, work: float
    ) -> None:
        machine = Machine(lambda p, e: unit * p * (passed + e))
        rate = sample_points(machine.run, Work(work, points, examples, passed=passed), clock=machine.clock)
        assert rate.seconds == pytest.approx(unit)
        first = unit * (passed + min(FEW, examples))
        assert machine.calls[0] == (1, min(FEW, examples))
        assert machine.now <= max(first, min(MOST_SECONDS, max(0.1, 0.01 * unit * work))) * (1 + 1e-9)
        assert all(p <= points and e <= examples for p, e in machine.calls)

    def test_of_a_large_network_one_run_of_a_few_examples_is_enough(self) -> None:
        machine = Machine(lambda p, e: 0.5 * p * e)
        rate = sample_points(machine.run, Work(1e4, 256, 500, stacks=True), clock=machine.clock)
        assert machine.calls == [(1, FEW)]
        assert rate.factor >= 4, "cold, on fewer examples, and of one point where many are together"

    def test_of_a_small_network_the_whole_chunk_is_run(self) -> None:
        machine = Machine(lambda p, e: 1e-3 + 1e-8 * p * e)
        rate = sample_points(machine.run, Work(1e9, 256, 500, stacks=True), clock=machine.clock)
        assert machine.calls[-1] == (256, 500)
        assert rate.seconds == pytest.approx(1e-8 + 1e-3 / 256 / 500)
        assert rate.factor == SUSTAINED

    @pytest.mark.parametrize("at", [16, 64])
    def test_chunks_that_leave_the_caches_are_within_the_factor(self, at: int) -> None:
        """What digits and a convolutional network did: from some size on a point costs four times as much."""
        machine = Machine(lambda p, e: 1e-5 * p * e * (4 if p > at else 1))
        work = Work(4e6, 256, 500, stacks=True)
        rate = sample_points(machine.run, work, clock=machine.clock)
        assert rate.seconds / rate.factor <= 4e-5 <= rate.seconds * rate.factor

    def test_threads_are_all_busy_in_the_first_run(self) -> None:
        machine = Machine(lambda p, e: 1e-3 * math.ceil(p / 4) * e)
        rate = sample_points(machine.run, Work(1e6, 256, 500, apart=4), clock=machine.clock)
        assert machine.calls[0] == (4, FEW)
        assert rate.seconds == pytest.approx(1e-3 / 4)

    def test_runs_that_differ_say_how_far(self) -> None:
        spent = iter([0.01, 0.01, 0.02, 0.06, 0.03])
        machine = Machine(lambda *_: next(spent))
        rate = sample_points(machine.run, Work(1e9, 1, 500), clock=machine.clock)
        assert (rate.seconds, rate.factor) == (pytest.approx(0.03 / 500), pytest.approx(3))

    def test_the_first_step_does_not_count(self) -> None:
        spent = iter([5.0, 0.25, 0.25, 0.5, 0.25])
        machine = Machine(lambda: next(spent))
        rate = sample_steps(machine.run, 10_000, clock=machine.clock)
        assert (rate.seconds, rate.factor) == (5.0, 2.0), "it took all that may be spent"
        rate = sample_steps(machine.run, 10_000, clock=machine.clock)
        assert (rate.seconds, rate.factor) == (0.25, 2.0)

    def test_a_fit_of_one_step_is_not_stepped_for_long(self) -> None:
        machine = Machine(lambda: 1e-3)
        sample_steps(machine.run, 1, clock=machine.clock)
        assert len(machine.calls) == 2


class TestHowManyExamples:
    @given(
        seconds=st.floats(0.1, 1e5),
        unit=st.floats(1e-6, 1.0),
        train=st.integers(1, 100_000),
        test=st.integers(1, 100_000),
    )
    def test_they_are_the_most_that_there_is_time_for(self, seconds: float, unit: float, train: int, test: int) -> None:
        available = {"train": train, "test": test}

        def takes(taken: Mapping[str, int]) -> float:
            return unit * sum(taken.values())

        chosen = choose_examples(seconds, takes, available).examples
        counts = {str(count): {k: min(count, n) for k, n in available.items()} for count in COUNTS} | {"all": available}
        fitting = [taken for taken in counts.values() if CAUTION * takes(taken) <= seconds]
        best = max(fitting, key=takes) if fitting else counts["200"]
        assert counts[chosen] == best
        assert chosen == "all" or counts[chosen] != available, "all is called all"

    def test_the_line_says_why(self) -> None:
        takes = {"train": 0.01}
        line = choose_examples(6.5, lambda n: takes["train"] * n["train"], {"train": 9000}).line
        assert line == (
            "500 of each split, a random subset: their survey takes about 5 s, within the fit's own 6 s "
            "(--examples takes another number)"
        )
        line = choose_examples(1.0, lambda n: takes["train"] * n["train"], {"train": 9000}).line
        assert "200 of each split" in line
        assert "about 2 s, more than the fit's own 1 s (--examples takes fewer)" in line

    @pytest.mark.parametrize("examples", ["0", "few", "-3", "1e3"])
    def test_others_are_refused(self, examples: str) -> None:
        with pytest.raises(la.BadInput, match="expected a positive number, all or auto"):
            FitConfig(examples=examples)


class TestForecast:
    def test_it_is_one_line(self) -> None:
        assert Forecast([Phase("fit", 270), Phase("survey", 25), Phase("pictures", 8, 2.0)]).line() == (
            "this will take about 5 min: fit 4 min 30 s, survey 25 s, pictures 8 s"
        )

    def test_what_is_known_weighs_as_much_as_it_takes(self) -> None:
        assert Forecast([Phase("fit", 30), Phase("survey", 10, 3.0)]).factor == pytest.approx(60 / 40)
        assert Forecast([]).factor == 1

    @given(st.floats(1, 1e7))
    def test_durations_are_right_to_two_figures_or_so(self, seconds: float) -> None:
        assert read(format_duration(seconds)) == pytest.approx(seconds, rel=0.09, abs=0.5)


@pytest.mark.usefixtures("slow")
class TestExamplesOfAFit:
    def run(self, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Listening:
        """Six steps that are thought to take 1440 s; 500 of 1,347 and all 450 test examples at 120 points take 1140."""
        monkeypatch.setattr(fit_cost, "sample_steps", taking(240.0))
        reporter = Listening()
        run_fit(replace(FIT, **changes), out, pictures=False, reporter=reporter)
        return reporter

    def test_the_number_is_said_recorded_and_measured_with_standard_errors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reporter = self.run(tmp_path / "run", monkeypatch)
        (said,) = [line for line in reporter.told if line.startswith("examples surveyed")]
        assert said == (
            "examples surveyed: 500 of each split, a random subset: their survey takes about 19 min, within the fit's "
            "own 24 min (--examples takes another number)"
        )
        assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["examples"] == "500"
        survey = xr.open_zarr(str(tmp_path / "run" / "survey.zarr"), consolidated=False, chunks=None)
        assert survey["train_loss"].attrs["examples"] == 500
        assert (survey["train_loss_standard_error"].values > 0).all()
        assert "test_loss_standard_error" not in survey, "of 450 test examples all are taken"
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["train_scores"]["examples"] == 500
        errors = survey["train_loss_standard_error"].values[1:-1, 1:-1]
        assert errors.min() <= summary["train_scores"]["loss_standard_error"] <= errors.max()
        assert "loss_standard_error" not in summary["test_scores"]

    def test_its_record_reproduces_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(tmp_path / "a", monkeypatch)
        monkeypatch.setattr(fit_cost, "sample_steps", taking(1e6))  # a machine of another speed
        tokens = ["fit", f"--config={tmp_path / 'a' / 'config.yaml'}", f"--out={tmp_path / 'b'}", "--no_pictures"]
        assert main(tokens) == 0
        assert (tmp_path / "a" / "config.yaml").read_bytes() == (tmp_path / "b" / "config.yaml").read_bytes()
        assert (tmp_path / "a" / "chart.safetensors").read_bytes() == (
            tmp_path / "b" / "chart.safetensors"
        ).read_bytes()

    @pytest.mark.parametrize("after", [3, 7])
    def test_it_is_decided_once(self, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == after

        monkeypatch.setattr(fit_cost, "sample_steps", taking(240.0))
        with pytest.raises(la.Interrupted):
            run_fit(FIT, tmp_path / "run", pictures=False, stop=stop)
        monkeypatch.setattr(fit_cost, "sample_steps", taking(1e6))
        reporter = Listening()
        run_fit(FIT, tmp_path / "run", pictures=False, resume=True, reporter=reporter)
        assert not [line for line in reporter.told if line.startswith("examples")]
        assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["examples"] == "500"
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["train_scores"]["examples"] == 500
        with pytest.raises(la.BadInput, match="examples was '500' and is '200'"):
            run_fit(replace(FIT, examples="200"), tmp_path / "run", resume=True)
        with pytest.raises(la.BadInput) as refused:
            run_fit(replace(FIT, seed=3), tmp_path / "run", resume=True)
        assert "examples" not in str(refused.value)

    def test_the_command_line_continues_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fit_cost, "sample_steps", taking(240.0))
        with pytest.raises(la.Interrupted):
            run_fit(FIT, tmp_path / "run", stop=lambda: True)
        monkeypatch.setattr(fit_cost, "sample_steps", taking(1e6))
        assert main(["fit", "--resume", f"--out={tmp_path / 'run'}", "--no_pictures"]) == 0
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["train_scores"]["examples"] == 500

    def test_a_stated_number_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reporter = self.run(tmp_path / "run", monkeypatch, examples="30")
        assert not [line for line in reporter.told if line.startswith("examples")]
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["train_scores"]["examples"] == summary["test_scores"]["examples"] == 30

    def test_a_budget_in_seconds_counts_as_it_is(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = ["fit", "--size=8x10", "--padding=1", "--model.hidden", "8", "--plan=loop", "--dry_run"]
        for seconds, examples in ((1e9, "1,797"), (1426, "950"), (1424, "400"), (3, "400")):
            assert main([*tokens, f"--seconds={seconds}", f"--out={tmp_path / 'run'}"]) == 0
            assert f"120 points x {examples} examples" in capsys.readouterr().out
        assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("slow")
class TestForetold:
    def test_a_fit(self, tmp_path: Path) -> None:
        reporter = Listening()
        run_fit(replace(FIT, examples="30"), tmp_path / "run", reporter=reporter)
        assert reporter.foretold == "this will take about 1 min 20 s: fit 6 s, survey 1 min 10 s, pictures 5 s"

    @pytest.mark.parametrize(("after", "left"), [(2, "fit 4 s, survey 1 min 10 s"), (7, "about 1 min 10 s: survey")])
    def test_a_fit_that_is_continued(self, after: int, left: str, tmp_path: Path) -> None:
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == after

        with pytest.raises(la.Interrupted):
            run_fit(replace(FIT, examples="30"), tmp_path / "run", stop=stop, pictures=False)
        reporter = Listening()
        if after == 7:  # after the train split's only tile: 36 s of 72 are left
            store = count_points_left(tmp_path / "run" / "survey.zarr", POINTS)
            assert callable(store)
            assert (store("train", "streaming"), store("test", "streaming")) == (0, POINTS)
            run_fit(replace(FIT, examples="30"), tmp_path / "run", resume=True, pictures=False, reporter=reporter)
            assert not [line for line in reporter.told if "will take" in line], "36 s are not foretold"
            return
        run_fit(replace(FIT, examples="30"), tmp_path / "run", resume=True, pictures=False, reporter=reporter)
        assert left in reporter.foretold

    def test_what_takes_less_than_a_minute_is_not_foretold(self, tmp_path: Path) -> None:
        reporter = Listening()
        run_fit(replace(FIT, examples="20"), tmp_path / "run", reporter=reporter, pictures=False)
        assert not [line for line in reporter.told if "will take" in line]

    def test_a_survey(self, networks: list[str], tmp_path: Path) -> None:
        config = SurveyConfig(**HIDDEN, checkpoint=networks[0], grid=(6,), examples="100", plan="loop")
        reporter = Listening()
        run_survey(config, tmp_path / "run", reporter=reporter)
        assert reporter.foretold == "this will take about 1 min 20 s: survey 1 min 10 s, pictures 5 s"
        reporter = Listening()
        finer = replace(config, grid=(11,))
        run_survey(finer, tmp_path / "run", reporter=reporter, resume=True, pictures=False)
        assert reporter.foretold == f"this will take about 2 min 50 s: survey {format_duration((121 - 36) * 2)}"

    def test_reestimated_statistics_are_counted(self, networks: list[str], tmp_path: Path) -> None:
        config = SurveyConfig(
            **HIDDEN, checkpoint=networks[0], grid=(2,), examples="100", plan="loop", eval_batch_size=50
        )
        estimate = run_survey.estimate(replace(config, buffers="reestimated", buffers_batches=3))
        survey = next(phase for phase in estimate.forecast.phases if phase.name == "survey")
        assert survey.seconds == pytest.approx(4 * 2 * (100 + 3 * 50) * 0.01)

    def test_a_trajectory(self, tmp_path: Path) -> None:
        run_train(replace(TRAINING, epochs=3, snapshots="epoch"), tmp_path / "way")
        config = SurveyConfig(**HIDDEN, trajectory=str(tmp_path / "way"), grid=(6,), examples="100", plan="loop")
        reporter = Listening()
        run_survey(config, tmp_path / "run", reporter=reporter, pictures=False)
        snapshots = len(la.Trajectory(tmp_path / "way" / "snapshots").snapshots)
        assert reporter.foretold.endswith(
            f"survey {format_duration(72)}, trajectory {format_duration(6 * snapshots * 2)}"
        )

    def test_a_curve(self, networks: list[str], tmp_path: Path) -> None:
        config = ConnectConfig(
            **HIDDEN,
            between=tuple(networks),
            steps=5,
            grid=(5,),
            plane=3,
            examples="40",
            plane_examples="20",
            plan="loop",
        )
        paths = 3 + 3  # curve, straight, radial; ensembles on three
        seconds = (paths * 5 * 80 + 9 * 40) * 0.01
        phases = run_connect.estimate(config).forecast.phases
        assert [phase.name for phase in phases] == ["curve", "survey", "pictures"]
        assert [phase.seconds for phase in phases] == pytest.approx([5, seconds, PICTURES.seconds])
        larger, reporter = replace(config, examples="400"), Listening()
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == 5 + 2  # two tiles: the curve on both splits

        with pytest.raises(la.Interrupted):
            run_connect(larger, tmp_path / "run", reporter=reporter, pictures=False, stop=stop)
        assert reporter.foretold.endswith(f"curve 5 s, survey {format_duration((paths * 5 * 800 + 9 * 40) * 0.01)}")
        reporter = Listening()
        run_connect(larger, tmp_path / "run", reporter=reporter, pictures=False, resume=True)
        left = format_duration(((paths - 1) * 5 * 800 + 9 * 40) * 0.01)
        assert reporter.foretold == f"this will take about {left}: survey {left}"

    def test_a_comparison(self, networks: list[str], tmp_path: Path) -> None:
        config = CompareConfig(
            runs=tuple(networks),
            grid=(5,),
            line=5,
            slice_points=5,
            repeats=2,
            splits=("train",),
            examples="300",
            plan="loop",
        )
        surveys = {"surface": 25, "line": 5, "slice": 10, "other slice": 10}
        phases = run_compare.estimate(config).forecast.phases
        assert [phase.name for phase in phases] == ["surveys", "predictions", "pictures"]
        least = 300 * 0.01 * sum(surveys.values())
        assert least < phases[0].seconds < least + 20, "and what a survey takes whatever its size"
        reporter = Listening()
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == 3  # before the surface, after its tile, before the line

        with pytest.raises(la.Interrupted):
            run_compare(config, tmp_path / "run", reporter=reporter, pictures=False, stop=stop)
        whole = seconds_of(reporter.foretold, "surveys")
        reporter = Listening()
        run_compare(config, tmp_path / "run", reporter=reporter, pictures=False, resume=True)
        assert whole - seconds_of(reporter.foretold, "surveys") == pytest.approx(25 * 300 * 0.01, abs=20)

    def test_a_training(self, tmp_path: Path) -> None:
        config = replace(TRAINING, epochs=30)  # 90 steps, and 1,797 examples as a third of steps of 400
        reporter = Listening()
        run_train(config, tmp_path / "run", reporter=reporter)
        assert reporter.foretold == "this will take about 1 min 30 s: training 1 min 30 s, evaluation 1 s"

    def test_nothing_is_measured_without_a_listener(
        self, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without(monkeypatch)
        run_fit(replace(FIT, examples="30"), tmp_path / "fit", pictures=False)
        run_train(TRAINING, tmp_path / "training")
        config = SurveyConfig(**HIDDEN, checkpoint=networks[0], grid=(3,), examples="30", plan="loop")
        run_survey(config, tmp_path / "survey", pictures=False)

    def test_every_verb_has_a_dry_run_that_says_how_far_it_may_be_off(
        self, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        small = ["--plan=loop", "--examples=100", f"--out={tmp_path / 'run'}", "--dry_run"]
        dry = {
            "fit": ["--size=8x10", "--padding=1", "--steps=6", "--model.hidden", "8", *small],
            "connect": [*networks, "--steps=5", *small],
            "survey": [f"--checkpoint={networks[0]}", "--model.hidden", "8", *small],
            "compare": [*networks, *small],
            "train": ["--model.hidden", "8", f"--out={tmp_path / 'run'}", "--dry_run"],
            "ensemble": [*networks, *small],
        }
        assert len(dry) == len(JOBS)
        for verb, tokens in dry.items():
            assert main([verb, *tokens]) == 0, capsys.readouterr().err
            printed = capsys.readouterr().out
            assert re.search(r"^time +about \d+ s \(within a factor of \d+\.\d\): ", printed, flags=re.MULTILINE), (
                printed
            )
        assert not list(tmp_path.iterdir())


class TestForetellingChangesNothing:
    """A run that is listened to steps copies first, and ends as one without a listener."""

    @pytest.mark.parametrize("augmented", [False, True])
    def test_a_fit(self, augmented: bool, tmp_path: Path) -> None:
        model: dict[str, Any] = {
            "model": "conv",
            "model_options": {"channels": (3, 4), "hidden": 5, "batch_norm": True},
        }
        config = replace(FIT, **model, examples="30", augment=("crop",) if augmented else ())
        for name, reporter in (("silent", None), ("loud", Listening())):
            run_fit(config, tmp_path / name, pictures=False, reporter=reporter)
        charts = [(tmp_path / name / "chart.safetensors").read_bytes() for name in ("silent", "loud")]
        assert charts[0] == charts[1]

    def test_a_training_with_everything_that_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "forgetful.py").write_text(
            "import torch\n"
            "from torch import nn\n"
            "class Net(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.3),\n"
            "                                    nn.Linear(8, 10))\n"
            "        self.calls = 0\n"
            "    def forward(self, x):\n"
            "        self.calls += self.training\n"
            "        return self.layers(x) * (1 + (self.calls if self.training else 0))\n"
            "def net():\n    return Net()\n"
        )
        config = replace(TRAINING, model="forgetful:net", model_options={}, optimizer="momentum", epochs=2)
        for name, reporter in (("silent", None), ("loud", Listening())):
            run_train(config, tmp_path / name, reporter=reporter)
        models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("silent", "loud")]
        assert models[0] == models[1]

    @pytest.mark.parametrize("objective", ["uniform", "arclength", "max"])
    def test_a_curve(self, objective: Any, networks: list[str], tmp_path: Path) -> None:
        config = ConnectConfig(
            **HIDDEN, between=tuple(networks), objective=objective, steps=4, grid=(3,), plane=0, ensembles=False,
            examples="20", plan="loop",
        )  # fmt: skip
        for name, reporter in (("silent", None), ("loud", Listening())):
            run_connect(config, tmp_path / name, pictures=False, reporter=reporter)
        charts = [(tmp_path / name / "chart.safetensors").read_bytes() for name in ("silent", "loud")]
        assert charts[0] == charts[1]


def test_a_fit_that_cannot_step_says_so_itself(tmp_path: Path) -> None:
    """Not while it is foretold: the run is there then, with what it says."""
    reporter = Listening()
    with pytest.raises(la.CannotFinish, match="at step 0"):
        run_fit(replace(FIT, scale=1e30), tmp_path / "run", reporter=reporter)
    assert (tmp_path / "run" / "config.yaml").exists()


def test_points_of_a_store_that_is_not_there_are_all_left(tmp_path: Path) -> None:
    assert count_points_left(tmp_path / "none", 7) == 7
