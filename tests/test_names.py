"""Names taken from other modules stand in ``__all__``; public ones have docstrings, and the first ones examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

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


def list_public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a module defines and exports; of classes the methods and properties, too."""
    for name in getattr(module, "__all__", ()):
        found = getattr(module, name)
        if getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(found) or inspect.isclass(found):
            yield f"{module.__name__}.{name}", found
        if inspect.isclass(found):
            for own, value in vars(found).items():
                if not own.startswith("_") and isinstance(value, property | cached_property):
                    yield f"{module.__name__}.{name}.{own}", value
                elif not own.startswith("_") and inspect.isroutine(value):
                    yield f"{module.__name__}.{name}.{own}", getattr(found, own)


def test_all_that_is_public_has_a_docstring_of_its_own_or_inherited(trees: dict[str, ast.Module]) -> None:
    modules = [
        name for name in trees if not name.endswith("__main__") and ".callbacks" not in name
    ]  # these need extras
    found = [each for name in modules for each in list_public(importlib.import_module(name))]
    assert len(found) > 1000
    assert not [name for name, each in found if not (inspect.getdoc(each) or "").strip()]


@pytest.mark.parametrize("name", [
    "Adam", "ArcLength", "Bezier", "Chain", "Conv", "CrossEntropy", "Evaluation", "GreyPicture", "MLP", "Maximum",
    "Momentum", "Pattern", "Picture", "Plan", "Plane", "PreResNet", "Problem", "Radial", "ResNet", "Seconds",
    "Simplex", "Slice", "Split", "SquaredError", "Stage", "Steps", "Training", "Trajectory", "Uniform", "WeightSpace",
    "Xavier", "compare", "connect", "curvature", "fit", "load_chart", "load_data", "load_networks", "open_run",
    "picture", "score_accuracy", "score_loss", "slice_around", "survey", "train",
])  # fmt: skip
def test_what_a_user_meets_first_has_an_example(name: str) -> None:
    tests = doctest.DocTestFinder(recurse=False).find(getattr(lossatlas, name), name)
    assert any("la." in example.source for test in tests for example in test.examples)
