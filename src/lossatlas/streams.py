"""Random numbers by key: a generator is a function of (seed, stream name, step) and of nothing else.

The numbers are the same on every device, after a resume and in any order, so that no state of a generator has to be
stored in a checkpoint.
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["make_generator"]


def make_generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """Make a CPU generator for one stream at one step.

    Args:
        seed: the seed of the run.
        stream: the name of what the numbers are for, such as ``"cells"``.
        step: the step that they are for, from 0.

    >>> a, b = (torch.rand(2, generator=make_generator(0, "cells", 7)) for _ in range(2))
    >>> bool((a == b).all())
    True
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
