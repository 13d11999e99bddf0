"""Xavier initialisation (Glorot & Bengio 2010), as in Skorokhodov & Burtsev 2019."""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor, nn

from lossatlas.weights.initialiser import Initialiser, Role, is_normalisation_scale, sample_normalisation_scale
from lossatlas.weights.space import Entry, WeightSpace

__all__ = ["Xavier"]


class Xavier(Initialiser):
    """Weights of two or more dimensions from U[-a, a] with a = sqrt(6 / (fan_in + fan_out)), biases 0.

    Scales of normalisation layers are sampled as in appendix C of Skorokhodov & Burtsev 2019 (arXiv 1910.03867). Other
    parameters of fewer than two dimensions have the module's values at the origin, and are 0 in directions.

    Example:
        >>> import torch, lossatlas as la
        >>> plane = la.Plane.random(torch.nn.Linear(4, 3), initialiser=la.Xavier(), seed=1)
        >>> plane.axes, plane.directions.shape
        (('u', 'v'), torch.Size([2, 15]))
    """

    def sample(self, module: nn.Module, space: WeightSpace, role: Role, generator: torch.Generator) -> Tensor:
        own = dict(module.named_parameters(remove_duplicate=False))
        return torch.cat([self._sample(module, entry, own, role, generator).reshape(-1) for entry in space.entries])

    @staticmethod
    def _sample(
        module: nn.Module, entry: Entry, own: dict[str, nn.Parameter], role: Role, generator: torch.Generator
    ) -> Tensor:
        if is_normalisation_scale(module, entry.name):
            return sample_normalisation_scale(entry.shape, role, generator)
        if len(entry.shape) >= 2:
            receptive = prod(entry.shape[2:])
            bound = sqrt(6 / ((entry.shape[0] + entry.shape[1]) * receptive))
            return (2 * torch.rand(entry.shape, generator=generator) - 1) * bound
        if role is Role.ORIGIN and not entry.name.endswith("bias"):
            return own[entry.name].detach().float().cpu()
        return torch.zeros(entry.shape)
