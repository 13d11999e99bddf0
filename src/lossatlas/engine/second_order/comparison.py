"""Products with second-order operators, and the differences of gradients that they should be.

A difference counts only where differences over steps of other lengths agree with it: where they do not, because a ReLU
switches between them or numbers are rounded, it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from lossatlas.engine.network import Network
from lossatlas.engine.operators import OPERATORS
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Outputs, Params

__all__ = [
    "COARSE",
    "COMPARED",
    "FINE",
    "PERTURBED",
    "VALUE",
    "Limits",
    "Products",
    "compare",
    "make_leaves",
    "sample_direction",
    "split_calls",
]

PERTURBED = (0.3, 1e-3)
"""How far from its own weights the network is compared, relative to their size; none of them lies at a kink then."""
DIRECTIONS = 3
"""In how many directions, until differences say something."""
STEPS = (1e-6, 1e-7, 1e-8)
"""The steps of differences in 64 bits, relative to the size of the weights: few activations switch within them."""
COARSE_STEPS = (1e-2, 1e-3)
"""The steps where a layer computes in 32 bits."""
VALUE = ""
"""The name of the value of a function beside the names of its variables."""


@dataclass(frozen=True)
class Limits:
    """How numbers are compared."""

    steps: tuple[float, ...]
    equal: float
    """The relative difference up to which a product is right, and differences agree."""
    rounding: float
    """The error of a gradient by rounding, relative to its norm."""


FINE = Limits(STEPS, 1e-3, 1e3 * torch.finfo(torch.float64).eps)
COARSE = Limits(COARSE_STEPS, 0.05, 1e2 * torch.finfo(torch.float32).eps)


class HessianProducts:
    """Products with the Hessian of a function of a module's outputs, and what they should be."""

    def __init__(self, respond: Callable[[Params], Outputs], judge: Callable[[Outputs], Tensor]) -> None:
        self._respond, self._judge = respond, judge

    def _function(self, leaves: Params) -> Tensor:
        return self._judge(self._respond(leaves))

    def multiply(self, point: Params, along: Params) -> Params:
        """The product at a point, and the directional derivative of the function."""
        leaves = make_leaves(point)
        value = self._function(leaves)
        slopes = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, materialize_grads=True)
        forward = torch.stack([(slope * along[name]).sum() for name, slope in zip(leaves, slopes, strict=True)]).sum()
        return {**OPERATORS["hessian"]((), lambda _: value, leaves)(along), VALUE: forward}

    def differ(self, point: Params, along: Params, step: float) -> Params:
        """The same from gradients at two points."""
        above, below = (self.slopes(_shift(point, along, sign * step)) for sign in (1, -1))
        return {name: (above[name] - below[name]) / (2 * step) for name in above}

    def slopes(self, point: Params) -> Params:
        """The gradient and the value at a point."""
        leaves = make_leaves(point)
        value = self._function(leaves)
        slopes = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        return {**dict(zip(leaves, slopes, strict=True)), VALUE: value.detach()}


