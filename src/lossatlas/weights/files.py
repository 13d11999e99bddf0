"""Weights in files: safetensors, and foreign ``.pt`` files of which nothing is executed; whole or in shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors, save
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.weights.checkpoint import Checkpoint
from lossatlas.weights.loading import load_state, module_state
from lossatlas.weights.unpickling import load_file

__all__ = ["load_state", "module_state", "read_checkpoint", "read_state", "state_bytes", "weights_in"]

INDEX = ".index.json"
"""How the file ends that says which shard each tensor is in."""
IN_FOLDERS = (
    "model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}"
)  # fmt: skip
"""The weights of a model in a folder, as Hugging Face writes them."""


def weights_in(folder: Path) -> Path | None:
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
        found = weights_in(path)
        if found is None:
            raise BadInput(f"folder {path} holds no weights; expected one of {', '.join(IN_FOLDERS)}")
        path = found
    return Checkpoint.of_content(_sharded(path) if path.name.endswith(INDEX) else _content(path), file, key)


def _content(path: Path) -> Any:
    """What one file holds."""
    if not path.is_file():
        raise BadInput(f"checkpoint {path} does not exist")
    if path.suffix != ".safetensors":
        return load_file(path)
    try:
        return load_safetensors(path.read_bytes())
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BadInput(f"checkpoint {path} cannot be read, it may be truncated; save it again") from error


def _sharded(index: Path) -> dict[str, Tensor]:
    """The named tensors of all shards that an index names, and no others."""
    if not index.is_file():
        raise BadInput(f"checkpoint {index} does not exist")
    try:
        places = json.loads(index.read_text())["weight_map"]
        shards = {name: index.parent / Path(file).name for name, file in places.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"index {index} cannot be read; expected a weight_map of names and files") from error
    missing = [shard.name for shard in dict.fromkeys(shards.values()) if not shard.is_file()]
    if missing:
        raise BadInput(f"checkpoint {index} is not whole: its shard {missing[0]} does not exist; copy all shards here")
    state: dict[str, Tensor] = {}
    for shard in dict.fromkeys(shards.values()):
        found = Checkpoint.of_content(_content(shard), str(shard))
        content = found.parts[found.likely()[0]]
        for name in (name for name, place in shards.items() if place == shard):
            if name not in content:
                raise BadInput(f"shard {shard} lacks {name!r}, which {index.name} says is in it; save the model again")
            state[name] = content[name]
    return {name: state[name] for name in shards}


def state_bytes(state: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of named tensors."""
    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})
