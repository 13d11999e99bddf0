"""Pre-activation residual networks for small images (He, Zhang, Ren & Sun 2016, arXiv 1603.05027)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lossatlas.bounds import Count, Depth
from lossatlas.errors import BadInput
from lossatlas.models.families._layers import image_channels
from lossatlas.models.families._preactivation import EXPANSION, SMALLEST, make_residual_network
from lossatlas.models.family import Family

__all__ = ["PreResNet"]

STAGES = 3
ENDS = 2
"""The first convolution and the linear layer."""


@dataclass(frozen=True)
class PreResNet(Family):
    """Three stages of residual units, 16, 32 and 64 channels wide, with normalisation and ReLU before each convolution.

    Two 3x3 convolutions make a unit, or a bottleneck: 1x1, 3x3 and 1x1, whose output is four times as wide. Where a
    stage changes the width, the shortcut is a 1x1 convolution. The network of the mode connectivity paper
    (Garipov et al. 2018, arXiv 1802.10026) is ``depth=164, bottleneck=True``.

    Example:
        >>> import torch, lossatlas as la
        >>> network = la.PreResNet(depth=8, width=4).build(inputs=(3, 32, 32), outputs=10)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    depth: Depth = 20
    """Number of layers with weights: 6 n + 2 (20, 56, 110), with bottlenecks 9 n + 2 (29, 164, 1001)."""
    bottleneck: bool = False
    """Use bottlenecks, units of three convolutions."""
    width: Count = 16
    """Number of channels of the first convolution and stage, before bottlenecks widen them."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        channels = image_channels("preresnet", inputs, SMALLEST)
        convolutions = 3 if self.bottleneck else 2
        units, rest = divmod(self.depth - ENDS, STAGES * convolutions)
        if units < 1 or rest:
            expected = "9 n + 2, such as 29, 164 or 1001," if self.bottleneck else "6 n + 2, such as 20, 56 or 110,"
            kind = "with" if self.bottleneck else "without"
            raise BadInput(f"preresnet's depth is {self.depth}; expected {expected} {kind} bottlenecks")
        expansion = EXPANSION if self.bottleneck else 1
        widths = [2**stage * self.width * expansion for stage in range(STAGES)]
        return make_residual_network(channels, self.width, widths, units, outputs, self.bottleneck)
