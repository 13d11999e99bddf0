"""Feeds: how a batch is passed to the module, and the module's output to the loss."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, Final

from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.types import Batch

__all__ = ["AUTO", "Dict", "Feed", "Pair"]

LOGITS: Final = "logits"
LABELS, LABEL = "labels", "label"
OTHER_LABELS = (LABEL, "target", "targets", "label_ids")
"""Further names under which a batch may hold its targets."""
BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
AUTO: Final = "auto"
"""As an ``output``: the entry or attribute ``logits`` of what the module returns, where there is one."""


class Feed(ABC):
    """How a batch is passed to the module, and the module's output to the loss."""

    @abstractmethod
    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The module's positional and keyword arguments."""

    @abstractmethod
    def output(self, returned: Any) -> Any:
        """The part of the module's return value that the loss is given."""

    @abstractmethod
    def targets(self, batch: Batch) -> Any:
        """The targets of a batch, which the loss compares outputs with."""

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        """The feed adapted to a module and a loss; the module is read, never changed."""
        return self


class Pair(Feed):
    """Batches ``(inputs, targets)``: the module is called with the inputs alone.

    Inputs that are a tuple or a list, as in ``((tokens, lengths), labels)``, are the module's positional arguments
    where its ``forward`` takes so many, and one argument where it does not.

    Args:
        output: the key or the index of the part of the module's return value that the loss is given; None: all of it.
            By default the logits, where the return value has an entry of that name (a mapping, an output of
            ``transformers``, a named tuple). Otherwise, under a loss of lossatlas, which takes one tensor, it is the
            first tensor of a tuple, or the only tensor of any other mapping or object.

    Raises:
        BadInput: from its methods: a batch is not a pair; or the module returns several named tensors, none of which
            is called logits, and the loss takes one.
    """

    output_key: str | int | None = AUTO
    _first = False
    _positional: range | None = None
    """The numbers of positional arguments that the module takes, where that is known."""

    def __init__(self, output: str | int | None = AUTO) -> None:
        self.output_key = output

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        inputs, _ = _pair(batch)
        if isinstance(inputs, tuple | list) and self._positional is not None and len(inputs) in self._positional:
            return tuple(inputs), {}
        return (inputs,), {}

    def output(self, returned: Any) -> Any:
        return _seen(returned, self.output_key, self._first)

    def targets(self, batch: Batch) -> Any:
        return _pair(batch)[1]

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        made = copy.copy(self)
        made._first = loss.takes_tensors
        made._positional = _positional(module)
        return made


class Dict(Feed):
    """Batches that are mappings: the module is called with every entry but the targets as keyword arguments.

    Args:
        targets: the key of the targets. In a batch without ``labels``, an entry ``label`` is taken.
        output: what the loss is given, as in :class:`Pair`.
        inputs: the keys of the entries that are the module's positional arguments, in this order; others are left out.
        shift: whether the output at a position is compared with the target at the next position. By default so for
            causal language models of ``transformers`` (``...ForCausalLM``, ``...LMHeadModel``), whose ``labels`` are
            meant in this way, unless the loss is given another output than the logits.
        with_targets: whether the module is called with the targets, too, as models are that compute their own loss:
            ``Problem(model, BatchMean(lambda own, labels: own), Dict(output="loss", with_targets=True))``.

    Raises:
        BadInput: from its methods: a batch is not a mapping, or lacks an entry; and as :class:`Pair`.
    """

    _first = False

    def __init__(
        self,
        targets: str = LABELS,
        output: str | int | None = AUTO,
        *,
        inputs: Sequence[str] | None = None,
        shift: bool | None = None,
        with_targets: bool = False,
    ) -> None:
        self.target_key = targets
        self.output_key = output
        self.input_keys = (inputs,) if isinstance(inputs, str) else None if inputs is None else tuple(inputs)
        self.shift = shift
        self.with_targets = with_targets

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        targets = self._target_key(batch)
        if self.input_keys is None:
            return (), {key: value for key, value in batch.items() if self.with_targets or key != targets}
        for key in self.input_keys:
            if key not in batch:
                raise BadInput(f"a batch has no {key!r}, which is to be an input; its entries are {_names(batch)}")
        named = {targets: batch[targets]} if self.with_targets else {}
        return tuple(batch[key] for key in self.input_keys), named

    def output(self, returned: Any) -> Any:
        output = _seen(returned, self.output_key, self._first)
        return output[:, :-1] if self.shift else output

    def targets(self, batch: Batch) -> Any:
        targets = batch[self._target_key(batch)]
        return targets[:, 1:] if self.shift else targets

    def of(self, module: nn.Module, loss: Loss) -> Feed:
        made = copy.copy(self)
        if self.shift is None:
            made.shift = self.output_key in (AUTO, LOGITS) and _is_causal(module)
        made._first = loss.takes_tensors
        return made

    def _target_key(self, batch: Batch) -> str:
        """The key of the targets in a batch."""
        if not isinstance(batch, Mapping):
            raise BadInput(f"a batch is {_described(batch)}; expected a mapping: for (inputs, targets) give la.Pair()")
        if self.target_key in batch:
            return self.target_key
        if self.target_key == LABELS and [name for name in OTHER_LABELS if name in batch] == [LABEL]:
            return LABEL
        raise BadInput(
            f"a batch has no {self.target_key!r}; its entries are {_names(batch)}: say which holds the targets, with "
            f"la.Dict(targets=KEY), or call that one {LABELS!r}"
        )


