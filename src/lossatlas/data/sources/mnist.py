"""MNIST (LeCun, Bottou, Bengio & Haffner 1998)."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.data.dataset import Dataset
from lossatlas.data.hub import NamedImages, Place, load_images

__all__ = ["MNIST"]

PLACE = Place(
    "mnist",
    hub="ylecun/mnist",
    mean=(0.1307,),
    std=(0.3081,),
)


@dataclass(frozen=True)
class MNIST(NamedImages):
    """70,000 grey images of digits, 28x28, in 10 classes: 60,000 for training, 10,000 for testing."""

    def load(self) -> Dataset:
        return load_images(PLACE, self, self.folder)
