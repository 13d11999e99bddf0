"""The trajectory of a training with the Hugging Face ``Trainer``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.callbacks.recorder import Recorder, cannot_import, read_rate, refuse_shards
from lossatlas.training.thinning import Thinning
from lossatlas.training.trajectory import Trajectory

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
except ImportError as error:
    raise cannot_import("HuggingFaceTrajectory", "transformers", error) from error

__all__ = ["HuggingFaceTrajectory"]


class HuggingFaceTrajectory(TrainerCallback):
    """A callback that records a trajectory: ``Trainer(..., callbacks=[HuggingFaceTrajectory("trajectory")])``.

    Steps are the trainer's ``global_step``, which counts optimiser steps and not batches. The first snapshot is the
    start and the last one the end of the training, even if the trainer loads its best model afterwards. A snapshot has
    the scalars ``epoch`` (a fraction), ``lr`` (of the first parameter group, at its step) and, where the trainer logged
    after that step, ``loss``: the mean since the last log, so that ``logging_steps=1`` gives the loss of each step. A
    training that is resumed from a checkpoint continues its trajectory from there. Only one process writes.

    Args:
        trajectory: the folder of the trajectory, or a :class:`~lossatlas.Trajectory` with its own thinning; None keeps
            no snapshots.
        thinning: the rule by which steps are kept; default all.
        module: the path of the submodule that is recorded; default the whole model.
        averages: collects the moments and the exponential average of the weights, with or without snapshots. It writes
            them into every checkpoint, from which a training that is resumed continues them, and at the end.

    Raises:
        BadInput: both a trajectory and a thinning are given, nothing is to be recorded, or the index cannot be read.
            When the training starts: the folder holds snapshots or averages of another training, the submodule is
            missing, or parameters are sharded over processes.
    """

    def __init__(
        self,
        trajectory: Trajectory | Path | str | None = None,
        thinning: Thinning | None = None,
        *,
        module: str = "",
        averages: AverageRecorder | None = None,
    ) -> None:
        self._recorder = Recorder(trajectory, thinning, module, averages)
        self._rate: dict[str, float] = {}

    @property
    def trajectory(self) -> Trajectory:
        """Return the trajectory that is recorded.

        Raises:
            BadInput: averages alone are recorded.
        """
        return self._recorder.trajectory

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        refuse_shards(kwargs["model"])
        self._rate = {}
        if state.is_world_process_zero:
            self._recorder.begin(
                kwargs["model"],
                state.global_step,
                lambda: state.max_steps,
                _find_checkpoint(args, state),
                epoch=float(state.epoch),
            )

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._rate = read_rate(kwargs["optimizer"])  # at the step's end, its schedule has moved on

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # The step before is recorded now: its weights are unchanged, and its loss was logged only after it ended.
        if state.is_world_process_zero:
            self._recorder.step(kwargs["model"], state.global_step, **self._scalars(state))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._write_ahead(state, control, kwargs["model"])

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._write_ahead(state, control, kwargs["model"])

    def _write_ahead(self, state: TrainerState, control: TrainerControl, model: nn.Module) -> None:
        """Write the averages before the checkpoint, which a kill may leave without its own."""
        if control.should_save and state.is_world_process_zero:
            self._recorder.save(model, state.global_step, None, **self._scalars(state))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = _find_checkpoint(args, state)
            self._recorder.save(kwargs["model"], state.global_step, folder, **self._scalars(state))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # The log of the whole training is the last event before the best model takes the place of the last one.
        if any("total_flos" in entry for entry in state.log_history[-1:]):
            self._end(state, kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not args.load_best_model_at_end:  # of a trainer whose own log() tells no callback
            self._end(state, kwargs["model"])

    def _end(self, state: TrainerState, model: nn.Module) -> None:
        if state.is_world_process_zero:
            self._recorder.end(model, state.global_step, **self._scalars(state))

    def _scalars(self, state: TrainerState) -> dict[str, float]:
        logged = [entry for entry in state.log_history if entry.get("step") == state.global_step and "loss" in entry]
        told = {"loss": float(logged[-1]["loss"])} if logged else {}
        return {"epoch": float(state.epoch), **told, **self._rate}


def _find_checkpoint(args: TrainingArguments, state: TrainerState) -> Path | None:
    """The folder that the trainer keeps the checkpoint of the current step in."""
    folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
    return folder if folder.is_dir() else None
