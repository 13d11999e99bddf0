"""The interface of initialisers, which sample random vectors of a weight space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

import torch
from torch import Tensor, nn

from lossatlas.registry import Registry
from lossatlas.weights.space import WeightSpace

__all__ = ["INITIALISERS", "Initialiser", "Role", "is_normalisation_scale", "sample_normalisation_scale"]

INITIALISERS: Registry[type[Initialiser]] = Registry("initialiser", "lossatlas.weights.initialisers")


class Role(Enum):
    """The role of a random vector: the origin of a chart, or a direction."""

    ORIGIN = "origin"
    DIRECTION = "direction"


class Initialiser(ABC):
    """A distribution of random vectors in the weight space of a module."""

    @abstractmethod
    def sample(self, module: nn.Module, space: WeightSpace, role: Role, generator: torch.Generator) -> Tensor:
        """Sample a vector (n,), float32 on the CPU.

        Args:
            module: the module, which is read, never changed.
            space: the parameters of the vector.
            role: whether it is the origin of a chart or a direction.
            generator: the source of random numbers, on the CPU.
        """


def is_normalisation_scale(module: nn.Module, name: str) -> bool:
    """Whether the parameter called ``name`` multiplies normalised activations (BatchNorm, LayerNorm, ...)."""
    owner, _, local = name.rpartition(".")
    return local == "weight" and "Norm" in type(module.get_submodule(owner)).__name__


def sample_normalisation_scale(shape: tuple[int, ...], role: Role, generator: torch.Generator) -> Tensor:
    """Sample scales of normalisation layers as in appendix C of Skorokhodov & Burtsev 2019.

    The paper stores scales minus one half, sampled from U[-0.5, 0.5], and adds one half in the forward pass. Since
    orthogonalisation concerns directions only and Adam is invariant to translation, this is equivalent to an origin
    from U[0, 1] and directions from U[-0.5, 0.5].
    """
    uniform = torch.rand(shape, generator=generator)
    return uniform if role is Role.ORIGIN else uniform - 0.5
