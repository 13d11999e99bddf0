"""A recorder of averages of a network in training, for any training loop, without snapshots."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lossatlas.averages import Averages, ExponentialAverage, Moments, encode_averages, read_averages
from lossatlas.bounds import Tally
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.files.reading import check_path, convert
from lossatlas.files.writing import CONTINUE, write_atomically
from lossatlas.rundir import AVERAGES
from lossatlas.schema import AVERAGE_RANK
from lossatlas.training.thinning import Thinning
from lossatlas.weights import WeightSpace

__all__ = ["AverageRecorder"]


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a recorder beside its tensors."""

    count: Tally
    updates: Tally
    step: int
    epoch: float | None


class AverageRecorder:
    """Collects the moments and the exponential average of a network's weights, without keeping snapshots.

    Args:
        path: the folder in which :meth:`write` puts ``averages.safetensors``; None keeps averages in memory.
        thinning: the rule by which recorded steps enter the moments, counted from step 0; default all. The exponential
            average takes every recorded step.
        begin: from where on recorded steps count: below 1 a share of ``total_steps``, otherwise a whole number of
            steps. The float 1.0, which could be meant as either, is refused.
        total_steps: the steps of the whole training, which a share needs.
        rank: how many deviations from the running mean are held, the last ones.
        decay: of the exponential average, per recorded step; None makes none.
        steps: the steps that enter the moments, instead of a thinning.
        space: the parameters that are averaged; default all of the model.

    Raises:
        BadInput: a number is outside its range, a share has no total, the thinning is by distance, or the folder holds
            averages already: :meth:`resume` continues those.

    >>> import tempfile, torch, lossatlas as la
    >>> model = torch.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     averages = la.AverageRecorder(folder, la.Thinning(steps=10), begin=0.5, total_steps=100, decay=0.99)
    ...     for step in range(101):
    ...         _ = averages.record(model, step)
    ...     averages.write()
    >>> averages.moments.count, averages.exponential.count
    (6, 51)
    """

    def __init__(
        self,
        path: Path | str | None = None,
        thinning: Thinning | None = None,
        *,
        begin: float = 0.0,
        total_steps: int | None = None,
        rank: int = AVERAGE_RANK,
        decay: float | None = None,
        steps: Collection[int] | None = None,
        space: WeightSpace | None = None,
    ) -> None:
        if thinning is not None and thinning.looks_at_weights:
            raise BadInput("averages are taken by steps or epochs; give a Thinning of one of these")
        if not 0 <= begin < math.inf:
            raise BadInput(f"{begin} is not where averages begin; expected a share in [0, 1), or a number of steps")
        if isinstance(begin, float) and (begin == 1 or (begin > 1 and not begin.is_integer())):
            raise BadInput(
                f"averages begin at {begin}, which is neither a share below 1 nor a whole number of steps; give one of "
                "these, as in begin=0.5 or begin=1"
            )
        self.path = Path(path) if path is not None else None
        self.total_steps = total_steps
        """The steps of the whole training; may be set before the first one is recorded."""
        self.moments = Moments(rank)
        """The moments so far."""
        self.exponential = ExponentialAverage(decay) if decay is not None else None
        """The exponential average so far; None where none is made."""
        self.step = -1
        """The last step that was recorded; -1 before the first."""
        self._thinning = thinning
        self._begin = begin
        self._steps = frozenset(steps) if steps is not None else None
        self._space = space
        self._epoch: float | None = None
        self._may_write = False
        if self.path is not None:
            check_path(self.path)

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.moments!r}, {count_things(max(0, self.step), 'step')}")

    @property
    def first(self) -> float:
        """The step from which on averages are made.

        Raises:
            BadInput: it is a share of an unknown number of steps.
        """
        if 0 < self._begin < 1 and self.total_steps is None:
            raise BadInput(
                f"averages begin at a share of {self._begin:g} of the training, whose steps are not known; give "
                "total_steps, or begin as a number of steps"
            )
        return self._begin * (self.total_steps or 0) if self._begin < 1 else self._begin

    def record(self, model: nn.Module, step: int, **scalars: float) -> bool:
        """Take the current weights of the model, if they are due.

        Args:
            model: the model, which is not changed.
            step: the step of the training, larger than in the call before.
            scalars: ``epoch=...`` is needed to thin by epochs; others are ignored, so that a call may be that of
                :meth:`Trajectory.record`.

        Returns:
            Whether the weights entered the moments.

        Raises:
            BadInput: the step is not later than the last one, the epoch is missing, the folder holds averages of
                another training, the weights are not finite, or the model has changed.
        """
        if not isinstance(step, int) or step <= self.step:
            raise BadInput(f"step {step} is not later than step {self.step}, recorded last; expected rising steps")
        self._check_place()
        first, due = self.first, self._is_due(step, scalars)
        self.step, self._epoch = step, scalars.get("epoch")
        if step < first:
            return False
        self._find_space(model)  # which a file names, also before the first vector
        if due or self.exponential is not None:
            vector = self._find_space(model).vector_of(model)
            if due:
                self.moments.take(vector)
            if self.exponential is not None:
                self.exponential.update(vector)
        return due

    def write(self, folder: Path | None = None) -> None:
        """Write what was averaged so far to ``averages.safetensors``, atomically; nothing before averages begin.

        Args:
            folder: where it is written, such as the folder of a checkpoint; default the recorder's own.

        Raises:
            BadInput: the averages are kept in memory.
            CannotFinish: the disk is full or cannot be written.
        """
        folder = folder if folder is not None else self.path
        if folder is None:
            raise BadInput("averages without a folder are not written; give AverageRecorder a path")
        if self._space is not None and self.step >= self.first:
            content = encode_averages(self.result(), self._space)
            write_atomically(folder / AVERAGES, content, advice=CONTINUE, folders=True)

    def result(self) -> Averages:
        """What was averaged so far."""
        return Averages(self.moments, self.exponential, max(0, self.step))

    def resume(self, model: nn.Module, step: int, epoch: float | None = None, folder: Path | None = None) -> None:
        """Continue averages that were written after a step, by a training that is resumed from there.

        Nothing is read where averages begin later than the step.

        Args:
            model: the model.
            step: the step that the training is resumed from.
            epoch: its epoch, where averages are thinned by epochs.
            folder: the folder that they were written to; default the recorder's own.

        Raises:
            BadInput: the folder holds none of this step, or those of another model, rank or decay.
        """
        self.step, self._epoch, self._may_write = step, epoch, True
        if step < self.first:
            return
        folder = folder if folder is not None else self.path
        if folder is None:
            raise BadInput("averages without a folder cannot be resumed; give AverageRecorder the path they are in")
        path = folder / AVERAGES
        found = read_averages(path, self._find_space(model))
        decays = [each.decay if each is not None else None for each in (found.exponential, self.exponential)]
        if found.step != step or found.moments.rank != self.moments.rank or decays[0] != decays[1]:
            raise BadInput(
                f"{path} holds averages up to step {found.step}, of rank {found.moments.rank} and decay {decays[0]}; "
                f"expected step {step}, rank {self.moments.rank} and decay {decays[1]}: resume from that step with "
                "these, or choose another folder"
            )
        self.moments, self.exponential = found.moments, found.exponential

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values from which :meth:`restore` continues bit for bit, for a checkpoint of one's own."""
        tensors: dict[str, Tensor] = {}
        if self.moments.count:
            tensors |= self.moments.state()[0]
        updates = 0
        if self.exponential is not None and self.exponential.count:
            tensors["exponential"], updates = self.exponential.value, self.exponential.count
        numbers = _Numbers(self.moments.count, updates, self.step, self._epoch)
        return tensors, {name: getattr(numbers, name) for name in _Numbers.__dataclass_fields__}

    def restore(self, model: nn.Module, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Continue from the state that :meth:`state` returned.

        Raises:
            ValueError: it is that of other averages.
        """
        told = convert(dict(numbers), _Numbers)
        rest = {name: value for name, value in tensors.items() if name != "exponential"}
        device = next(model.parameters()).device
        if told.count:
            self.moments.restore({name: value.to(device) for name, value in rest.items()}, told.count)
        if told.updates:
            if self.exponential is None or "exponential" not in tensors:
                raise ValueError("an exponential average is missing, or was not asked for")
            self.exponential.restore(tensors["exponential"].to(device), told.updates)
        self.step, self._epoch, self._may_write = told.step, told.epoch, True

    def _find_space(self, model: nn.Module) -> WeightSpace:
        """The parameters that are averaged, which are those of the first model."""
        self._space = self._space if self._space is not None else WeightSpace(model)
        return self._space

    def _is_due(self, step: int, scalars: Mapping[str, float]) -> bool:
        """Whether a multiple of the thinning's distance lies after the step before, up to this one."""
        if self._thinning is None:
            return self._steps is None or step in self._steps
        if self._thinning.at is not None:
            return step in self._thinning.at
        if (every := self._thinning.steps) is not None:
            before = self.step if self.step >= 0 else step - 1
            return step // every > before // every
        if "epoch" not in scalars:
            raise BadInput("the epoch of a step is missing, which averages by epochs need; record it with epoch=...")
        # Epochs are sums of fractions, whose rounding may leave them just below a multiple.
        share = float(scalars["epoch"]) / (self._thinning.epochs or 1.0) + 1e-9
        if self._epoch is None:
            return share % 1 < 2e-9
        return math.floor(share) > math.floor(self._epoch / (self._thinning.epochs or 1.0) + 1e-9)

    def _check_place(self) -> None:
        """Refuse a folder that holds the averages of another training, before the first step."""
        if self._may_write or self.path is None:
            return
        if os.path.lexists(self.path / AVERAGES):
            raise BadInput(
                f"{self.path / AVERAGES} holds the averages of another training; give each training a folder of its "
                "own, or resume() that one"
            )
        self._may_write = True
