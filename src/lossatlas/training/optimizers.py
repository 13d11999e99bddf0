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
"""The optimisers with short names, and the options that these imply."""

PREFIX = "torch.optim."
LONGEST = 40
"""The largest number of characters of a value that a message shows."""


@dataclass(frozen=True)
class OptimizerChoice:
    """The choice of a torch optimiser, which is built for given parameters later.

    Args:
        name: the name by which it was chosen.
        kind: the class.
        options: the options of the constructor.

    Raises:
        BadInput: the class does not have such an option, evaluates the loss within a step, or cannot step with these
            options; a number among them is not finite; or the learning rate is not positive.
    """

    name: str
    kind: type[torch.optim.Optimizer]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        step = inspect.signature(self.kind.step).parameters.get("closure")
        if step is not None and step.default is inspect.Parameter.empty:
            raise BadInput(
                f"optimizer {self.name!r} evaluates the loss within a step, which is not supported; choose another"
            )
        known = [name for name in inspect.signature(self.kind).parameters if name != "params"]
        for name in self.options:
            if name not in known:
                raise make_unknown_error(f"option of optimizer {self.name!r}", name, known)
        self._check_numbers()
        self._try()

    @property
    def lr(self) -> float:
        """Return the learning rate, which a schedule multiplies by a factor."""
        given = self.options.get("lr", inspect.signature(self.kind).parameters["lr"].default)
        return float(given)

    def build(self, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser of some parameters.

        Raises:
            BadInput: the optimiser refuses these parameters or options.
        """
        try:
            return self.kind(list(params), **self.options)
        except Exception as error:  # classes of torch.optim look at their options in many ways
            raise BadInput(f"optimizer {self.name!r} refuses: {format_error(error)}") from error

    def _check_numbers(self) -> None:
        """Refuse numbers that torch accepts and with which a network cannot be trained."""
        for name, value in self.options.items():
            for number in _numbers(value):
                if not is_ordinary(number) or (name == "lr" and not number > 0):
                    expected = "a positive number" if name == "lr" else "a finite number"
                    raise BadInput(
                        f"{written(number)} is not a value for {name} of optimizer {self.name!r}; expected {expected}"
                    )

    def _try(self) -> None:
        """Make a step of one parameter, so that options are refused before the training starts."""
        parameter = nn.Parameter(torch.ones(1, 1))
        optimizer = self.build([parameter])
        parameter.grad = torch.ones(1, 1)
        try:
            optimizer.step()
        except Exception as error:
            raise BadInput(
                f"optimizer {self.name!r} cannot make a step with these options: {format_error(error)}"
            ) from error
        if not bool(parameter.isfinite().all()):
            raise BadInput(
                f"optimizer {self.name!r} makes a weight of 1 infinite in one step; choose a lower learning rate (lr)"
            )

    def with_options(self, **options: Any) -> OptimizerChoice:
        """Return the same choice with further options; those that are None stay as they are."""
        given = {name: value for name, value in options.items() if value is not None}
        return replace(self, options={**self.options, **given})


def parse_optimizer(spec: str) -> OptimizerChoice:
    """Parse ``NAME,option=value,...`` as the choice of an optimiser.

    Args:
        spec: a name of :data:`OPTIMIZERS` or a class of ``torch.optim`` by its path, with options as Python literals.

    Raises:
        BadInput: a name or an option is unknown, or a value cannot be parsed.

    >>> parse_optimizer("momentum,lr=0.5").options
    {'lr': 0.5, 'momentum': 0.9}
    """
    name, *rest = re.split(r",(?![^(\[]*[)\]])", spec.replace(" ", ""))
    kind, options = _named(name)
    for part in rest:
        key, equals, text = part.partition("=")
        if not equals:
            raise BadInput(f"{part!r} is not an option of an optimizer; expected option=value, as in {name},lr=0.01")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise BadInput(
                f"{text[:LONGEST]!r} is not a value for optimizer option {key}; expected a number, True, False or "
                "(0.9,0.99)"
            ) from error
    return OptimizerChoice(name, kind, options)


def _numbers(value: Any) -> Iterator[float]:
    """Yield the numbers in the value of an option, which may be a tuple."""
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
