"""Trainings against loops written by hand; runs that are cut off; trajectories of anybody's loop."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import make
from safetensors.torch import load_file
from torch import Tensor, nn

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.data import Batches
from lossatlas.jobs.train import run_train
from lossatlas.recipes import TrainConfig
from lossatlas.schedules import SCHEDULES
from lossatlas.training import (
    Switch,
    Thinning,
    Training,
    Trajectory,
    parse_optimizer,
    parse_switch,
    parse_thinning,
)
from lossatlas.training.start import load_start
from lossatlas.weights.files import collect_state, load_state, serialise_state

CONFIG = TrainConfig(
    model_options={"hidden": (8,)}, epochs=3, batch_size=400, optimizer="momentum,lr=0.1",
    switch=("1:adam", "2:rmsprop"), snapshots="step:2",
)  # fmt: skip


class Noisy(nn.Module):
    """Normalises by the batch and drops features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(rows)


def noisy() -> tuple[la.Problem, la.Split]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, rows = Noisy(), torch.randn(50, 6)
    return la.Problem(module, la.CrossEntropy()), la.Split((rows, torch.arange(50) % 3))


def training(problem: la.Problem, split: la.Split, **options: object) -> Training:
    settings = {"epochs": 4, "optimizer": parse_optimizer("sgd"), "schedule": SCHEDULES["constant"](), "batch_size": 16}
    return Training(problem, la.WeightSpace(problem.module), split, **{**settings, **options})


