"""Pools by the names of their kinds."""

from __future__ import annotations

from lossatlas.pools.pool import Pool, PoolOptions
from lossatlas.registry import Registry

__all__ = ["POOLS", "open_pool"]

POOLS: Registry[type[Pool]] = Registry("executor", "lossatlas.pools.kinds")
"""Kinds of pools, as ``--executor`` calls them."""


def open_pool(kind: str, options: PoolOptions) -> Pool:
    """Make a pool, whose workers start when it is entered (``with``) or :meth:`~Pool.start` is called.

    Args:
        kind: one of :data:`POOLS`.
        options: what it is asked for.

    Raises:
        BadInput: there is no such kind.
    """
    return POOLS[kind](options)
