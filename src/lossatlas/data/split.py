"""A split: a named set of examples."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from lossatlas.data.batch_source import BatchSource
from lossatlas.data.batch_sources.tensors import Tensors
from lossatlas.data.moving import move
from lossatlas.data.taking import take_source
from lossatlas.data.transform import Transform
from lossatlas.data.trees import strip_tensor
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.free_memory import SHARE, free_memory
from lossatlas.types import Batch, Source

__all__ = ["Split"]

GIB = 2**30


class Split:
    """Examples as a pytree of tensors (N, ...), all with the same N; :meth:`of` takes them from anything else.

    Examples that are too many for a device are *streamed* to it: they stay where they are (in the processor's memory,
    in a file that is mapped into it, or in a data set) and only batches move. What batches hold is the same either way.

    Args:
        data: a pair ``(inputs, targets)``, a dict, or any nesting of tensors.
        transform: applied to each batch that is taken, on the batch's device.
        memory: GiB of ``data`` that may be kept on a device, or copied; more are streamed. None: a quarter of what is
            free.

    Raises:
        BadInput: a leaf is not a plain tensor, lengths differ, or there are no examples.
    """

    def __init__(self, data: Batch, transform: Transform | None = None, memory: float | None = math.inf) -> None:
        self.transform = transform
        self.memory = memory
        self.notes: tuple[str, ...] = ()
        """Sentences that say what became of the source: whose order it is, what was left out, what is streamed."""
        self.batch_size: int | None = None
        """Examples per step that the source asks for, where it is a loader."""
        source = Tensors(data)
        for leaf in source.leaves:
            strip_tensor(leaf)
        self._use(source)

    def _use(self, source: BatchSource) -> None:
        self._source = source
        self._rows: Tensor | None = None
        """Which of the source's examples are the split's, on the processor; None: all."""
        self._device = source.device
        self.population = len(source)
        """How many examples these were drawn from; as many as there are, where nobody drew."""

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        collate: Callable[[list[Any]], Any] | None = None,
        first: int | None = None,
        memory: float | Literal["auto"] = "auto",
        workers: int | None = None,
        allow_random: bool = False,
        transform: Transform | None = None,
    ) -> Split:
        """The split of examples as people have them; a split is itself.

        ======================================  =====================================================================
        tensors, NumPy arrays                   in pairs, mappings of any kind or any nesting: one batch of all
                                                examples, not copied; a tuple is always that
        a map-style data set                    ``items[index]`` and a length; items are collated as torch does by
                                                default, or by ``collate``
        a ``DataLoader``                        its data set, collation, batch size (of steps) and worker count; the
                                                order is that of the data set. A sampler that chooses examples is
                                                respected, one that weighs or repeats them is refused
        a Hugging Face ``Dataset``              its columns of numbers, as tensors; the others are left out. So is a
                                                loader of one that has no collation of its own
        a list of batches                       whose tensors all run over the same number of examples: they are joined
        a list of items                         of which something is a number, or lengths differ. Where everything in
                                                it is one-dimensional and of one length, a list could be either and is
                                                refused; with ``collate`` it is a list of items
        anything else that is iterable          its ``first`` examples, one by one or in batches
        ======================================  =====================================================================

        What fits the memory is read once, here: where items are stacked, everything becomes tensors, and a split of a
        loader is as fast as one of tensors; with another collation items are kept, and batches in order as long as
        there is room. What does not fit is read from the source batch by batch, ahead of time where there are workers;
        a random subset of it that fits is read once, too. Nothing that is given is changed. What is read is copied
        before the next is, as the same memory may be filled again; a list is taken as it is.

        Steps of a fit or a training have the loader's batch size where none is stated; surveys evaluate examples
        together as many as they always do, of which results under batch statistics depend.

        Hashes look at all examples up to a GiB, and at 16 where there are more and they are read from a data set.

        Args:
            source: the examples.
            collate: makes a batch of a list of items, in the place of the source's own collation.
            first: take so many examples from the beginning; needed where a source has no length.
            memory: GiB that may be held; ``auto`` is a quarter of what is free.
            workers: processes that read; default the loader's, else 0: this one.
            allow_random: take items that differ whenever they are read. What they draw from torch, NumPy and Python is
                then a function of their index.
            transform: applied to each batch that is taken.

        Raises:
            BadInput: what cannot be taken: why, and what to do.
        """
        if isinstance(source, cls):
            if collate is not None or first is not None or transform is not None:
                raise BadInput(
                    "a split is taken as it is; give collate=, first= and transform= with what it is made of"
                )
            return source
        if memory != "auto" and not memory >= 0:
            raise BadInput(f"memory is {memory}; expected GiB, or 'auto' for a quarter of what is free")
        limit = SHARE * free_memory(torch.device("cpu")) if memory == "auto" else memory * GIB
        found = take_source(source, collate, first, limit, workers, allow_random)
        made = cls.__new__(cls)
        made.transform = transform
        made.memory = None if memory == "auto" else memory
        made.notes = found.notes
        made.batch_size = found.batch_size
        made._use(found.source)
        return made

    def __len__(self) -> int:
        return len(self._source) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        where = "read from its source" if not self._source.held else f"on {self._device}"
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{count_things(len(self), 'example')} of {self._source.form}, {where}{notes}"

    @property
    def data(self) -> Batch:
        """All examples in one batch before the transform; of tensors that are held themselves, not a copy."""
        return next(self._source.parts([slice(0, len(self))], self._rows))

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self._device

    @property
    def held(self) -> bool:
        """Whether the examples are in memory, or in a file that is mapped into it."""
        return self._source.held

    @property
    def streamed(self) -> bool:
        """Whether the examples are held elsewhere than batches are, are too many to be copied, or are not held."""
        return self._rows is not None or not self._source.held or self._source.device != self._device

    def to(self, device: torch.device | str) -> Split:
        """The same examples, whose batches are on a device."""
        device = torch.empty(0, device=device).device  # with its index
        if device == self._device:
            return self
        if device == self._source.device or (device.type != "cpu" and not self._fits(len(self), device)):
            return self._with(_device=device)
        return self._holding(self._rows, device)

    def take(self, indices: Tensor) -> Batch:
        """The batch of the examples at ``indices`` (B,)."""
        return self._batch(self._source.read(self._rows[indices.to("cpu")] if self._rows is not None else indices))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Indices (count,) of examples without replacement; all of them, shuffled, where there are fewer."""
        return torch.randperm(len(self), generator=generator)[:count]

    def subset(self, count: int, generator: torch.Generator) -> Split:
        """A random subset in its original order; the split itself where it has no more than ``count``.

        It is copied out of the split, or read, where it fits the memory, and stays a view of it where it does not.
        """
        if count >= len(self):
            return self
        rows = self.draw(count, generator).sort().values
        rows = rows if self._rows is None else self._rows[rows]
        fits = self._fits(count, self._source.device)
        return self._holding(rows, self._device) if fits else self._with(_rows=rows)

    def eval_batches(self, size: int) -> Iterator[Batch]:
        """The examples in order, in the fewest batches of at most ``size``, whose lengths differ by one at most.

        Lengths are balanced because batch statistics of a short last group would be poor ones.
        """
        count = -(-len(self) // size)
        edges = [len(self) * k // count for k in range(count + 1)]
        yield from map(self._batch, self._source.parts([*map(slice, edges[:-1], edges[1:])], self._rows))

    def inspect(self, most: int = 4096) -> Iterator[Batch]:
        """Batches for checks of labels and weights, before the transform and where they are held.

        Args:
            most: how many examples, the first ones, are looked at where they are read from a source that is not in
                memory; of all others every example is.
        """
        count = len(self) if self._source.held else min(most, len(self))
        size = self._source.at_once
        yield from self._source.parts([slice(k, min(k + size, count)) for k in range(0, count, size)], self._rows)

    def fingerprint(self) -> str:
        """A hash of all examples and of the transform, the same whether they are streamed or not."""
        return self._source.fingerprint(self._rows, self.transform.key if self.transform is not None else "")

    def _fits(self, count: int, device: torch.device) -> bool:
        """Whether ``count`` examples are few enough to be kept on a device."""
        limit = self.memory * GIB if self.memory is not None else SHARE * free_memory(device)
        return self._source.bytes_of(count) <= limit

    def _batch(self, held: Batch) -> Batch:
        """A batch of held examples as it is handed out."""
        batch = move(held, self._device)
        return batch if self.transform is None else self.transform(batch)

    def _holding(self, rows: Tensor | None, device: torch.device) -> Split:
        """A split like this one of these of its source's examples, held on the device where that can be."""
        return self._with(_source=self._source.kept(rows, device), _rows=None, _device=device)

    def _with(self, **changes: Any) -> Split:
        twin = copy.copy(self)
        vars(twin).update(changes)
        return twin