class TestSteps:
    def test_are_those_of_a_loop_written_by_hand_with_its_switches(self) -> None:
        problem, split = make("batch_norm")
        module = copy.deepcopy(problem.module)
        schedule = SCHEDULES["cosine"]()
        running = training(
            problem, split, epochs=6, batch_size=5, seed=3, schedule=schedule,
            optimizer=parse_optimizer("momentum,lr=0.05"), switches=[parse_switch("3:adam,lr=0.002")],
        )  # fmt: skip
        batches = Batches(split, 5, 3)
        assert batches.per_epoch == 2  # of 12 examples two are left over
        optimizer, rate = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9), 0.05
        start = nn.utils.parameters_to_vector(module.parameters()).detach().clone()
        module.train()
        for step in range(12):
            if step == 6:
                optimizer, rate = torch.optim.Adam(module.parameters()), 0.002
            optimizer.param_groups[0]["lr"] = rate * schedule(step / 12)
            images, labels = split.take(batches.at(step))
            before = nn.utils.parameters_to_vector(module.parameters()).detach().clone()
            optimizer.zero_grad()
            outputs = module(images)
            loss = nn.functional.cross_entropy(outputs, labels)
            loss.backward()
            optimizer.step()
            record = running.step()
            after = nn.utils.parameters_to_vector(module.parameters()).detach()
            assert record["loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
            assert record["accuracy"] == pytest.approx(float((outputs.argmax(1) == labels).double().mean()))
            assert record["lr"] == pytest.approx(rate * schedule(step / 12))
            assert record["distance"] == pytest.approx(float((after - start).norm()), rel=1e-9)
            assert record["step_length"] == pytest.approx(float((after - before).norm()), rel=1e-9)
            assert record["weight_norm"] == pytest.approx(float(after.norm()), rel=1e-9)
            assert (record["step"], record["epoch"]) == (step, (step + 1) / 2)
        assert running.done
        torch.testing.assert_close(problem.module.state_dict(), module.state_dict(), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("name", ["sgd", "nesterov", "rmsprop", "adadelta", "adamw", "torch.optim.ASGD,t0=3"])
    @pytest.mark.parametrize("cut", [0, 1, 5, 6, 7])
    def test_go_on_from_a_stored_state_bit_for_bit(self, name: str, cut: int) -> None:
        """At the start, in a phase, and on both sides of a switch after the sixth step."""
        ends = []
        for stops in (False, True):
            problem, split = noisy()
            options = {"optimizer": parse_optimizer(name), "switches": [parse_switch("2:adam")], "seed": 1}
            running = training(problem, split, **options)
            for _ in range(cut):
                running.step()
            if stops:
                tensors, scalars = running.state()
                kept = {name: tensor.clone() for name, tensor in tensors.items()}
                problem, split = noisy()
                running = training(problem, split, **options)
                running.restore(kept, json.loads(json.dumps(scalars)))
            while not running.done:
                running.step()
            ends.append(problem.module.state_dict())
        torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)

    @pytest.mark.parametrize("name", ["torch.optim.NAdam", "torch.optim.Rprop", "torch.optim.Adafactor", "momentum"])
    def test_refuse_what_another_network_or_optimiser_left(self, name: str) -> None:
        problem, split = noisy()
        running = training(problem, split, optimizer=parse_optimizer(name))
        running.step()
        tensors, scalars = running.state()
        again = training(*noisy(), optimizer=parse_optimizer(name))
        again.restore(dict(tensors), scalars)
        for key, value in tensors.items():
            if value.numel() == 1:
                continue
            for odd in (value[:1], value[None], value.to(torch.complex64), value.half()):
                if odd.shape != value.shape or odd.dtype != value.dtype:
                    with pytest.raises(ValueError, match="expected"):
                        again.restore({**tensors, key: odd}, scalars)
        with pytest.raises(ValueError, match="is missing"):
            again.restore({key: value for key, value in tensors.items() if "weight" not in key}, scalars)
        other = training(*noisy(), optimizer=parse_optimizer("adamw"))
        with pytest.raises(ValueError, match="what the optimizer remembers of parameter 0 is"):
            other.restore(dict(tensors), scalars)

    def test_leave_parameters_that_are_held_alone(self) -> None:
        problem, split = noisy()
        before = copy.deepcopy(dict(problem.module.named_parameters()))
        space = la.WeightSpace(problem.module, ("body.4*",))
        running = Training(
            problem, space, split, epochs=1, optimizer=parse_optimizer("adamw"), schedule=SCHEDULES["constant"]()
        )
        running.step()
        for name, value in problem.module.named_parameters():
            assert torch.equal(value, before[name]) == (not name.startswith("body.4"))

    def test_leave_layers_alone_that_their_author_froze(self) -> None:
        problem, split = noisy()
        problem.module.body[0].requires_grad_(False)
        before = copy.deepcopy(dict(problem.module.named_parameters()))
        running = training(problem, split, optimizer=parse_optimizer("adamw"))
        running.step()
        for name, value in problem.module.named_parameters():
            assert torch.equal(value, before[name]) == name.startswith("body.0")
        problem.module.requires_grad_(False)
        with pytest.raises(la.BadInput, match="the model has nothing to train"):
            training(problem, split)

    @pytest.mark.parametrize(
        ("schedule", "after"), [("cyclic", [11, 31]), ("warm_restarts", [20, 40]), ("constant", [40])]
    )
    def test_of_the_lowest_rate_are_those_that_members_are_taken_after(self, schedule: str, after: list[int]) -> None:
        problem, split = noisy()
        options = {"cycles": 2} if schedule != "constant" else {}
        running = training(problem, split, epochs=40, batch_size=50, schedule=SCHEDULES[schedule](**options))
        rates = [running.step()["lr"] for _ in range(40)]
        assert running.members == after
        for cycle, member in zip((rates[:20], rates[20:]), after, strict=False):
            assert rates[member - 1] == min(cycle) or schedule == "constant"

    def test_that_are_not_finite_end_it_with_the_rate(self) -> None:
        problem, split = noisy()
        running = training(problem, split, optimizer=parse_optimizer("sgd,lr=1e30"))

        def run() -> None:
            while not running.done:
                running.step()

        with pytest.raises(
            la.CannotFinish, match=r"the training diverged: .* at step \d+ with a learning rate of 1e\+30"
        ):
            run()


class TestSpecifications:
    def test_of_optimisers(self) -> None:
        assert parse_optimizer("torch.optim.NAdam,betas=(0.8,0.9),lr=0.1").options == {"betas": (0.8, 0.9), "lr": 0.1}
        assert parse_optimizer("adam").lr == 1e-3
        assert parse_optimizer("torch.optim.SGD").lr == 1e-3

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("adm", r"'adm' is not an optimizer; did you mean 'adam'\? expected adadelta, .*torch.optim.CLASS"),
            ("torch.optim.Optimizer", "is not an optimizer"),
            ("torch.optim.LBFGS", "evaluates the loss within a step"),
            ("adam,beta=1", r"'beta' is not an option of optimizer 'adam'; did you mean 'betas'\?"),
            ("adam,lr", "'lr' is not an option of an optimizer"),
            ("adam,lr=fast", "'fast' is not a value for optimizer option lr; expected a number"),
            ("adam,lr=-1", "-1 is not a value for lr of optimizer 'adam'; expected a positive number"),
            ("nesterov,momentum=0", "optimizer 'nesterov' refuses: Nesterov momentum requires"),
            ("adam,betas=(0.9,)", "optimizer 'adam' refuses: tuple index out of range"),
            ("adam,differentiable=True", "optimizer 'adam' cannot make a step with these options"),
            (
                "torch.optim.SparseAdam",
                "optimizer 'torch.optim.SparseAdam' cannot make a step with these options: SparseAdam does not",
            ),
        ],
    )
    def test_of_optimisers_that_cannot_be(self, spec: str, message: str) -> None:
        with pytest.raises(la.BadInput, match=message):
            parse_optimizer(spec)

    @pytest.mark.parametrize("spec", ["sgd", "x:sgd", "0:sgd", "-1:sgd", "inf:sgd", "3"])
    def test_of_switches_that_cannot_be_read(self, spec: str) -> None:
        with pytest.raises(la.BadInput, match="expected EPOCH:OPTIMIZER"):
            parse_switch(spec)

    @pytest.mark.parametrize(
        ("epochs", "message"),
        [
            ((0.001,), "comes before the first step"),
            ((4.0,), "at epoch 4 comes after the last of 4 epochs"),
            ((2.0, 1.0), "not later than the one before"),
            ((2.0, 2.0), "expected rising epochs"),
        ],
    )
    def test_of_switches_that_never_come(self, epochs: tuple[float, ...], message: str) -> None:
        problem, split = noisy()
        with pytest.raises(la.BadInput, match=message):
            training(problem, split, switches=[Switch(epoch, parse_optimizer("adam")) for epoch in epochs])

    @pytest.mark.parametrize("spec", ["epochs", "step:0", "step:1.5", "distance", "distance:-1", "epoch:0", ""])
    def test_of_snapshots_that_cannot_be(self, spec: str) -> None:
        with pytest.raises(la.BadInput, match="is not a choice of steps|this is not a thinning"):
            parse_thinning(spec)


