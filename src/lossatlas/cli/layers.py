"""Layers of configuration: a stored run, a preset, a YAML file, the command line; later ones win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.files import reading

__all__ = ["list_options", "merge_tokens", "read_yaml"]

ALTERNATIVES = (("steps", "seconds"), ("boundary_only", "boundary_share"))
"""Options of which a layer that gives one takes the others out of the layers below."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A flat mapping of options from a YAML file; ``model.depth`` is an option of the model.

    Raises:
        BadInput: the file is missing, too long, not YAML, or not a flat mapping.
    """
    try:
        content = reading.read_yaml(path, regular=not _comes_from_a_program(path))
    except reading.Unreadable as error:
        raise BadInput(f"config {path} cannot be read ({error.reason})") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadInput(f"config {path} is not a mapping of options; expected lines such as 'pattern: heart'")
    for key, value in content.items():
        if isinstance(value, dict):
            raise BadInput(f"config {path}: {key} is a mapping; write nested options flat, as in '{key}.option: value'")
    return content


def merge_tokens(layers: Sequence[Mapping[str, Sequence[str]]], tokens: Sequence[str]) -> list[str]:
    """The tokens of a command line with those of lower layers put before them where they are not given.

    Args:
        layers: per layer tokens by option, the lowest first.
        tokens: the command line's own.
    """
    given = list_options(tokens)
    merged: dict[str, Sequence[str]] = {}
    for layer in layers:
        merged = {k: v for k, v in merged.items() if not _is_replaced(k, set(layer))} | dict(layer)
    kept = [token for k, v in merged.items() if not _is_replaced(k, given) for token in v]
    return [*kept, *tokens]


def list_options(tokens: Sequence[str]) -> set[str]:
    """The options that the tokens of a command line give."""
    return {_option(token) for token in tokens if token.startswith("--")}


def _option(token: str) -> str:
    """The name of the option that a token gives: ``--no_batch_norm`` gives ``batch_norm``."""
    head, dot, last = token[2:].partition("=")[0].rpartition(".")
    return f"{head}{dot}{last.removeprefix('no_')}"


def _is_replaced(option: str, names: set[str]) -> bool:
    """Whether a layer that gives the names takes an option out of those below: ``model`` takes ``model.depth``, too."""
    taken = names | {other for group in ALTERNATIVES if names & set(group) for other in group}
    return option in taken or option.partition(".")[0] in taken - {option}


def _comes_from_a_program(path: Path | str) -> bool:
    """Whether a path is one of the system's own, as a shell makes of ``<(program)``.

    Any other pipe is a file that somebody left, and reading it could wait for ever.
    """
    return str(path).startswith(("/dev/", "/proc/"))
