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
    """Examples as a pytree of tensors (N, ...), all with the same N; :meth:`of` makes splits of anything else.

    Examples that do not fit a device are *streamed* to it: they stay where they are (in CPU memory, in a memory-mapped
    file or in a data set) and only batches are moved. The content of batches is the same in both cases.

    Args:
        data: a pair ``(inputs, targets)``, a dict, or any nesting of tensors.
        transform: applied to each batch, on the device of the batch.
        memory: the GiB of ``data`` that may be copied to a device; larger splits are streamed. None for a quarter of
            the free memory.

    Raises:
        BadInput: a leaf is not a plain tensor, lengths differ, or there are no examples.

    Example:
        >>> import torch, lossatlas as la
        >>> split = la.Split((torch.randn(100, 4), torch.zeros(100, dtype=torch.int64)))
        >>> split
        Split(100 examples of (float32 (4,), int64 ()), on cpu)
        >>> inputs, labels = split.take(torch.tensor([0, 1, 2]))
        >>> inputs.shape
        torch.Size([3, 4])
    """

    def __init__(self, data: Batch, transform: Transform | None = None, memory: float | None = math.inf) -> None:
        self.transform = transform
        self.memory = memory
        self.notes: tuple[str, ...] = ()
        """Remarks on how the split was made of its source: on order, omissions and streaming."""
        self.batch_size: int | None = None
        """The batch size of the source, where that is a loader."""
        source = Tensors(data)
        for leaf in source.leaves:
            strip_tensor(leaf)
        self._use(source)

    def _use(self, source: BatchSource) -> None:
        self._source = source
        self._rows: Tensor | None = None
        """The indices of the split's examples in the source, on the CPU; None for all."""
        self._device = source.device
        self.population = len(source)
        """The number of examples from which a random subset was sampled; the length of a split that is not one."""

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
        """Make a split of examples in any of these forms; a split is returned as it is.

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

        A source that fits the memory is read once, here. Where items are stacked it becomes tensors, so that a split
        of a loader is as fast as one of tensors; with another collation the items are kept in memory, and batches as
        long as there is room. A source that does not fit is read batch by batch, ahead of time where there are worker
        processes; a random subset of it that fits is read once, too. The source is not changed. What is read is copied
        before the next item is read, since a data set may reuse its memory; a list is taken as it is.

        Steps of a fit or a training have the batch size of the loader unless one is given. Surveys keep their own
        evaluation batch size, on which results under batch statistics depend.

        Hashes cover all examples up to a GiB, and 16 of them where a data set has more.

        Args:
            source: the examples.
            collate: a function from a list of items to a batch, instead of the collation of the source.
            first: take this number of examples from the beginning; required where a source has no length.
            memory: the GiB that may be held in memory; ``auto`` is a quarter of the free memory.
            workers: the number of processes that read; default that of the loader, else 0 for this process.
            allow_random: accept items that differ each time they are read. The generators of torch, NumPy and Python
                are then seeded by the index of the item.
            transform: applied to each batch.

        Raises:
            BadInput: a split cannot be made of the source; the message says why, and what to do.
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
        """All examples in one batch, before the transform; tensors in memory are not copied."""
        return next(self._source.parts([slice(0, len(self))], self._rows))

    @property
    def device(self) -> torch.device:
        """The device of the batches."""
        return self._device

    @property
    def held(self) -> bool:
        """Whether the examples are in memory, or in a memory-mapped file."""
        return self._source.held

    @property
    def streamed(self) -> bool:
        """Whether examples are moved batch by batch, because they do not fit the device or are not in memory."""
        return self._rows is not None or not self._source.held or self._source.device != self._device

    def to(self, device: torch.device | str) -> Split:
        """Return a split of the same examples with batches on a device."""
        device = torch.empty(0, device=device).device  # with its index
        if device == self._device:
            return self
        if device == self._source.device or (device.type != "cpu" and not self._fits(len(self), device)):
            return self._with(_device=device)
        return self._holding(self._rows, device)

    def take(self, indices: Tensor) -> Batch:
        """Return the batch of the examples at ``indices`` (B,)."""
        return self._batch(self._source.read(self._rows[indices.to("cpu")] if self._rows is not None else indices))

    def sample_indices(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample indices (count,) of examples without replacement; all of them, shuffled, where there are fewer."""
        return torch.randperm(len(self), generator=generator)[:count]

    def subset(self, count: int, generator: torch.Generator) -> Split:
        """Sample a random subset, in the original order; the split itself if it has no more than ``count`` examples.

        The subset is copied or read into memory if it fits, and is a view of the split if not.
        """
        if count >= len(self):
            return self
        return self.select(self.sample_indices(count, generator))

    def select(self, indices: Tensor) -> Split:
        """Return the examples at some indices (B,), in the original order, copied as by :meth:`subset`."""
        rows = indices.sort().values
        rows = rows if self._rows is None else self._rows[rows]
        fits = self._fits(len(rows), self._source.device)
        return self._holding(rows, self._device) if fits else self._with(_rows=rows)

    def divide(self, indices: Tensor) -> tuple[Split, Split]:
        """Divide the split into the examples that are not at some indices (B,), and those that are.

        Both are in the original order, and neither counts as a sample of the whole.
        """
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[indices] = True
        rest, part = (self.select(mask.nonzero()[:, 0]) for mask in (~chosen, chosen))
        return rest._with(population=len(rest)), part._with(population=len(part), notes=())

    def eval_batches(self, size: int) -> Iterator[Batch]:
        """Iterate over the examples in order, in as few batches of at most ``size`` as possible.

        Their lengths differ by at most one, because the batch statistics of a short last batch would be poor.
        """
        count = -(-len(self) // size)
        edges = [len(self) * k // count for k in range(count + 1)]
        yield from map(self._batch, self._source.parts([*map(slice, edges[:-1], edges[1:])], self._rows))

    def inspect(self, most: int = 4096) -> Iterator[Batch]:
        """Iterate over batches for checks of labels and weights, before the transform, on the device of the source.

        Args:
            most: how many of the first examples are read from a source that is not in memory; from others all are.
        """
        count = len(self) if self._source.held else min(most, len(self))
        size = self._source.at_once
        yield from self._source.parts([slice(k, min(k + size, count)) for k in range(0, count, size)], self._rows)

    def fingerprint(self) -> str:
        """Hash the examples and the transform, with the same result whether they are streamed or not."""
        return self._source.fingerprint(self._rows, self.transform.key if self.transform is not None else "")

    def _fits(self, count: int, device: torch.device) -> bool:
        """Whether ``count`` examples fit a device."""
        limit = self.memory * GIB if self.memory is not None else SHARE * free_memory(device)
        return self._source.bytes_of(count) <= limit

    def _batch(self, held: Batch) -> Batch:
        """The batch of examples after moving and transform."""
        batch = move(held, self._device)
        return batch if self.transform is None else self.transform(batch)

    def _holding(self, rows: Tensor | None, device: torch.device) -> Split:
        """A split of some of the source's examples, in memory on the device if possible."""
        return self._with(_source=self._source.kept(rows, device), _rows=None, _device=device)

    def _with(self, **changes: Any) -> Split:
        twin = copy.copy(self)
        vars(twin).update(changes)
        return twin
