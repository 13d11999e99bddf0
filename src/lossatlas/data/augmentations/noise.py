"""Noise on images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.bounds import NotNegative
from lossatlas.data.augmentation import Augmentation

__all__ = ["Noise"]


@dataclass(frozen=True)
class Noise(Augmentation):
    """Add normally distributed noise to each pixel, new at each step (Bishop 1995, Neural Computation 7).

    It keeps networks from being sure of single training examples, and so their losses on other examples from being
    those of a few that are classified wrongly with certainty.

    Raises:
        BadInput: a negative standard deviation.

    >>> import torch
    >>> noisy = Noise(0.5)(torch.zeros(2, 1, 8, 8), torch.Generator().manual_seed(0))
    >>> tuple(noisy.shape), bool(0.4 < noisy.std() < 0.6)
    ((2, 1, 8, 8), True)
    """

    std: NotNegative = 0.3
    """Standard deviation, in the unit of the images as the network gets them, whose own is usually about 1."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(images.shape, generator=generator, dtype=torch.float32)
        return images + self.std * drawn.to(device=images.device, dtype=images.dtype)
