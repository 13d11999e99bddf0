"""Networks in 64 bits, and the formats of numbers that they compute in.

A forward pass may have an opinion of its own: it casts (``x.half()``, ``softmax(dtype=torch.float32)``), or enters
autocast, which leaves numbers of 64 bits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.engine.network import Network
from lossatlas.types import Batch

__all__ = ["Arithmetic", "KeepingWidth", "WatchingWidth", "list_arithmetics"]

CASTS = {"half", "bfloat16", "float"}
"""The methods of tensors that cast to fewer than 64 bits by their name."""


class WatchingWidth(TorchFunctionMode):
    """Records the formats of numbers that functions of torch are given and return while entered."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.seen |= {leaf.dtype for leaf in tree_leaves((args, made)) if _is_real(leaf)}
        return made

    def list_narrower(self, dtype: torch.dtype) -> list[torch.dtype]:
        """The formats of fewer bits than a given one, by their names."""
        bits = torch.finfo(dtype).bits
        return sorted((each for each in self.seen if torch.finfo(each).bits < bits), key=str)


class KeepingWidth(TorchFunctionMode):
    """Numbers of 64 bits stay such while entered: what would cast them to fewer leaves them as they are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if not (args and _is_real(args[0]) and args[0].dtype == torch.float64) or name == "view":
            return func(*args, **kwargs)
        if name in CASTS:
            return args[0].clone()
        if not any(_narrows(leaf) for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        args, kwargs = tree_map(lambda leaf: torch.float64 if _narrows(leaf) else leaf, (args, kwargs))
        made = func(*args, **kwargs)
        return made.clone() if made is args[0] else made  # a cast makes a copy, which may be written to


@dataclass(frozen=True)
class Arithmetic:
    """A network and examples for it, and the numbers in which it computes.

    Attributes:
        network: The network.
        batch: A few examples.
        exact: Whether all numbers have 64 bits.
        keeps: Whether its casts to fewer bits are left out.
    """

    network: Network
    batch: Batch
    exact: bool = False
    keeps: bool = False

    def in_force(self) -> AbstractContextManager[object]:
        """A context for calls of the network."""
        return KeepingWidth() if self.keeps else nullcontext()


def list_arithmetics(network: Network, batch: Batch) -> Iterator[Arithmetic]:
    """A network in 64 bits without its casts, in 64 bits with them, and as it is; as far as it can be called so."""
    for keeps in (True, False):
        watch = WatchingWidth()
        try:
            twin, wide = network.widened(), tree_map(_double, batch)
            with KeepingWidth() if keeps else nullcontext(), watch, twin.calling():
                _, losses = twin({}, wide)
        except Exception:  # such as a layer or a loss that has its own opinion of numbers
            continue
        exact = losses.dtype == torch.float64 and not watch.list_narrower(torch.float64)
        yield Arithmetic(twin, wide, exact, keeps)
    yield Arithmetic(network, batch)


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _double(leaf: Any) -> Any:
    return leaf.double() if _is_real(leaf) else leaf


def _narrows(leaf: Any) -> bool:
    """Whether it is a format of fewer than 64 bits."""
    return isinstance(leaf, torch.dtype) and leaf.is_floating_point and leaf != torch.float64
