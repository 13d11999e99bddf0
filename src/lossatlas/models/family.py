"""The interface of families of networks: a frozen dataclass of options that builds a module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain

import torch
from torch import nn

from lossatlas.bounds import NamedOptions
from lossatlas.describing import format_bytes
from lossatlas.errors import BadInput, format_error
from lossatlas.free_memory import free_memory
from lossatlas.registry import Registry, load_callable
from lossatlas.users_code import call_user_code

__all__ = ["MODELS", "Family", "check_weights_fit", "find_model_options", "load_model"]


class Family(NamedOptions, ABC):
    """The options of one family of networks; subclasses are frozen dataclasses."""

    @abstractmethod
    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """Build a network.

        Args:
            inputs: the shape of one example, such as (channels, height, width).
            outputs: the number of outputs.

        Raises:
            BadInput: the options do not fit the inputs.
        """


MODELS: Registry[type[Family]] = Registry("model", "lossatlas.models.families")


def find_model_options(spec: str) -> type[Family] | None:
    """Find the dataclass of a model's options; None for ``module:callable``, which takes none.

    Raises:
        BadInput: there is no model of this name.
    """
    return None if ":" in spec else MODELS[spec]


def check_weights_fit(name: str, family: Family, inputs: tuple[int, ...], outputs: int) -> None:
    """Refuse a network whose weights do not fit the memory, before any of it is allocated.

    Args:
        name: the name of the model.
        family: its options.
        inputs: the shape of one example.
        outputs: the number of outputs.

    Raises:
        BadInput: the weights do not fit; or the options do not fit the inputs.
    """
    free = free_memory(torch.device("cpu"))
    try:
        with torch.device("meta"):
            made = family.build(inputs, outputs)
    except (RuntimeError, OverflowError) as error:  # a single tensor is more than torch can count
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"model {name!r} would have more than 2^63 bytes of weights, and {format_bytes(free)} of memory are free; "
            f"choose a smaller one ({format_error(error)})"
        ) from error
    size = sum(value.numel() * value.element_size() for value in chain(made.parameters(), made.buffers()))
    if size > free:
        raise BadInput(
            f"model {name!r} would have {format_bytes(size)} of weights, and {format_bytes(free)} of memory are free; "
            "choose a smaller one"
        )


def load_model(spec: str) -> nn.Module:
    """Make the module of a ``module:callable`` without arguments.

    Raises:
        BadInput: it cannot be called, or does not return a module.
    """
    factory = load_callable("model", spec)
    try:
        made = call_user_code(factory)
    except Exception as error:  # the user's own code may fail in any way
        raise BadInput(f"model {spec!r} failed: {format_error(error)}") from error
    if not isinstance(made, nn.Module):
        raise BadInput(f"model {spec!r} returned {type(made).__name__}; expected a torch.nn.Module")
    empty = next((name for name, value in (*made.named_parameters(), *made.named_buffers()) if value.is_meta), None)
    if empty is not None:
        raise BadInput(f"model {spec!r} has no numbers in {empty!r}, which is on the device meta; make it on the CPU")
    return made
