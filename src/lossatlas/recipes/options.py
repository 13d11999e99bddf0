"""The options of what a configuration names, such as those of a model; they depend on the name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar, get_type_hints

from lossatlas.errors import BadInput, LossatlasError, make_unknown_error
from lossatlas.files.reading import convert
from lossatlas.recipes.base import Config

__all__ = ["check_options", "complete", "fill_defaults", "find_options"]

C = TypeVar("C", bound=Config)

RESOLVERS = {
    "model": ("lossatlas.models", "find_model_options"),
    "data": ("lossatlas.data", "find_data_options"),
    "loss": ("lossatlas.losses", "find_loss_options"),
    "pattern": ("lossatlas.pictures", "find_picture_options"),
    "schedule": ("lossatlas.schedules", "find_schedule_options"),
    "chart": ("lossatlas.charts", "find_chart_options"),
}
"""For each field that names something with options: the function that finds their class, imported when it is needed."""
OF_CLASSES = {"chart"}
"""The fields in which a ``module:Class`` has options, too, which are read by importing it."""


def find_options(name: str, spec: str) -> type | None:
    """Find the dataclass of the options of what ``spec`` names in the field ``name``; None if it has no options.

    Raises:
        BadInput: the name is unknown.
    """
    module, function = RESOLVERS[name]
    found: type | None = getattr(importlib.import_module(module), function)(spec)
    return found


def check_options(name: str, spec: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of what ``spec`` names in the field ``name``, and convert them to their types.

    Raises:
        BadInput: the name or an option is unknown, or an option is of another type.
    """
    kind = find_options(name, spec)
    hints = {} if kind is None else get_type_hints(kind, include_extras=True)
    known = [] if kind is None else [field.name for field in fields(kind)]
    found = {}
    for option, value in options.items():
        if option not in known:
            raise (
                make_unknown_error(f"option of {name} {spec!r}", option, known)
                if known
                else BadInput(f"{name} {spec!r} does not take options; leave out {option!r}")
            )
        try:
            found[option] = convert(value, hints[option])
        except LossatlasError:
            raise
        except ValueError as error:
            raise BadInput(f"{name}.{option} is {value!r}; {str(error).lower()}") from error
    return found


def complete(config: C) -> C:
    """Complete a configuration with the defaults of all options, for the record of a run.

    Raises:
        BadInput: nothing has a name.
    """
    changes: dict[str, Any] = {}
    for name in config.named():
        changes[f"{name}_options"] = {**_defaults(name, getattr(config, name)), **getattr(config, f"{name}_options")}
    return replace(config, **changes)


def fill_defaults(config: type[Config], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a flat configuration with the defaults of missing settings and options.

    It may be the record of a foreign run, so modules that it names are not imported.

    Raises:
        BadInput: nothing has a name.
    """
    whole = {**config().flat(), **config.complete_record(flat)}
    options = {
        f"{name}.{option}": list(value) if isinstance(value, tuple) else value
        for name in config.named()
        if not (name in OF_CLASSES and ":" in str(whole[name]))
        for option, value in _defaults(name, whole[name]).items()
    }
    return {**options, **whole}


def _defaults(name: str, spec: str) -> dict[str, Any]:
    kind = find_options(name, spec)
    return {} if kind is None else asdict(kind())
