"""What a user's module or loss says when it fails, in one line that names the layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb

import torch
from torch import nn

from lossatlas.errors import LossatlasError, ModelFailure, format_error

__all__ = ["find_layer", "make_failure", "tell_failures"]


def make_failure(error: BaseException, what: str = "the model fails on these data") -> ModelFailure:
    """The error that says in one line what failed, in which layer, and how.

    Args:
        error: of the user's own code.
        what: fails.
    """
    layer = find_layer(error)
    return ModelFailure(f"{what}{f' in {layer}' if layer else ''}: {format_error(error)}")


def find_layer(error: BaseException) -> str:
    """The innermost layer that an error came out of, as ``layer 'encoder.0' (Linear)``; empty where none is known."""
    frames = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
    entered: Sequence[nn.Module] = [part for part in frames if isinstance(part, nn.Module)]
    # Names are those of the user's module: what lossatlas puts around it is not his.
    entered = [part for part in entered if not type(part).__module__.startswith("lossatlas.engine")]
    if not entered:
        return ""
    names = {id(part): name for name, part in entered[0].named_modules()}
    name, part = next(((names[id(part)], part) for part in reversed(entered) if names.get(id(part))), ("", None))
    return f"layer {name!r} ({type(part).__name__})" if name else ""


@contextmanager
def tell_failures() -> Iterator[None]:
    """While entered, whatever a user's module or loss raises is a :class:`ModelFailure` that says it in one line.

    What lossatlas says itself stays, and so does a device that runs out of memory, which a smaller chunk may mend.
    """
    try:
        yield
    except (LossatlasError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own code may fail in any way
        raise make_failure(error, "the model fails on some of the data") from error
