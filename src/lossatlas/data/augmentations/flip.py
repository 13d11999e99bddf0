"""Horizontal flips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.bounds import Share
from lossatlas.data.augmentation import Augmentation

__all__ = ["Flip"]


@dataclass(frozen=True)
class Flip(Augmentation):
    """Flip each image horizontally with a given probability.

    Raises:
        BadInput: the probability lies outside [0, 1].
    """

    probability: Share = 0.5
    """Probability that an image is mirrored."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        swapped = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(swapped.to(images.device)[:, None, None, None], images.flip(3), images)
