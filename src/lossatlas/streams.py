"""Random numbers by key: a generator is a function of (seed, stream name, step) and of nothing else.

Draws made this way are the same on every device, after a resume and in any order, so nothing about randomness has
to be stored in a checkpoint.
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["make_generator"]


def make_generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A fresh CPU generator for one stream at one step.

    >>> a, b = (torch.rand(2, generator=make_generator(0, "cells", 7)) for _ in range(2))
    >>> bool((a == b).all())
    True
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
