"""Checkpoints of a run: one file with the whole state, replaced atomically."""

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
    """A computation whose state can be stored and restored."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state as tensors and JSON values."""

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state` returned.

        Raises:
            ValueError: it is the state of something else.
        """


@dataclass(frozen=True)
class _Head:
    """The numbers stored beside those of the computation itself."""

    log_length: Tally


def write_checkpoint(run: RunDirectory, work: Stored, log_length: int) -> None:
    """Store the state of a computation, and how much of its log belongs to it.

    Raises:
        CannotFinish: the disk is full or cannot be written; the previous checkpoint is intact.
    """
    tensors, scalars = work.state()
    # One file, so that tensors and numbers always come from the same step.
    metadata = {"state": json.dumps({**scalars, "log_length": log_length})}
    run.write_bytes(FILE, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))


def restore_checkpoint(run: RunDirectory, work: Stored) -> int:
    """Restore a computation from its checkpoint, if there is one; returns the length of the log that belongs to it.

    Raises:
        BadInput: the checkpoint cannot be read, or belongs to something else.
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
