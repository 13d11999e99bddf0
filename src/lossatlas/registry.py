"""Names for the command line: of open families, whose variants are one file each, and of closed ones.

A new model, picture, data set, metric or strategy is one new file: the registry finds it without importing
its siblings, so listing the choices stays cheap. The variants of a closed family stand in one module.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from lossatlas.errors import BadInput, in_one_line, unknown
from lossatlas.users_code import called

__all__ = ["Registry", "Variants", "load_callable"]

T = TypeVar("T")


class Registry(Generic[T]):
    """The variants of one kind of thing, by name.

    Args:
        kind: what is registered, in words, for messages ("model", "picture").
        package: the package whose modules are the variants. Each module's ``__all__`` has exactly one name,
            that of the variant; modules that begin with an underscore are skipped.
        dashes: whether names are written with dashes where files have underscores.
    """

    def __init__(self, kind: str, package: str, *, dashes: bool = False) -> None:
        self.kind = kind
        self._package = package
        self._stroke = "-" if dashes else "_"

    def names(self) -> list[str]:
        """All names in alphabetical order; imports nothing but the package itself."""
        return sorted(self._modules())

    def __getitem__(self, name: str) -> T:
        """The variant called ``name``.

        Raises:
            BadInput: nothing is registered under that name; the message lists the choices.
        """
        if name not in self._modules():
            raise unknown(self.kind, name, self.names())
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
        """Refuse a name that nobody has.

        Raises:
            BadInput: always; the message lists the choices.
        """
        raise unknown(self.kind, name, self)


def load_callable(kind: str, spec: str) -> Callable[..., Any]:
    """The object that ``module:callable`` names; the working folder is searched as Python does for scripts.

    Raises:
        BadInput: the module cannot be imported, or has no such callable.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        module = called(importlib.import_module, module_name)
    except Exception as error:  # the user's own code may fail in any way while it is imported
        raise BadInput(f"{kind} {spec!r}: cannot import {module_name!r} ({in_one_line(error)})") from error
    target = getattr(module, attribute, None)
    if not callable(target):
        state = "is not callable" if hasattr(module, attribute) else "does not exist"
        raise BadInput(f"{kind} {spec!r}: {attribute!r} {state} in module {module_name!r}; expected module:callable")
    return cast(Callable[..., Any], target)
