"""Fingerprints of tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["fingerprint", "fingerprint_parts"]

CHUNK = 2**24
"""About how many bytes are looked at in one go, so that memory-mapped tensors are never loaded whole."""


def fingerprint(named: Iterable[tuple[str, Tensor]], kind: str = "", rows: Tensor | None = None) -> str:
    """A hash of names, types, shapes and bytes, the same on every device.

    Args:
        named: tensors by name.
        kind: what else the hash depends on.
        rows: indices (N,): the hash of ``tensor[rows]`` for each tensor, which is never formed.
    """

    def shape(tensor: Tensor) -> tuple[int, ...]:
        return tuple(tensor.shape) if rows is None else (len(rows), *tensor.shape[1:])

    return fingerprint_parts(
        ((name, tensor.dtype, shape(tensor), _parts(tensor.detach(), rows)) for name, tensor in named), kind
    )


def fingerprint_parts(
    named: Iterable[tuple[str, torch.dtype, tuple[int, ...], Iterable[Tensor]]], kind: str = ""
) -> str:
    """The :func:`fingerprint` of tensors that come in parts.

    Args:
        named: name, type, shape, and parts in the order of the rows, whatever their lengths.
        kind: what else the hash depends on.
    """
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    for name, dtype, shape, parts in named:
        digest.update(f"{name} {dtype} {shape}".encode())
        for part in parts:
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parts(tensor: Tensor, rows: Tensor | None) -> Iterator[Tensor]:
    """The rows of a tensor in order, some at a time."""
    if tensor.ndim == 0:
        yield tensor
        return
    count = max(1, CHUNK // max(1, math.prod(tensor.shape[1:]) * tensor.element_size()))
    for start in range(0, len(tensor) if rows is None else len(rows), count):
        part = slice(start, start + count)
        yield tensor[part] if rows is None else tensor[rows[part].to(tensor.device)]
