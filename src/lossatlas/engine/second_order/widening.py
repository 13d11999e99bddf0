"""Networks in 64 bits, and whether they compute in these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.engine.network import Network
from lossatlas.types import Batch

__all__ = ["WatchingWidth", "widen"]


def widen(network: Network, batch: Batch) -> tuple[Network, Batch, bool]:
    """A network and a batch in 64 bits, and whether all is computed in these; as they are where that is impossible."""
    try:
        twin = network.widened()
        wide = tree_map(_double, batch)
        watch = WatchingWidth()
        with watch, twin.calling():
            _, losses = twin({}, wide)
        exact = losses.dtype == torch.float64 and not watch.seen
        return twin, wide, exact
    except Exception:  # such as a layer or a loss that has its own opinion of numbers
        return network, batch, False


def _double(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


class WatchingWidth(TorchFunctionMode):
    """Records whether functions of torch return numbers of fewer than 64 bits while entered."""

    seen = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        leaves = (leaf for leaf in tree_leaves((args, made)) if isinstance(leaf, Tensor))
        self.seen |= any(leaf.is_floating_point() and leaf.dtype != torch.float64 for leaf in leaves)
        return made
