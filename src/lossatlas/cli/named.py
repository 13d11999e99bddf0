"""Options that belong to a named thing: ``--model.depth`` is there once ``--model`` names a network that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lossatlas.cli.app import option_given
from lossatlas.recipes import FitConfig

__all__ = ["NAMED", "option_types", "with_options"]

NAMED = ("model", "data", "pattern")
"""The options of a configuration that name something with options of its own, kept in ``<name>_options``."""


@dataclass(frozen=True)
class _NoOptions:
    """The options of a thing that has none, or that nobody named."""


def option_types(tokens: list[str]) -> dict[str, type]:
    """Per named option the dataclass of the options of what the tokens name.

    Raises:
        BadInput: nothing has the name.
    """
    found: dict[str, type] = {}
    for name in NAMED:
        spec = option_given(tokens, name)
        if spec is None and {"--help", "-h"} & set(tokens):
            found[name] = _NoOptions  # help alone need not import the defaults'
        else:
            found[name] = _options_of(name, spec if spec is not None else getattr(FitConfig, name)) or _NoOptions
    return found


def with_options(config: FitConfig, options: Mapping[str, Any]) -> FitConfig:
    """A configuration with the options of its named things, per name a dataclass of :func:`option_types`."""
    plain = {f.name: getattr(config, f.name) for f in fields(config)}
    return FitConfig(**plain | {f"{name}_options": asdict(value) for name, value in options.items()})


def _options_of(name: str, spec: str) -> type | None:
    if name == "model":
        from lossatlas.models import model_options

        return model_options(spec)
    if name == "data":
        from lossatlas.data import data_options

        return data_options(spec)
    from lossatlas.pictures import options_of

    return options_of(spec)
