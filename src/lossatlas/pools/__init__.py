"""Pools: workers in other processes, on this machine or on many, that carry out small tasks."""

from lossatlas.pools.opening import NONE, POOLS, open_pool, settle_executor
from lossatlas.pools.pool import Outcome, Pool, PoolOptions, Task, Worker, WorkerFailure
from lossatlas.pools.serving import is_asked_to_stop

__all__ = [
    "NONE",
    "POOLS",
    "Outcome",
    "Pool",
    "PoolOptions",
    "Task",
    "Worker",
    "WorkerFailure",
    "is_asked_to_stop",
    "open_pool",
    "settle_executor",
]