def linear(value: float) -> nn.Module:
    module = nn.Linear(2, 2, bias=False)
    nn.init.constant_(module.weight, value)
    return module


class TestTrajectory:
    @pytest.mark.parametrize(
        ("thinning", "kept"),
        [
            (None, [0, 1, 2, 3, 4, 5, 6, 7]),
            (Thinning(steps=3), [0, 3, 6]),
            (Thinning(epochs=0.5), [0, 2, 4, 6]),
            (Thinning(distance=5.0), [0, 3, 6]),  # every step is 2 long
        ],
    )
    def test_is_thinned_and_read_while_it_is_written(
        self, thinning: Thinning | None, kept: list[int], tmp_path: Path
    ) -> None:
        trajectory = Trajectory(tmp_path / "way", thinning)
        for step in range(8):
            written = trajectory.record(linear(step), step, epoch=step / 4, loss=1.0 / (step + 1))
            assert written == (step in kept)
            there = Trajectory(tmp_path / "way").snapshots
            assert [snapshot.step for snapshot in there] == [k for k in kept if k <= step]
        for snapshot in there:
            assert torch.equal(snapshot.state()["weight"], torch.full((2, 2), float(snapshot.step)))
            assert snapshot.scalars == {"epoch": snapshot.step / 4, "loss": 1.0 / (snapshot.step + 1)}

    @pytest.mark.parametrize("thinning", [Thinning(steps=3), Thinning(epochs=0.5), Thinning(distance=5.0)])
    def test_cut_back_and_continued_is_the_same(self, thinning: Thinning, tmp_path: Path) -> None:
        whole, cut = Trajectory(tmp_path / "whole", thinning), Trajectory(tmp_path / "cut", thinning)
        for trajectory, steps in ((whole, range(9)), (cut, range(6))):
            for step in steps:
                trajectory.record(linear(step), step, epoch=step / 4)
        continued = Trajectory(tmp_path / "cut", thinning)
        continued.cut(4)
        for step in range(5, 9):
            continued.record(linear(step), step, epoch=step / 4)
        names = sorted(path.name for path in (tmp_path / "whole").iterdir())
        assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == names
        for name in names:
            assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    def test_of_a_writer_that_was_killed_within_a_line_is_whole_up_to_there(self, tmp_path: Path) -> None:
        trajectory = Trajectory(tmp_path)
        for step in range(3):
            trajectory.record(linear(step), step)
        index = tmp_path / "index.jsonl"
        index.write_bytes(index.read_bytes()[:-9])
        again = Trajectory(tmp_path)
        assert [snapshot.step for snapshot in again.snapshots] == [0, 1]
        again.record(linear(5), 5)
        assert [snapshot.step for snapshot in Trajectory(tmp_path).snapshots] == [0, 1, 5]

    def test_that_is_damaged_says_what_is_whole(self, tmp_path: Path) -> None:
        trajectory = Trajectory(tmp_path)
        for step in range(3):
            trajectory.record(linear(step), step)
        trajectory.snapshots[1].path.write_bytes(b"cut")
        with pytest.raises(la.BadInput, match=r"000000001.safetensors cannot be read \(.*\); .* leave step 1 out"):
            Trajectory(tmp_path).snapshots[1].state()
        index = tmp_path / "index.jsonl"
        lines = index.read_bytes().splitlines(keepends=True)
        index.write_bytes(lines[0] + b"what\n" + lines[2])
        with pytest.raises(la.BadInput, match=r"line 2 cannot be read .*; the 1 snapshots before it are whole"):
            Trajectory(tmp_path)

    def test_refuses_steps_that_do_not_rise_and_epochs_that_are_not_given(self, tmp_path: Path) -> None:
        trajectory = Trajectory(tmp_path, Thinning(epochs=1))
        trajectory.record(linear(0), 3, epoch=0)
        with pytest.raises(la.BadInput, match="step 3 is not later than the last snapshot, of step 3"):
            trajectory.record(linear(0), 3, epoch=2)
        with pytest.raises(la.BadInput, match="record every step with epoch="):
            trajectory.record(linear(0), 4)

    def test_is_told_numbers_that_are_not_finite_and_reads_them_again(self, tmp_path: Path) -> None:
        trajectory = Trajectory(tmp_path, Thinning(epochs=1))
        trajectory.record(linear(0), torch.tensor(0), epoch=0.0, loss=torch.tensor(float("nan")))
        trajectory.record(linear(1), 5, epoch=1.0, loss=float("inf"))
        again = Trajectory(tmp_path, Thinning(epochs=1))
        assert [np.isnan(snapshot.scalars["loss"]) for snapshot in again.snapshots] == [True, True]
        again.cut(0)
        assert [snapshot.step for snapshot in Trajectory(tmp_path).snapshots] == [0]
        with pytest.raises(la.BadInput, match="record every step with epoch="):
            again.record(linear(2), 6, epoch=float("nan"))

    def test_keeps_the_names_of_its_index_to_itself(self, tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match="'file' is not a name for a scalar"):
            Trajectory(tmp_path).keep(linear(0), 0, file=1.0)

    def test_of_another_network_is_not_gone_on_with(self, tmp_path: Path) -> None:
        Trajectory(tmp_path).record(linear(0), 0)
        with pytest.raises(la.BadInput, match=r"step 0 is of another model: 'weight' .* another folder"):
            Trajectory(tmp_path, Thinning(distance=1.0)).record(nn.Linear(3, 2, bias=False), 1)

    def test_holds_tied_weights_once_and_buffers_that_are_not_saved(self, tmp_path: Path) -> None:
        problem, _ = make("tied")
        module = problem.module
        module.register_buffer("hidden", torch.arange(3.0), persistent=False)
        Trajectory(tmp_path).record(module, 0)
        state = Trajectory(tmp_path).snapshots[0].state()
        assert "head.weight" not in state
        other = copy.deepcopy(module)
        with torch.no_grad():
            for value in collect_state(other).values():
                value.zero_()
        load_state(other, state, "the snapshot")
        torch.testing.assert_close(collect_state(other), collect_state(module), rtol=0, atol=0)
        assert other.head.weight is other.embedding.weight


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run_train(CONFIG, out)
    return out


