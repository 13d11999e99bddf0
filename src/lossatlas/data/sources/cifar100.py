"""CIFAR-100 (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.data.dataset import Dataset
from lossatlas.data.hub import NamedImages, Place, load_images

__all__ = ["CIFAR100"]

PLACE = Place(
    "cifar100",
    hub="uoft-cs/cifar100",
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    label="fine_label",
)


@dataclass(frozen=True)
class CIFAR100(NamedImages):
    """60,000 colour images, 32x32, in 100 classes: 50,000 for training, 10,000 for testing."""

    def load(self) -> Dataset:
        return load_images(PLACE, self, self.folder)
