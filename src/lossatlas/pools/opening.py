"""Pools by the names of their kinds."""

from __future__ import annotations

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.pools.pool import Pool, PoolOptions
from lossatlas.registry import Registry

__all__ = ["NONE", "POOLS", "check_executor", "open_pool"]

POOLS: Registry[type[Pool]] = Registry("executor", "lossatlas.pools.kinds")
"""Kinds of pools, as ``--executor`` calls them."""


NONE = "none"
"""What is said instead of a kind where there is no pool: this process works by itself."""


def check_executor(kind: str, workers: int | None, ray_address: str | None) -> None:
    """Refuse a kind that there is not, or options that do not go with it.

    Args:
        kind: one of :data:`POOLS`, or ``none``.
        workers: their number; None where it is left open.
        ray_address: of a Ray cluster.

    Raises:
        BadInput: it is refused.
    """
    if kind not in (NONE, *POOLS):
        raise make_unknown_error("executor", kind, (NONE, *POOLS))
    if ray_address is not None and kind != "ray":
        raise BadInput(f"ray_address is the address of a Ray cluster, and the executor is {kind}; add --executor ray")
    if ray_address is not None and workers is None:
        raise BadInput("ray_address names a cluster, whose size is not known here; say how many --workers there are")


def open_pool(kind: str, options: PoolOptions) -> Pool:
    """Make a pool, whose workers start when it is entered (``with``) or :meth:`~Pool.start` is called.

    Args:
        kind: one of :data:`POOLS`.
        options: what it is asked for.

    Raises:
        BadInput: there is no such kind.
    """
    return POOLS[kind](options)
