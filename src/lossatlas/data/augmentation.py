"""Augmentation: random changes of training images that preserve their labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lossatlas.bounds import NamedOptions
from lossatlas.errors import BadInput
from lossatlas.registry import Registry
from lossatlas.types import Batch

__all__ = ["AUGMENTATIONS", "Augmentation", "augment_batch", "has_images"]


class Augmentation(NamedOptions, ABC):
    """A random change of each image of a batch; subclasses are frozen dataclasses of options.

    It is applied after normalisation, so that 0 is the mean of each channel.
    """

    @abstractmethod
    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of images (B, C, H, W), each with its own random change.

        Args:
            images: (B, C, H, W), on any device.
            generator: source of all random numbers, on the CPU, so that they do not depend on the device.
        """


AUGMENTATIONS: Registry[type[Augmentation]] = Registry("augmentation", "lossatlas.data.augmentations")


def augment_batch(batch: Batch, augmentations: Sequence[Augmentation], generator: torch.Generator) -> Batch:
    """Apply augmentations in turn to the images (B, C, H, W) of a batch ``(images, targets)``.

    Raises:
        BadInput: there are augmentations, and the batch is not a pair of images and targets.
    """
    if not augmentations:
        return batch
    if not has_images(batch):
        pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor)
        found = f"inputs of shape {tuple(batch[0].shape)} and {batch[0].dtype}" if pair else type(batch).__name__
        raise BadInput(f"augmentation needs pairs (images (B, C, H, W) of floats, targets); got {found}; leave it out")
    images = batch[0]
    for augmentation in augmentations:
        images = augmentation(images, generator)
    return images, batch[1]


def has_images(batch: Batch) -> bool:
    """Whether a batch is a pair of images (B, C, H, W), in floating-point numbers, and targets."""
    pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor)
    return pair and batch[0].ndim == 4 and batch[0].is_floating_point()
