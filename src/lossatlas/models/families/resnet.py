"""Residual networks for small images (He, Zhang, Ren & Sun 2016, arXiv 1512.03385), with and without shortcuts."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossatlas.bounds import Count, Depth
from lossatlas.errors import BadInput
from lossatlas.models.family import Family

__all__ = ["ResNet"]

BLOCKS_PER_DEPTH = 6
"""Layers that one more block in each of the three stages adds."""
ENDS = 2
"""The first convolution and the linear layer."""
STAGES = 3


@dataclass(frozen=True)
class ResNet(Family):
    """Three stages of blocks of two 3x3 convolutions with batch normalisation, 16, 32 and 64 channels wide.

    Shortcuts have no parameters: where a stage halves the image and doubles the width, every second pixel is taken and
    the new channels are zero (option A of the paper). Without shortcuts it is the plain network of the paper, whose
    loss landscape Li et al. 2018 (arXiv 1712.09913) found chaotic.

    Example:
        >>> import torch, lossatlas as la
        >>> network = la.ResNet(depth=8, width=4).build(inputs=(3, 32, 32), outputs=10)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    depth: Depth = 20
    """Number of layers with weights, 6 n + 2: 20, 32, 44, 56, 110."""
    shortcuts: bool = True
    """Add the input of each block to its output."""
    width: Count = 16
    """Number of channels of the first stage."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        if len(inputs) != 3:
            raise BadInput(f"resnet needs images (channels, height, width); the examples have shape {inputs}")
        blocks, rest = divmod(self.depth - ENDS, BLOCKS_PER_DEPTH)
        if blocks < 1 or rest:
            raise BadInput(f"resnet's depth is {self.depth}; expected 6 n + 2, such as 20, 32, 44, 56 or 110")
        layers: list[nn.Module] = [_convolution(inputs[0], self.width, 1), nn.BatchNorm2d(self.width), nn.ReLU()]
        width = self.width
        for stage in range(STAGES):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(_Block(width, width * stride, stride, self.shortcuts))
                width *= stride
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs))


class _Block(nn.Sequential):
    """Layers to whose output their input is added, if there is a shortcut, before the last ReLU."""

    def __init__(self, width_in: int, width_out: int, stride: int, shortcut: bool) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            convolution_1=_convolution(width_in, width_out, stride),
            normalisation_1=nn.BatchNorm2d(width_out),
            relu=nn.ReLU(),
            convolution_2=_convolution(width_out, width_out, 1),
            normalisation_2=nn.BatchNorm2d(width_out),
        )
        super().__init__(layers)
        self.stride = stride
        self.new_channels = width_out - width_in
        self.shortcut = shortcut

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        if self.shortcut:
            kept = images[:, :, :: self.stride, :: self.stride]
            if self.new_channels:
                kept = nn.functional.pad(kept, (0, 0, 0, 0, 0, self.new_channels))
            features = features + kept
        return torch.relu(features)


def _convolution(width_in: int, width_out: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False)
