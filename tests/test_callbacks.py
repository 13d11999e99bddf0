"""Trajectories of Lightning's and Hugging Face's trainers against copies of the weights that were made by hand."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer as LightningTrainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

import lossatlas as la
from lossatlas.averages import read_averages
from lossatlas.rundir import AVERAGES
from lossatlas.training import Thinning, Trajectory
from lossatlas.training.callbacks.recorder import Recorder, refuse_shards
from lossatlas.weights.files import collect_state, load_state

pytestmark = [
    # What Lightning calls in torch, and what it advises of workers, devices and folders.
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
]

RATE = 0.2
BATCHES = 5
"""An epoch; two of them make a training."""


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


def examples() -> tuple[Tensor, Tensor]:
    rows = torch.randn(4 * BATCHES, 3, generator=torch.Generator().manual_seed(1))
    return rows, (rows[:, 0] > 0).long()


@dataclass
class ByHand:
    """What a training did, written down beside it."""

    states: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    final: dict[str, Tensor] = field(default_factory=dict)

    def copy(self, step: int, module: nn.Module) -> None:
        if step not in self.states:  # batches without a step change statistics alone
            self.states[step] = {name: value.clone() for name, value in collect_state(module).items()}


class Lit(LightningModule):
    def __init__(self, by_hand: ByHand) -> None:
        super().__init__()
        self.model, self.by_hand = network(), by_hand

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        self.by_hand.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.model(batch[0])

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.SGD(self.parameters(), lr=RATE, momentum=0.9)
        linear = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 20)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": linear, "interval": "step"}}


class LitByHand(Callback):
    def __init__(self, by_hand: ByHand) -> None:
        self.by_hand = by_hand

    def on_train_start(self, trainer: LightningTrainer, pl_module: LightningModule) -> None:
        self.by_hand.copy(trainer.global_step, pl_module)

    def on_train_batch_end(self, trainer: LightningTrainer, pl_module: LightningModule, *rest: object) -> None:
        self.by_hand.copy(trainer.global_step, pl_module)


def lightning_trainer(out: Path, *callbacks: Callback, **options: Any) -> LightningTrainer:
    settings = {"max_epochs": 2, "enable_checkpointing": False, **options}
    return LightningTrainer(
        accelerator="cpu", callbacks=list(callbacks), logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=out, **settings,
    )  # fmt: skip


def with_lightning(
    out: Path, recorded: Callback | None = None, *, accumulate: int = 1, stored: int = 0, resumed: int = 0
) -> ByHand:
    by_hand = ByHand()
    callbacks = [LitByHand(by_hand), *([recorded] if recorded else [])]
    if every := stored or resumed:
        callbacks.append(
            ModelCheckpoint(out, "{step}", every_n_train_steps=every, save_top_k=-1, save_on_train_epoch_end=False)
        )
    trainer = lightning_trainer(out, *callbacks, accumulate_grad_batches=accumulate, enable_checkpointing=bool(every))
    module, data = Lit(by_hand), TensorDataset(*examples())
    path = out / f"step={resumed}.ckpt" if resumed else None
    trainer.fit(module, DataLoader(data, 4), DataLoader(data, 4), ckpt_path=path, weights_only=True)
    by_hand.final = collect_state(module)
    return by_hand


class Net(nn.Module):
    def __init__(self, by_hand: ByHand) -> None:
        super().__init__()
        self.model, self.by_hand = network(), by_hand

    def forward(self, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.model(rows)
        loss = nn.functional.cross_entropy(outputs, labels)
        if self.training:
            self.by_hand.losses.append(float(loss.detach()))
        return {"loss": loss, "logits": outputs}


class NetByHand(TrainerCallback):
    def __init__(self, by_hand: ByHand) -> None:
        self.by_hand = by_hand

    def on_train_begin(self, args: object, state: Any, control: object, **kwargs: Any) -> None:
        self.by_hand.copy(state.global_step, kwargs["model"])

    def on_step_end(self, args: object, state: Any, control: object, **kwargs: Any) -> None:
        self.by_hand.copy(state.global_step, kwargs["model"])


def with_hugging_face(
    out: Path,
    recorded: TrainerCallback | None = None,
    *,
    accumulate: int = 1,
    stored: int = 0,
    resumed: int = 0,
    trainer_type: type[Trainer] = Trainer,
    **options: Any,
) -> ByHand:
    by_hand = ByHand()
    rows, labels = examples()
    data = [{"rows": row, "labels": label} for row, label in zip(rows, labels, strict=True)]
    settings = {
        "learning_rate": RATE, "logging_steps": 1, "save_strategy": "steps" if stored else "no",
        "save_steps": stored or 500, **options,
    }  # fmt: skip
    arguments = TrainingArguments(
        output_dir=str(out), num_train_epochs=2, per_device_train_batch_size=4, gradient_accumulation_steps=accumulate,
        optim="sgd", max_grad_norm=0.0, report_to="none", disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    module = Net(by_hand)
    callbacks = [NetByHand(by_hand), *([recorded] if recorded else [])]
    trainer = trainer_type(module, arguments, train_dataset=data, eval_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=str(out / f"checkpoint-{resumed}") if resumed else None)
    by_hand.final = collect_state(module)
    return by_hand


@pytest.fixture(params=["lightning", "hugging_face"])
def framework(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], Callable[..., ByHand]]:
    if request.param == "lightning":
        return la.LightningTrajectory, with_lightning
    return la.HuggingFaceTrajectory, with_hugging_face


Framework = tuple[Callable[..., Any], Callable[..., ByHand]]


def steps(folder: Path) -> list[int]:
    return [snapshot.step for snapshot in Trajectory(folder).snapshots]


def same_states(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=0)


def apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    names = [name for name, _ in network().named_parameters(prefix="model")]
    return float(sum((one[name] - other[name]).square().sum() for name in names).sqrt())


class TestSnapshots:
    @pytest.mark.parametrize("accumulate", [1, 2])
    def test_are_the_weights_and_numbers_of_their_steps(
        self, accumulate: int, framework: Framework, tmp_path: Path
    ) -> None:
        """Of five batches in pairs, the last is a step alone."""
        make, train = framework
        by_hand = train(tmp_path, accumulate=accumulate)
        told = train(tmp_path, make(tmp_path / "way"), accumulate=accumulate)
        same_states(told.final, by_hand.final)  # recording changes nothing
        ends = [1.0, 2.0, 3.0, 4.0, 5.0] if accumulate == 1 else [2.0, 4.0, 5.0]
        epochs = [0.0, *(end / 5 for end in ends), *(1 + end / 5 for end in ends)]
        snapshots = Trajectory(tmp_path / "way").snapshots
        assert [snapshot.step for snapshot in snapshots] == list(by_hand.states) == list(range(len(epochs)))
        assert snapshots[0].scalars == {"epoch": 0.0}
        decay = 20 if make is la.LightningTrajectory else len(epochs) - 1
        for snapshot, epoch in zip(snapshots, epochs, strict=True):
            same_states(snapshot.state(), by_hand.states[snapshot.step])
            assert snapshot.scalars["epoch"] == pytest.approx(epoch)
        for before, snapshot in pairwise(snapshots):
            begin, end = (round(BATCHES * point.scalars["epoch"]) for point in (before, snapshot))
            expected = sum(by_hand.losses[begin:end]) / (end - begin)
            assert snapshot.scalars["loss"] == pytest.approx(expected, rel=1e-5)
            assert snapshot.scalars["lr"] == pytest.approx(RATE * (1 - before.step / decay))

    @pytest.mark.parametrize(
        ("thinning", "kept"), [(Thinning(steps=4), [0, 4, 8, 10]), (Thinning(epochs=0.5), [0, 3, 6, 9, 10])]
    )
    def test_are_thinned_and_end_with_the_last_step(
        self, thinning: Thinning, kept: list[int], framework: Framework, tmp_path: Path
    ) -> None:
        make, train = framework
        by_hand = train(tmp_path, make(tmp_path / "way", thinning))
        assert steps(tmp_path / "way") == kept
        for snapshot in Trajectory(tmp_path / "way").snapshots:
            same_states(snapshot.state(), by_hand.states[snapshot.step])

    def test_are_thinned_by_distance(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        states = train(tmp_path).states
        distance = apart(states[0], states[10]) / 3
        kept = [0]
        for step in range(1, 11):
            if apart(states[kept[-1]], states[step]) >= distance or step == 10:
                kept.append(step)
        assert 3 <= len(kept) <= 9
        recorded = make(Trajectory(tmp_path / "way", Thinning(distance=distance)))
        train(tmp_path, recorded)
        assert steps(tmp_path / "way") == kept
        assert [snapshot.step for snapshot in recorded.trajectory.snapshots] == kept

    def test_of_a_submodule_have_the_names_of_the_network(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        by_hand = train(tmp_path, make(tmp_path / "way", Thinning(steps=5), module="model"))
        for snapshot in Trajectory(tmp_path / "way").snapshots:
            module = network()
            load_state(module, snapshot.state(), "the snapshot")
            expected = by_hand.states[snapshot.step]
            same_states({f"model.{name}": value for name, value in collect_state(module).items()}, expected)

    def test_are_written_by_one_process(
        self, framework: Framework, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make, train = framework
        monkeypatch.setattr(LightningTrainer, "is_global_zero", property(lambda _: False))
        monkeypatch.setattr(Trainer, "is_world_process_zero", lambda _: False)
        assert len(train(tmp_path, make(tmp_path / "way")).states) == 11
        assert not (tmp_path / "way").exists()


class TestContinued:
    @pytest.mark.parametrize(
        ("stored", "thinning"),
        [(5, Thinning(steps=3)), (6, Thinning(steps=3)), (6, Thinning(epochs=0.5)), (5, Thinning(distance=0.1))],
    )
    def test_trainings_make_the_same_trajectory(
        self, stored: int, thinning: Thinning, framework: Framework, tmp_path: Path
    ) -> None:
        """Of ten steps in two epochs: at the end of the first, and within the second."""
        make, train = framework
        train(tmp_path, make(tmp_path / "way", thinning), stored=stored)
        whole = {path.name: path.read_bytes() for path in (tmp_path / "way").iterdir()}
        continued = train(tmp_path, make(tmp_path / "way", thinning), resumed=stored)
        assert list(continued.states) == list(range(stored, 11))
        again = {path.name: path.read_bytes() for path in (tmp_path / "way").iterdir()}
        assert sorted(again) == sorted(whole)
        for snapshot in Trajectory(tmp_path / "way").snapshots:
            if snapshot.step > stored:
                same_states(snapshot.state(), continued.states[snapshot.step])
        if stored == 5 or train is with_hugging_face:  # Lightning goes on within an epoch with its first batches
            assert again == whole

    def test_trainings_that_were_not_recorded_begin_where_they_are(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        train(tmp_path, stored=5)
        train(tmp_path, make(tmp_path / "way", Thinning(steps=2)), resumed=5)
        assert steps(tmp_path / "way") == [5, 7, 9, 10]

    def test_other_trainings_are_refused_and_change_nothing(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        train(tmp_path, make(tmp_path / "way", Thinning(steps=5)))
        kept = {path.name: path.read_bytes() for path in (tmp_path / "way").iterdir()}
        with pytest.raises(la.BadInput, match=r"way holds snapshots up to step 10, .* resume .* or choose another"):
            train(tmp_path, make(tmp_path / "way", Thinning(steps=5)))
        assert {path.name: path.read_bytes() for path in (tmp_path / "way").iterdir()} == kept

    def test_starts_of_which_nothing_came_are_made_again(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        Trajectory(tmp_path / "way").record(nn.Linear(2, 2), 0)
        by_hand = train(tmp_path, make(tmp_path / "way", Thinning(steps=10)))
        assert steps(tmp_path / "way") == [0, 10]
        same_states(Trajectory(tmp_path / "way").snapshots[0].state(), by_hand.states[0])


class TestLightning:
    def test_steps_of_manual_optimisation_are_all_counted(self, tmp_path: Path) -> None:
        class Manual(Lit):
            automatic_optimization = False

            def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
                for _ in range(2):
                    self.optimizers().zero_grad()
                    super().training_step(batch, batch_idx).backward()
                    self.optimizers().step()

        recorded = la.LightningTrajectory(tmp_path / "way")
        trainer = lightning_trainer(tmp_path, recorded, max_epochs=1)
        trainer.fit(Manual(ByHand()), DataLoader(TensorDataset(*examples()), 4))
        assert steps(tmp_path / "way") == [0, 2, 4, 6, 8, 10]
        assert recorded.trajectory.snapshots[-1].scalars == {"epoch": 1.0, "lr": RATE}

    def test_epochs_of_unknown_length_are_told_when_they_end(self, tmp_path: Path) -> None:
        class Stream(IterableDataset[tuple[Tensor, Tensor]]):
            def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
                return iter(list(zip(*examples(), strict=True)))

        recorded = la.LightningTrajectory(tmp_path / "way", Thinning(epochs=1))
        lightning_trainer(tmp_path, recorded).fit(Lit(ByHand()), DataLoader(Stream(), 4))
        assert [(point.step, point.scalars["epoch"]) for point in recorded.trajectory.snapshots] == [
            (0, 0.0), (5, 1.0), (10, 2.0),
        ]  # fmt: skip

    def test_trials_write_nothing(self, tmp_path: Path) -> None:
        recorded = la.LightningTrajectory(tmp_path / "way")
        trainer = lightning_trainer(tmp_path, recorded, fast_dev_run=True)
        trainer.fit(Lit(ByHand()), DataLoader(TensorDataset(*examples()), 4))
        assert not (tmp_path / "way").exists()


class TestHuggingFace:
    def test_last_snapshot_is_the_last_step_and_not_the_best_model(self, tmp_path: Path) -> None:
        by_hand = with_hugging_face(
            tmp_path, la.HuggingFaceTrajectory(tmp_path / "way", Thinning(steps=4)),
            eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, greater_is_better=True,
            learning_rate=0.05,
        )  # fmt: skip
        same_states(by_hand.final, by_hand.states[5])
        assert apart(by_hand.final, by_hand.states[10]) > 0
        assert steps(tmp_path / "way") == [0, 4, 8, 10]
        same_states(Trajectory(tmp_path / "way").snapshots[-1].state(), by_hand.states[10])

    def test_losses_are_those_that_were_logged_at_their_steps(self, tmp_path: Path) -> None:
        recorded = la.HuggingFaceTrajectory(tmp_path / "way", Thinning(steps=2))
        by_hand = with_hugging_face(tmp_path, recorded, logging_steps=4)
        losses = {point.step: point.scalars.get("loss") for point in recorded.trajectory.snapshots}
        means = {step: pytest.approx(sum(by_hand.losses[step - 4 : step]) / 4, rel=1e-5) for step in (4, 8)}
        assert losses == {0: None, 2: None, 4: means[4], 6: None, 8: means[8], 10: None}

    def test_trainers_that_log_nothing_are_recorded_to_the_end(self, tmp_path: Path) -> None:
        class Silent(Trainer):
            def log(self, *args: object, **kwargs: object) -> None:
                pass

        recorded = la.HuggingFaceTrajectory(tmp_path / "way", Thinning(steps=8))
        with_hugging_face(tmp_path, recorded, trainer_type=Silent)
        assert steps(tmp_path / "way") == [0, 8, 10]


class TestBadInput:
    def test_a_submodule_that_is_not_there(self, framework: Framework, tmp_path: Path) -> None:
        make, train = framework
        with pytest.raises(la.BadInput, match=r"'modle' is not a module; did you mean 'model'\? expected model"):
            train(tmp_path, make(tmp_path / "way", module="modle"))
        assert not (tmp_path / "way").exists()

    def test_two_thinnings(self, framework: Framework, tmp_path: Path) -> None:
        make, _ = framework
        with pytest.raises(la.BadInput, match="a thinning is given beside a Trajectory"):
            make(Trajectory(tmp_path / "way", Thinning(steps=2)), Thinning(steps=3))

    def test_parameters_that_are_spread_over_processes(self, tmp_path: Path) -> None:
        refuse_shards(nn.DataParallel(network()))
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            spread = network()
            torch.distributed.fsdp.fully_shard(spread, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
            with pytest.raises(la.BadInput, match=r"sharded over processes, .* train with unsharded parameters"):
                refuse_shards(spread)
        finally:
            torch.distributed.destroy_process_group()
        staged = network()
        staged[0].weight.ds_id = 0  # as DeepSpeed marks what it takes apart
        with pytest.raises(la.BadInput, match="sharded over processes"):
            refuse_shards(staged)

    @pytest.mark.parametrize(
        ("name", "module", "package"),
        [("LightningTrajectory", "lightning", "lightning"), ("HuggingFaceTrajectory", "huggingface", "transformers")],
    )
    def test_a_callback_without_its_package(
        self, name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(la, name)  # resolved before
        monkeypatch.delitem(sys.modules, f"lossatlas.training.callbacks.{module}")
        for loaded in [key for key in sys.modules if key == package or key.startswith(f"{package}.")]:
            monkeypatch.setitem(sys.modules, loaded, None)
        advice = rf"install it with pip install 'lossatlas\[{package}\]'$"
        expected = rf"^{name} needs the package {package}, which .*; {advice}"
        with pytest.raises(la.BadInput, match=expected) as caught:
            getattr(la, name)
        assert "\n" not in str(caught.value)
        with pytest.raises(la.BadInput, match=expected):
            importlib.import_module(f"lossatlas.training.callbacks.{module}")


def test_wrapped_models_are_kept_under_their_own_names(tmp_path: Path) -> None:
    wrapped = nn.DataParallel(torch.compile(network(), backend="eager"))
    Recorder(tmp_path, None, "").begin(wrapped, 0)
    same_states(Trajectory(tmp_path).snapshots[0].state(), collect_state(network()))


@pytest.mark.parametrize(("example", "kept"), [(0, [0, 11, 22, 33]), (1, [0, 10, 20, 30, 33])])
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator:UserWarning")
def test_examples_of_the_page_run_as_they_stand(
    example: int, kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parent.parent / "docs/how-to/own_training.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    code = [block for block in blocks if "recorded = la." in block][example]
    variables: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), variables)
    recorded = variables["recorded"].trajectory
    assert [snapshot.step for snapshot in recorded.snapshots] == kept
    assert {"epoch", "loss", "lr"} <= set(recorded.snapshots[1].scalars)


def test_packages_are_imported_only_with_their_callback() -> None:
    assert "Trajectory" in la.__all__  # which `import *` asks for
    assert not {"LightningTrajectory", "HuggingFaceTrajectory"} & set(la.__all__)
    code = (
        "import sys, lossatlas as la; la.Trajectory; import lossatlas.training.callbacks\n"
        "assert not {'lightning', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestAverages:
    @pytest.mark.parametrize("resumed", [0, 5])
    def test_are_those_of_the_steps_without_any_snapshot(
        self, resumed: int, framework: Framework, tmp_path: Path
    ) -> None:
        make, train = framework

        def averaging() -> Callable[..., Any]:
            recorder = la.AverageRecorder(tmp_path / "mean", Thinning(steps=2), begin=0.3, rank=3, decay=0.5)
            return make(averages=recorder, module="model")

        space = la.WeightSpace(network())
        by_hand = train(tmp_path / "out", averaging(), stored=5)
        if resumed:
            (tmp_path / "whole").mkdir()
            final = tmp_path / "mean" / AVERAGES
            final.rename(tmp_path / "whole" / AVERAGES)
            train(tmp_path / "out", averaging(), resumed=5)
            one, other = (read_averages(tmp_path / name / AVERAGES, space) for name in ("mean", "whole"))
            assert torch.allclose(one.moments.mean, other.moments.mean, rtol=1e-14)
            assert torch.equal(one.moments.deviations, other.moments.deviations)
        states = {
            step: space.flatten({name.removeprefix("model."): value for name, value in state.items()})
            for step, state in by_hand.states.items()
        }
        expected = la.Moments.of([states[step] for step in (4, 6, 8, 10)], rank=3)
        average = la.ExponentialAverage(0.5)
        for step in range(3, 11):
            average.update(states[step])
        found = read_averages(tmp_path / "mean" / AVERAGES, space)
        assert torch.allclose(found.moments.mean, expected.mean, rtol=1e-14)
        assert torch.equal(found.moments.deviations, expected.deviations)
        assert torch.equal(found.exponential.value, average.value)
        assert not list(tmp_path.rglob("index.jsonl"))

    def test_continue_what_was_written_with_a_checkpoint(self, tmp_path: Path) -> None:
        """Of the Hugging Face trainer, whose checkpoints hold no state of callbacks."""

        class StopAt(TrainerCallback):
            def on_step_end(self, args: object, state: Any, control: Any, **kwargs: Any) -> None:
                control.should_training_stop = state.global_step == 6

        def recorded(folder: str) -> TrainerCallback:
            recorder = la.AverageRecorder(tmp_path / folder, Thinning(steps=2), begin=2, rank=3, decay=0.5)
            return la.HuggingFaceTrajectory(averages=recorder, module="model")

        with_hugging_face(tmp_path / "out", recorded("whole"), stored=6)
        both = recorded("parts")
        stop, begin = StopAt(), both.on_step_end
        assert begin is not None
        both.on_step_end = stop.on_step_end  # type: ignore[method-assign]
        with_hugging_face(tmp_path / "again", both, stored=6)
        with_hugging_face(tmp_path / "again", recorded("parts"), resumed=6)
        space = la.WeightSpace(network())
        one, other = (read_averages(tmp_path / name / AVERAGES, space) for name in ("whole", "parts"))
        assert one.moments.count == other.moments.count == 5
        assert torch.allclose(one.moments.mean, other.moments.mean, rtol=1e-13)
        assert torch.allclose(one.moments.variance, other.moments.variance, rtol=1e-12)
        assert torch.equal(one.moments.deviations, other.moments.deviations)

    @pytest.mark.parametrize("lost", ["a later checkpoint", "the averages of the checkpoint"])
    def test_continue_from_a_checkpoint_wherever_the_training_was_killed(self, lost: str, tmp_path: Path) -> None:
        class KilledAt(TrainerCallback):
            """Before averages follow the checkpoint of step 6, or after they were written ahead of that of step 9."""

            def on_save(self, args: object, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 6 and lost == "the averages of the checkpoint":
                    raise KeyboardInterrupt

            def on_step_end(self, args: object, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 9:
                    raise KeyboardInterrupt

        def recorded(folder: str) -> TrainerCallback:
            recorder = la.AverageRecorder(tmp_path / folder, Thinning(steps=2), begin=2, rank=3)
            return la.HuggingFaceTrajectory(averages=recorder, module="model")

        with_hugging_face(tmp_path / "out", recorded("whole"), stored=3)
        both, killed = recorded("parts"), KilledAt()
        for event in ("on_save", "on_step_end"):
            own, other = getattr(both, event), getattr(killed, event)
            first, second = (other, own) if event == "on_save" else (own, other)

            def joined(*args: Any, first: Any = first, second: Any = second, **named: Any) -> None:
                first(*args, **named)
                second(*args, **named)

            setattr(both, event, joined)
        with pytest.raises(KeyboardInterrupt):
            with_hugging_face(tmp_path / "again", both, stored=3)
        with_hugging_face(tmp_path / "again", recorded("parts"), resumed=6)
        space = la.WeightSpace(network())
        one, other = (read_averages(tmp_path / name / AVERAGES, space) for name in ("whole", "parts"))
        assert one.moments.count == other.moments.count == 5
        assert torch.allclose(one.moments.mean, other.moments.mean, rtol=1e-13)
        assert torch.equal(one.moments.deviations, other.moments.deviations)

    def test_without_anything_to_record_are_refused(self, framework: Framework) -> None:
        make, _ = framework
        with pytest.raises(la.BadInput, match="nothing to record; give the folder of a trajectory, or averages="):
            make()
        with pytest.raises(la.BadInput, match="a thinning is given without a trajectory"):
            make(thinning=Thinning(steps=1), averages=la.AverageRecorder())
        with pytest.raises(la.BadInput, match="averages alone"):
            _ = make(averages=la.AverageRecorder()).trajectory