class GaussNewtonProducts:
    """Products with the Gauss-Newton matrix of a function of a module's outputs, and what they should be."""

    def __init__(self, respond: Callable[[Params], Outputs], judge: Callable[[Outputs], Tensor]) -> None:
        self._respond, self._judge = respond, judge

    def multiply(self, point: Params, along: Params) -> Params:
        """The product at a point."""
        leaves = make_leaves(point)
        return OPERATORS["ggn"](self._respond(leaves), self._judge, leaves)(along)

    def differ(self, point: Params, along: Params, step: float) -> Params:
        """The same from gradients with respect to outputs at two points, pulled back to the variables."""
        above, below = (self._slopes(_shift(point, along, sign * step)) for sign in (1, -1))
        leaves = make_leaves(point)
        given = _list_differentiable(self._respond(leaves))
        bent = [(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]
        found = torch.autograd.grad(given, list(leaves.values()), bent, materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    def slopes(self, point: Params) -> Params:
        """The gradient at a point, whose norm says what rounding is."""
        return HessianProducts(self._respond, self._judge).slopes(point)

    def _slopes(self, point: Params) -> list[Tensor]:
        """The gradient with respect to the outputs at a point."""
        leaves, spec = tree_flatten(self._respond(make_leaves(point)))
        free: list[Tensor] = []
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                leaves[i] = leaf.detach().requires_grad_()
                free.append(leaves[i])
        value = self._judge(tree_unflatten(leaves, spec))
        return list(torch.autograd.grad(value, free, materialize_grads=True))


Products: TypeAlias = HessianProducts | GaussNewtonProducts
COMPARED: Mapping[str, type[Products]] = {"hessian": HessianProducts, "ggn": GaussNewtonProducts}
"""What compares products of an operator with differences."""


def compare(operator: Products, point: Params, limits: Limits | None) -> str | None:
    """How products at a point are wrong, in words; None if they are right, or if differences do not say.

    Args:
        operator: makes products and differences.
        point: named tensors.
        limits: how numbers are compared; None makes a product, and compares nothing.
    """
    norms = {name: float(slope.norm()) for name, slope in operator.slopes(point).items()}
    whole = sum(norm for name, norm in norms.items() if name != VALUE)
    for number in range(DIRECTIONS):
        along = sample_direction(point, number)
        product = operator.multiply(point, along)
        if limits is None or not all(bool(leaf.isfinite().all()) for leaf in product.values()):
            return None
        floors = [
            {name: limits.rounding * (norms[VALUE] if name == VALUE else whole) / step for name in product}
            for step in limits.steps
        ]
        seen: list[Params] = []
        for step, floor in zip(limits.steps, floors, strict=True):
            seen.append(operator.differ(point, along, step))
            if not _list_apart(product, seen[-1], floor, limits.equal):
                return None
        for (one, other), floor in zip(pairwise(seen), floors[1:], strict=True):
            apart = _list_apart(product, one, floor, limits.equal)
            agreed = [name for name in apart if not _list_apart({name: one[name]}, other, floor, limits.equal)]
            if agreed:
                gap = max(_measure_gap(product[name], one[name]) for name in agreed)
                return f"a product is {gap:.0%} away from the difference of gradients"
    return None


def _list_apart(found: Params, wanted: Params, floor: Mapping[str, float], share: float) -> list[str]:
    """The names of tensors that differ by more than a share of their norms and a floor."""
    apart = []
    for name, value in found.items():
        size = max(float(value.norm()), float(wanted[name].norm()))
        if not _measure_gap(value, wanted[name]) * size <= share * size + floor[name]:
            apart.append(name)
    return apart


def _measure_gap(found: Tensor, wanted: Tensor) -> float:
    """The difference of two tensors relative to the larger of their norms."""
    size = max(float(found.norm()), float(wanted.norm()))
    return float((found - wanted).norm()) / size if size else 0.0


def sample_direction(point: Params, number: int) -> Params:
    """A random direction in which tensors are as large as they are at a point."""
    generator = make_generator(number, "second-order")
    found = {}
    for name, value in point.items():
        size = float(value.norm()) / max(1, value.numel()) ** 0.5
        found[name] = (size or 1.0) * torch.randn(value.shape, generator=generator).to(value)
    return found


def split_calls(network: Network, batch: Batch) -> tuple[Callable[[Params], Outputs], Callable[[Outputs], Tensor]]:
    """A network on a batch as a function of its parameters, and the sum of losses as one of its outputs."""
    return lambda params: network.respond(params, batch), lambda outputs: network.judge(outputs, batch)[1].sum()


def _list_differentiable(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.requires_grad]


def make_leaves(point: Params) -> Params:
    """Detach named tensors and make all require gradients."""
    return {name: value.detach().requires_grad_() for name, value in point.items()}


def _shift(point: Params, along: Params, step: float) -> Params:
    return {name: value + step * along[name] for name, value in point.items()}
