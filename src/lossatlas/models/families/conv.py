"""The convolutional networks of the multi-point paper (Skorokhodov & Burtsev 2019, appendix B)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor, nn

from lossatlas.bounds import Count
from lossatlas.errors import BadInput
from lossatlas.models.family import Family

__all__ = ["Conv"]

POOLED = 4
"""Features are averaged to POOLED x POOLED before the linear layers."""


@dataclass(frozen=True)
class Conv(Family):
    """3x3 convolutions with ReLU, adaptive average pooling to 4x4 and one hidden linear layer.

    The networks of Skorokhodov & Burtsev 2019 (arXiv 1910.03867), appendix B.

    Example:
        >>> import lossatlas as la
        >>> network = la.Conv(channels=(4, 8)).build(inputs=(1, 28, 28), outputs=10)
        >>> la.WeightSpace(network).size
        18138
    """

    channels: tuple[Count, ...] = (8, 32, 64)
    """Number of output channels of each convolution; the BatchNorm study uses 8 8 32 32 64 64."""
    hidden: Count = 128
    """Width of the hidden linear layer."""
    batch_norm: bool = False
    """Apply batch normalisation before each activation."""
    max_pool: bool = True
    """Apply 2x2 max-pooling after each block, a run of convolutions of equal width."""
    skips: bool = False
    """Add the input of a convolution to its output where their widths are equal."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        if len(inputs) != 3:
            raise BadInput(f"conv needs images (channels, height, width); the examples have shape {inputs}")
        if not self.channels:
            raise BadInput("conv has no channels; expected the width of one convolution at least")
        layers: list[nn.Module] = []
        width, side = inputs[0], min(inputs[1:])
        for channels, block in groupby(self.channels):
            for _ in block:
                layer: OrderedDict[str, nn.Module] = OrderedDict(
                    convolution=nn.Conv2d(width, channels, 3, padding=1),
                    normalisation=nn.BatchNorm2d(channels) if self.batch_norm else nn.Identity(),
                    relu=nn.ReLU(),
                )
                layers.append(_Skipped(layer) if self.skips and width == channels else nn.Sequential(layer))
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


class _Skipped(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return features + images
