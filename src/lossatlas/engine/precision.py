"""Precisions: in which numbers networks are evaluated. Weights, losses and gradients stay what they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

import torch

from lossatlas.registry import Registry

__all__ = ["PRECISIONS", "Precision"]

PRECISIONS: Registry[type[Precision]] = Registry("precision", "lossatlas.engine.precisions")


class Precision(ABC):
    """The numbers that a network's products are formed in."""

    @abstractmethod
    def entered(self, device: torch.device) -> AbstractContextManager[object]:
        """In force while a network is called. Thread by thread: a strategy may call from several."""

    @abstractmethod
    def check(self, device: torch.device) -> None:
        """Refuse a device that has no such numbers.

        Raises:
            BadInput: it has none.
        """
