"""Cut-out (DeVries & Taylor 2017, arXiv 1708.04552)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.bounds import Count
from lossatlas.data.augmentation import Augmentation

__all__ = ["Cutout"]


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Set a square of each image to zero, at a random position.

    The centre may be any pixel, so that part of the square can lie outside of the image, which the paper found to
    matter.

    Raises:
        BadInput: a side below 1.
    """

    side: Count | None = None
    """Number of pixels along one side of the square; by default half the height of the image."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = images.shape
        side = self.side if self.side is not None else height // 2
        inside = []
        for length in (height, width):
            first = torch.randint(length, (count, 1), generator=generator) - side // 2
            place = torch.arange(length)
            inside.append(((place >= first) & (place < first + side)).to(images.device))
        square = inside[0][:, :, None] & inside[1][:, None, :]
        return images.masked_fill(square[:, None], 0.0)