def same_run(one: Path, other: Path) -> None:
    def content(run: Path) -> dict[str, object]:
        kept = {path.name: path.read_bytes() for path in (run / "snapshots").iterdir()}
        log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        kept |= {f"step {i}": {k: v for k, v in line.items() if k != "seconds"} for i, line in enumerate(log)}
        return {**kept, "model": (run / "model.safetensors").read_bytes()}

    assert content(one) == content(other)


class TestRuns:
    @pytest.mark.parametrize("after", [1, 2, 3, 4, 6, 8])
    def test_stopped_anywhere_and_resumed_end_the_same(self, after: int, whole: Path, tmp_path: Path) -> None:
        """There are three steps an epoch, a switch after each of the first two, and snapshots every two steps."""
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == after

        with pytest.raises(la.Interrupted, match="continue with"):
            run_train(CONFIG, tmp_path / "run", stop=stop)
        run_train(CONFIG, tmp_path / "run", resume=True)
        same_run(whole, tmp_path / "run")

    def test_go_on_with_as_many_threads_as_they_began(self, tmp_path: Path) -> None:
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            run_train(CONFIG, tmp_path / "whole")
            asked = iter([False, False, True])
            with pytest.raises(la.Interrupted):
                run_train(CONFIG, tmp_path / "run", stop=lambda: next(asked))
            torch.set_num_threads(2)
            run_train(CONFIG, tmp_path / "run", resume=True)
            assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(before)
        same_run(tmp_path / "whole", tmp_path / "run")

    def test_say_in_their_summary_what_their_weights_give(self, tmp_path: Path) -> None:
        config = replace(
            CONFIG, model="conv", model_options={"channels": (4,), "hidden": 8, "batch_norm": True, "max_pool": False},
            epochs=1, switch=(),
        )  # fmt: skip
        summary = run_train(config, tmp_path / "run")
        data = la.load_data("digits")
        module = la.Conv(channels=(4,), hidden=8, batch_norm=True, max_pool=False).build((1, 8, 8), 10)
        load_state(module, load_file(tmp_path / "run" / "model.safetensors"), "the run")
        module.eval()
        for name, split in data.splits.items():
            images, labels = split.take(torch.arange(len(split)))
            with torch.no_grad():
                outputs = module(images)
            accuracy = float((outputs.argmax(1) == labels).double().mean())
            assert summary[f"{name}_accuracy"] == pytest.approx(accuracy, abs=2e-3)
            assert summary[f"{name}_loss"] == pytest.approx(
                float(nn.functional.cross_entropy(outputs, labels)), rel=1e-4
            )

    def test_branch_from_any_snapshot(self, whole: Path, tmp_path: Path) -> None:
        """Without momentum, on one batch of everything, a branch goes the way of its trunk."""
        trunk = replace(CONFIG, optimizer="sgd", switch=(), batch_size=2000, snapshots="step:1", epochs=4)
        run_train(trunk, tmp_path / "trunk")
        branch = replace(trunk, init_from=f"{tmp_path / 'trunk'}@2", epochs=2)
        run_train(branch, tmp_path / "branch")
        ways = [Trajectory(tmp_path / name / "snapshots").snapshots for name in ("trunk", "branch")]
        for one, other in zip(ways[0][2:], ways[1], strict=True):
            torch.testing.assert_close(one.state(), other.state(), rtol=0, atol=1e-6)

    def test_start_from_weights_times_a_gain(self, whole: Path, tmp_path: Path) -> None:
        config = replace(CONFIG, init_from=str(whole), init_gain=2.0, epochs=1, switch=())
        run_train(config, tmp_path / "run")
        end = load_file(whole / "model.safetensors")
        for name, value in Trajectory(tmp_path / "run" / "snapshots").snapshots[0].state().items():
            torch.testing.assert_close(value, end[name] * (2.0 if value.ndim > 1 else 1.0), rtol=0, atol=0)

    def test_take_members_where_the_rate_is_lowest(self, tmp_path: Path) -> None:
        config = replace(
            CONFIG, epochs=4, switch=(), schedule="warm_restarts", schedule_options={"cycles": 2}, snapshots="step:1"
        )
        run_train(config, tmp_path / "run")
        log = [json.loads(line)["lr"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
        lowest = [i + 1 for i in range(len(log)) if i + 1 == len(log) or log[i + 1] > log[i]]
        members = sorted((tmp_path / "run" / "members").iterdir())
        snapshots = {snapshot.step: snapshot for snapshot in Trajectory(tmp_path / "run" / "snapshots").snapshots}
        assert len(members) == len(lowest) == 2
        for member, step in zip(members, lowest, strict=True):
            assert member.read_bytes() == snapshots[step].path.read_bytes()


def test_weights_that_a_file_holds_once_are_loaded_into_all_tied_names() -> None:
    module = make("tied")[0].module
    state = module.state_dict()
    del state["embedding.weight"]
    load_state(module, state, "the file")
    with pytest.raises(la.BadInput, match="'mix.weight' is missing there"):
        load_state(module, {k: v for k, v in state.items() if k != "mix.weight"}, "the file")


class TestCommandLine:
    def run(self, *tokens: str) -> int:
        return main(["train", *tokens, "--model.hidden", "8", "--batch_size=400"])

    def test_trains_and_prints(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--epochs=2", f"--out={tmp_path / 'run'}", "--switch", "1:sgd,lr=0.05") == 0
        assert "test_accuracy" in capsys.readouterr().out
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["phase"] for line in lines] == [0] * 3 + [1] * 3

    def test_a_training_that_diverges_names_step_rate_and_checkpoint(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "run"
        assert self.run("--optimizer=sgd", "--lr=1e30", f"--out={out}", "--checkpoint_seconds=0") == 3
        line = " ".join(capsys.readouterr().err.split())
        assert "at step" in line
        assert "a learning rate of 1e+30" in line
        assert f"in {out} is intact" in line
        kept = load_file(out / "checkpoint" / "latest.safetensors")
        assert all(value.isfinite().all() for value in kept.values())
        assert not (out / "model.safetensors").exists()

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["--optimizer=adamm"], "'adamm' is not an optimizer; did you mean 'adam'"),
            (["--switch", "9:sgd", "--epochs=3"], "the switch to sgd at epoch 9 comes after the last of 3 epochs"),
            (["--init_from=nowhere.pt"], "checkpoint nowhere.pt does not exist"),
            (["--init_from=RUN@7"], "does not hold a snapshot of step '7'; expected one of 0, 2, 4, 6, 8, 9"),
            (["--init_from=RUN", "--model=conv"], "is of another model"),
            (["--init_from=nowhere@3"], "does not hold snapshots"),
            (
                ["--snapshots=often"],
                "snapshots 'often' is not a choice of steps; expected epoch, epoch:N, step:N, distance:D, members",
            ),
            (["--epochs=0"], "epochs is 0"),
            (["--lr=-1"], "lr is -1"),
            (["--weight_decay=-1"], "weight_decay is -1"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, tokens: list[str], message: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tokens = [token.replace("RUN", str(whole)) for token in tokens]
        options = [] if "--model=conv" in tokens else ["--model.hidden", "8"]
        assert main(["train", *tokens, *options, f"--out={tmp_path / 'run'}"]) == 2
        line = " ".join(capsys.readouterr().err.split())
        assert message in line
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("model", "tokens", "message"),
        [
            ("nn.Sequential(nn.Flatten(), nn.Linear(9, 10))", [], "the model fails on these data"),
            (
                "nn.Sequential(nn.Flatten(), nn.Linear(64, 5))",
                [],
                "from 0 to 9, but the model has 5 outputs",
            ),
            ("nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Flatten(0))", [], "does not fit cross"),
            ("Dropped()", [], "random"),
            (
                "nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))",
                ["--batch_size=1"],
                "fails in training mode on a batch of 1: Expected more than 1 value per channel",
            ),
        ],
    )
    def test_a_model_that_cannot_be_trained_is_refused_before_anything_is_written(
        self,
        model: str,
        tokens: list[str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "bad", raising=False)
        (tmp_path / "bad.py").write_text(
            "from torch import nn\n\nclass Dropped(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(64, 10)\n"
            "    def forward(self, x):\n        return nn.functional.dropout(self.head(x.flatten(1)))\n\n"
            f"def make():\n    return {model}\n"
        )
        assert main(["train", "--model=bad:make", *tokens, f"--out={tmp_path / 'run'}"]) == 2
        errors = capsys.readouterr().err
        assert message in " ".join(errors.split())
        assert len(errors.splitlines()) == 1
        assert not (tmp_path / "run").exists()

    def test_a_branch_takes_the_problem_from_its_trunk(self, whole: Path, tmp_path: Path) -> None:
        tokens = [f"--init_from={whole}@4", "--epochs=1", "--batch_size=700", "--optimizer=sgd"]
        assert main(["train", *tokens, f"--out={tmp_path / 'run'}"]) == 0
        first = Trajectory(tmp_path / "run" / "snapshots").snapshots[0].state()
        trunk = {snapshot.step: snapshot for snapshot in Trajectory(whole / "snapshots").snapshots}
        torch.testing.assert_close(first, trunk[4].state(), rtol=0, atol=0)

    def test_a_missing_path_with_an_at_sign_is_not_taken_for_a_step(self) -> None:
        with pytest.raises(la.BadInput, match="checkpoint /tmp/of@home/weights.pt does not exist"):
            load_start("/tmp/of@home/weights.pt")

    def test_a_dry_run_writes_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run("--dry_run", f"--out={tmp_path / 'run'}") == 0
        printed = capsys.readouterr().out
        assert "train   30 steps x 400 examples" in printed
        assert not list(tmp_path.iterdir())

    def test_a_folder_without_final_weights_asks_for_a_step(self, tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match=r"does not hold model.safetensors; name a run of lossatlas train"):
            load_start(str(tmp_path))
        (tmp_path / "snapshots").mkdir()
        with pytest.raises(la.BadInput, match=r"does not hold model.safetensors; name a snapshot, as in .*@100"):
            load_start(str(tmp_path))
        (tmp_path / "model.safetensors").write_bytes(serialise_state({"weight": torch.ones(2)}))
        assert torch.equal(load_start(str(tmp_path))["weight"], torch.ones(2))
