"""Whether a module is a function of its parameters and inputs: a map of anything else would show noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lossatlas.errors import BadInput

__all__ = ["check_pure"]

TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
"""Sums in another order differ by less; dropped units and noise by more."""


def check_pure(module: nn.Module, call: Callable[[], object]) -> None:
    """Call a module twice in the same way and refuse what differs.

    Args:
        module: in evaluation mode.
        call: calls it on a few examples.

    Raises:
        BadInput: a layer gives other outputs for equal inputs, or the call writes to a buffer; both are named.
    """
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    first, second = _recorded(module, call), _recorded(module, call)
    for name, buffer in module.named_buffers():
        if not torch.allclose(before[name], buffer, rtol=0, atol=0, equal_nan=True):
            raise BadInput(
                f"the forward pass writes to buffer {name!r} in evaluation mode; expected a function of parameters and "
                "inputs: write to it while training alone"
            )
    # A layer is through before those that contain it, so the first that differs is the innermost.
    for (name, kind, inputs, outputs), (_, _, inputs_again, outputs_again) in zip(first, second, strict=False):
        if _equal(inputs, inputs_again) and not _equal(outputs, outputs_again):
            what = f"layer {name!r}" if name else "the model"
            raise BadInput(
                f"{what} ({kind}) is random in evaluation mode: equal inputs gave other outputs; "
                "let it draw numbers while training alone"
            )


def _recorded(module: nn.Module, call: Callable[[], object]) -> list[tuple[str, str, list[Any], list[Any]]]:
    """Name, type, inputs and outputs of each layer, in the order in which they are through."""
    seen: list[tuple[str, str, list[Any], list[Any]]] = []

    def watch(name: str) -> Callable[..., None]:
        def note(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            # Copies: an in-place activation may write over them.
            inputs, outputs = ([_copy(leaf) for leaf in tree_leaves(tree)] for tree in ((args, kwargs), output))
            seen.append((name, type(layer).__name__, inputs, outputs))

        return note

    hooks = [part.register_forward_hook(watch(name), with_kwargs=True) for name, part in module.named_modules()]
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _equal(first: list[Any], second: list[Any]) -> bool:
    tensors = [(a, b) for a, b in zip(first, second, strict=False) if isinstance(a, Tensor) and isinstance(b, Tensor)]
    return all(a.shape == b.shape and _close(a, b) for a, b in tensors)


def _close(a: Tensor, b: Tensor) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    return torch.allclose(a, b, **TOLERANCE, equal_nan=True)
