"""Padded crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import pad

from lossatlas.data.augmentation import Augmentation

__all__ = ["Crop"]

MOST = 2**14
"""The largest padding in pixels, which has to be allocated."""


@dataclass(frozen=True)
class Crop(Augmentation):
    """Pad images by zeros on all sides and crop them to their size at a random position.

    Raises:
        BadInput: a negative padding.
    """

    padding: Annotated[int, Meta(ge=0, le=MOST, description="0 to 16,384")] = 4
    """Number of pixels added on each side, which is the most that an image is shifted by."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, height, width = images.shape
        corners = torch.randint(2 * self.padding + 1, (2, count, 1), generator=generator)
        rows, columns = (
            (corner + torch.arange(side)).to(images.device)
            for corner, side in zip(corners, (height, width), strict=True)
        )
        examples, planes = (torch.arange(n, device=images.device) for n in (count, channels))
        return pad(images, [self.padding] * 4)[
            examples[:, None, None, None], planes[:, None, None], rows[:, None, :, None], columns[:, None, None, :]
        ]
