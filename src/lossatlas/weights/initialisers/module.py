"""The initialisation of the module itself."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.weights.initialiser import Initialiser, Role, is_normalisation_scale, sample_normalisation_scale
from lossatlas.weights.space import WeightSpace

__all__ = ["ModuleDefault"]


class ModuleDefault(Initialiser):
    """Vectors from ``reset_parameters`` of every submodule; scales of normalisation layers as in :class:`Xavier`.

    Raises:
        BadInput: a parameter belongs to a module without ``reset_parameters``.
    """

    def sample(self, module: nn.Module, space: WeightSpace, role: Role, generator: torch.Generator) -> Tensor:
        fresh = copy.deepcopy(module).cpu()
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for part in fresh.modules():
                if callable(reset := getattr(part, "reset_parameters", None)):
                    reset()
        for entry in space.entries:
            owner = fresh.get_submodule(entry.name.rpartition(".")[0])
            if not hasattr(owner, "reset_parameters"):
                raise BadInput(
                    f"parameter {entry.name!r} belongs to {type(owner).__name__}, which has no reset_parameters; "
                    "use the xavier initialiser"
                )
        vector = space.vector_of(fresh).float()
        for entry in space.entries:
            if is_normalisation_scale(fresh, entry.name):
                vector[entry.slice] = sample_normalisation_scale(entry.shape, role, generator).reshape(-1)
        return vector
