"""The recording of a trajectory and of averages that the callbacks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.rundir import AVERAGES
from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.thinning import Thinning
from lossatlas.training.trajectory import Trajectory

__all__ = ["Recorder", "cannot_import", "read_rate", "refuse_shards"]


def cannot_import(what: str, package: str, error: ImportError) -> BadInput:
    """Return the error for a callback whose framework is not installed; the extra has the name of the package."""
    return BadInput(
        f"{what} needs the package {package}, which cannot be imported ({format_error(error)}); "
        f"install it with pip install 'lossatlas[{package}]'"
    )


def read_rate(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Read the learning rate of the first parameter group, if there is one, as a plain number."""
    rate = optimizer.param_groups[0].get("lr")
    return {} if rate is None else {"lr": float(rate)}


class Recorder:
    """Records the trajectory and the averages of a training, on the process that writes.

    Args:
        trajectory: the folder of the trajectory, or a :class:`~lossatlas.Trajectory` with its own thinning; None keeps
            no snapshots.
        thinning: the rule by which steps are kept; default all.
        module: the path of the submodule that is recorded; default the whole model.
        averages: of its weights; None averages nothing.

    Raises:
        BadInput: both a trajectory and a thinning are given, neither a trajectory nor averages, or the index cannot be
            read.
    """

    def __init__(
        self,
        trajectory: Trajectory | Path | str | None,
        thinning: Thinning | None,
        module: str,
        averages: AverageRecorder | None = None,
    ) -> None:
        if trajectory is None and averages is None:
            raise BadInput("there is nothing to record; give the folder of a trajectory, or averages=AverageRecorder()")
        if trajectory is None and thinning is not None:
            raise BadInput("a thinning is given without a trajectory; give it to the AverageRecorder, or give a folder")
        if isinstance(trajectory, Trajectory) and thinning is not None:
            raise BadInput(
                "a thinning is given beside a Trajectory, which has its own; give it to the Trajectory, or give a "
                "folder"
            )
        if isinstance(trajectory, Path | str):
            trajectory = Trajectory(trajectory, thinning)
        self._trajectory = trajectory
        self._averages = averages
        self._module = module
        self._stored: Mapping[str, Any] | None = None

    @property
    def trajectory(self) -> Trajectory:
        """Return the trajectory that is recorded.

        Raises:
            BadInput: averages alone are recorded.
        """
        if self._trajectory is None:
            raise BadInput("no trajectory is recorded, but averages alone; give the callback the folder of one")
        return self._trajectory

    def begin(
        self,
        model: nn.Module,
        step: int,
        count_steps: Callable[[], float] = lambda: 0,
        checkpoint: Path | None = None,
        **scalars: float,
    ) -> None:
        """Start with a training, or resume after ``step``: remove later snapshots, and record the start.

        Args:
            model: what is trained.
            step: the number of steps that were made before.
            count_steps: counts the steps of the whole training; 0 or infinity where they are not known.
            checkpoint: the folder of the checkpoint that is resumed, which may hold averages.
            scalars: numbers of the step.

        Raises:
            BadInput: the folder holds snapshots or averages of another training, or the model does not have the
                submodule.
        """
        chosen = self._chosen(model)
        if self._averages is not None:
            self._begin_averages(self._averages, chosen, step, count_steps, checkpoint, scalars)
        if self._trajectory is None:
            return
        found = self._trajectory.snapshots
        if step == 0 and found and found[-1].step > 0:
            raise BadInput(
                f"{self._trajectory.path} holds snapshots up to step {found[-1].step}, and this training starts at "
                "step 0; resume that one from its checkpoint, or choose another folder"
            )
        self._trajectory.cut(step or -1)  # the start of a training that made no steps is replaced, too
        if not self._trajectory.snapshots:
            self._trajectory.record(chosen, step, **scalars)

    def _begin_averages(
        self,
        averages: AverageRecorder,
        chosen: nn.Module,
        step: int,
        count_steps: Callable[[], float],
        checkpoint: Path | None,
        scalars: Mapping[str, float],
    ) -> None:
        """Begin averages, or continue those of the checkpoint or of the folder."""
        if averages.total_steps is None:
            total = count_steps()
            averages.total_steps = int(total) if 0 < total < float("inf") else None
        if self._stored is not None:
            try:
                averages.restore(chosen, self._stored["tensors"], self._stored["numbers"])
            except (KeyError, ValueError) as error:
                raise BadInput(
                    f"the checkpoint holds other averages ({format_error(error)}); resume with the settings that "
                    "it was made with"
                ) from error
            self._stored = None
        elif step > 0 and averages.step < step:
            held = checkpoint if checkpoint is not None and (checkpoint / AVERAGES).is_file() else None
            averages.resume(chosen, step, scalars.get("epoch"), held)
        if averages.step < step:
            averages.record(chosen, step, **scalars)

    def step(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Record a step if a snapshot is due and was not stored yet, and average its weights."""
        self._average(model, step, scalars)
        if self._trajectory is not None and step > self._trajectory.snapshots[-1].step:
            self._trajectory.record(self._chosen(model), step, **scalars)

    def end(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Record ``step`` as the end of the training, in any case, and write the averages."""
        self.save(model, step, None, **scalars)
        if self._trajectory is not None and step > self._trajectory.snapshots[-1].step:
            self._trajectory.keep(self._chosen(model), step, **scalars)

    def save(self, model: nn.Module, step: int, checkpoint: Path | None = None, **scalars: float) -> None:
        """Write the averages up to ``step``, where they have a folder, and to that of a checkpoint."""
        self._average(model, step, scalars)
        if self._averages is not None and self._averages.path is not None:
            self._averages.write()
        if self._averages is not None and checkpoint is not None and checkpoint.is_dir():
            self._averages.write(checkpoint)

    def _average(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> None:
        if self._averages is not None and step > self._averages.step:
            self._averages.record(self._chosen(model), step, **scalars)

    def state(self) -> dict[str, Any]:
        """Return the state of the averages for a checkpoint: tensors, and numbers of JSON types."""
        if self._averages is None:
            return {}
        tensors, numbers = self._averages.state()
        return {"tensors": {name: value.cpu() for name, value in tensors.items()}, "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Keep the state of a checkpoint until the training begins."""
        self._stored = state if self._averages is not None and state else None

    def _chosen(self, model: nn.Module) -> nn.Module:
        plain = _plain(model)
        try:
            return _plain(plain.get_submodule(self._module))
        except AttributeError as error:
            raise make_unknown_error("module", self._module, [name for name, _ in plain.named_children()]) from error


def refuse_shards(model: nn.Module) -> None:
    """Refuse a model whose parameters are sharded over processes, of which one process would write only a part.

    Raises:
        BadInput: the model is sharded by FSDP, DeepSpeed's third stage or distributed tensors.
    """
    # They are recognised by attributes of the parameters, so that none of these packages is imported.
    parameters = any(hasattr(value, "device_mesh") or hasattr(value, "ds_id") for value in model.parameters())
    if parameters or any(hasattr(module, "_fsdp_wrapped_module") for module in model.modules()):
        raise BadInput(
            "the model's parameters are sharded over processes, and one process writes the snapshots; train with "
            "unsharded parameters (DDP), or record a Trajectory of a gathered model in a loop of your own"
        )


def _plain(module: nn.Module) -> nn.Module:
    """Return the module inside wrappers that distribute or compile it, with its original parameter names."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module
