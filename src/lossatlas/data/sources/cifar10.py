"""CIFAR-10 (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lossatlas.data.hub import NamedImages, Place

__all__ = ["CIFAR10"]


@dataclass(frozen=True)
class CIFAR10(NamedImages):
    """60,000 colour images, 32x32, in 10 classes: 50,000 for training, 10,000 for testing."""

    place: ClassVar = Place(
        "cifar10",
        hub="uoft-cs/cifar10",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    )
