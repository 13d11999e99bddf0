"""Writes a page for every verb of the command line, before Sphinx reads its sources.

Options, types, defaults and panels are those of the application that parses the command line, so that a page cannot say
anything else than the program does. Pages go to ``docs/reference/command_line/``, which git ignores.
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument
from sphinx.application import Sphinx

from lossatlas.cli.app import VERBS, make_app
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
    verbs = {name: make_app([name, "--help"])[name] for name in VERBS}
    pages = {"index.rst": _make_index(verbs), **{f"{name}.rst": _make_page(name, app) for name, app in verbs.items()}}
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def _make_index(verbs: Mapping[str, App]) -> str:
    text = _make_title("Command line") + (
        "``lossatlas VERB --help`` prints what these pages say. Options are spelled with underscores or dashes; lists "
        "are written one after the other (``--grid 21 13``). Exit codes: 0 done, 2 bad input, 3 a run that could not "
        "be finished, 130 interrupted, 1 a fault of lossatlas.\n\n.. list-table::\n   :widths: 25 75\n\n"
    )
    for name, app in verbs.items():
        text += f"   * - :doc:`lossatlas {name} <{name}>`\n     - {_to_rst(_describe(app).partition(chr(10) * 2)[0])}\n"
    return text + "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in verbs)


def _make_page(name: str, app: App) -> str:
    """The page of one verb: what it does, its options by panel, and its examples where it has any."""
    settled = VERBS[name].settled()
    collection = app.assemble_argument_collection(default_parameter=app.default_parameter, parse_docstring=True)
    panels: dict[str, list[Argument]] = {}
    for argument in collection:
        if argument.show:
            panels.setdefault(_name_panel(argument), []).append(argument)
    text = _make_title(f"lossatlas {name}") + f"{_to_rst(_describe(app))}\n\n"
    text += f".. program:: lossatlas {name}\n\n"
    for title, arguments in panels.items():
        text += _make_title(title, "-") + "".join(_describe_option(argument, settled) for argument in arguments)
    return text + _make_examples(app)


def _describe(app: App) -> str:
    """What a verb does: its help without the arguments, which its table has."""
    return re.split(r"\n\s*Args:\n", inspect.cleandoc(app.help or ""))[0]


def _name_panel(argument: Argument) -> str:
    """The title of the panel in which help shows an argument."""
    groups = argument.parameter.group
    group = groups[0] if isinstance(groups, tuple) else groups
    name = str(getattr(group, "name", group) or "Parameters")
    return {"Parameters": "Options"}.get(name, name)


def _describe_option(argument: Argument, settled: Mapping[str, Any]) -> str:
    """An option: its names, what it takes, what it is, and its default."""
    names = [name for name in argument.names if not name.startswith("--empty")]
    takes = "" if argument.hint is bool or not names[0].startswith("-") else f" <{_name_type(argument.hint)}>"
    default = settled.get(names[0].removeprefix("--"), argument.field_info.default)
    if default is inspect.Parameter.empty:
        shown = "needed" if argument.field_info.required else ""
    elif isinstance(default, bool):
        shown = "on" if default else "off"
    else:
        shown = f"``{spelled}``" if (spelled := spell(default)) else ""
    text = _to_rst(argument.parameter.help) + (f" *Default:* {shown}." if shown else "")
    return f".. option:: {names[0]}{takes}\n\n   {text}\n\n".replace("*Default:* needed.", "*Needed.*")


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


def _make_examples(app: App) -> str:
    """The examples that help ends with."""
    epilogue = app.help_epilogue
    if not isinstance(epilogue, str) or not epilogue.strip():
        return ""
    lines = "".join(f"   {line}\n" for line in inspect.cleandoc(epilogue).splitlines())
    return f"{_make_title('Examples', '-')}.. code-block:: text\n\n{lines}"


def _make_title(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n\n"
