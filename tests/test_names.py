"""What modules take from each other stands in ``__all__``, and what begins with an underscore stays at home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossatlas

ROOT = Path(lossatlas.__file__).parent


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """The syntax of every module of the package, by its name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    assert len(found) > 300
    return found


def exported(tree: ast.Module) -> set[str]:
    """The names in a module's ``__all__``; none where it has none."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name("__all__")], value=ast.List(elements)):
                return {ast.literal_eval(element) for element in elements}
    return set()


def taken(tree: ast.Module, modules: set[str]) -> Iterator[tuple[str, str]]:
    """Modules of the package and the names that another takes from them, whether it imports the names or the module.

    Public names of the package itself are left out: they stand in its stub.
    """
    called: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(source), names=names, level=0) if source.split(".")[0] == "lossatlas":
                for alias in names:
                    if f"{source}.{alias.name}" in modules:
                        called[alias.asname or alias.name] = f"{source}.{alias.name}"
                    elif source != "lossatlas":
                        yield source, alias.name
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in called:
                yield called[name], attribute


@pytest.fixture(scope="module")
def takings(trees: dict[str, ast.Module]) -> list[tuple[str, str, str]]:
    """Who takes a name, from which module, and the name."""
    found = [(name, *each) for name, tree in trees.items() for each in taken(tree, set(trees))]
    assert len(found) > 1000
    return found


def test_what_modules_take_from_each_other_stands_in_their_all(
    trees: dict[str, ast.Module], takings: list[tuple[str, str, str]]
) -> None:
    public = {name: exported(tree) for name, tree in trees.items()}
    hidden = [f"{name} takes {what} of {source}" for name, source, what in takings if what not in public[source]]
    assert not hidden, "not in __all__"


def test_what_begins_with_an_underscore_stays_in_its_module(takings: list[tuple[str, str, str]]) -> None:
    assert not [f"{name} takes {what} of {source}" for name, source, what in takings if what.startswith("_")]
