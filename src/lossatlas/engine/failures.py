"""Failures of a user's module or loss, described in one line that names the layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb

import torch
from torch import nn

from lossatlas.errors import LossatlasError, ModelFailure, format_error

__all__ = ["find_layer", "make_failure", "tell_failures"]


def make_failure(error: BaseException, what: str = "the model fails on these data") -> ModelFailure:
    """Make the error that says in one line what failed, in which layer, and how.

    Args:
        error: the error of the user's code.
        what: what fails, for the message.
    """
    layer = find_layer(error)
    return ModelFailure(f"{what}{f' in {layer}' if layer else ''}: {format_error(error)}")


def find_layer(error: BaseException) -> str:
    """Find the innermost layer that raised an error, as ``layer 'encoder.0' (Linear)``; empty if it is unknown."""
    frames = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
    entered: Sequence[nn.Module] = [part for part in frames if isinstance(part, nn.Module)]
    # Names are those of the user's module, without the wrappers of lossatlas.
    entered = [part for part in entered if not type(part).__module__.startswith("lossatlas.engine")]
    if not entered:
        return ""
    names = {id(part): name for name, part in entered[0].named_modules()}
    name, part = next(((names[id(part)], part) for part in reversed(entered) if names.get(id(part))), ("", None))
    return f"layer {name!r} ({type(part).__name__})" if name else ""


@contextmanager
def tell_failures() -> Iterator[None]:
    """While entered, turn errors of a user's module or loss into a :class:`ModelFailure` of one line.

    Errors of lossatlas pass, and so does a device that runs out of memory, where a smaller chunk may help.
    """
    try:
        yield
    except (LossatlasError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own code may fail in any way
        raise make_failure(error, "the model fails on some of the data") from error
