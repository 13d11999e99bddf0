"""Pools: workers in other processes, on this machine or on many, that carry out small tasks."""

from lossatlas.pools.opening import NONE, POOLS, check_executor, open_pool
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
    "check_executor",
    "is_asked_to_stop",
    "open_pool",
]
