"""The trajectory of a Lightning training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.callbacks.recorder import Recorder, cannot_import, read_rate, refuse_shards
from lossatlas.training.thinning import Thinning
from lossatlas.training.trajectory import Trajectory

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise cannot_import("LightningTrajectory", "lightning", error) from error

__all__ = ["LightningTrajectory"]


class LightningTrajectory(Callback):
    """A callback that records a trajectory: ``Trainer(callbacks=[LightningTrajectory("trajectory")])``.

    Steps are the trainer's ``global_step``, which counts optimiser steps and not batches. The first snapshot is the
    start and the last one the end of the training. A snapshot has the scalars ``epoch`` (a fraction), ``lr`` (of the
    first parameter group, at its step) and, where ``training_step`` returns a loss, ``loss``: its mean over the batches
    of the step. A training that is resumed from a checkpoint continues its trajectory from there. Only one process
    writes, and a ``fast_dev_run`` records nothing.

    Args:
        trajectory: the folder of the trajectory, or a :class:`~lossatlas.Trajectory` with its own thinning; None keeps
            no snapshots.
        thinning: the rule by which steps are kept; default all.
        module: the path of the submodule that is recorded, as in ``module="model"``, so that snapshots have the
            parameter names of the plain network; default the whole LightningModule.
        averages: collects the moments and the exponential average of the weights, with or without snapshots.
            Checkpoints hold them, and it writes them at the end.

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
        self._step = 0
        self._losses: list[Tensor] = []
        self._rate: dict[str, float] = {}
        self._scalars: dict[str, Any] = {}

    @property
    def trajectory(self) -> Trajectory:
        """Return the trajectory that is recorded.

        Raises:
            BadInput: averages alone are recorded.
        """
        return self._recorder.trajectory

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only the trainer's own, wrapped model shows that it is sharded.
        refuse_shards(trainer.model if trainer.model is not None else pl_module)
        self._step, self._losses, self._rate = trainer.global_step, [], {}
        self._scalars = {"epoch": float(trainer.current_epoch)}
        if _writes(trainer):
            self._recorder.begin(
                pl_module, trainer.global_step, lambda: trainer.estimated_stepping_batches, **self._scalars
            )

    def state_dict(self) -> dict[str, Any]:
        return self._recorder.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._recorder.restore(state_dict)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._rate = read_rate(optimizer)  # at the batch's end, its schedule has moved on

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._losses.append(loss.detach().reshape(()) * trainer.accumulate_grad_batches)  # was divided by it
        if trainer.global_step == self._step:
            return
        # Losses stay on their device until a snapshot asks for the number.
        told = {"loss": torch.stack(self._losses).mean()} if self._losses else {}
        share = 1.0 if trainer.is_last_batch else (batch_idx + 1) / trainer.num_training_batches
        self._scalars = {"epoch": trainer.current_epoch + share, **told, **self._rate}
        self._step, self._losses = trainer.global_step, []
        if _writes(trainer):
            self._recorder.step(pl_module, self._step, **self._scalars)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if _writes(trainer):
            self._recorder.end(pl_module, trainer.global_step, **self._scalars)


def _writes(trainer: Trainer) -> bool:
    return bool(trainer.is_global_zero and not trainer.fast_dev_run)  # type: ignore[attr-defined]
