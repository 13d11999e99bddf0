"""The convolutional networks of the multi-point paper (Skorokhodov & Burtsev 2019, appendix B)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from lossatlas.bounds import Count
from lossatlas.errors import BadInput
from lossatlas.models.family import Family

__all__ = ["Conv"]

POOLED = 4
"""Features are averaged to POOLED x POOLED before the linear layers."""


@dataclass(frozen=True)
class Conv(Family):
    """3x3 convolutions with ReLU, adaptive average pooling to 4x4, one hidden linear layer of 128."""

    channels: tuple[Count, ...] = (8, 32, 64)
    """Output channels of each convolution; the BatchNorm study uses 8 8 32 32 64 64."""
    hidden: Count = 128
    """Width of the hidden linear layer."""
    batch_norm: bool = False
    """Batch normalisation before each activation."""
    max_pool: bool = True
    """2x2 max-pooling after each block, a run of equal widths."""
    skips: bool = False
    """Add a convolution's input to its output where the widths are equal."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        if len(inputs) != 3:
            raise BadInput(f"conv needs images (channels, height, width); the examples have shape {inputs}")
        if not self.channels:
            raise BadInput("conv has no channels; expected the width of one convolution at least")
        layers: list[nn.Module] = []
        width, side = inputs[0], min(inputs[1:])
        for channels, block in groupby(self.channels):
            for _ in block:
                layers.append(_Layer(width, channels, self.batch_norm, skip=self.skips and width == channels))
                width = channels
            if self.max_pool:
                side //= 2
                layers.append(nn.MaxPool2d(2))
        if side < 1:
            raise BadInput(
                f"images of {inputs[1]}x{inputs[2]} are too small to be halved after each of the blocks of "
                f"{self.channels}; use fewer channels or turn max_pool off"
            )
        head = [nn.Linear(width * POOLED**2, self.hidden), nn.ReLU(), nn.Linear(self.hidden, outputs)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten(), *head)


class _Layer(nn.Module):
    """Convolution, normalisation where asked for, ReLU; the input added where ``skip``."""

    def __init__(self, width_in: int, width_out: int, batch_norm: bool, skip: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(width_out) if batch_norm else nn.Identity()
        self.skip = skip

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.normalisation(self.convolution(images)))
        return features + images if self.skip else features
