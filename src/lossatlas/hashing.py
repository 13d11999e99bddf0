"""Fingerprints of tensors: hashes that do not depend on the device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["fingerprint", "fingerprint_parts"]

CHUNK = 2**24
"""About how many bytes are hashed at a time, so that memory-mapped tensors are never loaded whole."""


def fingerprint(named: Iterable[tuple[str, Tensor]], kind: str = "", rows: Tensor | None = None) -> str:
    """Hash names, dtypes, shapes and bytes of tensors, with the same result on every device.

    Args:
        named: tensors by name.
        kind: a further text that the hash depends on.
        rows: indices (N,); the hash is that of ``tensor[rows]`` for each tensor, without forming it.
    """

    def shape(tensor: Tensor) -> tuple[int, ...]:
        return tuple(tensor.shape) if rows is None else (len(rows), *tensor.shape[1:])

    return fingerprint_parts(
        ((name, tensor.dtype, shape(tensor), _parts(tensor.detach(), rows)) for name, tensor in named), kind
    )


def fingerprint_parts(
    named: Iterable[tuple[str, torch.dtype, tuple[int, ...], Iterable[Tensor]]], kind: str = ""
) -> str:
    """Compute the :func:`fingerprint` of tensors that are read in parts.

    Args:
        named: name, dtype, shape, and the parts in the order of the rows, of any lengths.
        kind: a further text that the hash depends on.
    """
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    for name, dtype, shape, parts in named:
        digest.update(f"{name} {dtype} {shape}".encode())
        for part in parts:
            digest.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parts(tensor: Tensor, rows: Tensor | None) -> Iterator[Tensor]:
    """The rows of a tensor in order, in pieces of bounded size."""
    if tensor.ndim == 0:
        yield tensor
        return
    count = max(1, CHUNK // max(1, math.prod(tensor.shape[1:]) * tensor.element_size()))
    for start in range(0, len(tensor) if rows is None else len(rows), count):
        part = slice(start, start + count)
        yield tensor[part] if rows is None else tensor[rows[part].to(tensor.device)]
