"""Which layer of a network, or whether its loss, has wrong second derivatives: each is called by itself."""

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

__all__ = ["find_faulty"]


def find_faulty(network: Network, batch: Batch, operator: str, said: str | None) -> tuple[str, str] | None:
    """Find what makes products wrong: its name, and how its own are wrong, in words.

    Args:
        network: in 64 bits where that is possible.
        batch: a few examples.
        operator: of which there are products.
        said: how those of the network as a whole are wrong, in words; None if they are not, as far as is known: then
            layers without others inside are looked at, and nothing is named unless one of them is wrong.
    """
    loss = network.loss
    if said is not None and not loss.sees_network and (own := _try_loss(network, batch)) is not None:
        return f"the loss {loss.record}", own
    passed: set[str] = set()
    for name, part, args, kwargs in _record_calls(network, batch):
        if said is None and any(part.children()):
            continue
        try:
            own = _try_layer(part, args, kwargs, operator)
        except _NotAlone:
            continue
        if own is not None:
            return f"layer {name!r} ({type(part).__name__})" if name else "the model", own
        passed.add(name)
    if said is None:
        return None
    if loss.sees_network:  # what is not the network's is its own
        return f"the loss {loss.record}" if "" in passed else f"the model or the loss {loss.record}", said
    return "the model", said


def _try_loss(network: Network, batch: Batch) -> str | None:
    """How the second derivatives of the loss in the outputs are wrong, in words; of one that is given outputs."""
    try:
        with torch.no_grad():
            given, spec = tree_flatten(network.respond({}, batch))
        free = [i for i, leaf in enumerate(given) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        point = {f"{VALUE} {i}": given[i].detach() for i in free}

        def respond(leaves: Params) -> Outputs:
            own = [leaves[f"{VALUE} {i}"].clone() if i in free else leaf for i, leaf in enumerate(given)]
            return tree_unflatten(own, spec)

        def judge(outputs: Outputs) -> Tensor:
            return network.judge(outputs, batch)[1].sum()

        watch = WatchingWidth()
        with watch:
            value = judge(respond(make_leaves(point)))
    except Exception:  # such as a forward pass that needs gradients
        return None
    if not value.requires_grad:
        return None
    return _compare_alone("hessian", respond, judge, point, watch)


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
    return _compare_alone(name, respond, _weigh, point, watch)


def _compare_alone(
    operator: str,
    respond: Callable[[Params], Outputs],
    judge: Callable[[Outputs], Tensor],
    point: Params,
    watch: WatchingWidth,
) -> str | None:
    """How products of a part of a network are wrong, in words; numbers of 16 bits are too coarse to say."""
    limits = None if watch.list_narrower(torch.float32) else COARSE if watch.list_narrower(torch.float64) else FINE
    try:
        return compare(
            COMPARED[operator](respond, judge), point, None if watch.list_narrower(torch.float32) else limits
        )
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

    try:
        with _hooked(network.module, begin, end), torch.no_grad():
            network.handed.called(network.module, {}, batch)
    except Exception:  # a hook may see anything
        return
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
