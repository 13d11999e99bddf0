"""Data sets: a training split, and a test split where there is one; examples that are held out of training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lossatlas.data.split import Split
from lossatlas.describing import write_repr
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator
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
    holdout: Split | None = None
    """Training examples that were held out (:meth:`hold_out`), on which settings are chosen; None if there are none."""

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

    def find_trained_classes(self) -> frozenset[int] | None:
        """Find the labels that training examples have; None where targets are not labels, or not all are in memory."""
        found: set[int] = set()
        seen = 0
        for batch in self.train.inspect():
            labels = _find_labels(batch)
            if labels is None:
                return None
            found.update(torch.unique(labels.long()).tolist())
            seen += len(labels)
        return frozenset(found) if seen == len(self.train) else None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name: ``train``, and ``test`` and ``holdout`` where there are such."""
        named = {"train": self.train, "test": self.test, "holdout": self.holdout}
        return {name: split for name, split in named.items() if split is not None}

    def hold_out(self, count: int) -> Dataset:
        """Take a number of examples out of the training split, so that settings can be chosen on them.

        They are a random subset, the same in every run, and become the split ``holdout``. What is trained, fitted or
        re-estimated on ``train`` then never sees them, and the test split stays untouched.

        Args:
            count: the number of examples.

        Raises:
            BadInput: there are not more training examples than that, the number is not positive, or some are held out
                already.

        >>> import lossatlas as la
        >>> data = la.load_data("digits").hold_out(300)
        >>> {name: len(split) for name, split in data.splits.items()}
        {'train': 1047, 'test': 450, 'holdout': 300}
        """
        if self.holdout is not None:
            raise BadInput(f"{len(self.holdout):,} examples of {self.name} are held out already; hold out once")
        if not 0 < count < len(self.train):
            raise BadInput(
                f"holdout is {count:,} of the {len(self.train):,} training examples of {self.name}; expected at least "
                "one, and fewer than there are"
            )
        chosen = self.train.sample_indices(count, make_generator(0, "holdout"))
        train, holdout = self.train.divide(chosen)
        return replace(self, train=train, holdout=holdout)


def _classes(batch: Batch) -> int | None:
    """The largest label of a batch plus one; None where it has no labels."""
    labels = _find_labels(batch)
    return None if labels is None else int(labels.long().max()) + 1  # torch finds no extremes of some narrow kinds


def _find_labels(batch: Batch) -> Tensor | None:
    """The labels of a batch; None where it has none."""
    labels = batch.get("labels") if isinstance(batch, dict) else None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        labels = batch[1]
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype is torch.bool:
        return None
    return labels
