"""FashionMNIST (Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747)."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.data.dataset import Dataset
from lossatlas.data.hub import NamedImages, Place, load_images

__all__ = ["FashionMNIST"]

PLACE = Place(
    "fashion_mnist",
    hub="zalando-datasets/fashion_mnist",
    mean=(0.2860,),
    std=(0.3530,),
)


@dataclass(frozen=True)
class FashionMNIST(NamedImages):
    """70,000 grey images of clothes, 28x28, in 10 classes: 60,000 for training, 10,000 for testing."""

    def load(self) -> Dataset:
        return load_images(PLACE, self, self.folder)
