"""Schedules that take members of ensembles and averages in cycles, by whole steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.errors import BadInput
from lossatlas.jobs.train import run_train
from lossatlas.recipes import TrainConfig
from lossatlas.schedules import SCHEDULES
from lossatlas.training import parse_optimizer
from lossatlas.weights.files import read_checkpoint

CYCLED = ("fge", "swa_cyclic")


def garipov(i: int, c: int, high: float, low: float) -> float:
    """The rate of iteration i, counted from 1, in the paper of fast geometric ensembling."""
    t = ((i - 1) % c + 1) / c
    return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high


def izmailov(i: int, c: int, high: float, low: float) -> float:
    """The rate of iteration i, counted from 1, in the paper of stochastic weight averaging."""
    t = ((i - 1) % c + 1) / c
    return (1 - t) * high + t * low


@pytest.mark.parametrize(("name", "paper"), [("fge", garipov), ("swa_cyclic", izmailov)])
@pytest.mark.parametrize(("total", "begin"), [(100, 0.5), (103, 0.8), (57, 0.0)])
def test_cycles_are_those_of_the_papers(name: str, paper: object, total: int, begin: float) -> None:
    assert callable(paper)
    schedule = SCHEDULES[name](cycles=3, begin=begin, high=0.4, low=0.02)
    rates = [schedule.at_step(step, total) for step in range(total)]
    multiple = 2 if name == "fge" else 1
    length = (total - round(begin * total)) // (3 * multiple) * multiple
    cycles = rates[total - 3 * length :]
    assert cycles == pytest.approx([paper(i, length, 0.4, 0.02) for i in range(1, 3 * length + 1)])
    before = rates[: total - 3 * length]
    assert all(later <= rate for rate, later in pairwise(before))
    members = schedule.list_members(total)
    assert len(members) == 3
    assert [rates[member - 1] for member in members] == pytest.approx([0.02] * 3)
    at = length // 2 if name == "fge" else length
    assert members == [total - 3 * length + k * length + at for k in range(3)]


@pytest.mark.parametrize("name", CYCLED)
def test_a_rate_in_time_is_that_of_many_steps(name: str) -> None:
    schedule = SCHEDULES[name]()
    total = 8000
    for step in (0, 3000, 5000, 6500, 7111, 7777):
        assert schedule.at_step(step, total) == pytest.approx(schedule((step + 0.5) / total), abs=2e-3)
    for share, member in zip(schedule.lowest(), schedule.list_members(total), strict=True):
        assert share == pytest.approx(member / total)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_rate_after_the_last_step_is_that_of_the_last_step(name: str) -> None:
    schedule = SCHEDULES[name]()
    assert schedule.at_step(48, 48) == schedule.at_step(47, 48)


def test_averaging_begins_at_the_rate_that_is_kept() -> None:
    schedule = la.AveragingRate(begin=0.5, low=0.2)
    assert [schedule(share) for share in (0.0, 0.25, 0.375, 0.5, 0.75, 1.0)] == pytest.approx(
        [1, 1, 0.6, 0.2, 0.2, 0.2]
    )
    assert la.AveragingRate(begin=0.0, low=0.2)(0.0) == 0.2


@pytest.mark.parametrize("name", CYCLED)
def test_a_training_and_a_loop_of_ones_own_have_the_same_rates_and_members(name: str) -> None:
    schedule = SCHEDULES[name](cycles=2)
    module = nn.Linear(4, 2)
    examples = torch.randn(50, 4), torch.randint(2, (50,))
    running = la.Training(
        la.Problem(module, la.CrossEntropy()), la.WeightSpace(module), examples, epochs=43, batch_size=50,
        optimizer=parse_optimizer("sgd,lr=0.1"), schedule=schedule,
    )  # fmt: skip
    rates = [running.step()["lr"] for _ in range(43)]
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.at_step(step, 43))
    own = []
    for _ in range(43):
        own += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(own)
    assert running.members == schedule.list_members(43)
    assert [rates[member - 1] for member in running.members] == pytest.approx([min(rates)] * 2)


@pytest.mark.parametrize("name", CYCLED)
def test_cycles_that_cannot_be_are_refused(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(la.BadInput, match="falls from 0.1 to 0.2; expected low <= high"):
        SCHEDULES[name](high=0.1, low=0.2)
    with pytest.raises(la.BadInput, match=f"{name}'s begin is 1.0; expected a number in"):
        SCHEDULES[name](begin=1.0)
    needed = 8 if name == "fge" else 4
    with pytest.raises(la.BadInput, match=f"4 cycles of a learning rate need {needed} steps or more, and 2 of 10 are"):
        SCHEDULES[name](begin=0.8).at_step(0, 10)
    tokens = ["--epochs", "1", "--batch_size", "600", "--model.hidden", "4", "--out", str(tmp_path / "run")]
    assert main(["train", "--schedule", name, *tokens]) == 2
    assert "steps or more, and" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "kept"), [("fge", 2), ("swa_cyclic", 2), ("swa", 0)])
def test_members_lie_in_a_folder_of_the_run(name: str, kept: int, tmp_path: Path) -> None:
    cycles = [] if name == "swa" else ["--schedule.cycles", "2"]
    tokens = ["--epochs", "2", "--batch_size", "100", "--model.hidden", "4", "--out", str(tmp_path / "run")]
    assert main(["train", "--schedule", name, *cycles, *tokens]) == 0
    assert len(list((tmp_path / "run").glob("members/*.safetensors"))) == kept


def test_fewer_steps_than_cycles_leave_no_members() -> None:
    for schedule in (la.WarmRestarts(cycles=4), la.Cyclic(cycles=4)):
        with pytest.raises(BadInput, match="too few"):
            schedule.list_members(3)
    with pytest.raises(BadInput, match="too few"):
        la.WarmRestarts(cycles=7, growth=0.5).list_members(20)


def test_snapshots_are_the_members_of_the_schedule(tmp_path: Path) -> None:
    torch.manual_seed(0)
    problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    examples = torch.randn(40, 4), torch.randint(2, (40,))
    schedule = la.FastGeometric(cycles=3, begin=0.4)
    for path in (None, tmp_path / "held"):
        result = la.train(problem, examples, epochs=4, batch_size=4, schedule=schedule, snapshots="members", path=path)
        kept = [snapshot.step for snapshot in result.trajectory.snapshots]
        assert kept == [0, *schedule.list_members(40), 40]
    config = {"schedule": "warm_restarts", "schedule_options": {"cycles": 3}, "model_options": {"hidden": (4,)}}
    run_train(TrainConfig(**config, epochs=2.0, snapshots="members"), tmp_path / "run")
    snapshots = [tuple(each.state().values()) for each in la.Trajectory.of(tmp_path / "run").snapshots]
    members = sorted((tmp_path / "run" / "members").iterdir())
    assert len(members) == 3
    assert len(snapshots) == 4  # the last member is the last network
    for snapshot, member in zip(snapshots[1:], members, strict=True):
        state = read_checkpoint(member)
        assert all(torch.equal(one, other) for one, other in zip(snapshot, state.values(), strict=True))


def test_members_without_cycles_are_refused_in_one_line(tmp_path: Path) -> None:
    problem, examples = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy()), (torch.randn(8, 4), torch.zeros(8).long())
    with pytest.raises(la.BadInput, match="the learning rate has no cycles"):
        la.train(problem, examples, epochs=1, snapshots="members", path=tmp_path / "train")
    with pytest.raises(la.BadInput, match="the learning rate has no cycles"):
        run_train(TrainConfig(snapshots="members"), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    with pytest.raises(la.BadInput, match="numbers of one or more steps, and nothing else"):
        la.Thinning(steps=3, at=(1, 2))
