"""Which run a network belongs to, by the name of the network."""

from __future__ import annotations

from pathlib import Path

from lossatlas.rundir import MEMBERS, MODEL, SNAPSHOTS
from lossatlas.specs import NetworkSpec

__all__ = ["find_owner"]


def find_owner(named: NetworkSpec) -> Path:
    """Find the directory that is the run of a network, if any is.

    Args:
        named: a run, a snapshot or an average of one, or one of its files of weights.

    >>> find_owner(NetworkSpec(Path("runs/a/members/003.safetensors"))), find_owner(NetworkSpec(Path("net.pt")))
    (PosixPath('runs/a'), PosixPath('net.pt'))
    """
    path = named.path
    if path.parent.name in (MEMBERS, SNAPSHOTS):
        return path.parent.parent
    return path.parent if path.name in (SNAPSHOTS, MODEL) else path
