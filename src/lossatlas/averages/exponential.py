"""Exponential averages of weight vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.averages.moments import check_vector
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput

__all__ = ["ExponentialAverage"]


class ExponentialAverage:
    """The exponential moving average of weight vectors: ``a = decay * a + (1 - decay) * w``, from the first vector on.

    It is held in float64: in 32 bits an average stands still once its steps are below its rounding.

    Args:
        decay: in (0, 1); the average remembers about 1 / (1 - decay) vectors.

    Raises:
        BadInput: the decay is not in (0, 1).

    >>> import torch, lossatlas as la
    >>> average = la.ExponentialAverage(decay=0.5)
    >>> for vector in torch.tensor([[0.0, 4.0], [2.0, 4.0], [2.0, 0.0]]):
    ...     average.update(vector)
    >>> average.value.tolist()
    [1.5, 2.0]
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise BadInput(f"{decay} is not a decay; expected a number between 0 and 1, such as 0.999")
        self.decay = decay
        self.count = 0
        """How many vectors were taken."""
        self._value = torch.zeros(0, dtype=torch.float64)

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"decay {self.decay}, {count_things(self.count, 'vector')}")

    @torch.no_grad()
    def update(self, vector: Tensor) -> None:
        """Take the next vector (n,), of any floating-point dtype, which is not changed.

        Raises:
            BadInput: it is of another length than those before, or not finite.
        """
        check_vector(vector, len(self._value) if self.count else None)
        if self.count:
            self._value.lerp_(vector.detach().double(), 1 - self.decay)
        else:
            self._value = vector.detach().double().clone()
        self.count += 1

    @property
    def value(self) -> Tensor:
        """The average (n,), float64.

        Raises:
            BadInput: nothing was taken yet.
        """
        if not self.count:
            raise BadInput("an exponential average of no vectors has no value; begin to average earlier")
        return self._value.clone()

    def restore(self, value: Tensor, count: int) -> None:
        """Continue from a value (n,) and a count, bit for bit.

        Raises:
            ValueError: the value is not a vector in float64.
        """
        if value.ndim != 1 or value.dtype != torch.float64:
            raise ValueError(
                f"an exponential average is {value.dtype} of shape {tuple(value.shape)}; expected a vector"
            )
        self._value, self.count = value.clone(), count
