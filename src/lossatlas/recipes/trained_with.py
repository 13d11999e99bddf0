"""What a trajectory was trained with, as far as the stability of its steps depends on it."""

from __future__ import annotations

import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from lossatlas.errors import BadInput
from lossatlas.files.reading import convert
from lossatlas.rundir import SNAPSHOTS, RunDirectory
from lossatlas.schema import TrainedWith
from lossatlas.training import parse_optimizer

__all__ = ["describe_training"]

NUMBERS = {
    TrainedWith.MOMENTUM: "momentum",
    TrainedWith.DAMPENING: "dampening",
    TrainedWith.WEIGHT_DECAY: "weight_decay",
}
"""The options of gradient descent by the attributes that hold them."""


def describe_training(trajectory: Path | str | None) -> dict[str, Any]:
    """Describe the optimiser of a trajectory as attributes of its data: see :class:`lossatlas.schema.TrainedWith`.

    Args:
        trajectory: a run of ``lossatlas train``, or the folder of a trajectory, of one or not; None if there is none.

    Returns:
        The attributes; empty where no run says what the trajectory was trained with.
    """
    if trajectory is None:
        return {}
    path = Path(trajectory)
    run = RunDirectory(path.parent if path.name == SNAPSHOTS else path)
    with suppress(BadInput, ValueError):  # a damaged record does not keep a trajectory from being measured
        if run.is_run:
            return _describe(run.config())
    return {}


def _describe(config: dict[str, Any]) -> dict[str, Any]:
    """Describe the optimiser that the configuration of a training states."""
    if "optimizer" not in config:
        return {}
    choice = parse_optimizer(str(config["optimizer"])).with_options(lr=config.get("lr"))
    if "weight_decay" not in choice.options:
        choice = choice.with_options(weight_decay=config.get("weight_decay"))
    switches = convert(config.get("switch") or [], list[str])
    if switches:
        return {TrainedWith.OPTIMIZER: ", then ".join([choice.name, *switches]), TrainedWith.SWITCHES: len(switches)}
    found: dict[str, Any] = {TrainedWith.OPTIMIZER: choice.name}
    if choice.kind is torch.optim.SGD:
        usual = {name: each.default for name, each in inspect.signature(torch.optim.SGD).parameters.items()}
        options = {**usual, **choice.options}
        if not options["maximize"]:
            found |= {attribute: float(options[name]) for attribute, name in NUMBERS.items()}
            found |= {TrainedWith.NESTEROV: int(bool(options["nesterov"]))}
    if isinstance(size := config.get("batch_size"), int):
        found[TrainedWith.BATCH_SIZE] = size
    return found
