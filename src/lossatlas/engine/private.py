"""A private copy of a user's module, and what it is handed: nothing that happens to them reaches the user's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.errors import BadInput, format_error
from lossatlas.feeds import Feed
from lossatlas.losses import Loss, judge
from lossatlas.types import Batch, Outputs, Params
from lossatlas.users_code import call_user_code

__all__ = [
    "FORWARD_MODE",
    "GROUP_NORM",
    "NARROW",
    "Handed",
    "Lent",
    "Watching",
    "copy_private",
    "copy_shared",
    "drop_graph",
    "force_plain_attention",
    "install",
    "unwrap",
]  # fmt: skip

NARROW = (torch.float16, torch.bfloat16)
"""Numbers of fewer than 32 bits."""
GROUP_NORM, FORWARD_MODE = "group_norm", "_make_dual"
WATCHED = {GROUP_NORM, FORWARD_MODE}
"""Group normalisation, which torch cannot always differentiate with channels last; and differentiation in forward mode,
whose levels are the process's and not a thread's."""


class Watching(TorchFunctionMode):
    """While entered, notes which functions of :data:`WATCHED` are used.

    Args:
        seen: takes their names.
    """

    def __init__(self, seen: set[str]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in WATCHED:
            self._seen.add(name)
        return func(*args, **(kwargs or {}))


class Handed:
    """How a private copy is called: a user's feed and loss, with inputs that the module may do with as it likes."""

    def __init__(self, feed: Feed, loss: Loss) -> None:
        self._feed = feed
        self.loss = loss
        """What a check has settled of it included."""
        self.copies = False
        """Whether each call has inputs of its own, because the module writes to them."""
        self.widens = False
        """Whether inputs have 32 bits at least, because the module's weights were given so many."""
        self.differentiates = False
        """Whether the network is differentiated by its inputs as it is called, which takes a graph even where nobody
        asks for the gradient of the loss."""
        self.uses: set[str] = set()
        """Names of functions of torch that calls were seen to use, of those that matter (:data:`WATCHED`)."""

    def calling(self) -> AbstractContextManager[object]:
        """Entered around calls whose results carry no graph: without gradients, where the network can do without.

        Of one thread: others have a mode of their own.
        """
        return torch.enable_grad() if self.differentiates else torch.no_grad()

    def called(self, module: nn.Module, params: Params, batch: Batch) -> Outputs:
        """What the loss sees of a functional call with these parameters, and no others of the module's own names.

        That are the losses (B,) themselves where the loss calls the network.
        """
        if self.loss.sees_network:
            within = {f"module.{name}": value for name, value in params.items()}
            return call_user_code(functional_call, Lent(module), within, (self.loss.of_network, self.owned(batch)))
        args, kwargs = self.owned(self._feed.inputs(batch))
        return self._feed.output(call_user_code(functional_call, module, params, args, kwargs))

    def called_with(self, module: nn.Module, batch: Batch) -> Outputs:
        """The same of a module that has its parameters in place."""
        if self.loss.sees_network:
            return call_user_code(self.loss.of_network, module, self.owned(batch))
        args, kwargs = self.owned(self._feed.inputs(batch))
        return self._feed.output(call_user_code(module, *args, **kwargs))

    def given(self, batch: Batch) -> Any:
        """What the module, or the loss that calls it, is given of a batch, as it is."""
        return batch if self.loss.sees_network else self._feed.inputs(batch)

    def owned(self, tree: Any) -> Any:
        """Inputs as a call gets them."""

        def own(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if self.widens and leaf.dtype in NARROW:
                return leaf.float()
            return leaf.clone() if self.copies else leaf

        return tree_map(own, tree) if self.copies or self.widens else tree

    def judged(self, seen: Outputs, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs and the losses (B,) of what the loss saw; the terms of a loss that has several beside the outputs."""
        return call_user_code(judge, self.loss, seen, self.targets(batch))

    def targets(self, batch: Batch) -> Any:
        """What the loss compares with; all of the batch where the loss calls the network."""
        return batch if self.loss.sees_network else self._feed.targets(batch)


def drop_graph(results: tuple[Outputs, Tensor]) -> tuple[Outputs, Tensor]:
    """Outputs and losses as numbers: networks that are differentiated by their inputs leave graphs behind."""
    detached: tuple[Outputs, Tensor] = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, results)
    return detached


def force_plain_attention() -> AbstractContextManager[object]:
    """Attention is computed step by step: torch's fused kernels have no second derivatives and no rule for ``vmap``.

    In force for the whole process, so a strategy enters it before it hands work to threads.
    """
    return sdpa_kernel(SDPBackend.MATH)


def copy_shared(module: nn.Module) -> nn.Module:
    """A copy with parts of its own that hold the same parameters and buffers.

    For functional calls, which put others in their places for as long as they last: two at the same time, or of another
    forward pass.
    """
    shared = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


class Lent(nn.Module):
    """A module whose parameters are exchanged while something is done with it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(self.module, *arguments)


class _Around(nn.Module):
    """In place of a wrapper that cannot be called with other parameters: the same names and the same function."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_submodule(self._name)(*args, **kwargs)


def unwrap(module: nn.Module) -> nn.Module:
    """The module itself, called by the same names without ``DataParallel`` and ``torch.compile`` around it."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _Around("module", unwrap(module.module))
    compiled = getattr(module, "_orig_mod", None)
    return _Around("_orig_mod", unwrap(compiled)) if isinstance(compiled, nn.Module) else module


def copy_private(module: nn.Module) -> nn.Module:
    """A copy that shares nothing with the module. ``DataParallel`` and ``torch.compile`` are left out of it.

    What the module remembers of the graph of a last call is copied without the graph.

    Raises:
        BadInput: it holds something that cannot be copied, or TorchScript.
    """
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise BadInput(
                f"{f'layer {name!r}' if name else 'the model'} is TorchScript, which cannot be called with other "
                "parameters; build it from its Python class and load its state_dict"
            )
    module = unwrap(module)
    remembered = (leaf for part in module.modules() for leaf in tree_leaves(vars(part)))
    memo = {id(leaf): leaf.detach().clone() for leaf in remembered if isinstance(leaf, Tensor) and not leaf.is_leaf}
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # it is the user's own, and may hold anything
        raise BadInput(f"the model cannot be copied ({format_error(error)}); keep such things outside of it") from error


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
