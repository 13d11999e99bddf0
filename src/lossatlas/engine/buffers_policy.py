"""Buffers policies: what running statistics mean at a point."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lossatlas.registry import Registry

__all__ = ["BUFFERS", "BuffersPolicy", "normalisations_with_statistics"]

BUFFERS: Registry[type[BuffersPolicy]] = Registry("buffers policy", "lossatlas.engine.buffers")


class BuffersPolicy(ABC):
    """What running statistics mean at a point that nobody trained."""

    @abstractmethod
    def check(self, module: nn.Module, has_centre: bool) -> None:
        """Refuse a module for which the policy has no meaning.

        Args:
            module: the problem's.
            has_centre: whether the chart lies around trained weights whose buffers the module holds.

        Raises:
            BadInput: the policy needs what is not there.
        """

    @abstractmethod
    def prepare(self, module: nn.Module) -> nn.Module:
        """The module, in evaluation mode, as it is to be called at every point. Owns its argument and may change it.

        The forward pass of what is returned must not write to buffers.
        """


def normalisations_with_statistics(module: nn.Module) -> list[_NormBase]:
    """The submodules that keep running statistics (batch and instance normalisation)."""
    return [part for part in module.modules() if isinstance(part, _NormBase) and part.running_mean is not None]
