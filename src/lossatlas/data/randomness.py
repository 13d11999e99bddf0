"""The global random generators, which other people's code uses while examples are read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["keep_generators"]


@contextmanager
def keep_generators(seed: int | None = None) -> Iterator[None]:
    """Restore the generators of torch (on the CPU), NumPy and Python on leaving.

    Args:
        seed: the seed of all three while entered; None to continue from their state.
    """
    drawn, pythons = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            if seed is not None:
                torch.default_generator.manual_seed(seed)
                np.random.seed(seed % 2**32)
                random.seed(seed)
            yield
        finally:
            np.random.set_state(drawn)
            random.setstate(pythons)
