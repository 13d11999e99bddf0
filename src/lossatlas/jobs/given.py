"""Objects in Python in the place of what a configuration names: networks, splits and folders, checked alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from lossatlas.data import Dataset, Split, name_splits
from lossatlas.errors import BadInput, Caution
from lossatlas.problem import Problem
from lossatlas.recipes import Config
from lossatlas.recipes.networks import copy_state
from lossatlas.recipes.problem import ProblemRecipe, find_device
from lossatlas.types import Params, Source
from lossatlas.weights import WeightSpace

__all__ = ["Network", "assemble", "check_splits", "configure", "find_folder", "name_states", "warn_of"]

C = TypeVar("C", bound=Config)

Network = nn.Module | Mapping[str, Tensor]
"""A network of the problem's architecture: a module, or its parameters and buffers by name."""
INSTEAD = {
    **dict.fromkeys(("data", "holdout", "model", "loss", "output"), "the problem and the splits take its place"),
    **dict.fromkeys(("between", "runs", "networks", "members"), "the networks take its place"),
}
"""Settings of a configuration that are passed as objects here, and which objects."""


def name_states(networks: Sequence[Network] | Mapping[str, Network], called: str = "network") -> dict[str, Params]:
    """Copy parameters and buffers, by the names of the networks; those in a sequence are numbered.

    Raises:
        BadInput: a name could be mistaken for a path, or a value is not a network.
    """
    named = networks if isinstance(networks, Mapping) else {f"{called} {k + 1}": one for k, one in enumerate(networks)}
    states = {}
    for name, one in named.items():
        if not isinstance(name, str) or not name.isprintable() or not name or {"/", "@", "#"} & set(name):
            raise BadInput(f"{name!r} is not a name of a network; expected printable characters without /, @ and #")
        if isinstance(one, nn.Module):
            states[name] = copy_state(one)
        elif isinstance(one, Mapping):
            states[name] = {
                key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in one.items()
            }
        else:
            raise BadInput(
                f"{name}, a {type(one).__name__}, is not a network; expected a module, or its tensors by name"
            )
    return states


def configure(kind: type[C], settings: Mapping[str, Any], splits: Mapping[str, Any], **names: tuple[str, ...]) -> C:
    """Make a configuration from the given settings, for the given splits and networks.

    A setting that is text on the command line may be a number here, and a list with one entry may be that entry.

    Raises:
        BadInput: a setting is unknown, or is passed as an object here.
    """
    for name, instead in INSTEAD.items():
        if {name, f"{name}_options"} & set(settings):
            raise BadInput(f"{name} is not a setting in Python, where {instead}; leave it out")
    usual: Any = kind()
    flat: dict[str, Any] = {"splits": [name for name in usual.splits if name in splits], **names}
    for name, value in settings.items():
        value = value.item() if isinstance(value, np.generic) else value
        default = getattr(usual, name, None)
        if isinstance(default, tuple) and isinstance(value, (str, int, float)):
            value = [value]
        elif isinstance(default, str) and isinstance(value, (int, Path)) and not isinstance(value, bool):
            value = str(value)
        flat[name] = value
    return kind.from_flat({name: list(value) if isinstance(value, tuple) else value for name, value in flat.items()})


def find_folder(path: Path | str | None) -> Path | None:
    """Return the folder that results are kept in; None keeps them in memory.

    Raises:
        BadInput: the path is empty or not that of a folder.
    """
    if path is None:
        return None
    if not str(path) or (Path(path).exists() and not Path(path).is_dir()):
        raise BadInput(f"path {str(path)!r} is not a folder; expected a new or empty one: give one, or leave it out")
    return Path(path)


def warn_of(notes: Iterable[str]) -> None:
    """Warn of what the command line prints as notes."""
    for note in notes:
        warnings.warn(note, Caution, stacklevel=3)


def assemble(
    problem: Problem,
    splits: Mapping[str, Split | Source],
    parameters: Sequence[str],
    device: str,
    networks: Mapping[str, Params],
) -> ProblemRecipe:
    """Assemble the objects that a configuration would name.

    Raises:
        BadInput: the split ``train`` is missing, or there are others than ``train``, ``test`` and ``holdout``.
    """
    check_splits(splits)
    named = name_splits(splits)
    data = Dataset("given", named["train"], named.get("test"), holdout=named.get("holdout"))
    where = find_device(device)
    space = WeightSpace(problem.module, parameters)
    return ProblemRecipe(problem, space, data, data.train.to(where), where, networks)


def check_splits(splits: Mapping[str, Any]) -> None:
    """Refuse splits by other names.

    Raises:
        BadInput: the split ``train`` is missing, or there are others than ``train``, ``test`` and ``holdout``.
    """
    if "train" not in splits or set(splits) - {"train", "test", "holdout"}:
        raise BadInput(
            f"{', '.join(map(str, splits)) or 'nothing'} is not a choice of splits; expected train, and beside it "
            "test, holdout or both"
        )
