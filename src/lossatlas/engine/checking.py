"""Checks of a network on a few examples before it is evaluated."""

from __future__ import annotations

import copy
import warnings
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.data import Split, count_examples
from lossatlas.engine.failures import make_failure
from lossatlas.engine.faithful import Caller, check_faithful, find_unused, perturb
from lossatlas.engine.network import CHECKED_EXAMPLES, Network
from lossatlas.engine.private import Watching, drop_graph
from lossatlas.engine.purity import alike, check_pure, equal, is_comparable, recomputes
from lossatlas.errors import BadInput, Caution, LossatlasError, ModelFailure, format_error
from lossatlas.losses import check_total, total_weights
from lossatlas.types import Batch, Outputs, Params

__all__ = ["check_network", "spread"]

MANY = 64
"""On how many examples a parameter must have no effect to be called unused."""
MERGED = 1e-4
"""The tolerance for results of merged layers, as a share of the largest number."""
MENTIONED = 4
"""The most unused parameters that a warning lists."""


def check_network(network: Network, split: Split) -> None:
    """Call a network on a few examples and refuse one that cannot be fitted or surveyed.

    Properties that need special treatment are recorded in the network: that the module writes to its inputs, that it is
    differentiated with respect to them, and that its backward pass reads the parameters again. Properties that do not
    depend on the examples are checked on the first call alone.

    Args:
        network: the network.
        split: examples of the kind that will be evaluated.

    Raises:
        BadInput: the module fails on these examples, is random, writes to a parameter or a buffer in evaluation mode,
            stores results that it computed from parameters, or accesses parameters other than by their names; its
            output does not fit the loss, a label lies outside the outputs, or the loss is not one number per example.
    """
    first, network.checked = not network.checked, True
    with torch.random.fork_rng([network.device] if network.device.type == "cuda" else []):
        _check(network, split, thoroughly=first)


def _check(network: Network, split: Split, *, thoroughly: bool) -> None:
    batch = split.take(spread(CHECKED_EXAMPLES, split))
    fresh = copy.deepcopy(network.module) if thoroughly else None
    outputs = _called_first(network, batch)
    check_pure(network.module, lambda: _leaves(network, network.module, {}, batch))
    if fresh is not None:
        _check_follows(network, fresh, batch)
    _check_loss(network, outputs, batch, split)
    if thoroughly:
        _check_parameters(network, split)
        _note_functions(network, batch)
        _check_merged(network, batch)


def _note_functions(network: Network, batch: Batch) -> None:
    """Record which functions of torch are used that some strategies do not support."""
    with suppress(Exception), Watching(network.handed.uses), network.calling():  # one that fails now fails later, too
        network({}, batch)


def _check_merged(network: Network, batch: Batch) -> None:
    """Disable merged layers if they fail or give other results.

    Intermediate results of merged layers should not be used elsewhere, but a user's forward pass may do anything.
    """
    twin = network.merged()
    if twin is network:
        return
    wanted = _numbers(network, batch)
    try:
        found = _numbers(twin, batch)
        same = len(found) == len(wanted) and all(alike(*pair, MERGED) for pair in zip(found, wanted, strict=True))
    except Exception:  # user code may fail in any way
        same = False
    if not same:
        network.call_unmerged()


def _numbers(network: Network, batch: Batch) -> list[Tensor]:
    """Outputs and losses at the module's own parameters, without a graph, and the gradient of the losses."""
    with network.calling():
        found = [leaf for leaf in tree_leaves(drop_graph(network({}, batch))) if is_comparable(leaf)]
    if network.has_gradient:
        params = dict(network.module.named_parameters())
        point = {name: params[name].detach().clone().requires_grad_() for name in network.varied}
        with torch.enable_grad():
            _, losses = network(point, batch)
        found += torch.autograd.grad(losses.sum(), list(point.values()), materialize_grads=True)
    return found


def _called_first(network: Network, batch: Batch) -> Outputs:
    """The outputs at the module's own parameters; records whether calls need a graph."""
    inputs = tree_leaves(network.handed.given(batch))
    given = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in inputs]
    try:
        with torch.no_grad():
            outputs = network.handed.called(network.module, {}, batch)
    except Exception as error:  # the user's own module and data may fail in any way
        outputs = _called_with_graph(network, batch, error)
    if not equal(inputs, given, exactly=True):
        network.handed.copies = True
        for leaf, before in zip(inputs, given, strict=True):
            if isinstance(leaf, Tensor):
                leaf.detach().copy_(before)
    return outputs


