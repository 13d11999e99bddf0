"""Surveys, comparisons and studies that are spread over workers: the same results, whatever happens to the workers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import spread_cases
import torch
from nursery import ForkedWorker
from same_runs import differences
from small_runs import NETWORK, NORMALISED, Tiny, prepared
from torch import nn

import lossatlas as la
from lossatlas.cli import main
from lossatlas.errors import CannotFinish, Interrupted
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.estimate import Pieces
from lossatlas.jobs.pooled_runs import PooledRun
from lossatlas.jobs.spreading import Spreading
from lossatlas.jobs.survey import run_survey
from lossatlas.metrics.users import PerExampleMetric
from lossatlas.pools import Pool, PoolOptions, open_pool
from lossatlas.presence import read_failures
from lossatlas.progress import Reporter
from lossatlas.recipes import CompareConfig, SurveyConfig
from lossatlas.reproduce.run import run_study
from lossatlas.surveying.probe import Probe

TWO = Spreading(workers=2)


class Told(Reporter):
    """Keeps what is said."""

    listens = False

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: dict[str, list[float]] = {}

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        self.shares.setdefault(phase, []).append(share)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained networks, and one with batch normalisation."""
    folder = tmp_path_factory.mktemp("inputs")
    prepared(folder)
    return folder


