"""Weights in files: safetensors, and foreign ``.pt`` files of which nothing is executed; whole or in shards."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors, save
from torch import Tensor, nn

from lossatlas.errors import BadInput

__all__ = ["load_state", "module_state", "read_state", "state_bytes", "weights_in"]

NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "network", "model_state", "weights")
"""Keys under which training scripts keep the weights in a larger checkpoint."""
WRAPPERS = ("module.", "_orig_mod.")
"""What ``DataParallel`` and ``torch.compile`` put before every name."""
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
    """The named tensors of a checkpoint.

    Args:
        path: a ``.safetensors`` file; a file of ``torch.save``, read with weights only; the index of shards of either
            kind (``model.safetensors.index.json``); or a folder that holds one of these, as Hugging Face writes them.

    Returns:
        By name, without what ``DataParallel`` and ``torch.compile`` put before all of them.

    Raises:
        BadInput: a file is missing, truncated, holds no weights, or holds objects that loading would execute.
    """
    if path.is_dir():
        found = weights_in(path)
        if found is None:
            raise BadInput(f"folder {path} holds no weights; expected one of {', '.join(IN_FOLDERS)}")
        path = found
    state = _sharded(path) if path.name.endswith(INDEX) else _file(path)
    return _without_wrappers(state)


def _file(path: Path) -> dict[str, Tensor]:
    """The named tensors of one file."""
    if not path.is_file():
        raise BadInput(f"checkpoint {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_safetensors(path.read_bytes())
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles that are refused anyway
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"checkpoint {path} holds objects that would execute code, or is no torch file; nothing was loaded: save "
            "the state_dict alone, or as safetensors"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"checkpoint {path} cannot be read, it may be truncated; save it again") from error
    if isinstance(content, Mapping):
        content = next((content[key] for key in NESTED if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(f"checkpoint {path} holds no state_dict (names and tensors); save model.state_dict()")
    return {str(name): value for name, value in content.items()}


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
        content = _file(shard)
        for name in (name for name, place in shards.items() if place == shard):
            if name not in content:
                raise BadInput(f"shard {shard} lacks {name!r}, which {index.name} says is in it; save the model again")
            state[name] = content[name]
    return {name: state[name] for name in shards}


def _wrapper(names: Iterable[str]) -> str:
    """What a wrapper put before all of the names; nothing where none did."""
    names = list(names)
    return next((prefix for prefix in WRAPPERS if names and all(name.startswith(prefix) for name in names)), "")


def _without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := _wrapper(state):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name as they are, tied ones under their first name; buffers that are not saved, too."""
    return {**{name: value.detach() for name, value in module.named_parameters()}, **dict(module.named_buffers())}


def state_bytes(state: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of named tensors."""
    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})


def load_state(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state into a module, all of it or nothing.

    Args:
        module: changed in place.
        state: every parameter and buffer of the module. Of tied ones, one name is enough; buffers that the module does
            not save may be among them. Where the module is wrapped (``DataParallel``, ``torch.compile``), names may
            lack what that puts before them.
        source: what messages call the state.

    Raises:
        BadInput: names or shapes differ; the first difference is named with both shapes.
    """
    own = module.state_dict()
    unsaved = {name: value for name, value in module_state(module).items() if name not in own}
    given = _wrapped_like(own, state)
    for group in _tied(module):
        present = next((name for name in group if name in given), None)
        if present is not None:
            given |= {name: given[present] for name in group if name in own and name not in given}
    known = {**own, **{name: value for name, value in unsaved.items() if name in given}}
    for name in [*known, *(name for name in given if name not in known)]:
        here = tuple(known[name].shape) if name in known else None
        there = tuple(given[name].shape) if name in given else None
        if here != there:
            described = [f"has shape {shape}" if shape is not None else "is missing" for shape in (there, here)]
            raise BadInput(
                f"{source} is of another model: {name!r} {described[0]} there and {described[1]} in the model; "
                "choose the model and options it was trained with"
            )
    module.load_state_dict({name: given[name] for name in own})
    with torch.no_grad():
        for name, value in unsaved.items():
            if name in given:
                value.copy_(given[name])


def _wrapped_like(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state under the module's names, which begin alike where it is wrapped, or has one part called ``module``."""
    before = ""
    names = list(own)
    while prefix := _wrapper(name.removeprefix(before) for name in names):
        before += prefix
    return dict(state) if not before or _wrapper(state) else {before + name: value for name, value in state.items()}


def _tied(module: nn.Module) -> list[list[str]]:
    """All names of each tensor that has several."""
    names: dict[int, list[str]] = {}
    for named in (module.named_parameters, module.named_buffers):
        for name, value in named(remove_duplicate=False):
            names.setdefault(id(value), []).append(name)
    return [group for group in names.values() if len(group) > 1]
