"""What members predict: log-probabilities or values of every member for every example, in memory or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.files.mapped import map_numbers, sync_numbers

__all__ = ["CLASSES", "VALUES", "Kind", "Predictions", "Rows"]

Kind = Literal["classes", "values"]
CLASSES: Final = "classes"
VALUES: Final = "values"


@dataclass(frozen=True, eq=False)
class Rows:
    """What is predicted, the same for all members: one row for each position that counts.

    An example of an image classifier is one row; a sequence whose tokens are classified has one for each token.

    Attributes:
        kind: ``classes`` where members have probabilities of classes, ``values`` where they predict numbers.
        targets: The labels (N,), int64, or the numbers (N, D), on the CPU.
        width: The number C of classes, or D of numbers.
        examples: The index of the example that each row belongs to (N,), int64, ascending.
        total: The number of examples, with those that have no row.
        dtype: In which numbers predictions are kept.
    """

    kind: Kind
    targets: Tensor
    width: int
    examples: Tensor
    total: int
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def are_examples(self) -> bool:
        """Whether each example has exactly one row."""
        return len(self) == self.total and bool((self.examples == torch.arange(self.total)).all())

    @property
    def scored(self) -> int:
        """The number of examples that have a row."""
        return len(torch.unique_consecutive(self.examples))

    def count_bytes(self, members: int) -> int:
        """The bytes that the predictions of some members take."""
        return members * len(self) * self.width * self.dtype.itemsize


class Predictions:
    """The predictions of K members: log-probabilities (K, N, C) or values (K, N, D).

    Args:
        names: the names of the members.
        rows: what they predict.
        values: predictions that are there already, (K, N, C or D), in numbers of any kind; None reserves room for them,
            in those that the rows state.
        path: a file that holds them, which is mapped into memory, so that it may be larger than the memory; None holds
            them in memory.
        keep: whether such a file that is there already keeps what it holds, see :attr:`kept`.

    Raises:
        BadInput: there are no members or rows, or the values have another shape.
        CannotFinish: the disk has no room for the file.

    >>> rows = Rows("classes", torch.tensor([0, 1]), 2, torch.arange(2), 2)
    >>> Predictions(["a"], rows, torch.tensor([[[0.9, 0.1], [0.2, 0.8]]]).log())
    Predictions(1 member, 2 rows of 2 classes)
    """

    def __init__(
        self,
        names: Sequence[str],
        rows: Rows,
        values: Tensor | None = None,
        path: Path | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.names = tuple(names)
        self.rows = rows
        shape = (len(self.names), len(rows), rows.width)
        if not all(shape):
            raise BadInput(
                f"{count_things(shape[0], 'member')} with {count_things(shape[1], 'prediction')} each are not an "
                "ensemble; expected one of each at least: look for labels that do not count"
            )
        if values is not None and tuple(values.shape) != shape:
            raise BadInput(f"predictions have shape {tuple(values.shape)}; expected {shape}")
        self._path = path
        self.kept = False
        """Whether they are those of a file that was there."""
        if values is not None:
            self._values = values
        elif path is not None:
            self._values, self.kept = map_numbers(path, shape, rows.dtype, keep=keep)
        else:
            self._values = torch.empty(shape, dtype=rows.dtype)

    def __repr__(self) -> str:
        what = "classes" if self.rows.kind == CLASSES else "values"
        return write_repr(
            self,
            lambda: (
                f"{count_things(len(self), 'member')}, {count_things(len(self.rows), 'row')} of "
                f"{self.rows.width:,} {what}"
            ),
        )

    def __len__(self) -> int:
        """The number K of members."""
        return len(self.names)

    @property
    def kind(self) -> Kind:
        """What is predicted: classes or values."""
        return self.rows.kind

    @property
    def targets(self) -> Tensor:
        """The labels (N,) or the numbers (N, D)."""
        return self.rows.targets

    @property
    def examples(self) -> Tensor | None:
        """The example that each row belongs to (N,); None where rows are examples."""
        return None if self.rows.are_examples else self.rows.examples

    def of(self, member: int) -> Tensor:
        """The predictions (N, C or D) of a member, a view."""
        return self._values[member]

    def some(self, rows: Tensor | slice) -> Tensor:
        """The predictions (K, n, C or D) of all members for some rows."""
        return self._values[:, rows]

    def flush(self) -> None:
        """Bring what was put to the disk, if it is in a file.

        Raises:
            CannotFinish: the system cannot, or the file was removed.
        """
        if self._path is not None:
            sync_numbers(self._path)

    def put(self, members: slice, rows: slice, values: Tensor) -> None:
        """Write predictions (k, n, C or D) of some members for some rows."""
        self._values[members, rows] = values