def _pair(batch: Batch) -> tuple[Any, Any]:
    """The inputs and the targets of a batch.

    Raises:
        BadInput: it is not a pair.
    """
    if isinstance(batch, Mapping):
        keys = "" if LABELS in batch else "targets=KEY"
        raise BadInput(
            f"a batch is a mapping of {_names(batch)}; expected (inputs, targets): give la.Problem(module, loss, "
            f"la.Dict({keys}))"
        )
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise BadInput(
            f"a batch is {_described(batch)}; expected (inputs, targets): nest inputs, as in ((inputs, lengths), "
            "targets), make a dict of it with la.Dict(), or give la.Problem(module, loss, feed=...)"
        )
    return batch[0], batch[1]


def _described(batch: Batch) -> str:
    """Describe a batch in words."""
    if isinstance(batch, Tensor):
        return f"one tensor of shape {tuple(batch.shape)}"
    if not isinstance(batch, tuple | list):
        return f"of type {type(batch).__name__}"
    parts = (f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__ for part in batch)
    return f"a {type(batch).__name__} of {len(batch)} ({', '.join(parts)})"


def _names(batch: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, batch)) or "none"


def _positional(module: nn.Module) -> range | None:
    """The numbers of positional arguments that a module can be called with; None where its signature does not say.

    A wrapper that takes any arguments (``DataParallel``, ``torch.compile``, averaged models) takes those of the module
    that it wraps.
    """
    compiled = getattr(module, "_orig_mod", None)
    if isinstance(compiled, nn.Module):
        return _positional(compiled)
    try:
        parameters = signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # it is not written in Python
        return None
    kinds = {one.kind for one in parameters}
    inner = getattr(module, "module", None)
    if isinstance(inner, nn.Module) and {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} <= kinds:
        return _positional(inner)
    by_place = [one for one in parameters if one.kind in BY_PLACE]
    most = sys.maxsize if Parameter.VAR_POSITIONAL in kinds else len(by_place) + 1
    return range(sum(one.default is Parameter.empty for one in by_place), most)


def _seen(returned: Any, key: str | int | None, first: bool) -> Any:
    """The part of a return value that a loss is given.

    Args:
        returned: what the module returned.
        key: which part of it; None: all of it; AUTO: as in :class:`Pair`.
        first: whether the loss takes a single tensor.
    """
    if key is None or (key == AUTO and isinstance(returned, Tensor)):
        return returned
    named = _named_parts(returned)
    if key != AUTO:
        return _part(returned, named, key)
    if isinstance(returned, Mapping) and LOGITS in returned:
        return returned[LOGITS]
    logits = getattr(returned, LOGITS, None)
    if isinstance(logits, Tensor):
        return logits
    if not first:
        return returned
    if isinstance(returned, tuple | list):
        return next((part for part in returned if isinstance(part, Tensor)), returned)
    tensors = [part for part in named.values() if isinstance(part, Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    if not named:
        return returned
    example = next((name for name, part in named.items() if isinstance(part, Tensor)), next(iter(named)))
    raise BadInput(
        f"the model returns {_names(named)}, and the loss takes one tensor: say which, as in --output {example}, or "
        f"la.Pair(output={example!r}) in Python (la.Dict for mappings)"
    )


def _named_parts(returned: Any) -> Mapping[Any, Any]:
    """The entries of a mapping or the fields of an object, by name; empty for anything else."""
    if isinstance(returned, Mapping):
        return returned
    if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
        named: Mapping[str, Any] = returned._asdict()
        return named
    if is_dataclass(returned):
        return {one.name: getattr(returned, one.name) for one in fields(returned)}
    return {} if isinstance(returned, tuple | list | Tensor) else dict(getattr(returned, "__dict__", {}))


def _part(returned: Any, named: Mapping[Any, Any], key: str | int) -> Any:
    """The named part of a return value."""
    if key in named:
        return named[key]
    if isinstance(returned, Tensor):
        raise BadInput(f"the model returns one tensor, which has no part {key!r}; leave out the output")
    if isinstance(key, str) and not isinstance(returned, Mapping) and hasattr(returned, key):
        return getattr(returned, key)
    try:
        return returned[key]
    except (LookupError, TypeError) as error:
        held = _names(named) if named else type(returned).__name__
        raise BadInput(f"the model returns no {key!r}; it returns {held}: choose another output") from error


def _is_causal(module: nn.Module) -> bool:
    """Whether a module is a language model of ``transformers`` whose labels are its own inputs, wrapped or not."""
    inner = getattr(module, "module", None) or getattr(module, "_orig_mod", None)
    if isinstance(inner, nn.Module) and _is_causal(inner):
        return True
    # Models of transformers state the type of their loss; older classes do not, and are recognised by their names.
    kind = getattr(module, "loss_type", "")
    named = type(module).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    return kind == "ForCausalLM" or (kind is None and named)
