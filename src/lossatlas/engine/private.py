"""A private copy of a user's module, and what it is handed: nothing that happens to them reaches the user's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.errors import BadInput, first_line
from lossatlas.problem import Feed
from lossatlas.types import Batch, Params

__all__ = ["NARROW", "Handed", "install", "private_copy"]

NARROW = (torch.float16, torch.bfloat16)
"""Numbers of fewer than 32 bits."""


class Handed(Feed):
    """A user's feed, with inputs that the module may do with as it likes."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.copies = False
        """Whether each call has inputs of its own, because the module writes to them."""
        self.widens = False
        """Whether inputs have 32 bits at least, because the module's weights were given so many."""

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.handed(*self._feed.inputs(batch))

    def handed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments as a call gets them."""

        def own(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if self.widens and leaf.dtype in NARROW:
                return leaf.float()
            return leaf.clone() if self.copies else leaf

        if not (self.copies or self.widens):
            return args, kwargs
        handed: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(own, (args, kwargs))
        return handed

    def output(self, returned: Any) -> Any:
        return self._feed.output(returned)

    def targets(self, batch: Batch) -> Any:
        return self._feed.targets(batch)


class _Around(nn.Module):
    """In place of a wrapper that cannot be called with other parameters: the same names and the same function."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_submodule(self._name)(*args, **kwargs)


def private_copy(module: nn.Module) -> nn.Module:
    """A copy that shares nothing with the module. ``DataParallel`` and ``torch.compile`` are left out of it.

    What the module remembers of the graph of a last call is copied without the graph.

    Raises:
        BadInput: it holds something that cannot be copied.
    """
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _Around("module", private_copy(module.module))
    compiled = getattr(module, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return _Around("_orig_mod", private_copy(compiled))
    remembered = (leaf for part in module.modules() for leaf in tree_leaves(vars(part)))
    memo = {id(leaf): leaf.detach().clone() for leaf in remembered if isinstance(leaf, Tensor) and not leaf.is_leaf}
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # it is the user's own, and may hold anything
        raise BadInput(f"the model cannot be copied ({first_line(error)}); keep such things outside of it") from error


def install(module: nn.Module, params: Params) -> nn.Module:
    """Put tensors in the places of a module's parameters and buffers, to stay there; returns the module.

    As plain attributes: they carry gradients to where they come from.
    """
    for name, value in params.items():
        owner, _, local = name.rpartition(".")
        part = module.get_submodule(owner)
        delattr(part, local)
        setattr(part, local, value)
    return module
