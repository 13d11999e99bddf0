"""Densely connected networks (Huang, Liu, van der Maaten & Weinberger 2017, arXiv 1608.06993)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossatlas.bounds import Count, Depth, Fraction
from lossatlas.errors import BadInput
from lossatlas.models.families._layers import Convolution, image_channels, make_preactivated
from lossatlas.models.family import Family

__all__ = ["DenseNet"]

BLOCKS = 3
ENDS = 4
"""The first convolution, two transitions and the linear layer."""
STEM = 16
"""Channels of the first convolution without bottlenecks."""
BOTTLENECK = 4
"""Channels of a bottleneck, in growths."""
UNEQUAL = {121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Layers in the four blocks of the paper's larger networks, by depth."""


@dataclass(frozen=True)
class DenseNet(Family):
    """Three blocks of layers that each see all earlier ones and add ``growth`` channels; pooling to half between them.

    Normalisation and ReLU precede each 3x3 convolution. DenseNet-BC has ``bottleneck`` and
    ``compression=0.5``. With bottlenecks, depths 121, 161, 169 and 201 have four blocks; they are used as in the code
    of Li et al. 2018 (arXiv 1712.09913), with the 3x3 convolution of the small networks at the start:
    ``depth=121, growth=32, bottleneck=True, compression=0.5``.
    """

    depth: Depth = 40
    """Number of layers with weights: 3 n + 4 (40, 100), with bottlenecks 6 n + 4 (100, 190, 250), or 121, 161, 169,
    201."""
    growth: Count = 12
    """Number of channels that each layer adds."""
    bottleneck: bool = False
    """Put a 1x1 convolution of four growths before each 3x3 convolution, and start with two growths in place of 16
    channels."""
    compression: Fraction = 1.0
    """Fraction of the channels that a transition between blocks keeps."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        blocks = self._blocks()
        channels = image_channels(f"densenet of depth {self.depth}", inputs, smallest=2 ** len(blocks))
        width = 2 * self.growth if self.bottleneck else STEM
        layers: list[nn.Module] = [Convolution(channels, width, 3)]
        for block, added in enumerate(blocks):
            if block:
                kept = max(1, int(self.compression * width))
                layers += [*make_preactivated(width, kept, 1), nn.AvgPool2d(2)]
                width = kept
            for _ in range(added):
                layers.append(_Layer(width, self.growth, self.bottleneck))
                width += self.growth
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs)]
        return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(), *head)

    def _blocks(self) -> tuple[int, ...]:
        """The number of layers in each block."""
        if self.bottleneck and self.depth in UNEQUAL:
            return UNEQUAL[self.depth]
        convolutions = 2 if self.bottleneck else 1
        layers, rest = divmod(self.depth - ENDS, BLOCKS * convolutions)
        if layers < 1 or rest:
            large = ", ".join(map(str, UNEQUAL))
            expected = (
                f"6 n + 4, such as 40 or 100, or one of {large}, with" if self.bottleneck
                else "3 n + 4, such as 40 or 100, without"
            )  # fmt: skip
            raise BadInput(f"densenet's depth is {self.depth}; expected {expected} bottlenecks")
        return (layers,) * BLOCKS


class _Layer(nn.Module):
    def __init__(self, width: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        inner = BOTTLENECK * growth
        squeeze = make_preactivated(width, inner, 1) if bottleneck else []
        self.grown = nn.Sequential(*squeeze, *make_preactivated(inner if bottleneck else width, growth, 3))

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.grown(features)], dim=1)
