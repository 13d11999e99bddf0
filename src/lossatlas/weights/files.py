"""Weights in files: safetensors, and foreign ``.pt`` files of which nothing is executed."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors, save
from torch import Tensor, nn

from lossatlas.errors import BadInput

__all__ = ["load_state", "module_state", "read_state", "state_bytes"]

NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in a larger checkpoint."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint: ``.safetensors``, or a file of ``torch.save`` read with weights only.

    Raises:
        BadInput: the file is missing, truncated, holds no weights, or holds objects that loading would execute.
    """
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
            not save may be among them.
        source: what messages call the state.

    Raises:
        BadInput: names or shapes differ; the first difference is named with both shapes.
    """
    own = module.state_dict()
    unsaved = {name: value for name, value in module_state(module).items() if name not in own}
    given = dict(state)
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


def _tied(module: nn.Module) -> list[list[str]]:
    """All names of each tensor that has several."""
    names: dict[int, list[str]] = {}
    for named in (module.named_parameters, module.named_buffers):
        for name, value in named(remove_duplicate=False):
            names.setdefault(id(value), []).append(name)
    return [group for group in names.values() if len(group) > 1]
