"""How processes keep out of each other's way: by locks of the system, or by leases."""

from lossatlas.locks.detecting import (
    AUTO,
    CLAIMS,
    AnyLock,
    Kind,
    choose_claims,
    make_lock,
    recheck_claims,
    settle_claims,
)
from lossatlas.locks.leases import LEASES, Lease
from lossatlas.locks.lock import Lock, clear_losses, is_running, lock_folder

__all__ = [
    "AUTO",
    "CLAIMS",
    "LEASES",
    "AnyLock",
    "Kind",
    "Lease",
    "Lock",
    "choose_claims",
    "clear_losses",
    "is_running",
    "lock_folder",
    "make_lock",
    "recheck_claims",
    "settle_claims",
]
