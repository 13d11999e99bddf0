"""Checkpoints of a run: one file that holds everything, replaced whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.rundir import RunDirectory

__all__ = ["FILE", "Stored", "restore_checkpoint", "write_checkpoint"]

FILE = "checkpoint/latest.safetensors"


class Stored(Protocol):
    """What can be stored, and continued from what was."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON types."""

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""


def write_checkpoint(run: RunDirectory, work: Stored, log_length: int) -> None:
    """Store a work and how much of its log belongs to it.

    Raises:
        CannotFinish: the disk refuses; the checkpoint before is whole.
    """
    tensors, scalars = work.state()
    # One file: the tensors and the numbers that go with them can never come from different steps.
    metadata = {"state": json.dumps({**scalars, "log_length": log_length})}
    run.write_bytes(FILE, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))


def restore_checkpoint(run: RunDirectory, work: Stored) -> int:
    """Continue a work from its checkpoint, if there is one; returns the length of the log that belongs to it.

    Raises:
        BadInput: the checkpoint cannot be read, or is of something else.
    """
    path: Path = run.path / FILE
    if not path.is_file():
        return 0
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
            for name in file.keys():  # noqa: SIM118 (not a dict)
                tensors[name] = file.get_tensor(name)
        work.restore(tensors, state)
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be continued ({error}); start again with --overwrite") from error
    return int(state["log_length"])
