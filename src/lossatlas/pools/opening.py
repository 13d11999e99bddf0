"""Pools by the names of their kinds."""

from __future__ import annotations

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.pools.pool import Pool, PoolOptions
from lossatlas.registry import Registry

__all__ = ["NONE", "POOLS", "open_pool", "settle_executor"]

POOLS: Registry[type[Pool]] = Registry("executor", "lossatlas.pools.kinds")
"""Kinds of pools, as ``--executor`` calls them."""


LOCAL, RAY = "local", "ray"
NONE = "none"
"""What is said instead of a kind where there is no pool: this process works by itself."""


def settle_executor(kind: str, workers: int | None, ray_address: str | None) -> str:
    """Settle the kind of pool that is asked for: with a number of workers alone, processes of this machine.

    Args:
        kind: one of :data:`POOLS`, or ``none``.
        workers: their number; None where it is left open.
        ray_address: of a Ray cluster.

    Returns:
        One of :data:`POOLS`, or ``none``.

    Raises:
        BadInput: there is no such kind, or the address does not go with it.
    """
    kind = LOCAL if kind == NONE and workers else kind
    if kind not in (NONE, *POOLS):
        raise make_unknown_error("executor", kind, (NONE, *POOLS))
    if ray_address is not None and kind != RAY:
        raise BadInput(f"ray_address is the address of a Ray cluster, and the executor is {kind}; add --executor {RAY}")
    if ray_address is not None and workers is None:
        raise BadInput("ray_address names a cluster, whose size is not known here; say how many --workers there are")
    return kind


def open_pool(kind: str, options: PoolOptions) -> Pool:
    """Make a pool, whose workers start when it is entered (``with``) or :meth:`~Pool.start` is called.

    Args:
        kind: one of :data:`POOLS`.
        options: what it is asked for.

    Raises:
        BadInput: there is no such kind.
    """
    return POOLS[kind](options)
