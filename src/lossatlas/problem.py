"""A problem: a module, a per-example loss, and how a batch is handed to the module."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.losses import Loss, PerExample
from lossatlas.types import Batch

__all__ = ["AUTO", "Dict", "Feed", "Pair", "Problem"]

LOGITS: Final = "logits"
AUTO: Final = "auto"
"""As an ``output``: the logits, where what the module returns has an entry or an attribute of that name."""


class Feed(ABC):
    """How a batch is handed to the module and its output to the loss."""

    @abstractmethod
    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The module's positional and keyword arguments."""

    @abstractmethod
    def output(self, returned: Any) -> Any:
        """What the loss sees of the module's return value."""

    @abstractmethod
    def targets(self, batch: Batch) -> Any:
        """What the loss compares with."""

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        """The feed for this module and loss, where it depends on them; the module is read, never changed."""
        return self


class Pair(Feed):
    """Batches ``(inputs, targets)``: the module is called with the inputs alone.

    Args:
        output: the key or the place, in what the module returns, of what the loss sees; None: all of it. By default
            the logits of what has some (a mapping, an output of ``transformers``, a named tuple), the first tensor of
            any other tuple where the loss is one of lossatlas, which takes tensors alone, and else all of it.
    """

    output_key: str | int | None = AUTO
    _first = False

    def __init__(self, output: str | int | None = AUTO) -> None:
        self.output_key = output

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (batch[0],), {}

    def output(self, returned: Any) -> Any:
        return _seen(returned, self.output_key, self._first)

    def targets(self, batch: Batch) -> Any:
        return batch[1]

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        made = copy.copy(self)
        made._first = loss.takes_tensors
        return made


class Dict(Feed):
    """Batches that are dicts: the module is called with every entry but the targets as keyword arguments.

    Args:
        targets: the key of the targets.
        output: what the loss sees, as :class:`Pair` has it.
        shift: whether the output at a position is compared with the target of the next one. By default where the
            module is a causal language model of ``transformers`` (``...ForCausalLM``, ``...LMHeadModel``), which counts
            its ``labels`` so, unless the loss sees another output than the logits.
        with_targets: whether the module is called with the targets, too, as those are that compute their own loss:
            ``Problem(model, BatchMean(lambda own, labels: own), Dict(output="loss", with_targets=True))``.
    """

    _first = False

    def __init__(
        self,
        targets: str = "labels",
        output: str | int | None = AUTO,
        *,
        shift: bool | None = None,
        with_targets: bool = False,
    ) -> None:
        self.target_key = targets
        self.output_key = output
        self.shift = shift
        self.with_targets = with_targets

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {key: value for key, value in batch.items() if self.with_targets or key != self.target_key}

    def output(self, returned: Any) -> Any:
        output = _seen(returned, self.output_key, self._first)
        return output[:, :-1] if self.shift else output

    def targets(self, batch: Batch) -> Any:
        if self.target_key not in batch:
            raise BadInput(f"a batch has no {self.target_key!r}; its entries are {', '.join(map(str, batch))}")
        targets = batch[self.target_key]
        return targets[:, 1:] if self.shift else targets

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        made = copy.copy(self)
        if self.shift is None:
            made.shift = self.output_key in (AUTO, LOGITS) and _is_causal(module)
        made._first = loss.takes_tensors
        return made


def _seen(returned: Any, key: str | int | None, first: bool) -> Any:
    """What a loss sees of a return value.

    Args:
        returned: the module's.
        key: of it; None: all of it; AUTO: as :class:`Pair` says.
        first: whether that is the first tensor of a tuple without names.
    """
    if key is None:
        return returned
    if key != AUTO:
        try:
            return returned[key]
        except (LookupError, TypeError) as error:
            held = ", ".join(map(str, returned)) if isinstance(returned, Mapping) else type(returned).__name__
            raise BadInput(f"the model returns no {key!r}; it returns {held}: choose another output") from error
    if isinstance(returned, Mapping):
        return returned.get(LOGITS, returned)
    if isinstance(returned, Tensor):
        return returned
    logits = getattr(returned, LOGITS, None)
    if isinstance(logits, Tensor):
        return logits
    if first and isinstance(returned, tuple | list):
        return next((part for part in returned if isinstance(part, Tensor)), returned)
    return returned


def _is_causal(module: nn.Module) -> bool:
    """Whether a module is a language model of ``transformers`` whose labels are its own inputs, wrapped or not."""
    inner = getattr(module, "module", None) or getattr(module, "_orig_mod", None)
    if isinstance(inner, nn.Module) and _is_causal(inner):
        return True
    # Every model of transformers has a type of its loss; older classes leave it open and are known by their names.
    kind = getattr(module, "loss_type", "")
    named = type(module).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    return kind == "ForCausalLM" or (kind is None and named)


class Problem:
    """What is evaluated at a point of weight space.

    Args:
        module: any ``torch.nn.Module``, in whatever mode: it is evaluated in evaluation mode. It is read and copied,
            never changed: not its parameters, buffers, mode, device or ``requires_grad``, whatever happens on the way.
            (A :class:`~lossatlas.Training` trains it in place.)
        loss: a :class:`~lossatlas.losses.Loss`, or a function ``(outputs, targets) -> (B,)``; one that returns the
            mean of a batch is a :class:`~lossatlas.losses.BatchMean`.
        feed: how a batch is handed over; default ``(inputs, targets)`` pairs.
    """

    def __init__(self, module: nn.Module, loss: Loss | Callable[[Any, Any], Tensor], feed: Feed | None = None) -> None:
        self.module = module
        self.loss = loss if isinstance(loss, Loss) else PerExample(loss)
        self.feed = (feed if feed is not None else Pair()).of(module, self.loss)

    def targets(self, batch: Batch) -> Any:
        """What the loss compares with; all of the batch where the loss calls the network."""
        return batch if self.loss.sees_network else self.feed.targets(batch)