class Shared:
    """Two workers for one test after the other, since to start them takes seconds; those that one ends are replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool: Pool | None = None

    @contextmanager
    def open(self, *_: object) -> Iterator[Pool]:
        if self._pool is None or not self._pool.workers:
            self.close()  # what is left of processes that were given up
            self._pool = open_pool("local", PoolOptions(2, max(1, torch.get_num_threads() // 2), self._folder))
            self._pool.start()
        yield self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


@pytest.fixture(scope="module", autouse=True)
def _workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The workers, which know where trouble is told of; and torch's threads as they were, for later tests.

    They are forked, since many are lost here, and each would take seconds to import torch; `test_pools.py` starts
    programs.
    """
    threads, folder = torch.get_num_threads(), tmp_path_factory.mktemp("shared")
    shared = Shared(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(spread_cases.HEAD, str(os.getpid()))
        patch.setenv(spread_cases.TROUBLE, str(folder / "trouble"))
        forking = SimpleNamespace(**(vars(subprocess) | {"Popen": ForkedWorker}))
        patch.setattr("lossatlas.pools.kinds.local.subprocess", forking)
        patch.setattr(Spreading, "open_pool", lambda self, *_: nullcontext() if self.is_alone else shared.open())
        yield
    shared.close()
    torch.set_num_threads(threads)


@pytest.fixture
def trouble() -> Iterator[Path]:
    """While this file is there, there is trouble at the tile that begins where it says: at row 4, column 0."""
    file = Path(os.environ[spread_cases.TROUBLE])
    file.write_text("4 0")
    yield file
    file.unlink(missing_ok=True)


def spread_and_alone(config: SurveyConfig, tmp_path: Path, reporter: Reporter | None = None) -> list[str]:
    """What a survey by two workers has unlike one by this process with the plan that was recorded."""
    run_survey(config, tmp_path / "spread" / "run", pictures=False, spreading=TWO, reporter=reporter)
    plan = str(tmp_path / "spread" / "run" / "provenance.json")
    run_survey(replace(config, plan=plan), tmp_path / "alone" / "run", pictures=False)
    found = differences(tmp_path / "alone", tmp_path / "spread")
    return [name for name in found.unequal if name not in ("run/config.yaml", "run/provenance.json")]


class TestSurveys:
    """The store of two workers is that of one process, bit for bit."""

    @pytest.mark.parametrize("site", ["trajectory", "between"])
    def test_of_networks(self, site: str, inputs: Path, tmp_path: Path) -> None:
        """Along a trajectory, with derivatives; and between networks whose statistics are estimated again."""
        if site == "trajectory":
            config = SurveyConfig(
                **NETWORK, trajectory=str(inputs / "net0"), grid=(9, 9), tile_points=16, examples="30",
                metrics=("loss", "gradient_norm"),
            )  # fmt: skip
        else:
            ends = str(inputs / "trunk"), f"{inputs / 'trunk'}@2"
            config = SurveyConfig(**NORMALISED, between=ends, grid=(20,), tile_points=4, examples="30")
        told = Told()
        assert not spread_and_alone(config, tmp_path, told)
        assert told.shares["survey"][-1] == 1
        assert np.all(np.diff(told.shares["survey"]) >= 0)
        plan = la.open_run(tmp_path / "spread" / "run").provenance.plan
        assert plan["threads"] == max(1, torch.get_num_threads() // 2)

    def test_that_is_refined(self, inputs: Path, tmp_path: Path) -> None:
        config = SurveyConfig(
            **NETWORK, checkpoint=str(inputs / "net0"), grid=(17, 17), tile_points=16, examples="30", tolerance=0.01,
            plan="loop",
        )  # fmt: skip
        assert not spread_and_alone(config, tmp_path)

    def test_needs_as_many_tiles_as_workers(self, inputs: Path, tmp_path: Path) -> None:
        config = SurveyConfig(**NETWORK, checkpoint=str(inputs / "net0"), grid=(9, 9), examples="30", plan="loop")
        with pytest.raises(la.BadInput, match=r"3 workers are more than the 2 tiles .* --workers 2, or fewer points"):
            run_survey(config, tmp_path / "run", spreading=Spreading(workers=3))
        assert not (tmp_path / "run").exists()
        assert run_survey.estimate(config).pieces == Pieces("survey", 2, "tiles", ANY)

    def test_of_close_points_takes_tiles_of_equal_words_for_two(self, inputs: Path, tmp_path: Path) -> None:
        """All coordinates are written as 1; a worker that is lost over one of the tiles costs nothing."""
        config = SurveyConfig(
            **NETWORK, checkpoint=str(inputs / "net0"), directions=("random",), grid=(32,), tile_points=4,
            range=(1.0, 1.00001), examples="30", plan="loop",
        )  # fmt: skip
        told = Told()
        run_survey(config, tmp_path / "run", pictures=False, spreading=TWO, reporter=told)
        assert told.shares["survey"][-1] == 1


def troubled(metric: str, **settings: Any) -> SurveyConfig:
    """A survey of four tiles on each of two splits."""
    return SurveyConfig(
        model="spread_cases:network", data="spread_cases:data", checkpoint=settings.pop("checkpoint"), grid=(8, 8),
        tile_points=16, plan="loop", metrics=("loss", f"spread_cases:{metric}"), device="cpu", **settings,
    )  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """The weights of the users' network."""
    torch.save(spread_cases.network().state_dict(), tmp_path / "weights.pt")
    return str(tmp_path / "weights.pt")


def values(run: Path) -> Any:
    return la.open_run(run).survey


class TestThreads:
    def test_workers_have_those_of_the_plan(self, weights: str, tmp_path: Path) -> None:
        """Whatever the pool has stated: values differ by them."""
        config = troubled("Threads", checkpoint=weights)
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps(la.Plan.of("loop", points=8, threads=2).to_dict()))
        run_survey(replace(config, plan=str(plan)), tmp_path / "run", pictures=False, spreading=TWO)
        assert set(np.unique(values(tmp_path / "run")["train_troubled"])) == {2.0}


class TestTrouble:
    def test_a_tile_of_a_worker_that_was_killed_is_done_by_another(
        self, weights: str, trouble: Path, tmp_path: Path
    ) -> None:
        told = Told()
        config = troubled("KilledOnce", checkpoint=weights)
        run_survey(config, tmp_path / "run", pictures=False, spreading=TWO, reporter=told)
        (line,) = [line for line in told.lines if "was lost" in line]
        assert "killed by signal 9" in line
        assert "train_streaming at u 0.1429 to 1, v -1 to -0.1429, is evaluated again" in line
        run_survey(config, tmp_path / "whole", pictures=False)
        assert values(tmp_path / "run").equals(values(tmp_path / "whole"))

    def test_a_tile_that_kills_every_worker_is_given_up_and_the_others_are_done(
        self, weights: str, trouble: Path, tmp_path: Path
    ) -> None:
        config, told = troubled("Killed", checkpoint=weights), Told()
        with pytest.raises(CannotFinish) as caught:
            run_survey(config, tmp_path / "run", pictures=False, spreading=TWO, reporter=told)
        assert "2 tiles of the survey could not be evaluated" in str(caught.value)
        for split in "train", "test":
            assert f"{split}_streaming at u 0.1429 to 1, v -1 to -0.1429 (4 workers were lost" in str(caught.value)
        assert sum("was lost" in line for line in told.lines) == 8, "the first one and three others, each"
        failures = read_failures(tmp_path / "run")
        assert [(failure.split, failure.group, failure.times) for failure in failures] == [
            ("train", "streaming", 4), ("test", "streaming", 4),
        ]  # fmt: skip
        assert failures[0].coords["v"] == (-1.0, pytest.approx(-1 / 7))
        missing = np.isnan(values(tmp_path / "run")["test_troubled"].values)
        assert missing[4:, :4].all()
        assert missing.sum() == 16
        trouble.unlink()
        run_survey(config, tmp_path / "run", pictures=False, resume=True, spreading=TWO)
        assert not read_failures(tmp_path / "run")
        run_survey(config, tmp_path / "whole", pictures=False)
        assert values(tmp_path / "run").equals(values(tmp_path / "whole"))

    def test_an_exception_of_users_code_is_named_and_not_tried_again(
        self, weights: str, trouble: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(CannotFinish) as caught:
            run_survey(troubled("Failing", checkpoint=weights), tmp_path / "run", pictures=False, spreading=TWO)
        for part in "a metric of one's own", "train_streaming at u 0.1429 to 1, v -1 to -0.1429", "is kept in":
            assert part in str(caught.value)
        assert trouble.with_suffix(".times").read_text() == "once\n"

    def test_a_full_disk_ends_the_run_and_loses_nothing(self, weights: str, trouble: Path, tmp_path: Path) -> None:
        config = troubled("FullDisk", checkpoint=weights)
        with pytest.raises(CannotFinish, match="No space left on device"):
            run_survey(config, tmp_path / "run", pictures=False, spreading=TWO)
        trouble.unlink()
        run_survey(config, tmp_path / "run", pictures=False, resume=True)
        run_survey(config, tmp_path / "whole", pictures=False)
        assert values(tmp_path / "run").equals(values(tmp_path / "whole"))

    def test_cautions_of_workers_are_handed_on(self, weights: str, trouble: Path, tmp_path: Path) -> None:
        with pytest.warns(la.Caution, match="this value is not to be trusted"):
            run_survey(troubled("Doubtful", checkpoint=weights), tmp_path / "run", pictures=False, spreading=TWO)

    @pytest.mark.parametrize(("what", "word"), [("data", "data"), ("network", "network")])
    def test_a_worker_with_other_data_or_another_network_is_refused(
        self, what: str, word: str, weights: str, trouble: Path, tmp_path: Path
    ) -> None:
        other = {"model" if what == "network" else "data": f"spread_cases:other_{what}"}
        trouble.unlink()
        config = replace(troubled("Doubtful", checkpoint=weights), **other)
        with pytest.raises((la.BadInput, CannotFinish), match=word) as caught:
            run_survey(config, tmp_path / "run", pictures=False, spreading=TWO)
        assert "Traceback" not in str(caught.value)
        assert not la.open_run(tmp_path / "run").finished

    def test_a_stop_ends_it_between_tiles_and_it_goes_on_from_there(
        self, weights: str, trouble: Path, tmp_path: Path
    ) -> None:
        trouble.unlink()
        config, asked = troubled("Doubtful", checkpoint=weights), list[int]()
        run = tmp_path / "run"

        def stop() -> bool:
            asked.append(1)
            return (run / "survey.zarr").exists() and bool(list((run / "survey.zarr/train_loss").glob("c/*/*")))

        with pytest.raises(Interrupted, match="--resume"):
            run_survey(config, run, pictures=False, spreading=TWO, stop=stop)
        assert asked
        run_survey(config, run, pictures=False, spreading=TWO, resume=True)
        run_survey(config, tmp_path / "whole", pictures=False)
        assert values(run).equals(values(tmp_path / "whole"))


class TestProbe:
    """What a module computes with its weights, which no hash sees."""

    @pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
    def test_a_survey_goes_on_with_the_network_it_was_begun_with(
        self, activation: type[nn.Module], tmp_path: Path
    ) -> None:
        def survey(activation: type[nn.Module], count: int) -> Any:
            torch.manual_seed(0)
            module = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2))
            chart = la.slice_around(module)
            grid = la.make_grid(chart, (count, count))
            return la.survey(
                chart, grid, la.Problem(module, la.CrossEntropy()), spread_cases.data(), path=tmp_path / "s.zarr"
            )

        survey(nn.Tanh, 3)
        if activation is nn.Tanh:
            assert survey(activation, 5).sizes["u"] == 5
        else:
            with pytest.raises(
                la.BadInput, match=r"not the one that the survey was begun with: its loss on 8 examples"
            ):
                survey(activation, 3)

    def test_says_nothing_where_numbers_end(self) -> None:
        def probe(precision: str) -> Probe:
            made = Probe.of("test", {"precision": precision}, [[0.0], [1.0]], {"loss": [float("nan"), 2.0]})
            return Probe.parse(made.record())

        probe("fp32").check({"loss": [float("inf"), 2.0 + 1e-5]}, "it")
        probe("fp32").check({"loss": [1.0, 2.0], "error": [0.0, 1.0]}, "it")
        probe("fp32").check({"error": [0.0, 1.0]}, "it")
        with pytest.raises(la.BadInput, match=r"its loss .* at \(1\) was 2 and is 2\.02"):
            probe("fp32").check({"loss": [float("nan"), 2.02]}, "it")
        probe("bf16").check({"loss": [float("nan"), 2.02]}, "it")
        near_zero = Probe.of("test", {}, [[0.0], [1.0]], {"loss": [1e-9, -5.0]})
        near_zero.check({"loss": [-1e-6, -5.0]}, "it")

    def test_a_metric_that_has_changed_is_noticed(self, tmp_path: Path) -> None:
        def survey(factor: float) -> Any:
            problem = la.Problem(spread_cases.network(), la.CrossEntropy())
            chart = la.slice_around(problem.module)

            def scaled(outputs: torch.Tensor, batch: Any) -> torch.Tensor:
                return factor * outputs.square().sum(dim=1)

            metric = PerExampleMetric(scaled)
            grid = la.make_grid(chart, (3, 3))
            return la.survey(
                chart, grid, problem, spread_cases.data(), metrics=["loss", metric], path=tmp_path / "s.zarr"
            )

        survey(1.0)
        survey(1.0)
        with pytest.raises(la.BadInput, match="its scaled on 8 examples"):
            survey(2.0)

    def test_splits_may_come_in_any_order(self, tmp_path: Path) -> None:
        problem = la.Problem(spread_cases.network(), la.CrossEntropy())
        chart, splits = la.slice_around(problem.module), spread_cases.data()
        grid, path = la.make_grid(chart, (3, 3)), tmp_path / "s.zarr"
        la.survey(chart, grid, problem, {"test": splits["test"]}, path=path)
        la.survey(chart, grid, problem, {"train": splits["train"]}, path=path)
        both = la.survey(chart, grid, problem, {"train": splits["train"], "test": splits["test"]}, path=path)
        assert {"train_loss", "test_loss"} <= set(both)
        with pytest.raises(la.BadInput, match="split 'test' of the survey .* has"):
            la.survey(chart, grid, problem, {"test": splits["train"]}, path=path)


