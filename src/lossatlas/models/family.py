"""The interface of network families: a frozen dataclass of options that builds a module."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from lossatlas.errors import BadInput, first_line
from lossatlas.registry import Registry, load_callable

__all__ = ["MODELS", "Family", "load_model", "model_options"]


class Family(ABC):
    """Options of one family of networks; subclasses are frozen dataclasses."""

    @abstractmethod
    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """A network for examples of shape ``inputs`` with ``outputs`` outputs.

        Raises:
            BadInput: the options do not go with the inputs.
        """


MODELS: Registry[type[Family]] = Registry("model", "lossatlas.models.families")


def model_options(spec: str) -> type[Family] | None:
    """The dataclass of a model's options; None for ``module:callable``, which takes none.

    Raises:
        BadInput: no model has the name.
    """
    return None if ":" in spec else MODELS[spec]


def load_model(spec: str) -> nn.Module:
    """The module that a ``module:callable`` without arguments makes.

    Raises:
        BadInput: it cannot be called so, or makes something else.
    """
    factory = load_callable("model", spec)
    try:
        made = factory()
    except Exception as error:  # the user's own code may fail in any way
        raise BadInput(f"model {spec!r} failed: {first_line(error)}") from error
    if not isinstance(made, nn.Module):
        raise BadInput(f"model {spec!r} returned {type(made).__name__}; expected a torch.nn.Module")
    return made
