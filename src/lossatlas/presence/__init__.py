"""Who works on a run, how far it is and what of it failed: written into its directory, and read from anywhere."""

from lossatlas.presence.counting import Counted
from lossatlas.presence.failures import Failure, clear_failures, read_failures, record_failure
from lossatlas.presence.presence import Presence
from lossatlas.presence.records import Record, WorkerRecord, check_alike, read_living, sweep_records
from lossatlas.presence.status import Part, Status, read_status, record_runs

__all__ = [
    "Counted",
    "Failure",
    "Part",
    "Presence",
    "Record",
    "Status",
    "WorkerRecord",
    "check_alike",
    "clear_failures",
    "read_failures",
    "read_living",
    "read_status",
    "record_failure",
    "record_runs",
    "sweep_records",
]
