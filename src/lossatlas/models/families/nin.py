"""Network in network (Lin, Chen & Yan 2014, arXiv 1312.4400)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lossatlas.bounds import Count
from lossatlas.errors import BadInput
from lossatlas.models.families._layers import Convolution, image_channels
from lossatlas.models.family import Family

__all__ = ["NIN"]

BLOCK = 3
"""Convolutions of one block."""


@dataclass(frozen=True)
class NIN(Family):
    """Blocks of a convolution and two 1x1 convolutions, each with ReLU; the last has one map per output, averaged.

    The first convolution of a block is 5x5, in the last block 3x3. Between blocks is 3x3 pooling of stride 2, by the
    maximum after the first block and by the mean after the others. It is the CIFAR-10 network of the authors except
    for dropout, which is left out, and for the initial weights, whose standard deviation depends on the number of
    outputs and is 0.05 in the paper. As there, a ReLU follows the last convolution: outputs are not negative.
    """

    channels: tuple[Count, ...] = (192, 160, 96, 192, 192, 192, 192, 192)
    """Number of output channels of each convolution but the last, which has those of the network: 3 n - 1 numbers."""
    batch_norm: bool = False
    """Apply batch normalisation before each activation."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        if len(self.channels) % BLOCK != BLOCK - 1:
            raise BadInput(
                f"nin's channels are {self.channels}; expected 3 n - 1 positive numbers, the outputs being the last"
            )
        last = len(self.channels) // BLOCK
        width = image_channels(f"nin of {last + 1} blocks", inputs, smallest=2 ** (last + 1))
        layers: list[nn.Module] = []
        for position, channels in enumerate((*self.channels, outputs)):
            block, inner = divmod(position, BLOCK)
            if block and not inner:
                # Edges are pooled as in Caffe: 32x32 pixels become 16x16 and 8x8.
                pool = nn.MaxPool2d if block == 1 else nn.AvgPool2d
                layers.append(pool(3, stride=2, ceil_mode=True))
            kernel = 1 if inner else 3 if block == last else 5
            layers.append(Convolution(width, channels, kernel, bias=True))
            layers += [nn.BatchNorm2d(channels), nn.ReLU()] if self.batch_norm else [nn.ReLU()]
            width = channels
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
