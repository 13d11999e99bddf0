"""The options of the things that a configuration names, such as a network's; known once the thing is."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypeVar

from lossatlas.errors import BadInput, LossatlasError
from lossatlas.files.reading import converted
from lossatlas.recipes.base import Config

__all__ = ["checked", "completed", "options_of", "with_defaults"]

C = TypeVar("C", bound=Config)

RESOLVERS = {
    "model": ("lossatlas.models", "model_options"),
    "data": ("lossatlas.data", "data_options"),
    "loss": ("lossatlas.losses", "loss_options"),
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
        changes[f"{name}_options"] = {**_defaults(name, getattr(config, name)), **getattr(config, f"{name}_options")}
    return replace(config, **changes)


def checked(config: C) -> C:
    """A configuration whose options are those of what it names, and of their types.

    Raises:
        BadInput: they are not, or nothing has a name.
    """
    for name in config.named():
        kind, given = options_of(name, getattr(config, name)), getattr(config, f"{name}_options")
        if given and kind is None:
            raise BadInput(f"{name} {getattr(config, name)!r} has no options; got {', '.join(given)}")
        if kind is not None:
            try:
                converted(dict(given), kind, exact=True)
            except LossatlasError:
                raise
            except ValueError as error:
                raise BadInput(f"these are not options of {name} {getattr(config, name)!r}: {error}") from error
    return config


def with_defaults(config: type[Config], flat: Mapping[str, Any]) -> dict[str, Any]:
    """A flat configuration of this kind with the defaults of what it does not say, options of what it names among them.

    Raises:
        BadInput: nothing has a name.
    """
    whole = {**config().flat(), **flat}
    options = {
        f"{name}.{option}": list(value) if isinstance(value, tuple) else value
        for name in config.named()
        for option, value in _defaults(name, whole[name]).items()
    }
    return {**options, **whole}


def _defaults(name: str, spec: str) -> dict[str, Any]:
    kind = options_of(name, spec)
    return {} if kind is None else asdict(kind())
