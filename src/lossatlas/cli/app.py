"""The application: its verbs, one module each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from cyclopts import App, Parameter, Token, convert

from lossatlas.cli.panels import Example, Panel, write_examples
from lossatlas.cli.process import LIBRARIES, check_limits, check_threads
from lossatlas.cli.signals import check_interrupts
from lossatlas.cli.verb_help import VerbHelp, spell
from lossatlas.registry import Registry

__all__ = [
    "HELP_ALL",
    "NONE",
    "VERBS",
    "PlainVerb",
    "Verb",
    "find_option",
    "is_flag_given",
    "make_app",
    "make_tokens",
    "run",
]

HELP_ALL = "--help_all"
"""Asks for the help of a verb with its rare options, where ``--help`` shows the common ones."""
NONE = "none"
"""The only value of an option that takes a list, where it is to be empty."""
EXAMPLES = (
    Example("Fit a heart into the loss landscape of a small network: the demo, about a minute", "lossatlas fit"),
    Example(
        "Train a network, and survey the loss around it",
        "lossatlas train --out runs/a",
        "lossatlas survey --checkpoint runs/a",
    ),
)
TRUE = ("yes", "y", "1", "true", "t")
"""What cyclopts takes for a flag that is on."""


class Verb(ABC):
    """One verb of the command line."""

    panels: Sequence[Panel] = ()
    """Where its help shows its options; those that stand in none are shown in one of their own."""
    examples: Sequence[Example] = ()
    """What its help ends with."""

    @abstractmethod
    def layered(self, tokens: list[str]) -> list[str]:
        """The tokens after the verb, with those of presets, files and stored runs that they name put before them."""

    @abstractmethod
    def function(self, tokens: list[str]) -> Callable[..., int | None]:
        """What the verb calls, for layered tokens: options may depend on others, as a model's do on its name."""

    def settled(self) -> Mapping[str, Any]:
        """By option the defaults that the verb settles to something else than they were declared with."""
        return {}


class PlainVerb(Verb):
    """A verb whose options depend on nothing: one function."""

    def __init__(
        self, function: Callable[..., int | None], *, panels: Sequence[Panel] = (), examples: Sequence[Example] = ()
    ) -> None:
        self._function = function
        self.panels = panels
        self.examples = examples

    def layered(self, tokens: list[str]) -> list[str]:
        return tokens

    def function(self, tokens: list[str]) -> Callable[..., int | None]:
        return self._function


VERBS: Registry[Verb] = Registry("verb", "lossatlas.cli.verbs")


def make_app(tokens: list[str], everything: bool = False) -> App:
    """The cyclopts application for these tokens; its help shows ``everything``, or the common options."""
    from importlib.metadata import version

    app = App(
        name="lossatlas",
        help="Maps of the loss landscapes of neural networks.",
        help_epilogue=write_examples(
            EXAMPLES, f"The options of a verb: `lossatlas VERB --help`; with the less common ones: `{HELP_ALL}`."
        ),
        version=lambda: version("lossatlas"),
        default_parameter=Parameter(
            name_transform=lambda name: name,
            consume_multiple=1,
            negative_bool="no_",
            negative_iterable=(),
            negative_none=(),
            show_env_var=False,
            show_default=spell,
            converter=_converted,
        ),
    )
    for name in VERBS:
        own = tokens[1:] if tokens[:1] == [name] else ["--help"]  # all that is asked of the others
        verb = VERBS[name]
        app.command(
            verb.function(own),
            name=name,
            help_formatter=VerbHelp(verb.settled, verb.panels, everything),
            help_epilogue=write_examples(verb.examples, _tell_of_rare(name, verb.panels, everything)),
        )
    return app


def _tell_of_rare(verb: str, panels: Sequence[Panel], everything: bool) -> str:
    """What help says of options that it leaves out; nothing where there are none."""
    hidden = any(panel.rare for panel in panels) and not everything
    return f"These are the common options; `lossatlas {verb} {HELP_ALL}` shows all of them." if hidden else ""


def _converted(wanted: Any, tokens: Sequence[Token]) -> Any:
    """What cyclopts makes of an option's tokens, and of ``none`` an empty list; it would round 1.5 to a whole number.

    And it would take a path without a letter for the working folder, and [] for a number among others.
    """
    types = _types(wanted)
    if any(get_origin(part) in (tuple, list) for part in types) and [token.value for token in tokens] == [NONE]:
        return ()
    if Path in types and any(not token.value for token in tokens):
        raise ValueError("a path is empty; give one, or leave the option out")
    if int in types and not types & {float, str}:
        for token in tokens:
            if "." in token.value and not float(token.value).is_integer():
                raise ValueError(f"{token.value} is not a whole number; expected one")
    made = convert(wanted, tokens)
    if isinstance(made, tuple) and any(isinstance(each, tuple | list) for each in made):
        raise ValueError("there is a list among its values; write them one after the other")
    return made


def _types(wanted: Any) -> set[Any]:
    """A type and those that it is made of: int of tuple[int, ...] | None."""
    return {wanted}.union(*(_types(part) for part in get_args(wanted)))


def run(tokens: list[str]) -> int:
    """Parse tokens and run their verb; returns the exit code."""
    tokens = [_spelled(token) for token in tokens]
    everything = HELP_ALL in tokens
    tokens = ["--help" if token == HELP_ALL else token for token in tokens]
    if tokens and tokens[0] in VERBS:
        if not {"--help", "-h"} & set(tokens):
            check_limits(LIBRARIES)
            check_threads()
        tokens = [tokens[0], *VERBS[tokens[0]].layered(tokens[1:])]
    command, bound, _ = make_app(tokens, everything).parse_args(
        tokens or ["--help"], exit_on_error=False, print_error=False
    )
    check_interrupts()
    return command(*bound.args, **bound.kwargs) or 0


def _spelled(token: str) -> str:
    """A token with the name of its option spelled as its field is; cyclopts takes --batch-size as well."""
    name, equals, value = token.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else token


def find_option(tokens: list[str], name: str) -> str | None:
    """The value that tokens give an option, before they are parsed; the last one counts."""
    found = None
    for i, token in enumerate(tokens):
        key, equals, value = token.partition("=")
        if key == f"--{name}":
            found = value if equals else (tokens[i + 1] if i + 1 < len(tokens) else None)
    return found


def is_flag_given(tokens: list[str], name: str) -> bool:
    """Whether tokens turn a flag on, before they are parsed; the last one counts."""
    given = False
    for token in tokens:
        key, equals, value = token.partition("=")
        if key in (f"--{name}", f"--no_{name}"):
            given = (key == f"--{name}") == (not equals or value.lower() in TRUE)
    return given


def make_tokens(flat: dict[str, Any]) -> dict[str, list[str]]:
    """A flat configuration as command-line tokens, by option; None is left out."""
    return {name: _tokens(name, value) for name, value in flat.items() if value is not None}


def _tokens(name: str, value: Any) -> list[str]:
    if value is True:
        return [f"--{name}"]
    if value is False:
        head, dot, last = name.rpartition(".")
        return [f"--{head}{dot}no_{last}"]
    if value in ([], ()):
        return [f"--{name}={NONE}"]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
