"""How far numbers of few bits, of weights or within a forward pass, let products be off."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lossatlas.engine.network import Network
from lossatlas.engine.private import NARROW
from lossatlas.engine.second_order.comparison import COMPARED, VALUE, Products, sample_direction, split_calls
from lossatlas.engine.second_order.widening import WatchingWidth, list_arithmetics
from lossatlas.errors import Caution
from lossatlas.schema import OPERATORS
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Params

__all__ = ["tell_of_rounding"]

NEGLIGIBLE = 100
"""Up to how many units of rounding a product in the format of the weights may be off by itself."""


def tell_of_rounding(network: Network, batch: Batch, operator: str) -> None:
    """Warn of numbers of fewer bits than products have, and how far these are off for it; in one line."""
    params = dict(network.module.named_parameters(remove_duplicate=False))
    point = {name: params[name].detach() for name in sorted(network.varied)}
    lines = (find(network, batch, operator, point) for find in (_look_at_weights, _look_at_casts))
    if told := [line for line in lines if line]:
        warnings.warn("; ".join(told), Caution, stacklevel=2)


def _look_at_weights(network: Network, batch: Batch, operator: str, point: Params) -> str:
    """What is to be said of weights of 16 bits."""
    own = dict(network.original.named_parameters(remove_duplicate=False))
    formats = {name: value.dtype for name, value in own.items()}
    narrow = {each for each in formats.values() if each in NARROW}
    if not narrow:
        return ""
    share = _measure_change(COMPARED[operator](*split_calls(network, batch)), point, formats)
    return (
        f"the weights are {_list_names(narrow)}: curvature is that at the rounded weights, computed in 32 bits; "
        f"rounding them another way changes a product with the {OPERATORS[operator].words} by {share:.2g} of its size"
    )


def _look_at_casts(network: Network, batch: Batch, operator: str, point: Params) -> str:
    """What is to be said of a forward pass or a loss that computes in fewer bits than the weights have."""
    own = max((value.dtype for value in point.values()), key=lambda dtype: torch.finfo(dtype).bits)
    products, watch = COMPARED[operator](*split_calls(network, batch)), WatchingWidth()
    along = sample_direction(point, 0)
    with watch:
        found = _join(products.multiply(point, along))
    narrow = watch.list_narrower(own)
    if not narrow:
        return ""
    wanted = _multiply_exactly(network, batch, operator, point, along)
    if wanted is not None:
        share = _measure_share(found, wanted)
    else:  # 64 bits are what it cannot do: what another rounding of the weights changes is about as much
        coarsest = max(narrow, key=lambda dtype: torch.finfo(dtype).eps)
        share = _measure_change(products, point, dict.fromkeys(point, coarsest))
    if not share > NEGLIGIBLE * torch.finfo(own).eps:  # a share of NaN, of products that are not finite
        return ""
    # To two digits, so that what is stored does not depend on the last bits of a sum.
    limit = float(f"{max(share, *(torch.finfo(each).eps for each in narrow)):.1e}")
    network.handed.product_error = limit
    own_name, words = _list_names([own]), OPERATORS[operator].words
    return (
        f"the model or the loss computes in {_list_names(narrow)} (autocast, or a cast), and products are in "
        f"{own_name}: one with the {words} is off by {share:.2g} of its size, and an eigenvalue may be off by "
        f"{limit:.2g} of the largest, below which no residual is stored; have it compute in {own_name}, or count on no "
        "smaller tolerance (--curvature_tolerance)"
    )


def _multiply_exactly(network: Network, batch: Batch, operator: str, point: Params, along: Params) -> Tensor | None:
    """The product in 64 bits; None where the network cannot compute in these."""
    there, vector = ({name: value.double() for name, value in each.items()} for each in (point, along))
    try:
        for each in list_arithmetics(network, batch):
            if each.exact:
                with each.in_force():
                    return _join(COMPARED[operator](*split_calls(each.network, each.batch)).multiply(there, vector))
    except Exception:  # such as memory that does not hold it
        return None
    return None


def _measure_change(products: Products, point: Params, formats: Mapping[str, torch.dtype]) -> float:
    """How far another rounding of weights, in formats of their own, changes a product, relative to its size."""
    generator, moved = make_generator(0, "second-order/rounding"), {}
    for name, value in point.items():
        unit = _measure_unit(value, formats.get(name, value.dtype))
        moved[name] = value + unit * (torch.rand(value.shape, generator=generator).to(value) - 0.5)
    along = sample_direction(point, 0)
    found, wanted = (_join(products.multiply(place, along)) for place in (moved, point))
    return _measure_share(found, wanted)


def _measure_share(found: Tensor, wanted: Tensor) -> float:
    """The difference of two products, relative to the size of the second one."""
    return float((found - wanted).norm() / wanted.norm().clamp(min=torch.finfo(wanted.dtype).tiny))


def _list_names(formats: Iterable[torch.dtype]) -> str:
    return " and ".join(sorted(str(each).removeprefix("torch.") for each in formats))


def _measure_unit(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The unit in the last place of numbers in a format of fewer bits than theirs; zero for other formats."""
    limits = torch.finfo(dtype)
    if limits.bits >= torch.finfo(value.dtype).bits:
        return torch.zeros_like(value)
    return limits.eps * torch.exp2(value.abs().clamp(min=limits.tiny).log2().floor())


def _join(product: Params) -> Tensor:
    return torch.cat([value.flatten() for name, value in product.items() if name != VALUE])
