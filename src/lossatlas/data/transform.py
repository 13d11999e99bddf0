"""Transforms of batches that are taken from a split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from lossatlas.types import Batch

__all__ = ["Normalise", "Transform"]


class Transform(ABC):
    """A function of a batch that treats each example in the same way and independently of the others."""

    @property
    @abstractmethod
    def key(self) -> str:
        """A description of the transform and its constants; transforms with equal keys are equal."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """Return a new batch on the same device; the given one is not changed."""


class Normalise(Transform):
    """``(x / 255 - mean) / std`` per channel, in float32, of the batch's first leaf: images (B, C, H, W) of uint8.

    Args:
        mean: the mean of each channel (C,), of values in [0, 1].
        std: the standard deviation of each channel (C,), likewise; not 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = tuple(mean)
        self.std = tuple(std)

    @property
    def key(self) -> str:
        return f"(x / 255 - mean) / std per channel with mean {_written(self.mean)} and std {_written(self.std)}"

    def __call__(self, batch: Batch) -> Batch:
        leaves, structure = tree_flatten(batch)
        images = leaves[0].to(torch.float32, copy=True)
        mean, std = (_channels(values, images) for values in (self.mean, self.std))
        leaves[0] = images.div_(255).sub_(mean).div_(std)
        return tree_unflatten(leaves, structure)


def _channels(values: Sequence[float], images: Tensor) -> Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]


def _written(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"
