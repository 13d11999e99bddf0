"""MNIST (LeCun, Bottou, Bengio & Haffner 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lossatlas.data.hub import NamedImages, Place

__all__ = ["MNIST"]


@dataclass(frozen=True)
class MNIST(NamedImages):
    """70,000 grey images of digits, 28x28, in 10 classes: 60,000 for training, 10,000 for testing."""

    place: ClassVar = Place(
        "mnist",
        hub="ylecun/mnist",
        mean=(0.1307,),
        std=(0.3081,),
    )
