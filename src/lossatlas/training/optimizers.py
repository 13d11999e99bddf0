"""Optimisers by name, with options: ``adam``, ``sgd,lr=0.01,momentum=0.9``, ``torch.optim.NAdam,betas=(0.9,0.99)``."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lossatlas.bounds import is_ordinary, written
from lossatlas.errors import BadInput, format_error, make_unknown_error

__all__ = ["OPTIMIZERS", "OptimizerChoice", "parse_optimizer"]

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-3}),
    "adadelta": (torch.optim.Adadelta, {"lr": 1.0}),
    "adam": (torch.optim.Adam, {"lr": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 1e-3}),
}
"""Names of their own, with the options that they stand for."""

PREFIX = "torch.optim."
LONGEST = 40
"""Characters of a value in a message."""


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimiser that has not been built yet.

    Args:
        name: as it was called.
        kind: its class.
        options: of its constructor.

    Raises:
        BadInput: the class has no such option, needs the loss again while it steps, or cannot step with these options;
            a number among them is not finite; or the learning rate is not positive.
    """

    name: str
    kind: type[torch.optim.Optimizer]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        step = inspect.signature(self.kind.step).parameters.get("closure")
        if step is not None and step.default is inspect.Parameter.empty:
            raise BadInput(f"optimizer {self.name!r} asks for the loss several times a step; choose one that does not")
        known = [name for name in inspect.signature(self.kind).parameters if name != "params"]
        for name in self.options:
            if name not in known:
                raise make_unknown_error(f"option of optimizer {self.name!r}:", name, known)
        self._check_numbers()
        self._try()

    @property
    def lr(self) -> float:
        """The learning rate before its schedule."""
        given = self.options.get("lr", inspect.signature(self.kind).parameters["lr"].default)
        return float(given)

    def build(self, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of some parameters.

        Raises:
            BadInput: it cannot take these parameters or options.
        """
        try:
            return self.kind(list(params), **self.options)
        except Exception as error:  # classes of torch.optim look at their options in many ways
            raise BadInput(f"optimizer {self.name!r} refuses: {format_error(error)}") from error

    def _check_numbers(self) -> None:
        """Refuse what torch takes and no network can be trained with."""
        for name, value in self.options.items():
            for number in _numbers(value):
                if not is_ordinary(number) or (name == "lr" and not number > 0):
                    expected = "a positive number" if name == "lr" else "a finite number"
                    raise BadInput(f"{name} of optimizer {self.name!r} is {written(number)}; expected {expected}")

    def _try(self) -> None:
        """A step of one parameter: what an optimiser refuses, it refuses now."""
        parameter = nn.Parameter(torch.ones(1, 1))
        optimizer = self.build([parameter])
        parameter.grad = torch.ones(1, 1)
        try:
            optimizer.step()
        except Exception as error:
            raise BadInput(f"optimizer {self.name!r} cannot train a network so: {format_error(error)}") from error
        if not bool(parameter.isfinite().all()):
            raise BadInput(f"optimizer {self.name!r} makes a weight of 1 infinite in one step; choose a lower lr")

    def with_options(self, **options: Any) -> OptimizerChoice:
        """The same with further options; None leaves one as it is."""
        given = {name: value for name, value in options.items() if value is not None}
        return replace(self, options={**self.options, **given})


def parse_optimizer(spec: str) -> OptimizerChoice:
    """The optimiser that ``NAME,option=value,...`` stands for.

    Args:
        spec: a name of :data:`OPTIMIZERS`, or a class of ``torch.optim`` by its path; values as Python writes them.

    Raises:
        BadInput: an unknown name or option, or a value that cannot be read.

    >>> parse_optimizer("momentum,lr=0.5").options
    {'lr': 0.5, 'momentum': 0.9}
    """
    name, *rest = re.split(r",(?![^(\[]*[)\]])", spec.replace(" ", ""))
    kind, options = _named(name)
    for part in rest:
        key, equals, text = part.partition("=")
        if not equals:
            raise BadInput(f"optimizer option {part!r} has no value; expected option=value, as in {name},lr=0.01")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise BadInput(
                f"optimizer option {key} is {text[:LONGEST]!r}; expected a number, True, False or (0.9,0.99)"
            ) from error
    return OptimizerChoice(name, kind, options)


def _numbers(value: Any) -> Iterator[float]:
    """Those in the value of an option, which may be a tuple of them."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _named(name: str) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    if name in OPTIMIZERS:
        kind, options = OPTIMIZERS[name]
        return kind, dict(options)
    found = getattr(torch.optim, name.removeprefix(PREFIX), None) if name.startswith(PREFIX) else None
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and found is not torch.optim.Optimizer:
        return found, {}
    raise make_unknown_error("optimizer", name, [*OPTIMIZERS, f"{PREFIX}CLASS"])