class TestRuns:
    """Whole runs on workers."""

    def test_of_a_comparison(self, inputs: Path, tmp_path: Path) -> None:
        config = CompareConfig(
            runs=(str(inputs / "net0"), str(inputs / "net1")), grid=(3,), line=5, slice_points=5, repeats=1,
            examples="20", plan="loop",
        )  # fmt: skip
        told = Told()
        run_compare(config, tmp_path / "spread" / "run", pictures=False, spreading=TWO, reporter=told)
        run_compare(config, tmp_path / "alone" / "run", pictures=False)
        found = differences(tmp_path / "alone", tmp_path / "spread")
        # Plans say how many threads there are.
        assert {name for name in found.unequal if not name.endswith(("provenance.json", "config.yaml"))} == set()
        assert told.shares["comparison"][-1] == 1
        with pytest.raises(la.BadInput, match=r"9 workers are more than the 4 surveys"):
            run_compare(config, tmp_path / "more", spreading=Spreading(workers=9))

    def test_of_a_study_wait_for_those_they_need(self, tmp_path: Path) -> None:
        run_study(Tiny(), "small", tmp_path / "spread" / "run", plan="loop", device="cpu", spreading=TWO)
        run_study(Tiny(), "small", tmp_path / "alone" / "run", plan="loop", device="cpu")
        unequal = differences(tmp_path / "alone", tmp_path / "spread").unequal
        assert {
            name for name in unequal if not name.endswith(("provenance.json", "metrics.jsonl", "config.yaml"))
        } == set()

    def test_need_those_in_whose_folder_an_input_lies(self, tmp_path: Path) -> None:
        net = PooledRun(SurveyConfig(), tmp_path / "net")
        around = PooledRun(SurveyConfig(checkpoint=f"{tmp_path / 'net'}@2"), tmp_path / "around")
        beside = PooledRun(SurveyConfig(checkpoint=f"{tmp_path / 'net2'}"), tmp_path / "beside")
        planned = PooledRun(SurveyConfig(plan=str(tmp_path / "net" / "provenance.json")), tmp_path / "planned")
        assert [each.needs(net) for each in (around, beside, planned)] == [True, False, True]


