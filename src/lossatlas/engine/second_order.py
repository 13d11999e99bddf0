"""Whether products with second-order operators are right, which torch does not say of all modules.

A layer whose backward pass is its own may lack a second derivative, or have one that silently lacks terms: where it
works on detached tensors or with NumPy. Products are therefore compared once with differences of gradients, in 64 bits
and on a few examples, and a layer that fails is named.

A difference counts only where differences over steps of other lengths agree with it: where they do not, because a ReLU
switches between them or numbers are rounded, it says nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from lossatlas.data import Split
from lossatlas.engine.checking import spread
from lossatlas.engine.faithful import perturb
from lossatlas.engine.network import Network
from lossatlas.engine.operators import OPERATORS
from lossatlas.engine.private import NARROW, force_plain_attention
from lossatlas.errors import BadInput, Caution, LossatlasError, ModelFailure, format_error, make_unknown_error
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Outputs, Params

__all__ = ["check_operator"]

EXAMPLES = 2
"""On how many examples products are compared: equal operations are equal on any."""
MORE = (16, 128)
"""On how many they are, where none of the first few counts."""
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
class _Limits:
    """How numbers are compared."""

    steps: tuple[float, ...]
    equal: float
    """The relative difference up to which a product is right, and differences agree."""
    rounding: float
    """The error of a gradient by rounding, relative to its norm."""


FINE = _Limits(STEPS, 1e-3, 1e3 * torch.finfo(torch.float64).eps)
COARSE = _Limits(COARSE_STEPS, 0.05, 1e2 * torch.finfo(torch.float32).eps)


def check_operator(network: Network, split: Split, name: str) -> None:
    """Refuse a second-order operator that a network does not have; its products are compared once with differences.

    Args:
        network: the network that is differentiated.
        split: examples of the kind that will be evaluated.
        name: ``hessian``, or ``ggn``.

    Raises:
        BadInput: an unknown name, the examples of a batch are normalised together, the losses have no gradient, a layer
            has no second derivatives, or the operator is not defined for the loss.

    Warns:
        Caution: the module's weights have fewer than 32 bits; with the size of the error.
    """
    if name not in OPERATORS:
        raise make_unknown_error("operator", name, list(OPERATORS))
    if network.normalises_by_the_batch:
        raise BadInput(
            f"the {name} is not that of the split: under statistics of the batch a loss belongs to a group of "
            "examples; use the network's own statistics (--buffers frozen) or re-estimated ones (--buffers "
            "reestimated)"
        )
    network.check_gradient()
    if name in network.handed.operators:
        return
    batch = _choose_examples(network, split)
    devices = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices), network.in_force(), force_plain_attention():
        with suppress(torch.OutOfMemoryError):  # a copy in 64 bits may not fit where products do
            _check_products(network, batch, name)
        if not network.handed.operators:
            _tell_of_rounding(network, batch)
    network.handed.operators.add(name)


def _choose_examples(network: Network, split: Split) -> Batch:
    """A few examples, of which some count; more where the first few do not."""
    for count in (EXAMPLES, *MORE):
        batch = split.take(spread(count, split))
        weights = network.loss.weights(network.targets(batch))
        if weights is None or bool(weights.sum() > 0):
            break
    return batch


def _check_products(network: Network, batch: Batch, name: str) -> None:
    """Compare products with differences.

    Raises:
        BadInput: they differ, or there are none.
    """
    said = None
    for twin, wide, exact in (_widen(network, batch), (network, batch, False)):  # 64 bits may be what it cannot do
        try:
            said = _try_network(twin, wide, name, exact=exact)
            break
        except (LossatlasError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # torch's own, or the user's
            said = format_error(error)
    if said is None and exact:
        return
    layer = _find_layer(twin, wide, name, broken=said is not None)
    if said is None and layer is None:
        return
    where, why = layer or ("the model", said or "")
    raise ModelFailure(
        f"{where} has no correct second derivatives, which the {name} needs: {why.rstrip('.')}; use another one, or "
        "write its backward pass in operations of torch, without detach(), NumPy, once_differentiable and reentrant "
        "checkpoints"
    )


def _widen(network: Network, batch: Batch) -> tuple[Network, Batch, bool]:
    """A network and a batch in 64 bits, and whether all is computed in these; as they are where that is impossible."""
    try:
        twin = network.widened()
        wide = tree_map(_double, batch)
        watch = _Narrow()
        with watch, twin.calling():
            _, losses = twin({}, wide)
        exact = losses.dtype == torch.float64 and not watch.seen
        return twin, wide, exact
    except Exception:  # such as a layer or a loss that has its own opinion of numbers
        return network, batch, False


def _double(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


class _Narrow(TorchFunctionMode):
    """Records whether functions of torch return numbers of fewer than 64 bits while entered."""

    seen = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        leaves = (leaf for leaf in tree_leaves((args, made)) if isinstance(leaf, Tensor))
        self.seen |= any(leaf.is_floating_point() and leaf.dtype != torch.float64 for leaf in leaves)
        return made


def _try_network(network: Network, batch: Batch, name: str, *, exact: bool) -> str | None:
    """How products of a network are wrong, in words; None if they are right, or nothing can be said.

    Raises:
        Exception: torch has no second derivatives of a layer.
    """
    own = dict(network.module.named_parameters(remove_duplicate=False))
    compared = COMPARED[name](*_split_calls(network, batch))
    for step in PERTURBED:
        point = perturb({each: own[each] for each in sorted(network.varied)}, step)
        if (said := _compare(compared, point, FINE if exact else None)) is not None:
            return said
    return None


def _split_calls(network: Network, batch: Batch) -> tuple[Callable[[Params], Outputs], Callable[[Outputs], Tensor]]:
    """A network on a batch as a function of its parameters, and the sum of losses as one of its outputs."""
    return lambda params: network.respond(params, batch), lambda outputs: network.judge(outputs, batch)[1].sum()


class _Hessian:
    """Products with the Hessian of a function of a module's outputs, and what they should be."""

    def __init__(self, respond: Callable[[Params], Outputs], judge: Callable[[Outputs], Tensor]) -> None:
        self._respond, self._judge = respond, judge

    def _function(self, leaves: Params) -> Tensor:
        return self._judge(self._respond(leaves))

    def multiply(self, point: Params, along: Params) -> Params:
        """The product at a point, and the directional derivative of the function."""
        leaves = _make_leaves(point)
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
        leaves = _make_leaves(point)
        value = self._function(leaves)
        slopes = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        return {**dict(zip(leaves, slopes, strict=True)), VALUE: value.detach()}


