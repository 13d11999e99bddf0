"""Weights in files: safetensors, and ``.pt`` files without executing any code in them; whole or in shards."""

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
"""The suffix of the file that says which shard each tensor is in."""
IN_FOLDERS = (
    "model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}"
)  # fmt: skip
"""The files with the weights of a model in a folder, as Hugging Face names them."""


def find_weights(folder: Path) -> Path | None:
    """Find the file with the weights of a model in a folder, or the index of its shards; None where there is none."""
    return next((folder / name for name in IN_FOLDERS if (folder / name).is_file()), None)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict that is most likely meant in a file, without prefixes of wrappers.

    Raises:
        BadInput: as :func:`read_checkpoint`, which keeps all tensors, so that a module decides which are meant.
    """
    return dict(read_checkpoint(path))


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read all named tensors of a file or a folder, with their paths within it.

    Args:
        path: a ``.safetensors`` file; a file of ``torch.save``, read without executing code; the index of shards of
            either kind (``model.safetensors.index.json``); or a folder with one of these, as Hugging Face writes it.
        key: the dotted path of one of several networks in the file.

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
    """The content of one file."""
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
    """The index of a sharded checkpoint: the file name of the shard of each tensor."""

    weight_map: dict[str, str]


def _sharded(index: Path) -> dict[str, Tensor]:
    """The tensors that an index names, from its shards."""
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


def serialise_state(state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Serialise named tensors as a safetensors file, with metadata that say what they are."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return save(tensors, None if metadata is None else dict(metadata))
