"""Minibatches: the examples of each step."""

from __future__ import annotations

from torch import Tensor

from lossatlas.data.split import Split
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator

__all__ = ["Batches"]


class Batches:
    """Minibatches sampled without replacement in epochs, as a function of seed and step.

    Examples that remain after the last full batch of an epoch are left out in that epoch.

    Args:
        split: the examples.
        size: the number of examples per batch; all of them where there are fewer.
        seed: the seed of their order.

    Raises:
        BadInput: the size is below 1.
    """

    def __init__(self, split: Split, size: int, seed: int) -> None:
        if size < 1:
            raise BadInput(f"the batch size is {size}; expected at least 1")
        self.size = min(size, len(split))
        self.per_epoch = len(split) // self.size
        """The number of batches of an epoch."""
        self._split = split
        self._seed = seed
        self._order: tuple[int, Tensor] | None = None

    def at(self, step: int) -> Tensor:
        """The indices (B,) of the examples of a step."""
        epoch, place = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            self._order = (
                epoch,
                self._split.sample_indices(len(self._split), make_generator(self._seed, "batches", epoch)),
            )
        return self._order[1][place * self.size : (place + 1) * self.size]
