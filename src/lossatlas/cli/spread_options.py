"""Options of verbs whose work can be spread over workers."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass
from typing import Any, Literal

from lossatlas.bounds import Count
from lossatlas.cli.configured import RunOptions
from lossatlas.pools import NONE, check_executor

__all__ = ["SpreadRunOptions"]


@dataclass(frozen=True, kw_only=True)
class SpreadRunOptions(RunOptions):
    """How a run is carried out that workers can share."""

    executor: str = NONE
    """Where workers are (see `lossatlas info`): none (this process works alone, or beside others that carry out the
    same command with --resume), local (processes on this machine), or ray (a Ray cluster). With --workers the default
    is local."""
    workers: Count | None = None
    """Number of workers; with --executor one per GPU, or else per core."""
    ray_address: str | None = None
    """Address of the Ray cluster, as HOST:PORT; by default one is started on this machine."""
    claims: Literal["auto", "locks", "leases"] = "auto"
    """How processes keep out of each other's way: by locks of the system; by leases, files that expire when their
    writer shows no sign of life for two minutes; or auto, by what others use who write the run, or else by what the
    file system allows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_executor(
            "local" if self.executor == NONE and self.workers else self.executor, self.workers, self.ray_address
        )

    def handling(self) -> dict[str, Any]:
        from lossatlas.jobs.spreading import Spreading  # late, because --help does without torch

        return {
            **super().handling(),
            "spreading": Spreading(self.executor, self.workers, self.ray_address, self.claims),
        }