def _called_with_graph(network: Network, batch: Batch, error: Exception) -> Outputs:
    """The outputs of a network that fails with gradients disabled; the check fails if it does so with gradients, too.

    A forward pass may differentiate with respect to inputs and to the network's own parameters.
    """
    _ask_for_gradients(network.module)
    try:
        with torch.enable_grad():
            outputs = network.handed.called(network.module, {}, batch)
    except LossatlasError:
        raise
    except Exception as again:
        raise _failure(network, again, batch) from error
    network.handed.differentiates = True
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, outputs)


def _failure(network: Network, error: Exception, batch: Batch) -> LossatlasError:
    failure = make_failure(error)
    kinds = {leaf.dtype for leaf in tree_leaves(network.handed.owned(network.handed.given(batch))) if _is_real(leaf)}
    own = {value.dtype for value in network.module.parameters() if _is_real(value)}
    if "dtype" in str(error) and len(kinds) == len(own) == 1 and kinds != own:
        (there,), (here,) = kinds, own
        return ModelFailure(f"{failure} (the data are {there}, the weights {here}; convert one of them)")
    return failure


def _leaves(network: Network, module: nn.Module, params: Params, batch: Batch) -> list[object]:
    """What the loss is given of a module's output, as a flat list without a graph."""
    with network.handed.calling():
        leaves = tree_leaves(network.handed.called(module, params, batch))
    return [leaf.detach() if is_comparable(leaf) else leaf for leaf in leaves]


def _check_follows(network: Network, fresh: nn.Module, batch: Batch) -> None:
    """Refuse a module that stores something computed from its parameters and uses it at other parameters.

    ``fresh`` is a copy of the module that was never called.
    """
    own = dict(network.module.named_parameters(remove_duplicate=False))
    there = perturb({name: own[name] for name in sorted(network.varied)})
    try:
        expected = _leaves(network, fresh, there, batch)
    except Exception:  # it need not be defined there
        return
    if not equal(expected, _leaves(network, network.module, there, batch)):
        raise BadInput(
            "the model's output depends on earlier calls: it keeps something that it computed from its parameters; "
            "expected a function of parameters and inputs: compute it in each call"
        )


def _check_loss(network: Network, outputs: Outputs, batch: Batch, split: Split) -> None:
    """Refuse a loss that does not fit the outputs, or is not one number per example."""
    examples = min(CHECKED_EXAMPLES, len(split))
    targets = network.targets(batch)
    total, looked_at = 0.0, 0
    for part in split.inspect():
        of_part, count = network.targets(part), count_examples(part)
        if not network.loss.sees_network:
            network.loss.check(outputs, targets, of_part)
        total += total_weights(network.loss, of_part, count)
        looked_at += count
    if looked_at == len(split):  # the weights of a stream are not known in advance
        check_total(network.loss, total)
    if not network.loss.sees_network:
        network.handed.loss = network.loss.settled(outputs, targets)
    seen = [*tree_leaves(outputs), *tree_leaves(targets)]
    given = [leaf.clone() if is_comparable(leaf) else leaf for leaf in seen]
    try:
        with network.handed.calling():
            losses, again = (network.handed.judged(outputs, batch)[1] for _ in range(2))
    except BadInput:
        raise
    except Exception as error:  # and so may the user's loss
        raise ModelFailure(f"the loss fails on the model's output: {format_error(error)}") from error
    found = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
    if found != f"shape {(examples,)}":
        raise BadInput(
            f"the loss returned {found} for {examples} examples; expected ({examples},), one loss per example "
            "(reduction='none'), a mean in a BatchMean, or a mapping of terms with terms={name: factor}"
        )
    if not equal(seen, given, exactly=True):
        raise BadInput(
            "the loss writes into the outputs or the targets, which metrics see, too; have it work on a copy, as with "
            "outputs.clone()"
        )
    if losses.is_complex():
        raise BadInput(f"the loss is complex ({losses.dtype}); expected real numbers, such as its abs()")
    weights = [network.loss.weights(targets) for _ in range(2)]
    if not network.loss.sees_network and not equal([losses, weights[0]], [again, weights[1]]):
        raise BadInput(
            "the loss is random: equal outputs and targets gave other values; expected a function of them: let it use "
            "no random numbers, or those of a generator that it seeds in each call"
        )


