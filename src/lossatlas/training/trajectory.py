"""Trajectories: snapshots of a network in training, recorded from any training loop."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, check_path, parse_json, read_bytes
from lossatlas.files.tensors import read_tensors
from lossatlas.files.writing import CONTINUE, cannot_write, gone, write_atomically
from lossatlas.rundir import SNAPSHOTS, RunDirectory
from lossatlas.training.thinning import Thinning
from lossatlas.weights.files import collect_state, serialise_state

__all__ = ["INDEX", "HeldSnapshot", "HeldTrajectory", "Recording", "Snapshot", "Trajectory"]

INDEX = "index.jsonl"
OWN = {"step", "file"}
"""The entries of a line of the index that are not scalars of the snapshot."""
SUFFIX = ".safetensors"
"""The suffix of the files of snapshots."""
MOST_INDEX = 2**28
"""The largest size of an index in bytes, which holds some million snapshots."""
LAST = 2**63
"""An upper bound on the number of a step."""


@dataclass(frozen=True)
class HeldSnapshot:
    """A network at one step, in memory.

    Attributes:
        step: The step of the training.
        scalars: Numbers recorded with it, such as loss, learning rate and epoch.
        tensors: Parameters and buffers by name, tied ones under their first name.
    """

    step: int
    scalars: Mapping[str, float]
    tensors: Mapping[str, Tensor]

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"step {self.step}, {count_things(len(self.tensors), 'tensor')}")

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, tied ones under their first name."""
        return dict(self.tensors)


