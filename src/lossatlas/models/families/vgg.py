"""VGG networks for small images (Simonyan & Zisserman 2015, arXiv 1409.1556)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import nn

from lossatlas.bounds import Count, Depth
from lossatlas.errors import BadInput
from lossatlas.models.families._layers import Convolution, image_channels
from lossatlas.models.family import Family

__all__ = ["VGG"]

STAGES = {9: (2, 2, 3), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each stage, by depth."""
FACTORS = (1, 2, 4, 8, 8)
"""Channels of the stages, in those of the first."""


@dataclass(frozen=True)
class VGG(Family):
    """Stages of 3x3 convolutions with ReLU, each followed by 2x2 max-pooling; then linear layers.

    Depth 9 is the network of Li et al. 2018 (arXiv 1712.09913): three stages, one hidden linear layer. The others are
    configurations A, B, D and E of the paper with the head that Garipov et al. 2018 (arXiv 1802.10026) use on CIFAR:
    two hidden linear layers, as wide as the last stage. There is no dropout.

    Pooling at an odd edge includes the partial window, as in the code of Li et al., so that 28x28 images pass five
    stages. Images that shrink to a single pixel before the last stage are refused: depth 9 needs 5x5, others 17x17.
    """

    depth: Depth = 9
    """Number of layers with weights: 9, 11, 13, 16 or 19."""
    batch_norm: bool = False
    """Apply batch normalisation after each convolution; at depth 9, as published, after the hidden linear layer as
    well."""
    width: Count = 64
    """Number of channels of the first stage."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        if self.depth not in STAGES:
            *most, last = STAGES
            raise BadInput(f"vgg's depth is {self.depth}; expected {', '.join(map(str, most))} or {last}")
        stages = STAGES[self.depth]
        width = image_channels(f"vgg of depth {self.depth}", inputs, smallest=2 ** (len(stages) - 1) + 1)
        layers: list[nn.Module] = []
        for convolutions, factor in zip(stages, FACTORS, strict=False):
            for _ in range(convolutions):
                layers.append(Convolution(width, factor * self.width, 3, bias=True))
                width = factor * self.width
                layers += [nn.BatchNorm2d(width), nn.ReLU()] if self.batch_norm else [nn.ReLU()]
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        layers.append(nn.Flatten())
        features = width * prod(-(-side // 2 ** len(stages)) for side in inputs[1:])
        for _ in range(self.depth - sum(stages) - 1):
            layers.append(nn.Linear(features, width))
            layers += [nn.BatchNorm1d(width), nn.ReLU()] if self.batch_norm and self.depth == 9 else [nn.ReLU()]
            features = width
        return nn.Sequential(*layers, nn.Linear(features, outputs))
