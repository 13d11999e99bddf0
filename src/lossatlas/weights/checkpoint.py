"""The content of a checkpoint: named tensors, part by part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.weights.unpickling import NESTED, NumpyArray

__all__ = ["WRAPPERS", "Checkpoint", "find_wrapper", "join_names", "list_names", "strip_name"]

WRAPPERS = ("module.", "_orig_mod.")
"""The prefixes that ``DataParallel`` and ``torch.compile`` add to every name."""
INSIDE = re.compile(r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""The components that ``torch.compile``, sharding and activation checkpointing add within names."""
OPTIMIZER = re.compile(r"optimi[sz]er|(^|_)optims?(_|$)", re.IGNORECASE)
"""Keys of the states of optimisers, whose tensors have the shapes of weights."""
MOST_ENTRIES = 10**6
"""The most entries of mappings that are read in a checkpoint; plain values in lists count less."""
IN_LISTS = 64
"""How many plain values in a list count as one entry of a mapping."""
DEEPEST = 6
"""The most levels of nested mappings that are read."""
LISTED = 8
"""The most names that a message lists."""


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a file, or those under one key of it.

    As a mapping it holds the tensors that are most likely meant if no module is given: the entries of the first usual
    key (``state_dict``, ``model``, ...), or else of the file itself, without prefixes of wrappers.

    Args:
        parts: the entries of each mapping in the file by the dotted path of the mapping; empty for the file itself.
        file: the name of the file, for messages.
        key: the dotted path of the entries that are meant; empty for all.

    Raises:
        BadInput: it holds no tensors, or none under the key; its keys are listed.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, Any]], file: str, key: str | None = None) -> None:
        self.parts = parts
        self.file = file
        self.key = strip_name(f"{key or ''}.")[:-1]
        if not parts:
            raise BadInput(f"checkpoint {file} holds no state_dict (names and tensors); save model.state_dict()")
        if key is not None and not (key and any(True for _ in self._under())):
            raise BadInput(
                f"checkpoint {file} holds nothing under {key!r}; its keys: {list_names(self._keys()) or 'none'}"
            )
        self._plain: dict[str, Tensor] | None = None

    @classmethod
    def of_content(cls, content: Any, file: str, key: str | None = None) -> Checkpoint:
        """Make a checkpoint of the content of a file, with all nested mappings.

        Raises:
            BadInput: as for the class.
        """
        return cls(dict(_parts(content, "", _Visits(file))), file, key)

    @classmethod
    def of(cls, state: Mapping[str, Any], name: str) -> Checkpoint:
        """Make a checkpoint of a state dict; a checkpoint is returned as it is."""
        return state if isinstance(state, Checkpoint) else cls({"": state}, name)

    def covers(self, path: str) -> bool:
        """Whether the key is a dotted path or a parent of it."""
        return not self.key or strip_name(f"{path}.").startswith(f"{self.key}.")

    def likely(self) -> tuple[str, str]:
        """Find the part that is most likely meant, and the common prefix of its names."""
        inside = [part for part in self.parts if self.covers(part)]
        if not inside:  # the key leads into the names of a part
            part = next(part for part, name in self._under() if self.covers(join_names(part, name)))
            prefix = self.key.removeprefix(f"{part}.") + "."
        else:
            usual = (join_names(self.key, name) for name in NESTED)
            part, prefix = next((name for name in usual if name in inside), inside[0]), ""
        names = [strip_name(name) for part_, name in self._under() if part_ == part]
        while more := find_wrapper(name.removeprefix(prefix) for name in names):
            prefix += more
        return part, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._state()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state())

    def __len__(self) -> int:
        return len(self._state())

    def _state(self) -> dict[str, Tensor]:
        if self._plain is None:
            part, prefix = self.likely()
            entries = {strip_name(name): value for name, value in self.parts[part].items()}
            self._plain = {
                name.removeprefix(prefix): value
                for name, value in entries.items()
                if isinstance(value, Tensor) and name.startswith(prefix)
            }
        return self._plain

    def _under(self) -> Iterator[tuple[str, str]]:
        """The parts and names of all tensors under the key."""
        for part, entries in self.parts.items():
            for name, value in entries.items():
                if isinstance(value, Tensor) and self.covers(join_names(part, name)):
                    yield part, name

    def _keys(self) -> list[str]:
        """The paths of parts, and how the names in each begin that are made of several words."""
        found: dict[str, None] = {}
        for part, entries in self.parts.items():
            found |= dict.fromkeys([part] if part else [])
            found |= dict.fromkeys(join_names(part, name.partition(".")[0]) for name in entries if "." in name)
        return list(found)


def join_names(*names: str) -> str:
    """Join names to a dotted path, without those that are empty."""
    return ".".join(name for name in names if name)


def list_names(names: Iterable[str]) -> str:
    """List the first of some names, and how many more there are, for a message."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def strip_name(name: str) -> str:
    """Strip a name of the components that wrappers add within names."""
    return INSIDE.sub("", name)


def find_wrapper(names: Iterable[str]) -> str:
    """Find the prefix that a wrapper added to all of the names; empty where there is none."""
    names = list(names)
    return next((prefix for prefix in WRAPPERS if names and all(name.startswith(prefix) for name in names)), "")


class _Visits:
    """A counter of entries, without which mappings that contain one another repeatedly would be read without end.

    Args:
        file: the name of the file, for messages.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0

    def add(self, entries: int) -> None:
        """Add to the count.

        Raises:
            BadInput: there are too many entries.
        """
        self._count += entries
        if self._count > MOST_ENTRIES:
            raise BadInput(
                f"checkpoint {self._file} holds more than {MOST_ENTRIES:,} entries, counted as often as it names them; "
                "save model.state_dict() alone"
            )


def _parts(
    content: Any, path: str, visits: _Visits, above: tuple[int, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with tensors among its values, by its dotted path."""
    if len(above) > DEEPEST or id(content) in above or not isinstance(content, Mapping | list | tuple):
        return
    visits.add(len(content) // (1 if isinstance(content, Mapping) else IN_LISTS) + 1)
    if isinstance(content, Mapping):
        items = [(str(name), _tensor(value)) for name, value in content.items()]
        if any(isinstance(value, Tensor) for _, value in items):
            yield path, dict(items)
    else:
        items = [(str(place), value) for place, value in enumerate(content) if isinstance(value, Mapping)]
    for name, value in items:
        if isinstance(value, Mapping | list | tuple) and not OPTIMIZER.search(name):
            yield from _parts(value, join_names(path, name), visits, (*above, id(content)))


def _tensor(value: Any) -> Any:
    """Convert an array to a tensor; other values are returned as they are."""
    if isinstance(value, NumpyArray):
        return value.tensor
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" else value
