"""How far the rounding of weights lets products be off."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lossatlas.engine.network import Network
from lossatlas.engine.private import NARROW
from lossatlas.engine.second_order.comparison import VALUE, HessianProducts, sample_direction, split_calls
from lossatlas.errors import Caution
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Params

__all__ = ["tell_of_rounding"]


def tell_of_rounding(network: Network, batch: Batch) -> None:
    """Warn of weights of 16 bits, and how far their rounding lets products be off."""
    own = dict(network.original.named_parameters(remove_duplicate=False))
    formats = {value.dtype for value in own.values() if value.dtype in NARROW}
    if not formats:
        return
    params = dict(network.module.named_parameters(remove_duplicate=False))
    point = {name: params[name].detach() for name in sorted(network.varied)}
    generator = make_generator(0, "second-order/rounding")
    moved = {}
    for name, value in point.items():
        unit = _measure_unit(value, own[name].dtype if name in own else value.dtype)
        moved[name] = value + unit * (torch.rand(value.shape, generator=generator).to(value) - 0.5)
    operator, along = HessianProducts(*split_calls(network, batch)), sample_direction(point, 0)
    found, wanted = (_join(operator.multiply(place, along)) for place in (moved, point))
    share = float((found - wanted).norm() / wanted.norm().clamp(min=torch.finfo(wanted.dtype).tiny))
    named = " and ".join(sorted(str(each).removeprefix("torch.") for each in formats))
    warnings.warn(
        f"the weights are {named}: curvature is that at the rounded weights, computed in 32 bits; rounding them "
        f"another way changes a product with the Hessian by {share:.2g} of its size",
        Caution,
        stacklevel=2,
    )


def _measure_unit(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The unit in the last place of numbers in a format of 16 bits; zero for other formats."""
    if dtype not in NARROW:
        return torch.zeros_like(value)
    limits = torch.finfo(dtype)
    return limits.eps * torch.exp2(value.abs().clamp(min=limits.tiny).log2().floor())


def _join(product: Params) -> Tensor:
    return torch.cat([value.flatten() for name, value in product.items() if name != VALUE])
