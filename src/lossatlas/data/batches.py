"""Minibatches: which examples a step sees."""

from __future__ import annotations

from torch import Tensor

from lossatlas.data.split import Split
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator

__all__ = ["Batches"]


class Batches:
    """Minibatches drawn in epochs without replacement, a function of seed and step.

    Examples that are left over by the last full batch of an epoch are not seen in it.

    Args:
        split: the examples.
        size: examples per batch; all of them where there are fewer.
        seed: of their order.

    Raises:
        BadInput: the size is below 1.
    """

    def __init__(self, split: Split, size: int, seed: int) -> None:
        if size < 1:
            raise BadInput(f"the batch size is {size}; expected at least 1")
        self.size = min(size, len(split))
        self.per_epoch = len(split) // self.size
        """Batches in an epoch."""
        self._split = split
        self._seed = seed
        self._order: tuple[int, Tensor] | None = None

    def at(self, step: int) -> Tensor:
        """Indices (B,) of the examples of a step."""
        epoch, place = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._split.draw(len(self._split), make_generator(self._seed, "batches", epoch))
        return self._order[1][place * self.size : (place + 1) * self.size]
