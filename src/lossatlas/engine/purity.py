"""Whether a module is a deterministic function of its parameters and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._pytree import tree_leaves

from lossatlas.engine.private import Lent
from lossatlas.errors import BadInput

__all__ = ["TINY", "alike", "check_pure", "equal", "is_comparable", "recomputes"]

TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
"""The tolerance for equal outputs: above rounding error, below the effect of dropout and noise."""
TINY = 1e-6
"""Smaller differences are ignored."""


def check_pure(module: nn.Module, call: Callable[[], object]) -> None:
    """Call a module twice in the same way, and refuse it if outputs differ.

    Args:
        module: the module, in evaluation mode.
        call: calls it on a few examples, without leaving a graph.

    Raises:
        BadInput: a layer gives other outputs for equal inputs, or the call writes to a parameter or a buffer; the
            message names all of them.
    """
    before = {name: value.clone() for name, value in _own(module) if is_comparable(value)}
    first, second = _recorded(module, call), _recorded(module, call)
    for name, value in _own(module):
        if name in before and is_comparable(value) and not _unchanged(before[name], value):
            what = "parameter" if isinstance(value, nn.Parameter) else "buffer"
            raise BadInput(
                f"the forward pass writes to {what} {name!r} in evaluation mode; expected a function of parameters and "
                "inputs: write to it in training mode only"
            )
    # A layer ends before those that contain it, so that the first one that differs is the innermost.
    for (name, kind, inputs, outputs), (_, _, inputs_again, outputs_again) in zip(first, second, strict=False):
        if equal(inputs, inputs_again) and not equal(outputs, outputs_again):
            what = f"layer {name!r}" if name else "the model"
            raise BadInput(
                f"{what} ({kind}) is random in evaluation mode: equal inputs gave other outputs; "
                "let it use random numbers in training mode only"
            )


class _Recomputed(Exception):
    """A parameter was read in the backward pass."""


class _Sealed(Tensor):
    """A replacement for a parameter that must not be read."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise _Recomputed


def recomputes(module: nn.Module, backward: Callable[[], object]) -> bool:
    """Whether a backward pass reads the module's parameters again, as with activation checkpointing.

    It would read the parameters that the module has at that time.

    Args:
        module: the module.
        backward: the backward pass of a functional call that has ended.
    """
    sealed: dict[str, Tensor] = {
        f"module.{name}": torch.empty(0).as_subclass(_Sealed) for name, _ in module.named_parameters()
    }
    try:
        functional_call(Lent(module), sealed, (lambda _: backward(),))
    except _Recomputed:
        return True
    except Exception:  # other failures of the backward pass are reported where it is needed
        return False
    return False


def _own(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _unchanged(before: Tensor, after: Tensor) -> bool:
    return before.shape == after.shape and torch.allclose(before, after, rtol=0, atol=0, equal_nan=True)


def _recorded(module: nn.Module, call: Callable[[], object]) -> list[tuple[str, str, list[Any], list[Any]]]:
    """Name, type, inputs and outputs of each layer, in the order in which their calls end."""
    seen: list[tuple[str, str, list[Any], list[Any]]] = []

    def watch(name: str) -> Callable[..., None]:
        def note(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            # Copies: an in-place activation may write over them.
            inputs, outputs = ([_copy(leaf) for leaf in tree_leaves(tree)] for tree in ((args, kwargs), output))
            seen.append((name, type(layer).__name__, inputs, outputs))

        return note

    hooks = [part.register_forward_hook(watch(name), with_kwargs=True) for name, part in module.named_modules()]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def is_comparable(value: Any) -> bool:
    """Whether a value is a tensor that can be compared, now and later.

    Nested and sparse tensors cannot, nor can meta tensors and those of a transform (``torch.func`` in a forward pass).
    """
    return (
        isinstance(value, Tensor)
        and not isinstance(value, UninitializedBuffer | UninitializedParameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        and value.layout is torch.strided
        and not (value.is_nested or value.is_quantized or value.is_meta)
    )


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if is_comparable(leaf) else None


def equal(first: list[Any], second: list[Any], *, exactly: bool = False) -> bool:
    """Whether the tensors of two lists are equal, up to rounding or exactly; others than tensors are ignored."""
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if is_comparable(a) and is_comparable(b)]
    same = _unchanged if exactly else _close
    return all(a.shape == b.shape and same(a, b) for a, b in pairs)


def alike(found: Tensor, wanted: Tensor, within: float) -> bool:
    """Whether two results are equal up to a share of their largest number, as for sums whose terms cancel."""
    if found.shape != wanted.shape or not torch.equal(found.isfinite(), wanted.isfinite()):
        return False
    gap = (found.double() - wanted.double())[wanted.isfinite()].abs()
    largest = wanted.double()[wanted.isfinite()].abs()
    return not gap.numel() or float(gap.max()) <= within * float(largest.max()) + TINY


def _close(a: Tensor, b: Tensor) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    return torch.allclose(a, b, **TOLERANCE, equal_nan=True)
