"""Whether a copy of a module, called functionally, depends on each parameter in the same way as the module itself.

A functional call (``torch.func.functional_call``) replaces parameters by their names. A module that accesses them in
other ways, through a closure, a plain list or a weak reference, is then evaluated at other weights; and if a copy
refers to the original, two calls of the copy agree on the same wrong value. The copy is therefore compared with the
original module with the same weights in place, in outputs and losses.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lossatlas.engine.purity import is_comparable
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator
from lossatlas.types import Params

__all__ = ["Caller", "check_faithful", "find_unused", "perturb"]

Caller = Callable[[nn.Module, Params], Sequence[object]]
"""Calls a module on a few examples, functionally with parameters, or as it is if there are none. Returns a flat
list of outputs, the losses last."""

STEPS = (0.3, 1e-3)
"""The size of perturbations relative to each parameter: as far as maps reach; or small, if a network is not
finite there."""
ROUNDING = {torch.float64: 1e-13, torch.float32: 2e-6}
"""The relative tolerance for equal operations on equal numbers."""
MOVED = 1e-4
"""The tolerance relative to the change of the output with the weights: a wrong weight changes more, and rounding that
a deep network amplifies less."""
LARGE = 2**20
"""The size of plain tensors that are not restored, since they hold data and not counters."""
DEPTH = 3
"""The depth to which nested containers are restored."""
DRAWN = 4099
"""How many random numbers are sampled and then repeated, as networks may have many parameters; a prime, so that rows
of a matrix differ."""
NAMED = 3
"""The most parameters that a message names."""
IN_MODULE = (
    "model's output as they should, so that a map would be wrong: something else leads to these numbers, a closure, a "
    "bound method (the forward of a layer that was replaced), a plain list, a weak reference, another parameter or a "
    "tensor that was made of them once; have forward reach parameters through the module that owns them (self.NAME)"
)
IN_LOSS = (
    "loss as they should, so that a map would be wrong: the loss reaches them by itself; give a "
    "lossatlas.NetworkLoss, (network, batch) -> (B,), which is handed the network with the weights of a point"
)


def perturb(own: Mapping[str, Tensor], step: float = STEPS[0]) -> Params:
    """Perturb the weights of a module: each tensor plus noise relative to its size."""
    drawn = torch.randn(DRAWN, generator=make_generator(0, "elsewhere"))
    found = {}
    for index, (name, value) in enumerate(own.items()):
        noise = drawn.roll(index).to(value).repeat(-(-value.numel() // DRAWN))[: value.numel()].view(value.shape)
        size = value.detach().norm() / max(1, value.numel()) ** 0.5
        found[name] = value.detach() + step * (size + 0.1) * noise
    return found


def check_faithful(original: nn.Module, twin: nn.Module, varied: Iterable[str], call: Caller) -> None:
    """Refuse a module or a loss that accesses parameters other than by their names.

    Args:
        original: the user's module; other weights are put in place for one call, and it is restored in any case.
        twin: a private copy of it for this check, in evaluation mode. It is changed.
        varied: the names of the parameters that vary.
        call: calls either of them.

    Raises:
        BadInput: a parameter has no effect in a functional call, or another one than in the module itself.
    """
    own = dict(twin.named_parameters(remove_duplicate=False))
    names = [name for name in varied if name in own]
    for step in STEPS:
        there = perturb({name: own[name] for name in names}, step)
        found = call(twin, there)
        if all(bool(torch.isfinite(leaf).all()) for leaf in _floats(found)):
            break

    def of_original(params: Params) -> Sequence[object]:
        if _alike(original, twin):
            with _as_it_was(original), _overwritten(original, params):
                return _copied(call(original, {}))
        with _as_it_was(original):  # other numbers, or elsewhere: it is lent the twin's
            return call(original, {**_state(twin), **params})

    def of_twin(params: Params) -> Sequence[object]:
        with _overwritten(twin, params):
            return _copied(call(twin, {}))

    other = of_original
    try:
        wanted = other(there)
    except Exception:  # what a copy can and the original cannot, such as on another device
        other = of_twin
        wanted = other(there)
    if not _differ(found, wanted, wanted):
        return
    before = call(twin, {})  # how far outputs move says what of a difference is rounding
    if not _differ(found, wanted, before):
        return
    alone = ({name: there[name]} for name in names)
    guilty = (name for one in alone for name in one if _differ(call(twin, one), other(one), before))
    named = list(islice(guilty, NAMED))
    in_module = _differ(found[:-1], wanted[:-1], before[:-1])
    raise BadInput(_refusal(named, IN_MODULE if in_module else IN_LOSS))


def find_unused(twin: nn.Module, candidates: Sequence[str], call: Caller) -> list[str]:
    """Find the parameters among some that have no effect when they are perturbed.

    Args:
        twin: a private copy in evaluation mode.
        candidates: the names of parameters without a gradient.
        call: calls it.
    """
    own = dict(twin.named_parameters(remove_duplicate=False))
    there = perturb({name: own[name] for name in candidates if name in own})
    before = call(twin, {})

    def among(names: Sequence[str]) -> list[str]:
        if not names or not _differ(call(twin, {name: there[name] for name in names}), before, before):
            return list(names)
        half = len(names) // 2
        return among(names[:half]) + among(names[half:]) if half else []

    return among(list(there))


def _copied(outputs: Sequence[object]) -> Sequence[object]:
    """Outputs that keep their values when parameters are restored, also where they are views of these."""
    copied: Sequence[object] = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, outputs)
    return copied


@contextmanager
def _overwritten(module: nn.Module, params: Params) -> Iterator[None]:
    """While entered, parameters have other values; afterwards parameters and buffers are restored.

    Through ``data``, so that a graph that the user holds is not invalidated.
    """
    named = dict(module.named_parameters(remove_duplicate=False))
    buffers = [value.data for value in module.buffers() if is_comparable(value)]
    places = [*(named[name].data for name in params if name in named), *buffers]
    kept = [place.clone() for place in places]
    try:
        for place, value in zip(places, (params[name] for name in params if name in named), strict=False):
            place.copy_(value)
        yield
    finally:
        for place, value in zip(places, kept, strict=True):
            place.copy_(value)


def _alike(original: nn.Module, twin: nn.Module) -> bool:
    """Whether a copy has the dtype and the device of its original."""
    kinds = [{(value.dtype, value.device) for value in module.parameters()} for module in (original, twin)]
    return kinds[0] == kinds[1]


def _refusal(names: Sequence[str], cause: str) -> str:
    listed = ", ".join(repr(name) for name in names) or "some parameters"
    return f"other values of {listed} do not reach the {cause}"


def _buffers(twin: nn.Module) -> Params:
    """Copies of the buffers of a twin, to which its original may write."""
    kept = dict(twin.named_buffers(remove_duplicate=False))
    return {name: value.detach().clone() for name, value in kept.items() if is_comparable(value)}


def _state(twin: nn.Module) -> Params:
    """The parameters and copies of the buffers of a twin, whose dtype and device may differ from the original's."""
    own = twin.named_parameters(remove_duplicate=False)
    return {**_buffers(twin), **{name: value.detach() for name, value in own}}


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Restore the attributes of a module and its submodules in any case, with the content of containers and tensors.

    While entered the module is in evaluation mode, and not compiled.
    """
    parts = list(module.modules())
    kept = [(vars(part), dict(vars(part))) for part in parts]
    restore = [undo for attributes, _ in kept for value in attributes.values() for undo in _undo(value, DEPTH)]
    try:
        for part in parts:
            vars(part).update(training=False, _compiled_call_impl=None)
        yield
    finally:
        for attributes, before in kept:
            attributes.clear()
            attributes.update(before)
        for undo in restore:
            undo()


def _undo(value: object, depth: int) -> Iterator[Callable[[], object]]:
    """A function that restores the content of nested containers, and of tensors except parameters and buffers."""
    if isinstance(value, Tensor):
        if isinstance(value, nn.Parameter) or not (value.is_leaf and is_comparable(value) and value.numel() < LARGE):
            return
        before = value.detach().clone()
        yield lambda: value.data.copy_(before)
    elif type(value) in (dict, OrderedDict):
        yield partial(_refill, value, dict(value))  # type: ignore[call-overload]
        yield from (undo for each in value.values() if depth for undo in _undo(each, depth - 1))  # type: ignore[attr-defined]
    elif type(value) in (list, deque, set):
        yield partial(_refill, value, list(value))  # type: ignore[call-overload]
        yield from (undo for each in value if depth for undo in _undo(each, depth - 1))  # type: ignore[attr-defined]


def _refill(container: Any, held: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, list | deque) else container.update)(held)


def _floats(leaves: Sequence[object]) -> list[Tensor]:
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and is_comparable(leaf) and leaf.is_floating_point()]


def _differ(found: Sequence[object], wanted: Sequence[object], before: Sequence[object]) -> bool:
    """Whether two results of equal calls differ by more than rounding, relative to their change from ``before``."""
    triples = [
        (a, b.to(a.device), c.to(a.device))
        for a, b, c in zip(found, wanted, before, strict=False)
        if isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and isinstance(c, Tensor)
        and all(map(is_comparable, (a, b, c)))
    ]
    return len(found) != len(wanted) or any(_apart(*triple) for triple in triples)


def _apart(a: Tensor, b: Tensor, before: Tensor) -> bool:
    if a.shape != b.shape:
        return True
    if not a.is_floating_point() or not b.is_floating_point():
        return not torch.equal(a, b.to(a.dtype))
    rounding = ROUNDING.get(torch.promote_types(a.dtype, b.dtype), ROUNDING[torch.float32])
    known = torch.isfinite(a)
    if not torch.equal(known, torch.isfinite(b)):
        return True
    here, there = (torch.where(known, value, 0).double() for value in (a, b))
    noise = rounding * there.abs()
    if a.shape == before.shape:
        # The median of what changes, so that entries masked with -1e9, which do not, are disregarded.
        moved = (there - torch.where(known, before, 0).double()).abs()
        moved = moved[moved > noise]
        noise = noise + MOVED * (moved.median() if moved.numel() else 0.0)
    return bool(((here - there).abs() > noise).any())
