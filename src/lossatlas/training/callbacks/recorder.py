"""The recording of a trajectory that the callbacks share."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lossatlas.errors import BadInput, format_error, make_unknown_error
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
    """Records the trajectory of a training, on the process that writes.

    Args:
        trajectory: the folder of the trajectory, or a :class:`~lossatlas.Trajectory` with its own thinning.
        thinning: the rule by which steps are kept; default all.
        module: the path of the submodule that is recorded; default the whole model.

    Raises:
        BadInput: both a trajectory and a thinning are given, or the index cannot be read.
    """

    def __init__(self, trajectory: Trajectory | Path | str, thinning: Thinning | None, module: str) -> None:
        if isinstance(trajectory, Trajectory) and thinning is not None:
            raise BadInput(
                "a thinning is given beside a Trajectory, which has its own; give it to the Trajectory, or give a "
                "folder"
            )
        self.trajectory = trajectory if isinstance(trajectory, Trajectory) else Trajectory(trajectory, thinning)
        self._module = module

    def begin(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Start with a training, or resume after ``step``: remove later snapshots, and record the start.

        Raises:
            BadInput: the folder holds snapshots of another training, or the model does not have the submodule.
        """
        chosen, found = self._chosen(model), self.trajectory.snapshots
        if step == 0 and found and found[-1].step > 0:
            raise BadInput(
                f"{self.trajectory.path} holds snapshots up to step {found[-1].step}, and this training starts at step "
                "0; resume that one from its checkpoint, or choose another folder"
            )
        self.trajectory.cut(step or -1)  # the start of a training that made no steps is replaced, too
        if not self.trajectory.snapshots:
            self.trajectory.record(chosen, step, **scalars)

    def step(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Record a step if a snapshot is due and was not stored yet."""
        if step > self.trajectory.snapshots[-1].step:
            self.trajectory.record(self._chosen(model), step, **scalars)

    def end(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Record ``step`` as the end of the training, in any case."""
        if step > self.trajectory.snapshots[-1].step:
            self.trajectory.keep(self._chosen(model), step, **scalars)

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
