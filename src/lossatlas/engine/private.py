"""Private copies of a user's module and its inputs, whose changes do not affect the user's objects."""

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
"""The dtypes of fewer than 32 bits."""
GROUP_NORM, FORWARD_MODE = "group_norm", "_make_dual"
WATCHED = {GROUP_NORM, FORWARD_MODE}
"""Group normalisation, which torch cannot always differentiate with channels last; and differentiation in forward mode,
whose levels are the process's and not a thread's."""


class Watching(TorchFunctionMode):
    """Records which functions of :data:`WATCHED` are used while entered.

    Args:
        seen: receives their names.
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
    """How a private copy is called: by a user's feed and loss, with inputs that the module may change."""

    def __init__(self, feed: Feed, loss: Loss) -> None:
        self._feed = feed
        self.loss = loss
        """The loss, with open options decided by the check."""
        self.copies = False
        """Whether inputs are copied for each call, because the module writes to them."""
        self.widens = False
        """Whether inputs are converted to at least 32 bits, as the module's weights were."""
        self.differentiates = False
        """Whether calls differentiate with respect to inputs, so that each call needs a graph."""
        self.uses: set[str] = set()
        """The functions of torch that calls use, among those of :data:`WATCHED`."""
        self.operators: set[str] = set()
        """The second-order operators whose products were found to be right."""
        self.product_error = 0.0
        """How far products may be off, as a share of the largest eigenvalue, where calls compute in fewer bits than the
        weights have; 0 where they do not."""
        self.statistics_told = False
        """Whether it was said that derivatives hold statistics fixed."""
        self.groups_told = False
        """Whether it was said that results depend on which examples are evaluated together."""

    def calling(self) -> AbstractContextManager[object]:
        """A context for calls whose results have no graph, with gradients disabled if the network allows it.

        It affects the current thread only.
        """
        return torch.enable_grad() if self.differentiates else torch.no_grad()

    def called(self, module: nn.Module, params: Params, batch: Batch) -> Outputs:
        """Call a module functionally and return what the loss is given: the output, or the losses (B,) themselves.

        The latter if the loss calls the network. All parameters of the module's names have to be given.
        """
        if self.loss.sees_network:
            within = {f"module.{name}": value for name, value in params.items()}
            return call_user_code(functional_call, Lent(module), within, (self.loss.of_network, self.owned(batch)))
        args, kwargs = self.owned(self._feed.inputs(batch))
        return self._feed.output(call_user_code(functional_call, module, params, args, kwargs))

    def called_with(self, module: nn.Module, batch: Batch) -> Outputs:
        """Call a module with its own parameters, and return what the loss is given."""
        if self.loss.sees_network:
            return call_user_code(self.loss.of_network, module, self.owned(batch))
        args, kwargs = self.owned(self._feed.inputs(batch))
        return self._feed.output(call_user_code(module, *args, **kwargs))

    def given(self, batch: Batch) -> Any:
        """The part of a batch that the module, or the loss that calls it, is given."""
        return batch if self.loss.sees_network else self._feed.inputs(batch)

    def owned(self, tree: Any) -> Any:
        """The inputs of a call, copied or converted if necessary."""

        def own(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if self.widens and leaf.dtype in NARROW:
                return leaf.float()
            return leaf.clone() if self.copies else leaf

        return tree_map(own, tree) if self.copies or self.widens else tree

    def judged(self, seen: Outputs, batch: Batch) -> tuple[Outputs, Tensor]:
        """Compute outputs and losses (B,); the terms of a loss that has several are beside the outputs."""
        return call_user_code(judge, self.loss, seen, self.targets(batch))

    def targets(self, batch: Batch) -> Any:
        """The targets of a batch, or the whole batch if the loss calls the network."""
        return batch if self.loss.sees_network else self._feed.targets(batch)


def drop_graph(results: tuple[Outputs, Tensor]) -> tuple[Outputs, Tensor]:
    """Detach outputs and losses, whose graph remains if calls differentiate with respect to inputs."""
    detached: tuple[Outputs, Tensor] = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, results)
    return detached


def force_plain_attention() -> AbstractContextManager[object]:
    """Compute attention step by step, as torch's fused kernels have neither second derivatives nor a ``vmap`` rule.

    It affects the whole process, so that a strategy enters it before it starts threads.
    """
    return sdpa_kernel(SDPBackend.MATH)


def copy_shared(module: nn.Module) -> nn.Module:
    """Copy a module, with the same parameters and buffers in copies of its submodules.

    For functional calls, which replace parameters during the call: for two calls at the same time, or with another
    forward pass.
    """
    shared = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


class Lent(nn.Module):
    """A module whose parameters are replaced during a call."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(self.module, *arguments)


class _Around(nn.Module):
    """A replacement for a wrapper that does not support functional calls, with the same names and function."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self._name = name
        self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.get_submodule(self._name)(*args, **kwargs)


def unwrap(module: nn.Module) -> nn.Module:
    """Return a module without ``DataParallel`` and ``torch.compile`` around it, with the same names of parameters."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _Around("module", unwrap(module.module))
    compiled = getattr(module, "_orig_mod", None)
    return _Around("_orig_mod", unwrap(compiled)) if isinstance(compiled, nn.Module) else module


def copy_private(module: nn.Module) -> nn.Module:
    """Copy a module completely, without ``DataParallel`` and ``torch.compile``.

    Tensors that the module stored in its last call are copied without their graph.

    Raises:
        BadInput: the module holds something that cannot be copied, or TorchScript.
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
    except Exception as error:  # a user's module may hold anything
        raise BadInput(f"the model cannot be copied ({format_error(error)}); keep such things outside of it") from error


def install(module: nn.Module, params: Params) -> nn.Module:
    """Replace a module's parameters and buffers by tensors for good; returns the module.

    The tensors are plain attributes, through which gradients flow to their origin.
    """
    for name, value in params.items():
        owner, _, local = name.rpartition(".")
        part = module.get_submodule(owner)
        delattr(part, local)
        setattr(part, local, value)
    return module
