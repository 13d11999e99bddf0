"""The options of the things that a configuration names, such as a network's; known once the thing is."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace
from typing import Any, TypeVar

from lossatlas.recipes.base import Config

__all__ = ["completed", "options_of"]

C = TypeVar("C", bound=Config)

RESOLVERS = {
    "model": ("lossatlas.models", "model_options"),
    "data": ("lossatlas.data", "data_options"),
    "pattern": ("lossatlas.pictures", "options_of"),
    "schedule": ("lossatlas.schedules", "schedule_options"),
}
"""Per field that names something with options of its own, who knows their type; imported when somebody asks."""


def options_of(name: str, spec: str) -> type | None:
    """The dataclass of the options of what ``spec`` names in the field ``name``; None where it has none.

    Raises:
        BadInput: nothing has the name.
    """
    module, function = RESOLVERS[name]
    found: type | None = getattr(importlib.import_module(module), function)(spec)
    return found


def completed(config: C) -> C:
    """A configuration that says every option of what it names, those nobody gave too: the record of a run.

    Raises:
        BadInput: nothing has a name.
    """
    changes: dict[str, Any] = {}
    for name in config.named():
        kind = options_of(name, getattr(config, name))
        if kind is not None:
            changes[f"{name}_options"] = {**asdict(kind()), **getattr(config, f"{name}_options")}
    return replace(config, **changes)