class TestOptions:
    @pytest.mark.parametrize(
        ("tokens", "parts"),
        [
            (["fit", "--executor", "local"], ["--executor is not an option of lossatlas fit", "survey, compare and"]),
            (["train", "--workers", "2"], ["--workers is not an option of lossatlas train", "its work is one piece"]),
            (["survey", "--checkpoint", "net", "--executor", "dask"], ["'dask' is not an executor", "local, none"]),
            (["survey", "--checkpoint", "net", "--workers", "0"], ["workers", "0"]),
            (["survey", "--checkpoint", "net", "--ray_address", "a:1"], ["ray_address", "add --executor ray"]),
            (["survey", "--checkpoint", "net", "--tile_points", "0"], ["tile_points", "0"]),
            (["reproduce", "mpo-fig4", "--workers", "-1"], ["workers", "-1"]),
            (["survey", "--executor", "dask", "--print_config"], ["'dask' is not an executor"]),
            (["survey", "--executor", "ray", "--ray_address", "a:1"], ["say how many --workers"]),
            (["submit", "--", "survey", "--checkpoint", "net", "--workers", "2"], ["would have each of its processes"]),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, tokens: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        assert main(tokens) == 2
        (line,) = capsys.readouterr().err.splitlines()
        for part in parts:
            assert part in line
        assert not (tmp_path / "runs").exists()
