"""Mirror images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.data.augmentation import Augmentation
from lossatlas.errors import BadInput

__all__ = ["Flip"]


@dataclass(frozen=True)
class Flip(Augmentation):
    """Left and right are swapped with a probability.

    Raises:
        BadInput: the probability lies outside [0, 1].
    """

    probability: float = 0.5
    """Of an image to be mirrored."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise BadInput(f"flip's probability is {self.probability}; expected a number in [0, 1]")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        swapped = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(swapped.to(images.device)[:, None, None, None], images.flip(3), images)
