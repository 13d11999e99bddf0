"""What a data source loads: a training split and perhaps a test split."""

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
    """A training and perhaps a test split, or whatever :meth:`Split.of` makes splits of.

    ``classes`` is the number of classes where targets are labels and somebody has counted them, else None.
    """

    name: str
    train: Split
    test: Split | None = None
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty where they have no names."""
    normalisation: str = ""
    """A sentence that says how inputs were normalised and where the constants come from; empty if they were not."""

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
        """What is to be said of the sources that the splits were made of."""
        return tuple(f"{name}: {note}" for name, split in self.splits.items() for note in split.notes)

    def count_classes(self) -> int | None:
        """The number of classes, for which all labels are looked at where nobody said; None: targets are not labels.

        Labels are the second of two, or what dicts have under ``labels``.
        """
        if self.classes is not None:
            return self.classes
        batches = (batch for split in self.splits.values() for batch in split.inspect(len(split)))
        counts = list(map(_classes, batches))
        return None if None in counts else max(count or 0 for count in counts)

    @property
    def splits(self) -> dict[str, Split]:
        """Those that there are, by name."""
        return {"train": self.train} | ({"test": self.test} if self.test is not None else {})


def _classes(batch: Batch) -> int | None:
    """One more than the largest label of a batch, if it has labels."""
    labels = batch.get("labels") if isinstance(batch, dict) else None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype is torch.bool:
        return None
    return int(labels.long().max()) + 1  # torch finds no extremes of some narrow kinds
