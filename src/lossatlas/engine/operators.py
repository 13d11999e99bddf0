"""Second-order operators of a term at a point, as products with vectors: the Hessian and the Gauss-Newton matrix.

A product is made in two steps. *Linearising* calls the network and builds the graph of its first derivatives, which
costs most; *multiplying* goes back through that graph, as often as is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from lossatlas.errors import BadInput
from lossatlas.types import Outputs, Params

__all__ = ["OPERATORS", "Linearise", "Multiply"]

Multiply: TypeAlias = Callable[[Params], Params]
"""The product of an operator at a point, or at several together, with a vector as named tensors."""
Linearise: TypeAlias = Callable[[Outputs, Callable[[Outputs], Tensor], Params], Multiply]
"""Makes the product from outputs with a graph, the scalar as a function of them, and the parameters: leaves of that
graph, with respect to which the operator is taken."""


def linearise_hessian(outputs: Outputs, scalar: Callable[[Outputs], Tensor], params: Params) -> Multiply:
    """The Hessian: multiplied by differentiating the directional derivative (Pearlmutter 1994)."""
    value = scalar(outputs)
    varied = list(params.values())
    slopes = [] if not value.requires_grad else _derive(value, varied)

    def multiply(vectors: Params) -> Params:
        along = [vectors[name] for name in params]
        return dict(zip(params, _pull(slopes, varied, along), strict=True))

    return multiply


def linearise_ggn(outputs: Outputs, scalar: Callable[[Outputs], Tensor], params: Params) -> Multiply:
    """The generalised Gauss-Newton matrix J'HJ: J of the outputs, H of the scalar in the outputs (Schraudolph 2002).

    The forward product with J is the derivative of the backward one, which is linear in what is pulled back.

    Raises:
        BadInput: the scalar is linear in the outputs, as where the network returns its loss itself.
    """
    leaves, spec = tree_flatten(outputs)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
    given = [leaves[i] for i in places]
    free = [leaf.detach().requires_grad_() for leaf in given]
    for i, leaf in zip(places, free, strict=True):
        leaves[i] = leaf
    value = scalar(tree_unflatten(leaves, spec))
    slopes = _derive(value, free) if value.requires_grad else []  # a constant, as where no example of a batch counts
    if slopes and not any(slope.requires_grad for slope in slopes):
        raise BadInput(
            "ggn is zero: the loss is linear in what the network returns, as where that is the loss itself; use "
            "hessian, or return outputs of which the loss is a curved function"
        )
    varied = list(params.values())
    cotangents = [torch.zeros_like(leaf, requires_grad=True) for leaf in given]
    pulled = torch.autograd.grad(given, varied, cotangents, create_graph=True, materialize_grads=True) if given else ()

    def multiply(vectors: Params) -> Params:
        pushed = _pull(pulled, cotangents, [vectors[name] for name in params])
        bent = _pull(slopes, free, pushed)
        return dict(zip(params, _pull(given, varied, bent), strict=True))

    return multiply


OPERATORS: Mapping[str, Linearise] = MappingProxyType({"hessian": linearise_hessian, "ggn": linearise_ggn})
"""The operators by name."""


def _derive(scalar: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """The gradient of a scalar with respect to leaves, with a graph; zeros where it does not depend on one."""
    return list(torch.autograd.grad(scalar, leaves, create_graph=True, materialize_grads=True))


def _pull(results: tuple[Tensor, ...] | list[Tensor], leaves: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """The gradient of the scalar product of results with weights with respect to leaves; the graph stays."""
    pairs = [(result, weight) for result, weight in zip(results, weights, strict=False) if result.requires_grad]
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    graphs, along = zip(*pairs, strict=True)
    return list(torch.autograd.grad(graphs, leaves, along, retain_graph=True, materialize_grads=True))
