"""What the callbacks share: a trajectory that begins, is told of steps, and ends with the training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.training.thinning import Thinning
from lossatlas.training.trajectory import Trajectory

__all__ = ["Recorder", "cannot_import", "read_rate", "refuse_shards"]


def cannot_import(what: str, package: str, error: ImportError) -> BadInput:
    """The error for a callback whose framework is not there; the extra has the package's name."""
    return BadInput(
        f"{what} needs the package {package}, which cannot be imported ({format_error(error)}); "
        f"pip install 'lossatlas[{package}]'"
    )


def read_rate(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rate of the first group, where there is one, as a number that later steps do not change."""
    rate = optimizer.param_groups[0].get("lr")
    return {} if rate is None else {"lr": float(rate)}


class Recorder:
    """Tells a trajectory of a training, on the process that writes.

    Args:
        trajectory: its folder; or one that is there, which has its own thinning.
        thinning: which steps are kept; default all.
        module: the path of the submodule that is kept; default the whole model.

    Raises:
        BadInput: a trajectory is given and a thinning beside it; its index cannot be read.
    """

    def __init__(self, trajectory: Trajectory | Path | str, thinning: Thinning | None, module: str) -> None:
        if isinstance(trajectory, Trajectory) and thinning is not None:
            raise BadInput("a Trajectory and a thinning beside it; give the thinning to the Trajectory, or a folder")
        self.trajectory = trajectory if isinstance(trajectory, Trajectory) else Trajectory(trajectory, thinning)
        self._module = module

    def begin(self, model: nn.Module, step: int, **scalars: float) -> None:
        """A training starts, or continues after ``step``: forget what it will make again, keep where it starts.

        Raises:
            BadInput: another training's snapshots are there; the model has no such submodule.
        """
        chosen, found = self._chosen(model), self.trajectory.snapshots
        if step == 0 and found and found[-1].step > 0:
            raise BadInput(
                f"{self.trajectory.path} holds snapshots up to step {found[-1].step}, and this training starts at step "
                "0; resume that one from its checkpoint, or choose another folder"
            )
        self.trajectory.cut(step or -1)  # a start of which nothing came is another start now
        if not self.trajectory.snapshots:
            self.trajectory.record(chosen, step, **scalars)

    def step(self, model: nn.Module, step: int, **scalars: float) -> None:
        """A step was made; it is kept if it is due and not there."""
        if step > self.trajectory.snapshots[-1].step:
            self.trajectory.record(self._chosen(model), step, **scalars)

    def end(self, model: nn.Module, step: int, **scalars: float) -> None:
        """The training is over after ``step``, which is kept in any case."""
        if step > self.trajectory.snapshots[-1].step:
            self.trajectory.keep(self._chosen(model), step, **scalars)

    def _chosen(self, model: nn.Module) -> nn.Module:
        plain = _plain(model)
        try:
            return _plain(plain.get_submodule(self._module))
        except AttributeError as error:
            raise make_unknown_error("module", self._module, [name for name, _ in plain.named_children()]) from error


def refuse_shards(model: nn.Module) -> None:
    """Refuse a model whose parameters are spread over processes: one process would write a part of it.

    Raises:
        BadInput: it is of FSDP, DeepSpeed's third stage, or made of distributed tensors.
    """
    # Asked by the marks they leave, so that nothing of them is imported.
    parameters = any(hasattr(value, "device_mesh") or hasattr(value, "ds_id") for value in model.parameters())
    if parameters or any(hasattr(module, "_fsdp_wrapped_module") for module in model.modules()):
        raise BadInput(
            "the model's parameters are spread over processes, and a snapshot is written by one; train with whole "
            "parameters (DDP), or record a Trajectory of a gathered model in a loop of your own"
        )


def _plain(module: nn.Module) -> nn.Module:
    """The module within what distributes or compiles it, which has the names that its author gave."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module
