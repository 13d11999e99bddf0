"""Multi-layer perceptrons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from lossatlas.bounds import Count
from lossatlas.models.family import Family

__all__ = ["MLP"]


@dataclass(frozen=True)
class MLP(Family):
    """Linear layers with ReLU between them, on flattened inputs.

    Example:
        >>> import lossatlas as la
        >>> la.MLP(hidden=(16,)).build(inputs=(1, 8, 8), outputs=10)
        Sequential(
          (0): Flatten(start_dim=1, end_dim=-1)
          (1): Linear(in_features=64, out_features=16, bias=True)
          (2): ReLU()
          (3): Linear(in_features=16, out_features=10, bias=True)
        )
    """

    hidden: tuple[Count, ...] = (64, 64, 64, 64)
    """Widths of the hidden layers."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for width_in, width_out in pairwise((prod(inputs), *self.hidden)):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear((prod(inputs), *self.hidden)[-1], outputs))
