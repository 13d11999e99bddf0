"""Data sets: a training split, and a test split where there is one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.data.split import Split
from lossatlas.describing import write_repr
from lossatlas.types import Batch

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A training split, and a test split where there is one.

    Attributes:
        name: The name of the data set, for reports.
        train: The training split, or anything that :meth:`Split.of` makes a split of.
        test: The test split, likewise; None where there is none.
        classes: The number of classes, where targets are labels and it is known; else None.
    """

    name: str
    train: Split
    test: Split | None = None
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    """The names of the classes in the order of the labels; empty where they have none."""
    normalisation: str = ""
    """How inputs are normalised and where the constants come from, in words; empty if they are not normalised."""

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            object.__setattr__(self, name, Split.of(split))

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        classes = [] if self.classes is None else [f"{self.classes:,} classes"]
        return ", ".join([repr(self.name), *(f"{name}={split!r}" for name, split in self.splits.items()), *classes])

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how the splits were made of their sources."""
        return tuple(f"{name}: {note}" for name, split in self.splits.items() for note in split.notes)

    def count_classes(self) -> int | None:
        """Count the classes, from all labels where the number is not given; None where targets are not labels.

        Labels are the second element of a pair, or the entry ``labels`` of a dict.
        """
        if self.classes is not None:
            return self.classes
        batches = (batch for split in self.splits.values() for batch in split.inspect(len(split)))
        counts = list(map(_classes, batches))
        return None if None in counts else max(count or 0 for count in counts)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, ``train`` and ``test``."""
        return {"train": self.train} | ({"test": self.test} if self.test is not None else {})


def _classes(batch: Batch) -> int | None:
    """The largest label of a batch plus one; None where it has no labels."""
    labels = batch.get("labels") if isinstance(batch, dict) else None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype is torch.bool:
        return None
    return int(labels.long().max()) + 1  # torch finds no extremes of some narrow kinds
