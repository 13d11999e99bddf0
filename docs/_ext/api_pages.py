"""Writes a page for every public name, before Sphinx reads its sources.

The names are those of ``src/lossatlas/__init__.pyi``: a name that is added there has a page without further ado. Pages
go to ``docs/reference/python/``, which git ignores.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

import lossatlas

__all__ = ["setup"]

LOG = getLogger(__name__)

TITLES = {
    "charts": "Charts",
    "data": "Data",
    "directions": "Directions",
    "engine": "Engine and running statistics",
    "errors": "Errors",
    "feeds": "Feeds: how a batch is handed to the module",
    "fitting": "Fitting",
    "jobs": "Curves and comparisons",
    "losses": "Losses",
    "metrics": "Metrics",
    "models": "Models",
    "objectives": "Objectives",
    "pictures": "Pictures to fit",
    "problem": "The problem",
    "recipes": "Runs and networks",
    "surveying": "Surveys",
    "training": "Training and trajectories",
    "views": "Views",
    "weights": "Weight space",
}
"""Titles of groups by the package that the names come from; a package that is not here is called by its name."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("builder-inited", _write_pages)
    app.connect("autodoc-process-docstring", _escape_stars)
    app.connect("autodoc-skip-member", _skip_private_class)
    app.connect("missing-reference", _find_public_name)
    app.connect("env-updated", _check_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _check_sources(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of modules whose source Sphinx cannot parse: the list of sources would link to a page that is not there."""
    for name, entry in getattr(env, "_viewcode_modules", {}).items():
        if not entry:
            LOG.warning("the source of %s cannot be shown: Sphinx does not parse it", name)


def _write_pages(app: Sphinx) -> None:
    """Write a page for every public name, and the page that lists them in groups."""
    folder = Path(app.srcdir) / "reference" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    groups = _list_groups(Path(lossatlas.__file__).with_suffix(".pyi"))
    names = [name for group in groups.values() for name in group]
    for missing in _list_undocumented(names):
        LOG.warning("%s has no docstring", missing)
    pages = {"index.rst": _make_index(groups), **{f"{name}.rst": _make_page(name) for name in names}}
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        _write_if_changed(folder / name, text)


def _list_groups(stub: Path) -> dict[str, list[str]]:
    """Public names by the title of their group, in the order of the stub."""
    groups: dict[str, list[str]] = {}
    for statement in ast.parse(stub.read_text()).body:
        if isinstance(statement, ast.ImportFrom):
            package = (statement.module or "").partition(".")[0]
            names = groups.setdefault(TITLES.get(package, package.capitalize()), [])
            names += [alias.asname or alias.name for alias in statement.names]
    return {title: sorted(names, key=str.lower) for title, names in sorted(groups.items())}


def _list_undocumented(names: list[str]) -> list[str]:
    """Public names, and public methods of theirs, without a docstring of their own or an inherited one."""
    missing = []
    for name in names:
        thing = getattr(lossatlas, name)
        if not inspect.getdoc(thing):
            missing.append(name)
        if inspect.isclass(thing):
            members = inspect.getmembers(thing, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            missing += [
                f"{name}.{member}"
                for member, function in members
                if not member.startswith("_")
                and function.__module__.startswith("lossatlas")
                and not inspect.getdoc(function)
            ]
    return missing


def _make_index(groups: dict[str, list[str]]) -> str:
    """The page of all names, in groups, each with the first sentence of its docstring."""
    text = _make_title("Python") + (
        "Everything here is ``import lossatlas as la`` and ``la.NAME``. Axes of arrays have one name everywhere: "
        "points P, coords d, params n, controls m, examples B, classes C. Losses are in nats where they are "
        "cross-entropies; what is refused raises :class:`~lossatlas.BadInput`.\n\n"
    )
    for title, names in groups.items():
        text += _make_title(title, "-")
        text += ".. list-table::\n   :widths: 30 70\n   :class: names\n\n"
        for name in names:
            text += f"   * - :py:obj:`~lossatlas.{name}`\n     - {_summarise(name)}\n"
        text += "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in names) + "\n"
    return text


def _summarise(name: str) -> str:
    """The first sentence of a docstring, in one line."""
    first = (inspect.getdoc(getattr(lossatlas, name)) or "").partition("\n\n")[0]
    return " ".join(first.split())


def _make_page(name: str) -> str:
    """The page of one name."""
    thing = getattr(lossatlas, name)
    if inspect.isclass(thing):
        # Members of other packages' classes are left to their own documentation.
        foreign = ", ".join(each.__name__ for each in thing.__mro__ if not each.__module__.startswith("lossatlas"))
        what = f".. autoclass:: {name}\n   :members:\n   :inherited-members: {foreign}\n   :show-inheritance:\n"
    else:
        what = f".. autofunction:: {name}\n"
    return f"{_make_title(name)}.. currentmodule:: lossatlas\n\n{what}"


def _make_title(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n\n"


def _write_if_changed(path: Path, text: str) -> None:
    """Write a page; one that stays as it was keeps its time, so that it is not read again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _escape_stars(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep the star of a shape such as (P, *rest) from beginning emphasised text; code in backticks stays as it is."""
    for i, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"(?<=[(, \[])\*(?=\w+[,)\]])", r"\\*", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def _skip_private_class(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Leave out attributes that are a private class, such as the options of a kind of chart."""
    return True if inspect.isclass(thing) and thing.__name__.startswith("_") else None


def _find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Resolve a reference to a thing by the module that it lives in to the page of its public name."""
    name, *rest = str(node.get("reftarget", "")).replace("~", "").rpartition("lossatlas.")[2].split(".")[::-1]
    domain = env.domains.python_domain
    for public in (name, f"{rest[0]}.{name}" if rest else name):
        if public.partition(".")[0] in dir(lossatlas) and f"lossatlas.{public}" in domain.objects:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, node.get("reftype", "obj"), f"lossatlas.{public}", node, content
            )
    return None
