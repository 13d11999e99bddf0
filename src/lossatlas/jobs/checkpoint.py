"""Checkpoints of a run: one file that holds everything, replaced whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save
from torch import Tensor

from lossatlas.bounds import Tally
from lossatlas.errors import BadInput
from lossatlas.files.reading import convert, parse_json, tell_reason
from lossatlas.files.tensors import read_tensors
from lossatlas.rundir import RunDirectory

__all__ = ["FILE", "Stored", "restore_checkpoint", "write_checkpoint"]

FILE = "checkpoint/latest.safetensors"


class Stored(Protocol):
    """What can be stored, and continued from what was."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON types."""

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave.

        Raises:
            ValueError: this gave nothing like it.
        """


@dataclass(frozen=True)
class _Head:
    """What is stored beside a work's own numbers."""

    log_length: Tally


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
    try:
        tensors, metadata = read_tensors(path)
        state = parse_json(metadata.get("state", "{}"), dict[str, Any])
        head = convert(state, _Head)
        work.restore(tensors, state)
    except ValueError as error:
        reason = tell_reason(error)
        raise BadInput(f"{path} cannot be continued ({reason}); start again with --overwrite") from error
    return head.log_length
