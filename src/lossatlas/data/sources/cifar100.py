"""CIFAR-100 (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lossatlas.data.hub import NamedImages, Place

__all__ = ["CIFAR100"]


@dataclass(frozen=True)
class CIFAR100(NamedImages):
    """60,000 colour images, 32x32, in 100 classes: 50,000 for training, 10,000 for testing."""

    place: ClassVar = Place(
        "cifar100",
        hub="uoft-cs/cifar100",
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        label="fine_label",
    )
