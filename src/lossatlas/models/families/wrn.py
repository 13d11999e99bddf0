"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lossatlas.bounds import Count, Depth
from lossatlas.errors import BadInput
from lossatlas.models.families._layers import image_channels
from lossatlas.models.families._preactivation import SMALLEST, make_residual_network
from lossatlas.models.family import Family

__all__ = ["WRN"]

UNITS_PER_DEPTH = 6
"""Layers that one more unit in each of the three stages adds."""
ENDS = 4
"""The first convolution and those of three shortcuts; the paper leaves the linear layer out."""
WIDTH = 16


@dataclass(frozen=True)
class WRN(Family):
    """WRN-depth-widen: pre-activation units of two 3x3 convolutions, 16, 32 and 64 times ``widen`` channels wide.

    The first convolution stays 16 channels wide, and there is no dropout. WRN-(d + 2)-1 is the PreResNet of depth d.
    """

    depth: Depth = 16
    """Number of layers with weights, 6 n + 4: 10, 16, 22, 28, 40."""
    widen: Count = 4
    """Widening factor, relative to a residual network: 1, 2, 4, 8, 10."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        channels = image_channels("wrn", inputs, SMALLEST)
        units, rest = divmod(self.depth - ENDS, UNITS_PER_DEPTH)
        if units < 1 or rest:
            raise BadInput(f"wrn's depth is {self.depth}; expected 6 n + 4, such as 10, 16, 22, 28 or 40")
        widths = [factor * WIDTH * self.widen for factor in (1, 2, 4)]
        return make_residual_network(channels, WIDTH, widths, units, outputs)
