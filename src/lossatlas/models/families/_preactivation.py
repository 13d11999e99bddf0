"""Residual networks with full pre-activation: PreResNet, and wide residual networks, which are wider ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from torch import Tensor, nn

from lossatlas.models.families._layers import Convolution, make_preactivated

__all__ = ["EXPANSION", "SMALLEST", "make_residual_network"]

SMALLEST = 5
"""Smallest images of which more than one pixel reaches the third stage: 5, 3, 2."""
EXPANSION = 4
"""How many times a bottleneck's output is wider than its 3x3 convolution."""


def make_residual_network(
    channels: int, stem: int, widths: Sequence[int], units: int, outputs: int, bottleneck: bool = False
) -> nn.Sequential:
    """Make a 3x3 convolution, stages of residual units, normalisation, ReLU, global average pooling, a linear layer.

    Args:
        channels: the number of channels of the images.
        stem: the output channels of the first convolution.
        widths: the output channels of each stage; all stages but the first halve the images.
        units: the number of residual units of each stage.
        outputs: the number of outputs of the network.
        bottleneck: whether units consist of 1x1, 3x3 and 1x1 convolutions, and not of two 3x3.
    """
    layers: list[nn.Module] = [Convolution(channels, stem, 3)]
    width = stem
    for stage, following in enumerate(widths):
        for unit in range(units):
            layers.append(_Unit(width, following, 2 if stage and not unit else 1, bottleneck))
            width = following
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs)]
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(), *head)


class _Unit(nn.Module):
    """Normalisation and ReLU before each convolution; the input is added and nothing follows.

    As in the code of the papers, the first convolution has the stride, and where the width changes the shortcut is a
    1x1 convolution of the input after normalisation and ReLU.
    """

    def __init__(self, width_in: int, width_out: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            inner = width_out // EXPANSION
            shapes = [(width_in, inner, 1, stride), (inner, inner, 3, 1), (inner, width_out, 1, 1)]
        else:
            shapes = [(width_in, width_out, 3, stride), (width_out, width_out, 3, 1)]
        normalisation, relu, *residual = chain.from_iterable(make_preactivated(*shape) for shape in shapes)
        self.activation = nn.Sequential(normalisation, relu)
        self.residual = nn.Sequential(*residual)
        self.shortcut = Convolution(width_in, width_out, 1, stride) if width_in != width_out else None

    def forward(self, images: Tensor) -> Tensor:
        active = self.activation(images)
        kept = images if self.shortcut is None else self.shortcut(active)
        features: Tensor = self.residual(active) + kept
        return features
