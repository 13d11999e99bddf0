"""Precisions: in which numbers networks are evaluated. Weights, losses and gradients stay what they are.

They are the network's business, not a strategy's: ``Network.at("bf16")`` is the same function under autocast, so that
every strategy has every precision. What derives from Hessians stays in the weights' own numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from lossatlas.errors import unknown
from lossatlas.registry import Registry

__all__ = ["AUTO", "PRECISIONS", "Precision", "check_precision", "tensor_float"]

PRECISIONS: Registry[type[Precision]] = Registry("precision", "lossatlas.engine.precisions")


AUTO = "auto"
"""In the place of a name: the one that is measured to pay."""


def check_precision(name: str) -> None:
    """Refuse what is not the name of a precision, nor ``auto``.

    Raises:
        BadInput: it is neither.
    """
    if name != AUTO and name not in PRECISIONS:
        raise unknown("precision", name, [AUTO, *PRECISIONS])


class Precision(ABC):
    """The numbers that a network's products are formed in."""

    @abstractmethod
    def of_process(self) -> AbstractContextManager[object]:
        """In force while a strategy works, forwards and backwards, for all threads of the process."""

    @abstractmethod
    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        """In force while a network is called, in the thread that calls it."""

    @abstractmethod
    def check(self, device: torch.device) -> None:
        """Refuse a device that has no such numbers.

        Raises:
            BadInput: it has none.
        """


@contextmanager
def tensor_float(allowed: bool) -> Iterator[None]:
    """Whether products of 32-bit numbers may round their inputs to 10 bits of mantissa on GPUs that can.

    Stated either way: torch's own default differs between convolutions (which may) and matrix products (which may not).
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32 = convolutions.allow_tf32 = allowed
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
