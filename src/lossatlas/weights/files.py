"""Weights in files: safetensors, and foreign ``.pt`` files of which nothing is executed; whole or in shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.files.inside import is_plain_name
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.tensors import read_tensors
from lossatlas.weights.checkpoint import Checkpoint
from lossatlas.weights.loading import collect_state, load_state
from lossatlas.weights.unpickling import load_file

__all__ = ["collect_state", "find_weights", "load_state", "read_checkpoint", "read_state", "serialise_state"]

INDEX = ".index.json"
"""How the file ends that says which shard each tensor is in."""
IN_FOLDERS = (
    "model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}"
)  # fmt: skip
"""The weights of a model in a folder, as Hugging Face writes them."""


def find_weights(folder: Path) -> Path | None:
    """The file of a folder that holds the weights of a model, or the index of its shards; None where there is none."""
    return next((folder / name for name in IN_FOLDERS if (folder / name).is_file()), None)


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors that a file most likely means, without what wrappers put before all of them.

    Raises:
        BadInput: as :func:`read_checkpoint`, which also finds them where only a module tells what is meant.
    """
    return dict(read_checkpoint(path))


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """All named tensors of a file or a folder, and where in it they stand.

    Args:
        path: a ``.safetensors`` file; a file of ``torch.save``, of which nothing is executed; the index of shards of
            either kind (``model.safetensors.index.json``); or a folder that holds one of these, as Hugging Face writes
            them.
        key: which of several networks in it: the dotted path of their tensors.

    Raises:
        BadInput: a file is missing, truncated, holds no weights or none under the key, or holds objects that loading
            would execute.
    """
    file = str(path)
    if path.is_dir():
        found = find_weights(path)
        if found is None:
            raise BadInput(f"folder {path} holds no weights; expected one of {', '.join(IN_FOLDERS)}")
        path = found
    return Checkpoint.of_content(_sharded(path) if path.name.endswith(INDEX) else _content(path), file, key)


def _content(path: Path) -> Any:
    """What one file holds."""
    _check_file(path)
    if path.suffix != ".safetensors":
        return load_file(path)
    try:
        return read_tensors(path)[0]
    except Unreadable as error:
        raise BadInput(
            f"checkpoint {path} cannot be read, it may be truncated ({error.reason}); save it again"
        ) from error


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"checkpoint {path} does not exist" + (" as a regular file" if path.exists() else ""))


@dataclass(frozen=True)
class _Index:
    """In which of the files beside it each tensor is."""

    weight_map: dict[str, str]


def _sharded(index: Path) -> dict[str, Tensor]:
    """The named tensors of all shards that an index names, and no others."""
    _check_file(index)
    try:
        places = read_json(index, _Index).weight_map
    except Unreadable as error:
        raise BadInput(
            f"index {index} cannot be read ({error.reason}); expected a weight_map of names and files"
        ) from error
    shards: dict[str, list[str]] = {}
    for name, file in places.items():
        shards.setdefault(file, []).append(name)
    if outside := [file for file in shards if not is_plain_name(file)]:
        raise BadInput(f"index {index} names {outside[0]!r}; shards are files beside it: save the model again")
    if missing := [file for file in shards if not (index.parent / file).is_file()]:
        raise BadInput(f"checkpoint {index} is not whole: its shard {missing[0]} does not exist; copy all shards here")
    state: dict[str, Tensor] = {}
    for file, names in shards.items():
        shard = index.parent / file
        found = Checkpoint.of_content(_content(shard), str(shard))
        content = found.parts[found.likely()[0]]
        for name in names:
            if name not in content:
                raise BadInput(f"shard {shard} lacks {name!r}, which {index.name} says is in it; save the model again")
            state[name] = content[name]
    return {name: state[name] for name in places}


def serialise_state(state: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of named tensors."""
    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})