@dataclass(frozen=True)
class Snapshot:
    """A network at one step, in a file.

    Attributes:
        step: The step of the training.
        path: The safetensors file.
        scalars: Numbers recorded with it, such as loss, learning rate and epoch.
    """

    step: int
    path: Path
    scalars: Mapping[str, float]

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, tied ones under their first name.

        Raises:
            BadInput: the file is missing or damaged.
        """
        try:
            return read_tensors(self.path)[0]
        except Unreadable as error:
            raise BadInput(
                f"snapshot {self.path} cannot be read ({error.reason}); record it again, or leave step {self.step} out"
            ) from error


S = TypeVar("S", Snapshot, HeldSnapshot)


class Recording(ABC, Generic[S]):
    """A record of a network at some of the steps of its training.

    Args:
        thinning: the rule by which steps are kept; None keeps all.
    """

    def __init__(self, thinning: Thinning | None) -> None:
        self.thinning = thinning
        self.snapshots: list[S] = []
        """The snapshots by rising step."""
        self._last: Tensor | None = None

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        steps = f" of steps {self.snapshots[0].step:,} to {self.snapshots[-1].step:,}" if self.snapshots else ""
        return f"{count_things(len(self.snapshots), 'snapshot')}{steps}"

    @abstractmethod
    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> S:
        """Store the current state of a model."""

    def record(self, model: nn.Module, step: int, **scalars: float) -> bool:
        """Store the current state of the model, if a snapshot is due.

        Args:
            model: the model, which is not changed.
            step: the step of the training, larger than in the call before.
            scalars: numbers to store with it, such as ``loss=...`` and ``lr=...``; ``epoch=...`` is needed to thin by
                epochs.

        Returns:
            Whether a snapshot was stored.

        Raises:
            BadInput: the step is not later than the last snapshot, the epoch is missing, or a scalar has a reserved
                name.
            CannotFinish: the disk is full or cannot be written.
        """
        self._check(step, scalars)
        due = self._due(model, step, scalars)
        if due:
            self._add(model, step, scalars)
        return due

    def keep(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Store the current state of the model whether or not a snapshot is due, as at the end of a training.

        Raises:
            BadInput: the step is not later than the last snapshot.
            CannotFinish: the disk is full or cannot be written.
        """
        self._check(step, scalars)
        self._add(model, step, scalars)

    def _add(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> None:
        self.snapshots.append(self._store(model, int(step), {name: float(value) for name, value in scalars.items()}))
        if self.thinning is not None and self.thinning.looks_at_weights:
            self._last = _vector(model)

    def _check(self, step: int, scalars: Mapping[str, float]) -> None:
        for name in OWN & scalars.keys():
            raise BadInput(
                f"{name!r} is not a name for a scalar of a snapshot, as the index uses it; rename the scalar"
            )
        for name, value in scalars.items():
            try:
                float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise BadInput(
                    f"{value!r} is not a value for scalar {name} of step {step}; expected a number"
                ) from error
        if not 0 <= int(step) < LAST:
            raise BadInput(f"{step} is not the number of a step; expected a whole number from 0 on")
        if self.snapshots and step <= self.snapshots[-1].step:
            raise BadInput(
                f"step {step} is not later than the last snapshot, of step {self.snapshots[-1].step}; expected rising "
                "steps: record another training in another folder"
            )

    def _due(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> bool:
        if self.thinning is None or not self.snapshots:
            return True
        last, distance = self.snapshots[-1], None
        if self.thinning.looks_at_weights:
            if self._last is None:
                self._last = _vector_of(last, model)
            distance = float((_vector(model) - self._last).norm())
        epochs = float(scalars.get("epoch", math.nan)) - last.scalars.get("epoch", 0.0)
        return self.thinning.due(step, step - last.step, epochs if math.isfinite(epochs) else None, distance)


class HeldTrajectory(Recording[HeldSnapshot]):
    """A trajectory in memory: snapshots of a network in training."""

    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> HeldSnapshot:
        return HeldSnapshot(step, scalars, {name: value.clone() for name, value in collect_state(model).items()})


class Trajectory(Recording[Snapshot]):
    """A trajectory in a folder: snapshots of a network in training as safetensors files, and their index.

    A snapshot is written completely before its line in the index, so the folder can be read at any time.

    Args:
        path: the folder, which is created with the first snapshot.
        thinning: the rule by which recorded steps are kept; default all.

    Raises:
        BadInput: a line of the index cannot be read (unless it is the last one, cut off while it was written) or names
            a file outside of the folder, or a link in the folder leads out of it.

    >>> import tempfile, torch, lossatlas as la
    >>> model = torch.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trajectory = la.Trajectory(folder, la.Thinning(steps=10))
    ...     for step in range(21):
    ...         _ = trajectory.record(model, step, loss=1.0)
    ...     [(snapshot.step, sorted(snapshot.state())) for snapshot in la.Trajectory(folder).snapshots]
    [(0, ['bias', 'weight']), (10, ['bias', 'weight']), (20, ['bias', 'weight'])]
    """

    def __init__(self, path: Path | str, thinning: Thinning | None = None) -> None:
        super().__init__(thinning)
        self.path = Path(path)
        self._length = 0
        self._written: int | None = None
        """The length of the index after this object wrote it last; None before."""
        self.snapshots = self._read()

    def _describe(self) -> str:
        return f"{str(self.path)!r}, {super()._describe()}"

    @classmethod
    def of(cls, path: Path) -> Trajectory:
        """Open the trajectory of a run directory, or of the folder of a trajectory itself."""
        check_path(path)
        RunDirectory(path).check_format()
        return cls(path / SNAPSHOTS if (path / SNAPSHOTS).is_dir() else path)

    def cut(self, step: int) -> None:
        """Remove snapshots of later steps, which a training resumed from ``step`` will record again."""
        kept = [snapshot for snapshot in self.snapshots if snapshot.step <= step]
        gone = self.snapshots[len(kept) :]
        if not gone:
            return
        self.snapshots = kept
        self._last = None
        write_atomically(self.path / INDEX, b"".join(map(_line, kept)), advice=CONTINUE)
        self._length = self._written = sum(len(_line(snapshot)) for snapshot in kept)
        for snapshot in gone:
            snapshot.path.unlink(missing_ok=True)

    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> Snapshot:
        self._check_index()
        path = self.path / _file_of(step)
        write_atomically(path, serialise_state(collect_state(model)), advice=CONTINUE, folders=not self.snapshots)
        snapshot = Snapshot(step, path, scalars)
        try:
            with (self.path / INDEX).open("ab") as index:
                index.truncate(self._length)  # removes the part of a line that a killed process left
                index.seek(0, os.SEEK_END)
                index.write(_line(snapshot))
                index.flush()
                os.fsync(index.fileno())
                self._length = self._written = index.tell()
        except OSError as error:
            raise cannot_write(self.path / INDEX, error) from error
        return snapshot

    def _check_index(self) -> None:
        """Refuse to write an index that another process has written since, which would corrupt it.

        Raises:
            CannotFinish: another process has written or removed the index.
        """
        index = self.path / INDEX
        try:
            size = index.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            if self._length:
                raise gone(self.path) from None
            size = 0
        except OSError as error:
            raise cannot_write(index, error) from error
        if size < self._length or (self._written is not None and size != self._written):
            raise CannotFinish(
                f"{index} was changed by another process while a trajectory was recorded in it; give each "
                "training a folder of its own"
            )

    def _read(self) -> list[Snapshot]:
        index = self.path / INDEX
        if not os.path.lexists(index):
            return []
        check_inside(self.path)
        found: list[Snapshot] = []
        for number, line in enumerate(read_bytes(index, MOST_INDEX).splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                break  # cut off while it was written
            try:
                found.append(self._snapshot(line))
                if len(found) > 1 and found[-2].step >= found[-1].step:
                    raise ValueError(f"step {found[-1].step} after step {found[-2].step}")
            except ValueError as error:
                whole = f"the {number - 1} snapshots before it are" if number > 1 else "no snapshot before it is"
                raise BadInput(f"{index}: line {number} cannot be read ({error}); {whole} whole") from error
            self._length += len(line)
        return found

    def _snapshot(self, line: bytes) -> Snapshot:
        """Return the snapshot of a line of the index.

        Raises:
            ValueError: the line does not describe a snapshot, or its file lies elsewhere.
        """
        named = parse_json(line, _Named)
        if named.file != _file_of(named.step):  # another file would be read, and removed, in its place
            raise ValueError(f"it names {named.file!r}, which is not the snapshot of step {named.step} in this folder")
        # JSON has no NaN and no infinities.
        scalars = {
            name: math.nan if value is None else value
            for name, value in parse_json(line, dict[str, float | str | None]).items()
            if name not in OWN
        }
        if words := [name for name, value in scalars.items() if isinstance(value, str)]:
            raise ValueError(f"{words[0]} is not a number")
        return Snapshot(named.step, self.path / named.file, scalars)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Named:
    """The entries of a line of the index that are not scalars of the snapshot."""

    step: int
    file: str

    def __post_init__(self) -> None:
        if not 0 <= self.step < LAST:
            raise ValueError(f"step {self.step}")


def _file_of(step: int) -> str:
    """Return the file name of a snapshot."""
    return f"{step:09d}{SUFFIX}"


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters by name, tied ones once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _vector(model: nn.Module) -> Tensor:
    return torch.cat([value.reshape(-1).float().cpu() for value in _parameters(model).values()])


def _vector_of(snapshot: Snapshot | HeldSnapshot, model: nn.Module) -> Tensor:
    state = snapshot.state()
    for name, parameter in _parameters(model).items():
        if name not in state or state[name].shape != parameter.shape:
            raise BadInput(
                f"the snapshot of step {snapshot.step} is of another model: {name!r} is missing there or has another "
                "shape; record this network in another folder"
            )
    return torch.cat([state[name].reshape(-1).float() for name in _parameters(model)])


def _line(snapshot: Snapshot) -> bytes:
    finite = {name: value if math.isfinite(value) else None for name, value in snapshot.scalars.items()}
    return json.dumps({"step": snapshot.step, "file": snapshot.path.name, **finite}).encode() + b"\n"
