"""Trajectories: snapshots of a network in training, from anybody's loop."""

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
from lossatlas.files.writing import CONTINUE, atomic_write, cannot_write, gone
from lossatlas.rundir import SNAPSHOTS, RunDirectory
from lossatlas.training.thinning import Thinning
from lossatlas.weights.files import module_state, state_bytes

__all__ = ["INDEX", "HeldSnapshot", "HeldTrajectory", "Recording", "Snapshot", "Trajectory"]

INDEX = "index.jsonl"
OWN = {"step", "file"}
"""What a line of the index says beside the scalars."""
SUFFIX = ".safetensors"
"""How the names of snapshots end."""
MOST_INDEX = 2**28
"""Bytes of an index: some million snapshots."""
LAST = 2**63
"""No training has so many steps."""


@dataclass(frozen=True)
class HeldSnapshot:
    """A network at one step, in memory.

    Attributes:
        step: of the training.
        scalars: what was told with it: losses, rates, epochs.
        tensors: parameters and buffers by name, tied ones under their first name.
    """

    step: int
    scalars: Mapping[str, float]
    tensors: Mapping[str, Tensor]

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"step {self.step}, {count_things(len(self.tensors), 'tensor')}")

    def state(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, tied ones under their first name."""
        return dict(self.tensors)


@dataclass(frozen=True)
class Snapshot:
    """A network at one step, in a file.

    Attributes:
        step: of the training.
        path: of the file.
        scalars: what was told with it: losses, rates, epochs.
    """

    step: int
    path: Path
    scalars: Mapping[str, float]

    def state(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, tied ones under their first name.

        Raises:
            BadInput: the file is missing or not whole.
        """
        try:
            return read_tensors(self.path)[0]
        except Unreadable as error:
            raise BadInput(
                f"snapshot {self.path} cannot be read ({error.reason}); record it again, or leave step {self.step} out"
            ) from error


S = TypeVar("S", Snapshot, HeldSnapshot)


class Recording(ABC, Generic[S]):
    """Keeps a network at some of the steps that it is told of.

    Args:
        thinning: which steps are kept; None: all.
    """

    def __init__(self, thinning: Thinning | None) -> None:
        self.thinning = thinning
        self.snapshots: list[S] = []
        """In the order of their steps."""
        self._last: Tensor | None = None

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        steps = f" of steps {self.snapshots[0].step:,} to {self.snapshots[-1].step:,}" if self.snapshots else ""
        return f"{count_things(len(self.snapshots), 'snapshot')}{steps}"

    @abstractmethod
    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> S:
        """Keep a model as it is."""

    def record(self, model: nn.Module, step: int, **scalars: float) -> bool:
        """Keep the model as it is, if a snapshot is due.

        Args:
            model: read, never changed.
            step: of the training; rises from call to call.
            scalars: numbers to keep with it: ``loss=...``, ``lr=...``, and ``epoch=...`` where thinning asks for it.

        Returns:
            Whether it was kept.

        Raises:
            BadInput: the step is not later than the last snapshot's, an epoch is missing, or a name is taken.
            CannotFinish: the disk refuses.
        """
        self._check(step, scalars)
        due = self._due(model, step, scalars)
        if due:
            self._add(model, step, scalars)
        return due

    def keep(self, model: nn.Module, step: int, **scalars: float) -> None:
        """Keep the model as it is whether a snapshot is due or not, as at the end of a training.

        Raises:
            BadInput: the step is not later than the last snapshot's.
            CannotFinish: the disk refuses.
        """
        self._check(step, scalars)
        self._add(model, step, scalars)

    def _add(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> None:
        self.snapshots.append(self._store(model, int(step), {name: float(value) for name, value in scalars.items()}))
        if self.thinning is not None and self.thinning.looks_at_weights:
            self._last = _vector(model)

    def _check(self, step: int, scalars: Mapping[str, float]) -> None:
        for name in OWN & scalars.keys():
            raise BadInput(f"a scalar of a snapshot cannot be called {name!r}, which the index uses; rename it")
        for name, value in scalars.items():
            try:
                float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise BadInput(f"scalar {name} of step {step} is {value!r}; expected a number") from error
        if not 0 <= int(step) < LAST:
            raise BadInput(f"step {step} was told to a trajectory; expected the number of a step, 0 or more")
        if self.snapshots and step <= self.snapshots[-1].step:
            raise BadInput(
                f"step {step} was told to a trajectory whose last snapshot is of step {self.snapshots[-1].step}; steps "
                "rise, and another training needs another folder"
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
        return self.thinning.due(step - last.step, epochs if math.isfinite(epochs) else None, distance)


class HeldTrajectory(Recording[HeldSnapshot]):
    """Snapshots of a network, in memory."""

    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> HeldSnapshot:
        return HeldSnapshot(step, scalars, {name: value.clone() for name, value in module_state(model).items()})


class Trajectory(Recording[Snapshot]):
    """A folder of snapshots with an index, readable while it is written.

    A snapshot is written whole before it is named in the index, so whatever the index names can be read.

    Args:
        path: the folder; made with the first snapshot.
        thinning: which steps are kept; default all that are told.

    Raises:
        BadInput: a line of the index, other than one that was cut off at its end, cannot be read, or names a file
            outside of the folder; or a link in the folder leads out of it.
    """

    def __init__(self, path: Path | str, thinning: Thinning | None = None) -> None:
        super().__init__(thinning)
        self.path = Path(path)
        self._length = 0
        self._written: int | None = None
        """The length that this object gave the index."""
        self.snapshots = self._read()

    def _describe(self) -> str:
        return f"{str(self.path)!r}, {super()._describe()}"

    @classmethod
    def of(cls, path: Path) -> Trajectory:
        """The trajectory of a run directory, or of a folder that is one itself."""
        check_path(path)
        RunDirectory(path).check_format()
        return cls(path / SNAPSHOTS if (path / SNAPSHOTS).is_dir() else path)

    def cut(self, step: int) -> None:
        """Forget snapshots of later steps, which a training that continues from ``step`` will make again."""
        kept = [snapshot for snapshot in self.snapshots if snapshot.step <= step]
        gone = self.snapshots[len(kept) :]
        if not gone:
            return
        self.snapshots = kept
        self._last = None
        atomic_write(self.path / INDEX, b"".join(map(_line, kept)), advice=CONTINUE)
        self._length = self._written = sum(len(_line(snapshot)) for snapshot in kept)
        for snapshot in gone:
            snapshot.path.unlink(missing_ok=True)

    def _store(self, model: nn.Module, step: int, scalars: Mapping[str, float]) -> Snapshot:
        self._check_index()
        path = self.path / _file_of(step)
        atomic_write(path, state_bytes(module_state(model)), advice=CONTINUE, folders=not self.snapshots)
        snapshot = Snapshot(step, path, scalars)
        try:
            with (self.path / INDEX).open("ab") as index:
                index.truncate(self._length)  # what a killed writer left of a line
                index.seek(0, os.SEEK_END)
                index.write(_line(snapshot))
                index.flush()
                os.fsync(index.fileno())
                self._length = self._written = index.tell()
        except OSError as error:
            raise cannot_write(self.path / INDEX, error) from error
        return snapshot

    def _check_index(self) -> None:
        """Refuse to write an index that somebody else has written since: it would be cut, or filled with zeros.

        Raises:
            CannotFinish: somebody has, or has removed it.
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
                f"{index} was changed while a trajectory was written to it; another process writes it: give each "
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
        """The snapshot of a line of the index.

        Raises:
            ValueError: it says none, or one of a file elsewhere.
        """
        named = parse_json(line, _Named)
        if named.file != _file_of(named.step):  # any other would be read as it, and deleted with it
            raise ValueError(f"it names {named.file!r}, which is not the snapshot of step {named.step} in this folder")
        # JSON has no number for what is not finite.
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
    """What a line of the index says beside the scalars."""

    step: int
    file: str

    def __post_init__(self) -> None:
        if not 0 <= self.step < LAST:
            raise ValueError(f"step {self.step}")


def _file_of(step: int) -> str:
    """The name of the file of a snapshot."""
    return f"{step:09d}{SUFFIX}"


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    """By name, tied ones once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _vector(model: nn.Module) -> Tensor:
    return torch.cat([value.reshape(-1).float().cpu() for value in _parameters(model).values()])


def _vector_of(snapshot: Snapshot | HeldSnapshot, model: nn.Module) -> Tensor:
    state = snapshot.state()
    for name, parameter in _parameters(model).items():
        if name not in state or state[name].shape != parameter.shape:
            raise BadInput(
                f"the snapshot of step {snapshot.step} is of another model: {name!r} is missing there or has another "
                "shape; record another network in another folder"
            )
    return torch.cat([state[name].reshape(-1).float() for name in _parameters(model)])


def _line(snapshot: Snapshot) -> bytes:
    finite = {name: value if math.isfinite(value) else None for name, value in snapshot.scalars.items()}
    return json.dumps({"step": snapshot.step, "file": snapshot.path.name, **finite}).encode() + b"\n"
