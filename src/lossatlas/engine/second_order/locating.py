"""Which layer of a network has wrong second derivatives, found by calling each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from lossatlas.engine.faithful import perturb
from lossatlas.engine.network import Network
from lossatlas.engine.second_order.comparison import COARSE, COMPARED, FINE, PERTURBED, VALUE, compare, make_leaves
from lossatlas.engine.second_order.widening import WatchingWidth
from lossatlas.errors import format_error
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Outputs, Params

__all__ = ["find_layer"]


def find_layer(network: Network, batch: Batch, operator: str, *, broken: bool) -> tuple[str, str] | None:
    """The innermost layer whose products are wrong by themselves, and how, in words.

    Args:
        network: in 64 bits where that is possible.
        batch: a few examples.
        operator: of which there are products.
        broken: whether the network as a whole is wrong, so that layers which contain others are suspect, too.
    """
    try:
        calls = list(_record_calls(network, batch))
    except Exception:  # a hook may see anything
        return None
    for name, part, args, kwargs in calls:
        if not broken and any(part.children()):
            continue
        try:
            said = _try_layer(part, args, kwargs, operator)
        except _NotAlone:
            continue
        if said is not None:
            return f"layer {name!r} ({type(part).__name__})" if name else "the model", said
    return None


class _NotAlone(Exception):
    """A layer cannot be called by itself."""


def _try_layer(part: nn.Module, args: Any, kwargs: Any, name: str) -> str | None:
    """How products with an operator of a layer are wrong in its parameters and inputs, in words.

    Raises:
        _NotAlone: it cannot be called by itself.
    """
    inputs, spec = tree_flatten((args, kwargs))
    places = [i for i, leaf in enumerate(inputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    own = {name: value.detach() for name, value in part.named_parameters() if value.is_floating_point()}
    point = {**perturb(own, PERTURBED[1]), **{f"{VALUE} {i}": inputs[i] for i in places}}

    def respond(leaves: Params) -> Outputs:
        given = [leaves[f"{VALUE} {i}"].clone() if i in places else leaf for i, leaf in enumerate(inputs)]
        positional, named = tree_unflatten(given, spec)
        return functional_call(part, {name: leaves[name] for name in own}, positional, named)

    if not point:
        raise _NotAlone
    watch = WatchingWidth()
    try:
        with watch:
            value = _weigh(respond(make_leaves(point)))
    except Exception as error:
        raise _NotAlone from error
    if not value.requires_grad:
        return None
    exact = not watch.seen and value.dtype == torch.float64
    try:
        return compare(COMPARED[name](respond, _weigh), point, FINE if exact else COARSE)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # torch says that there are none
        return format_error(error)


def _weigh(outputs: Outputs) -> Tensor:
    """A curved function of outputs."""
    total = torch.zeros(())
    for leaf in tree_leaves(outputs):
        if isinstance(leaf, Tensor) and leaf.requires_grad:
            weights = torch.randn(leaf.shape, generator=make_generator(0, "second-order/outputs")).to(leaf)
            total = total.to(leaf) + (weights * (leaf + leaf.square() / 2)).sum()
    return total


def _record_calls(network: Network, batch: Batch) -> Iterator[tuple[str, nn.Module, Any, Any]]:
    """The first call of each layer, in the order in which they end: name, layer, and inputs without a graph."""
    started: list[tuple[Any, Any]] = []
    ended: dict[str, tuple[nn.Module, Any, Any]] = {}

    def begin(layer: nn.Module, args: Any, kwargs: Any) -> None:
        started.append(tree_map(_copy, (args, kwargs)))

    def end(name: str) -> Callable[..., None]:
        def note(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            ended.setdefault(name, (layer, *started.pop()))

        return note

    with _hooked(network.module, begin, end), torch.no_grad():
        network.handed.called(network.module, {}, batch)
    for name, (layer, args, kwargs) in ended.items():
        yield name, layer, args, kwargs


@contextmanager
def _hooked(module: nn.Module, begin: Callable[..., None], end: Callable[[str], Callable[..., None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, part in module.named_modules():
            for hook in (
                part.register_forward_pre_hook(begin, with_kwargs=True),
                part.register_forward_hook(end(name), with_kwargs=True),
            ):
                stack.callback(hook.remove)
        yield


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
