"""Running moments of weight vectors: their mean, their variances, and their last deviations from the mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor

from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.files.tensors import check_alike
from lossatlas.schema import AVERAGE_RANK

__all__ = ["KEPT", "RUNNING", "Moments", "check_vector"]

LEAST = 2
"""The fewest vectors that an average is made of."""
RUNNING = "running moments"
"""The source of moments that were collected while a network was trained."""
KEPT = "kept snapshots"
"""The source of moments of snapshots that were kept."""


class Moments:
    """The moments of weight vectors that come one after the other and are not kept.

    What SWA (Izmailov et al. 2018, arXiv 1803.05407) and SWAG (Maddox et al. 2019, arXiv 1902.02476, algorithm 1) need
    of the iterates of a training: memory is that of ``rank`` vectors and two in float64, however many come.

    Args:
        rank: how many deviations from the running mean are held, the last ones; 0 holds none.

    Raises:
        BadInput: the rank is negative.

    >>> import torch, lossatlas as la
    >>> moments = la.Moments(rank=2)
    >>> for vector in torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]]):
    ...     moments.take(vector)
    >>> moments.mean.tolist(), moments.variance.round(decimals=2).tolist(), moments.deviations.tolist()
    ([3.0, 1.0], [4.67, 2.0], [[0.5, 0.0], [3.0, 2.0]])
    """

    def __init__(self, rank: int = AVERAGE_RANK) -> None:
        if rank < 0:
            raise BadInput(f"{rank} is not a rank; expected 0 or a positive number")
        self.rank = rank
        self.count = 0
        """How many vectors were taken."""
        self.source = RUNNING
        """Where the vectors came from: :data:`RUNNING` or :data:`KEPT`."""
        self._sum = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, dtype=torch.float64)
        """The sum of squared deviations from the mean."""
        self._deviations: deque[Tensor] = deque(maxlen=rank)
        self._dtype = torch.float32
        """The dtype of deviations: that of the vectors, at least of 32 bits."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        size = f" of {count_things(len(self._sum), 'weight')}" if self.count else ""
        return f"{count_things(self.count, 'vector')}{size}, rank {len(self._deviations)}, {self.source}"

    @classmethod
    def of(cls, vectors: Iterable[Tensor], rank: int = AVERAGE_RANK) -> Self:
        """The moments of vectors (n,) that were kept, in their order.

        Raises:
            BadInput: there are fewer than two, or one is refused by :meth:`take`.

        >>> import torch, lossatlas as la
        >>> la.Moments.of(torch.eye(3)).count
        3
        """
        made = cls(rank)
        made.source = KEPT
        for vector in vectors:
            made.take(vector)
        made.check()
        return made

    def check(self) -> None:
        """Refuse moments of fewer than two vectors, which say nothing of a distribution.

        Raises:
            BadInput: they are.
        """
        if self.count < LEAST:
            raise BadInput(
                f"an average needs two snapshots or more; got {self.count or 'none'}: begin to average earlier or "
                "more often, or train longer"
            )

    @torch.no_grad()
    def take(self, vector: Tensor) -> None:
        """Take the next vector (n,), of any floating-point dtype, which is not changed.

        Raises:
            BadInput: it is of another length or device than those before, or not finite.
        """
        check_vector(vector, len(self._sum) if self.count else None)
        wide = vector.detach().to(torch.float64, copy=True)
        if not self.count:
            self._dtype = torch.promote_types(vector.dtype, torch.float32)
            self._sum, self._squares = torch.zeros_like(wide), torch.zeros_like(wide)
        else:
            # Welford's update in the form whose terms are squares, so that no variance becomes negative.
            self._squares.addcmul_(step := wide - self._sum / self.count, step, value=self.count / (self.count + 1))
        self._sum += wide
        self.count += 1
        if self.rank:
            self._deviations.append(wide.sub_(self._sum / self.count).to(self._dtype))

    @property
    def mean(self) -> Tensor:
        """The mean (n,), float64: a running sum divided by the count.

        Raises:
            BadInput: nothing was taken yet.
        """
        self._check_begun()
        return self._sum / self.count

    @property
    def variance(self) -> Tensor:
        """The variances (n,), float64, of the vectors as a population: E[w²] − E[w]², never negative.

        Raises:
            BadInput: nothing was taken yet.
        """
        self._check_begun()
        return self._squares / self.count

    @property
    def deviations(self) -> Tensor:
        """The last deviations (K, n) from the mean up to each of them, the oldest first.

        They have the dtype of the first vector, but at least 32 bits. K is the rank, or the number of vectors where
        these are fewer.

        Raises:
            BadInput: nothing was taken yet.
        """
        self._check_begun()
        if not self._deviations:
            return torch.zeros(0, len(self._sum), dtype=self._dtype, device=self._sum.device)
        return torch.stack(tuple(self._deviations))

    def _check_begun(self) -> None:
        if not self.count:
            self.check()

    def state(self) -> tuple[dict[str, Tensor], int]:
        """Tensors and the count, from which :meth:`restore` continues bit for bit."""
        return {"sum": self._sum, "squares": self._squares, "deviations": self.deviations}, self.count

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: it is the state of other moments.
        """
        held = tensors.get("deviations", torch.empty(0))
        size, columns = tensors["sum"].shape if "sum" in tensors else (0,), min(count, self.rank)
        expected = {name: torch.empty(size, dtype=torch.float64, device="meta") for name in ("sum", "squares")}
        dtype = held.dtype if held.dtype in (torch.float32, torch.float64) else torch.float32
        expected["deviations"] = torch.empty(columns, *size, dtype=dtype, device="meta")
        check_alike(tensors, expected)
        self.count, self._dtype = count, dtype
        self._sum, self._squares = tensors["sum"].clone(), tensors["squares"].clone()
        self._deviations = deque([row.clone() for row in held], maxlen=self.rank)


def check_vector(vector: Tensor, size: int | None) -> None:
    """Refuse a vector that cannot be averaged with those before.

    Args:
        vector: the next one.
        size: the length of those before; None where it is the first.

    Raises:
        BadInput: it is not a vector of that length, or not finite.
    """
    if vector.ndim != 1 or (size is not None and len(vector) != size):
        expected = f"({size},), as those before" if size is not None else "(n,)"
        raise BadInput(f"a vector to average has shape {tuple(vector.shape)}; expected {expected}")
    if not vector.is_floating_point():
        raise BadInput(f"a vector to average holds {vector.dtype}; expected floating-point numbers")
    if not vector.isfinite().all():
        raise BadInput("weights that are not finite cannot be averaged; leave out the snapshots after the divergence")
