"""How many threads torch computes with, for the length of a computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["use_threads"]


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """While entered, compute with as many threads as a run did, by which values differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
