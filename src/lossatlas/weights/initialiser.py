"""The interface of initialisers: random vectors of weight space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum

import torch
from torch import Tensor, nn

from lossatlas.registry import Registry
from lossatlas.weights.space import WeightSpace

__all__ = ["INITIALISERS", "Initialiser", "Role", "draw_normalisation_scale", "is_normalisation_scale"]

INITIALISERS: Registry[type[Initialiser]] = Registry("initialiser", "lossatlas.weights.initialisers")


class Role(Enum):
    """What a drawn vector is for: a place, or a direction to walk from it."""

    ORIGIN = "origin"
    DIRECTION = "direction"


class Initialiser(ABC):
    """Draws vectors of the weight space of a module."""

    @abstractmethod
    def draw(self, module: nn.Module, space: WeightSpace, role: Role, generator: torch.Generator) -> Tensor:
        """A new vector (n,), float32 on the CPU. The module is read, never changed."""


def is_normalisation_scale(module: nn.Module, name: str) -> bool:
    """Whether the parameter called ``name`` multiplies normalised activations (BatchNorm, LayerNorm, ...)."""
    owner, _, local = name.rpartition(".")
    return local == "weight" and "Norm" in type(module.get_submodule(owner)).__name__


def draw_normalisation_scale(shape: tuple[int, ...], role: Role, generator: torch.Generator) -> Tensor:
    """Scales drawn as appendix C of Skorokhodov & Burtsev 2019 amounts to.

    The paper stores scales minus one half, from U[-0.5, 0.5], and adds the half back in the forward pass.
    Orthogonalisation touches directions only and Adam does not mind a translation, so this equals an origin from
    U[0, 1] and directions from U[-0.5, 0.5].
    """
    uniform = torch.rand(shape, generator=generator)
    return uniform if role is Role.ORIGIN else uniform - 0.5
