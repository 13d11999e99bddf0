"""FashionMNIST (Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lossatlas.data.hub import NamedImages, Place

__all__ = ["FashionMNIST"]


@dataclass(frozen=True)
class FashionMNIST(NamedImages):
    """70,000 grey images of clothes, 28x28, in 10 classes: 60,000 for training, 10,000 for testing."""

    place: ClassVar = Place(
        "fashion_mnist",
        hub="zalando-datasets/fashion_mnist",
        mean=(0.2860,),
        std=(0.3530,),
    )
