"""Writes a page for every verb of the command line, before Sphinx reads its sources.

Options, types, defaults and panels are those of the application that parses the command line, so that a page cannot say
anything else than the program does. Pages go to ``docs/reference/command_line/``, which git ignores.
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument
from sphinx.application import Sphinx

from lossatlas.cli.app import VERBS, make_app
from lossatlas.cli.panels import Example, arrange
from lossatlas.cli.verb_help import spell

__all__ = ["setup"]

TYPES = {int: "whole number", float: "number", str: "text", Path: "path", bool: "flag"}
"""What an option takes, by the type that it is declared with."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_pages(app: Sphinx) -> None:
    """Write a page for every verb, and the page that lists them."""
    folder = Path(app.srcdir) / "reference" / "command_line"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"index.rst": _make_index(), **{f"{name}.rst": _make_page(name) for name in VERBS}}
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def _make_index() -> str:
    verbs = {name: make_app([name, "--help"])[name] for name in VERBS}
    text = _make_title("Command line") + (
        "``lossatlas VERB --help`` prints the common options of these pages, ``--help_all`` all of them. Options are "
        "spelled with underscores or dashes; the values of a list are written one after the other (``--grid 21 13``). "
        "Exit codes: 0 done, 2 bad input, 3 a run that could not be finished, 130 interrupted, "
        "1 a fault of lossatlas.\n\n.. list-table::\n   :widths: 25 75\n\n"
    )
    for name, app in verbs.items():
        text += f"   * - :doc:`lossatlas {name} <{name}>`\n     - {_to_rst(_describe(app).partition(chr(10) * 2)[0])}\n"
    return text + "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in verbs)


def _make_page(name: str) -> str:
    """The page of one verb: what it does, its examples, and all its options in the panels of its help."""
    verb, settled = VERBS[name], VERBS[name].settled()
    root = make_app([name, "--help"])
    app = root[name]
    collection = app.assemble_argument_collection(default_parameter=root.default_parameter, parse_docstring=True)
    arguments: dict[str, Argument] = {}
    for argument in collection:
        if argument.show:  # the options of a named thing stand under its name, too, and come later
            arguments.setdefault(_name(argument), argument)
    text = _make_title(f"lossatlas {name}") + f"{_to_rst(_describe(app))}\n\n"
    text += _make_examples(verb.examples) + f".. program:: lossatlas {name}\n\n"
    for title, names in arrange(list(arguments), verb.panels, everything=True):
        text += _make_title(title, "-") + "".join(_describe_option(arguments[each], settled) for each in names)
    return text


def _name(argument: Argument) -> str:
    """The name of an option, or of a value that has none on the command line."""
    return next(iter(argument.names)).removeprefix("--").lower()


def _describe(app: App) -> str:
    """What a verb does: its help without the arguments, which its table has."""
    return re.split(r"\n\s*Args:\n", inspect.cleandoc(app.help or ""))[0]


def _describe_option(argument: Argument, settled: Mapping[str, Any]) -> str:
    """An option: its names, what it takes, what it is, and its default."""
    names = [name for name in argument.names if not name.startswith("--empty")]
    takes = "" if argument.hint is bool or not names[0].startswith("-") else f" <{_name_type(argument.hint)}>"
    default = settled.get(_name(argument), argument.field_info.default)
    if default is inspect.Parameter.empty:
        shown = "needed" if argument.field_info.required else ""
    elif isinstance(default, bool):
        shown = "on" if default else "off"
    else:
        shown = f"``{spelled}``" if (spelled := spell(default)) else ""
    text = _to_rst(argument.parameter.help) + (f" *Default:* {shown}." if shown else "")
    shown_names = ", ".join(names[:2] if default is True else names[:1])
    return f".. option:: {shown_names}{takes}\n\n   {text}\n\n".replace("*Default:* needed.", "*Needed.*")


def _name_type(hint: Any) -> str:
    """What an option takes, in words."""
    origin, arguments = get_origin(hint), [each for each in get_args(hint) if each is not type(None)]
    if origin is Annotated:
        return _name_type(arguments[0])
    if origin is Literal:
        return "|".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_name_type, arguments)))
    if origin in (tuple, list, collections.abc.Sequence):
        if len(arguments) > 1 and arguments[1] is not Ellipsis:
            return f"{len(arguments)} {_name_type(arguments[0])}s"
        return f"{_name_type(arguments[0])} …"
    return TYPES.get(hint, getattr(hint, "__name__", str(hint)))


def _to_rst(text: str | None) -> str:
    """A help text, whose code stands in single backticks, as reStructuredText; paragraphs stay apart."""
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    return "\n\n".join("".join(map(_mark_code, re.split(r"(`[^`]*`)", part))) for part in paragraphs)


def _mark_code(part: str) -> str:
    """A part of a help text with what is to be typed set as code: what stands in backticks, options, FILE#KEY."""
    if part.startswith("`"):
        return f"`{part}`"
    part = part.replace("*", "\\*").replace("|", "\\|")
    return re.sub(
        r"(?<![\w`])(--\w+(?:\.\w+)*(?:=[\w,.-]*\w)?|[A-Z]+[@#][A-Z]+|(?:module|hub|image|file|towards):[\w/]+)",
        r"``\1``",
        part,
    )


def _make_examples(examples: Sequence[Example]) -> str:
    """The examples that the help of a verb ends with."""
    if not examples:
        return ""
    text = _make_title("Examples", "-")
    for example in examples:
        commands = "".join(f"   {command}\n" for command in example.commands)
        text += f"{_to_rst(example.purpose)}:\n\n.. code-block:: text\n\n{commands}\n"
    return text


def _make_title(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n\n"
