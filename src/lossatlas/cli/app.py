"""The application: its verbs, one module each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cyclopts import App, Parameter

from lossatlas.registry import Registry

__all__ = ["make_app", "run"]

Verb = Callable[[list[str]], Callable[..., int | None]]
"""Makes a verb's function for given tokens: options may depend on others, as a model's do on its name."""

VERBS: Registry[Verb] = Registry("verb", "lossatlas.cli.verbs")


def make_app(tokens: list[str]) -> App:
    """The cyclopts application for these tokens."""
    from importlib.metadata import version

    app = App(
        name="lossatlas",
        help="Maps of the loss landscapes of neural networks.",
        version=lambda: version("lossatlas"),
        default_parameter=Parameter(
            name_transform=lambda name: name,
            consume_multiple=True,
            negative_bool="no_",
            negative_iterable="no_",
            negative_none=(),
            show_env_var=False,
        ),
    )
    for name in VERBS:
        app.command(VERBS[name](tokens), name=name)
    return app


def run(tokens: list[str]) -> int:
    """Parse tokens and run their verb; returns the exit code."""
    command, bound, _ = make_app(tokens).parse_args(tokens or ["--help"], exit_on_error=False, print_error=False)
    return command(*bound.args, **bound.kwargs) or 0


def option_given(tokens: list[str], name: str) -> str | None:
    """The value that tokens give an option, before they are parsed; the last one counts."""
    found = None
    for i, token in enumerate(tokens):
        key, equals, value = token.partition("=")
        if key == f"--{name}":
            found = value if equals else (tokens[i + 1] if i + 1 < len(tokens) else None)
    return found


def tokens_of(flat: dict[str, Any]) -> dict[str, list[str]]:
    """A flat configuration as command-line tokens, by option; None is left out."""
    return {name: _tokens(name, value) for name, value in flat.items() if value is not None}


def _tokens(name: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{name}"]
    if value is False or value == [] or value == ():
        head, dot, last = name.rpartition(".")
        return [f"--{head}{dot}no_{last}"]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
