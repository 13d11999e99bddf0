"""Names of variants for the command line: of open families with one file per variant, and of closed families.

A new model, picture, data set, metric or strategy is one new file: the registry finds it without importing its
siblings, so that listing the choices is cheap. The variants of a closed family stand in one module. Variants from
outside of the package are added by name (:meth:`Registry.add`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.users_code import call_user_code

__all__ = ["Registry", "Variants", "load_callable"]

T = TypeVar("T")


class Registry(Generic[T]):
    """The variants of one family, by name.

    Args:
        kind: what the variants are, in words, for messages ("model", "picture").
        package: the package whose modules are the variants. Each module's ``__all__`` has exactly one name,
            that of the variant; modules that begin with an underscore are skipped.
        dashes: whether names have dashes where file names have underscores.
    """

    def __init__(self, kind: str, package: str, *, dashes: bool = False) -> None:
        self.kind = kind
        self._package = package
        self._stroke = "-" if dashes else "_"
        self._added: dict[str, T] = {}

    def add(self, name: str, variant: T) -> None:
        """Register a variant from outside of the package, for this process.

        Adding a name a second time replaces its variant, as when a cell of a notebook runs again.

        Raises:
            BadInput: the name is empty, or belongs to a variant of the package.
        """
        if not name or name in self._modules():
            raise BadInput(f"{self.kind} {name!r} is a name of lossatlas's own, or none; add yours under another")
        self._added[name] = variant

    def names(self) -> list[str]:
        """The names of the package in alphabetical order, then those added; imports none of the variants."""
        return [*sorted(self._modules()), *self._added]

    def name_of(self, variant: T) -> str | None:
        """The name of a variant; None where it is not registered."""
        added = next((name for name, other in self._added.items() if other is variant), None)
        if added is not None:
            return added
        package, _, module = str(getattr(variant, "__module__", "")).rpartition(".")
        name = module.replace("_", self._stroke)
        return name if package == self._package and name in self._modules() and self[name] is variant else None

    def __getitem__(self, name: str) -> T:
        """The variant called ``name``.

        Raises:
            BadInput: no variant has the name; the message lists the choices.
        """
        if name in self._added:
            return self._added[name]
        if name not in self._modules():
            raise make_unknown_error(self.kind, name, self.names())
        module = importlib.import_module(f"{self._package}.{name.replace(self._stroke, '_')}")
        (public,) = module.__all__
        return cast(T, getattr(module, public))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __len__(self) -> int:
        return len(self.names())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _modules(self) -> set[str]:
        package = importlib.import_module(self._package)
        files = (m.name for m in pkgutil.iter_modules(package.__path__))
        return {name.replace("_", self._stroke) for name in files if not name.startswith("_")}


class Variants(dict[str, T]):
    """The variants of a closed family, by name in alphabetical order.

    Args:
        kind: what they are, in words, for messages ("clip", "precision").
        variants: by name.
    """

    def __init__(self, kind: str, variants: Mapping[str, T]) -> None:
        super().__init__(sorted(variants.items()))
        self.kind = kind

    def __missing__(self, name: str) -> T:
        """Refuse an unknown name.

        Raises:
            BadInput: always; the message lists the choices.
        """
        raise make_unknown_error(self.kind, name, self)


def load_callable(kind: str, spec: str) -> Callable[..., Any]:
    """Load the object that ``module:callable`` names; modules in the working directory are found, too.

    Raises:
        BadInput: the module cannot be imported, or has no such callable.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        module = call_user_code(importlib.import_module, module_name)
    except Exception as error:  # the user's own code may fail in any way while it is imported
        raise BadInput(f"{kind} {spec!r}: cannot import {module_name!r} ({format_error(error)})") from error
    target = getattr(module, attribute, None)
    if not callable(target):
        state = "is not callable" if hasattr(module, attribute) else "does not exist"
        raise BadInput(f"{kind} {spec!r}: {attribute!r} {state} in module {module_name!r}; expected module:callable")
    return cast(Callable[..., Any], target)