def _check_parameters(network: Network, split: Split) -> None:
    """Refuse a module or a loss that accesses parameters other than by their names; warn of unused parameters."""
    twin = network.copied().eval().requires_grad_(False)
    if network.differentiates:
        _ask_for_gradients(twin)
    # Numbers of equal operations are equal on any examples: two make these calls as cheap as can be.
    two, few, many = (split.take(spread(count, split)) for count in (2, CHECKED_EXAMPLES, MANY))

    def caller(batch: Batch) -> Caller:
        return lambda module, params: _judged(network, module, params, batch)

    try:
        check_faithful(network.original, twin, sorted(network.varied), caller(two))
        suspects = _without_gradient(network, few)
        unused = find_unused(twin, suspects, caller(many)) if suspects else []
    except LossatlasError:
        raise
    except Exception as error:
        raise make_failure(error, "the model fails at other weights than its own") from error
    if unused and len(unused) == len(network.varied):
        raise BadInput("no parameter that varies changes the model's output; choose others, or another output")
    if unused:
        listed = ", ".join(repr(name) for name in unused[:MENTIONED])
        more = f" and {len(unused) - MENTIONED} more" if len(unused) > MENTIONED else ""
        warnings.warn(
            f"unused by the model on these data, so that they change nothing: {listed}{more}", Caution, stacklevel=2
        )


def _judged(network: Network, module: nn.Module, params: Params, batch: Batch) -> list[object]:
    """Outputs, then losses, as a flat list without a graph."""
    handed = network.handed
    if network.differentiates:  # perhaps by its weights
        params = {name: value.detach().requires_grad_(_is_real(value)) for name, value in params.items()}
    with handed.calling():
        seen = handed.called(module, params, batch) if params else handed.called_with(module, batch)
        outputs, losses = handed.judged(seen, batch)
    return [leaf.detach() if is_comparable(leaf) else leaf for leaf in [*tree_leaves(outputs), losses]]


def _counts(network: Network, batch: Batch) -> bool:
    """Whether an example of a batch has a positive weight."""
    weights = network.loss.weights(network.targets(batch))
    return weights is None or bool(weights.sum() > 0)


def spread(count: int, split: Split) -> Tensor:
    """Choose indices of a few examples spread evenly over a split, since the first ones may be similar."""
    return torch.linspace(0, len(split) - 1, min(count, len(split)), dtype=torch.float64).round().long()


def _without_gradient(network: Network, batch: Batch) -> list[str]:
    """List the parameters without a gradient; records whether the backward pass reads parameters again."""
    own = dict(network.module.named_parameters(remove_duplicate=False))
    params = {name: own[name].detach().requires_grad_() for name in sorted(network.varied)}
    found: list[Tensor | None] = [None] * len(params)
    asks = False

    def backward() -> None:
        found[:] = torch.autograd.grad(total, [*params.values()], allow_unused=True)

    try:
        with torch.enable_grad():
            losses = network(params, batch)[1]
            asks = not equal([losses], _judged(network, network.module, {}, batch)[-1:])
            total = losses.sum()
            if not total.requires_grad:
                network.has_gradient = not _counts(network, batch)
                return list(params)
            if recomputes(network.module, backward):
                network.recompute()
                total = network(params, batch)[1].sum()
                backward()
    except Exception:  # a strategy that needs the gradient reports the failure
        return []
    if asks:
        warnings.warn(
            "losses differ with gradients enabled and disabled: the model asks which is the case; surveys show losses "
            "with gradients disabled, fits and gradients use those with gradients enabled",
            Caution,
            stacklevel=2,
        )
    return [name for name, slope in zip(params, found, strict=True) if slope is None]


def _ask_for_gradients(module: nn.Module) -> None:
    for parameter in filter(_is_real, module.parameters()):
        parameter.requires_grad_()


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
