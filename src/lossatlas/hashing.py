"""Fingerprints of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["fingerprint"]


def fingerprint(named: Iterable[tuple[str, Tensor]], kind: str = "") -> str:
    """A hash of names, types, shapes and bytes, the same on every device."""
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    for name, tensor in named:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
