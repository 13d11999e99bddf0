"""Whether a network is positively homogeneous in its weights, and the order of each of its parameters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.errors import BadInput, format_error
from lossatlas.problem import Problem
from lossatlas.types import Batch
from lossatlas.weights import WeightSpace

__all__ = ["find_radial_orders"]

FACTORS = (0.5, 0.8)
"""The factors on the weights at which homogeneity is verified."""
CLOSE = 1e-6
"""The relative tolerance of the verification, in float64."""
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_radial_orders(problem: Problem, space: WeightSpace, ends: Sequence[Tensor], batch: Batch) -> Tensor:
    """Find the order of each parameter of a network on the radial path through the origin (:class:`lossatlas.Radial`).

    Layers are numbered in the order in which they are called. That scaling the weights of order k by s^k multiplies
    the outputs by s^L, for L layers, is verified on the given examples at each end, in float64.

    Args:
        problem: the problem, of which module and feed are used.
        space: the weight space of all parameters.
        ends: the weight vectors (n,) of the ends.
        batch: a few examples.

    Returns:
        The orders (n,), integers from 1.

    Raises:
        BadInput: the radial path is not defined for this network; the message says why.
    """
    if problem.loss.sees_network:
        raise _undefined("its loss calls the network itself, so that its outputs are not defined")
    module = copy.deepcopy(problem.module).to("cpu").double().eval()
    if any(isinstance(part, _NormBase | nn.LayerNorm | nn.GroupNorm) for part in module.modules()):
        raise _undefined("it has normalisation layers, which undo a factor on the weights before them")
    varied = {name for entry in space.entries for name in entry.names}
    if kept := [name for name, _ in module.named_parameters() if name not in varied]:
        raise _undefined(f"parameter {kept[0]!r} does not vary, and the path takes all of them to the origin")
    batch = tree_map(_wide, batch)
    args, kwargs = problem.feed.inputs(batch)
    called: list[str] = []
    names = {part: name for name, part in module.named_modules() if isinstance(part, WEIGHTED)}
    hooks = [part.register_forward_hook(lambda part, *_: called.append(names[part])) for part in names]
    try:
        with torch.no_grad():
            problem.feed.output(module(*args, **kwargs))
    except Exception as error:  # a user's module may refuse these numbers
        raise _undefined(f"it cannot be tried in float64 ({format_error(error)})") from error
    finally:
        for hook in hooks:
            hook.remove()
    if len(set(called)) < len(called):
        raise _undefined(f"layer {next(name for name in called if called.count(name) > 1)!r} is called several times")
    powers: dict[str, int] = {}
    for place, name in enumerate(called):
        powers |= {f"{name}.weight": 1, f"{name}.bias": place + 1}
    orders = torch.empty(space.size, dtype=torch.long)
    for entry in space.entries:
        order = next((powers[name] for name in entry.names if name in powers), None)
        if order is None or len(entry.names) > 1:
            raise _undefined(f"parameter {entry.name!r} is not a weight or bias of one linear or convolutional layer")
        orders[entry.slice] = order

    def outputs(weights: Tensor) -> list[Any]:
        with torch.no_grad():
            found = problem.feed.output(functional_call(module, space.unflatten(weights), args, kwargs))
        return [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    for end in ends:
        weights = end.detach().double().cpu()
        whole = outputs(weights)
        for factor in FACTORS:
            for at_factor, at_one in zip(outputs(weights * factor ** orders.double()), whole, strict=True):
                if not torch.allclose(at_factor, factor ** len(called) * at_one, rtol=CLOSE, atol=CLOSE * 1e-3):
                    raise _undefined(
                        f"its outputs are not multiplied with s^{len(called)} when its weights are with s: it skips "
                        "layers, or has other activations than ReLU"
                    )
    return orders


def _wide(leaf: Any) -> Any:
    wide = isinstance(leaf, Tensor) and leaf.is_floating_point()
    return leaf.detach().cpu().double() if wide else leaf.cpu() if isinstance(leaf, Tensor) else leaf


def _undefined(why: str) -> BadInput:
    return BadInput(f"the radial path is not defined for this network: {why}; leave it out")