class _GaussNewton:
    """Products with the Gauss-Newton matrix of a function of a module's outputs, and what they should be."""

    def __init__(self, respond: Callable[[Params], Outputs], judge: Callable[[Outputs], Tensor]) -> None:
        self._respond, self._judge = respond, judge

    def multiply(self, point: Params, along: Params) -> Params:
        """The product at a point."""
        leaves = _make_leaves(point)
        return OPERATORS["ggn"](self._respond(leaves), self._judge, leaves)(along)

    def differ(self, point: Params, along: Params, step: float) -> Params:
        """The same from gradients with respect to outputs at two points, pulled back to the variables."""
        above, below = (self._slopes(_shift(point, along, sign * step)) for sign in (1, -1))
        leaves = _make_leaves(point)
        given = _list_differentiable(self._respond(leaves))
        bent = [(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]
        found = torch.autograd.grad(given, list(leaves.values()), bent, materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    def slopes(self, point: Params) -> Params:
        """The gradient at a point, whose norm says what rounding is."""
        return _Hessian(self._respond, self._judge).slopes(point)

    def _slopes(self, point: Params) -> list[Tensor]:
        """The gradient with respect to the outputs at a point."""
        leaves, spec = tree_flatten(self._respond(_make_leaves(point)))
        free: list[Tensor] = []
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                leaves[i] = leaf.detach().requires_grad_()
                free.append(leaves[i])
        value = self._judge(tree_unflatten(leaves, spec))
        return list(torch.autograd.grad(value, free, materialize_grads=True))


COMPARED: Mapping[str, type[_Hessian | _GaussNewton]] = {"hessian": _Hessian, "ggn": _GaussNewton}
"""What compares products of an operator with differences."""


def _compare(operator: _Hessian | _GaussNewton, point: Params, limits: _Limits | None) -> str | None:
    """How products at a point are wrong, in words; None if they are right, or if differences do not say.

    Args:
        operator: makes products and differences.
        point: named tensors.
        limits: how numbers are compared; None makes a product, and compares nothing.
    """
    norms = {name: float(slope.norm()) for name, slope in operator.slopes(point).items()}
    whole = sum(norm for name, norm in norms.items() if name != VALUE)
    for number in range(DIRECTIONS):
        along = _sample_direction(point, number)
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


def _sample_direction(point: Params, number: int) -> Params:
    """A random direction in which tensors are as large as they are at a point."""
    generator = make_generator(number, "second-order")
    found = {}
    for name, value in point.items():
        size = float(value.norm()) / max(1, value.numel()) ** 0.5
        found[name] = (size or 1.0) * torch.randn(value.shape, generator=generator).to(value)
    return found


def _find_layer(network: Network, batch: Batch, operator: str, *, broken: bool) -> tuple[str, str] | None:
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
    watch = _Narrow()
    try:
        with watch:
            value = _weigh(respond(_make_leaves(point)))
    except Exception as error:
        raise _NotAlone from error
    if not value.requires_grad:
        return None
    exact = not watch.seen and value.dtype == torch.float64
    try:
        return _compare(COMPARED[name](respond, _weigh), point, FINE if exact else COARSE)
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


def _list_differentiable(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.requires_grad]


def _make_leaves(point: Params) -> Params:
    return {name: value.detach().requires_grad_() for name, value in point.items()}


def _shift(point: Params, along: Params, step: float) -> Params:
    return {name: value + step * along[name] for name, value in point.items()}


def _tell_of_rounding(network: Network, batch: Batch) -> None:
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
    operator, along = _Hessian(*_split_calls(network, batch)), _sample_direction(point, 0)
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
