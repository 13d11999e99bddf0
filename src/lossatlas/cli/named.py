"""Options that belong to a named thing: ``--model.depth`` is there once ``--model`` names a network that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from lossatlas.cli.app import find_option
from lossatlas.errors import BadInput
from lossatlas.recipes import Config, find_options

__all__ = ["add_options", "find_option_types"]

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class _NoOptions:
    """The options of a thing that has none, or that was not named."""


def find_option_types(tokens: list[str], config: type[Config]) -> dict[str, type]:
    """Per named option the dataclass of the options of what the tokens name.

    Raises:
        BadInput: nothing has the name.
    """
    found: dict[str, type] = {}
    for name in config.named():
        spec = find_option(tokens, name)
        if spec is None and {"--help", "-h"} & set(tokens):
            found[name] = _NoOptions  # help alone need not import the defaults'
        else:
            spec = config.meant(name, spec if spec is not None else getattr(config, name))
            found[name] = find_options(name, spec) or _NoOptions
            if name == "loss" and found[name] is _NoOptions:
                _check_no_options(spec, tokens)
    return found


def _check_no_options(loss: str, tokens: list[str]) -> None:
    """Refuse options of a loss that has none, such as one that follows from the targets."""
    options = [token.partition("=")[0] for token in tokens if token.startswith("--loss.")]
    if options:
        raise BadInput(
            f"{options[0]} is an option of a named loss, and the loss is {loss}; name one that has it, as in "
            f"--loss cross_entropy {options[0]}"
        )


def add_options(config: C, options: Mapping[str, Any]) -> C:
    """A configuration with the options of its named things, per name a dataclass of :func:`find_option_types`."""
    changes: dict[str, Any] = {f"{name}_options": asdict(value) for name, value in options.items()}
    return replace(config, **changes)
