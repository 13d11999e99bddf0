"""Averages that are collected while a network is trained, against its snapshots; stopped and resumed they are equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from same_runs import differences
from torch import nn

import lossatlas as la
from lossatlas.averages import Averages, read_averages
from lossatlas.cli import main
from lossatlas.jobs.train import run_train
from lossatlas.recipes import TrainConfig
from lossatlas.recipes.averages import load_moments
from lossatlas.rundir import AVERAGES
from lossatlas.schedules.kinds.cyclic import Cyclic
from lossatlas.training import parse_averaging

SMALL: dict[str, Any] = {"model_options": {"hidden": (6,)}, "device": "cpu", "epochs": 4, "batch_size": 300}


def make_problem() -> tuple[la.Problem, la.WeightSpace, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    problem = la.Problem(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), la.CrossEntropy())
    return problem, la.WeightSpace(problem.module), (torch.randn(64, 4), torch.randint(2, (64,)))


@pytest.mark.parametrize(("average", "begin"), [("step:3", 0.0), ("step:3", 0.5), ("epoch", 0.75), ("epoch:0.5", 0.3)])
def test_moments_of_a_training_are_those_of_its_snapshots(average: str, begin: float) -> None:
    problem, space, examples = make_problem()
    rest = la.Averaging(begin=begin, rank=3)
    result = la.train(
        problem, examples, epochs=6, batch_size=16, snapshots=average, averages=parse_averaging(average, rest)
    )
    kept = [each for each in result.trajectory.snapshots if each.step >= begin * result.steps]
    expected = la.Moments.of([space.flatten(each.state()) for each in kept], rank=3)
    assert result.averages.moments.count == parse_averaging(average, rest).count(24, 6, ())
    for name in ("count", "mean", "variance", "deviations"):
        found, wanted = getattr(result.averages.moments, name), getattr(expected, name)
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(wanted))


@pytest.mark.parametrize("schedule", ["warm_restarts", "cyclic", "fge", "swa_cyclic"])
def test_all_members_are_averaged_unless_a_beginning_is_stated(schedule: str, tmp_path: Path) -> None:
    options = {"cycles": 4, "begin": 0.2} if schedule == "fge" else {"cycles": 4}
    cycles = {"schedule": schedule, "schedule_options": options, "snapshots": "none", "average": "members"}
    late = ("late", {"average_from": 0.7}, 2)
    for name, stated, expected in (("all", {}, 4), *([late] if schedule == "fge" else [])):
        run_train(TrainConfig(**SMALL, **cycles, **stated), tmp_path / name)
        kept = sorted((tmp_path / name / "members").iterdir())
        found = read_averages(tmp_path / name / AVERAGES, la.WeightSpace(la.MLP(hidden=(6,)).build((1, 8, 8), 10)))
        assert found.moments.count == expected
        assert len(kept) == 4
    problem, _, examples = make_problem()
    result = la.train(problem, examples, epochs=4, batch_size=16, schedule=Cyclic(cycles=4), averages="members")
    assert result.averages.moments.count == 4


def test_a_beginning_is_a_share_or_a_whole_step() -> None:
    for begin in (1.0, 1.5):
        with pytest.raises(la.BadInput, match="neither a share below 1 nor a whole number of steps"):
            la.AverageRecorder(None, begin=begin)
        with pytest.raises(la.BadInput, match="neither a share below 1 nor a whole number of steps"):
            la.Averaging(begin=begin)
    assert la.AverageRecorder(None, begin=1).first == 1


def test_members_are_averaged_where_the_rate_is_lowest(tmp_path: Path) -> None:
    problem, space, examples = make_problem()
    result = la.train(
        problem, examples, epochs=8, batch_size=16, schedule=Cyclic(cycles=4), snapshots="step:1",
        averages=la.Averaging(None, begin=0.0, decay=0.9), path=tmp_path,
    )  # fmt: skip
    steps = {each.step: space.flatten(each.state()) for each in result.trajectory.snapshots}
    rates = torch.tensor([record["lr"] for record in result.history]).view(4, 8)
    members = [steps[8 * k + int(low) + 1] for k, low in enumerate(rates.argmin(dim=1))]
    assert torch.allclose(result.averages.moments.mean, torch.stack(members).double().mean(dim=0), rtol=1e-12)
    average = la.ExponentialAverage(0.9)
    for vector in steps.values():
        average.update(vector)
    assert torch.equal(result.averages.exponential.value, average.value)
    found = read_averages(tmp_path / AVERAGES, space)
    assert torch.equal(found.exponential.value, average.value)
    assert (found.moments.count, found.step) == (4, 32)


def test_a_training_keeps_averages_without_snapshots(tmp_path: Path) -> None:
    problem, space, examples = make_problem()
    result = la.train(problem, examples, epochs=8, snapshots="none", averages="epoch", path=tmp_path / "a")
    assert result.trajectory is None
    assert [path.name for path in (tmp_path / "a").iterdir()] == [AVERAGES]
    assert load_moments(tmp_path / "a", space)[0].count == 3
    with pytest.raises(la.BadInput, match="holds the averages of another training"):
        la.train(problem, examples, epochs=8, snapshots="none", averages="epoch", path=tmp_path / "a")


def stop_at(step: int) -> Callable[[], bool]:
    left = iter(range(step))
    return lambda: next(left, None) is None


def test_a_run_that_is_stopped_anywhere_has_the_same_averages(tmp_path: Path) -> None:
    config = TrainConfig(**SMALL, average="step:2", average_from=0.4, average_rank=3, average_decay=0.9)
    run_train(config, tmp_path / "whole")
    for after in (0, 3, 4):
        with pytest.raises(la.Interrupted):
            run_train(config, tmp_path / "parts", resume=True, stop=stop_at(after))
    run_train(config, tmp_path / "parts", resume=True)
    assert differences(tmp_path / "whole", tmp_path / "parts") == ([], [])
    problem = la.open_run(tmp_path / "whole").problem
    space = la.WeightSpace(problem.module)
    own, note = load_moments(tmp_path / "whole", space)
    assert "running moments of" in note
    assert own.count >= 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--average_decay=0.9"], "average_decay means nothing without averages"),
        (["--average=sometimes"], "average 'sometimes' is not a choice of steps; expected epoch, epoch:N, step:N"),
        (["--average=members"], "an average needs the weights of two steps or more, and of .* 1 would be taken"),
        (["--average=epoch", "--average_from=1"], "a number in .0, 1."),
        (["--average=epoch:9"], "none would be taken; begin earlier"),
        (["--average=epoch", "--average_decay=1"], "a number between 0 and 1"),
    ],
)
def test_bad_averages_are_refused_before_anything_is_written(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--epochs=2", f"--out={tmp_path / 'run'}", *options]) == 2
    told = capsys.readouterr().err
    assert re.search(said, told), told
    assert not (tmp_path / "run").exists()


def test_a_recorder_of_ones_own_loop_continues_bit_for_bit(tmp_path: Path) -> None:
    def walk(recorder: la.AverageRecorder, steps: range, model: nn.Linear) -> None:
        for step in steps:
            with torch.no_grad():
                model.weight += torch.randn(model.weight.shape, generator=torch.Generator().manual_seed(step))
            recorder.record(model, step, epoch=step / 10)

    made: list[Averages] = []
    for parts in ([range(1, 101)], [range(1, 38), range(38, 101)]):
        model = nn.Linear(3, 2)
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        state: Any = None
        for steps in parts:
            recorder = la.AverageRecorder(None, la.Thinning(epochs=0.7), begin=20, rank=4, decay=0.95)
            if state is not None:
                recorder.restore(model, *state)
            walk(recorder, steps, model)
            state = recorder.state()
        made.append(recorder.result())
    assert made[0].moments.count == made[1].moments.count == 12
    for name in ("mean", "variance", "deviations"):
        assert torch.equal(getattr(made[0].moments, name), getattr(made[1].moments, name))
    assert torch.equal(made[0].exponential.value, made[1].exponential.value)


def test_a_recorder_continues_what_it_wrote_and_refuses_other_steps(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    first = la.AverageRecorder(tmp_path, la.Thinning(steps=10))
    for step in range(51):
        first.record(model, step)
    first.write()
    with pytest.raises(la.BadInput, match="holds the averages of another training"):
        la.AverageRecorder(tmp_path).record(model, 0)
    with pytest.raises(la.BadInput, match="holds averages up to step 50, of rank 20 .* expected step 40"):
        la.AverageRecorder(tmp_path, la.Thinning(steps=10)).resume(model, 40)
    again = la.AverageRecorder(tmp_path, la.Thinning(steps=10))
    again.resume(model, 50)
    assert [again.record(model, step) for step in range(51, 61)] == [False] * 9 + [True]
    assert again.moments.count == 7


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: la.AverageRecorder(begin=0.5).record(nn.Linear(1, 1), 0),
            "whose steps are not known; give total_steps",
        ),
        (lambda: la.AverageRecorder(thinning=la.Thinning(distance=1.0)), "taken by steps or epochs"),
        (lambda: la.AverageRecorder(begin=-1.0), "is not where averages begin"),
        (lambda: la.AverageRecorder().write(), "give AverageRecorder a path"),
        (
            lambda: la.AverageRecorder(thinning=la.Thinning(epochs=1)).record(nn.Linear(1, 1), 0),
            "record it with epoch=",
        ),
    ],
)
def test_recorders_refuse_what_they_cannot_do_in_one_line(make: Callable[[], object], said: str) -> None:
    with pytest.raises(la.BadInput, match=said):
        make()


def test_a_run_of_some_parameters_averages_these(tmp_path: Path) -> None:
    config = TrainConfig(**SMALL, parameters=("3.*",), average="epoch", average_from=0.0, snapshots="none")
    run_train(config, tmp_path / "run")
    module = la.open_run(tmp_path / "run").problem.module
    space = la.WeightSpace(module, ("3.*",))
    assert load_moments(tmp_path / "run", space)[0].mean.shape == (space.size,)
    with pytest.raises(la.BadInput, match=r"averages of another model: '1.weight' is missing there"):
        load_moments(tmp_path / "run", la.WeightSpace(module))


def test_the_record_of_a_training_is_read_again_with_the_beginning_that_it_had() -> None:
    for settings, begin in (({}, 0.75), ({"average": "epoch"}, 0.75), ({"average": "members"}, 0.0)):
        config = TrainConfig(**settings)
        assert config.average_from == begin
        assert TrainConfig.from_flat(config.flat()) == config
    assert TrainConfig(average="members", average_from=0.5).average_from == 0.5


@pytest.mark.parametrize("decay", [None, 0.9])
def test_averages_are_continued_before_their_first_vector(tmp_path: Path, decay: float | None) -> None:
    """A checkpoint may fall between the beginning and the first step that is due."""

    def make(path: Path | None) -> la.AverageRecorder:
        return la.AverageRecorder(path, la.Thinning(steps=10), begin=5, decay=decay)

    torch.manual_seed(0)
    model, whole, first = torch.nn.Linear(3, 2), make(None), make(tmp_path)
    for step in range(31):
        with torch.no_grad():
            model.weight.add_(1.0)
        whole.record(model, step)
        if step <= 7:
            first.record(model, step)
        if step == 7:
            first.write()
            second = make(tmp_path)
            second.resume(model, 7)
        elif step > 7:
            second.record(model, step)
    assert second.moments.count == whole.moments.count == 3
    assert torch.equal(second.moments.mean, whole.moments.mean)
    if decay is not None:
        assert second.exponential.count == whole.exponential.count == 26
        assert torch.equal(second.exponential.value, whole.exponential.value)
