"""Options of verbs whose work can be spread over workers."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lossatlas.bounds import Bounded, Count
from lossatlas.cli.configured import RunOptions
from lossatlas.pools import NONE, settle_executor

if TYPE_CHECKING:
    from lossatlas.jobs.spreading import Spreading

__all__ = ["SpreadOptions", "SpreadRunOptions"]


@dataclass(frozen=True, kw_only=True)
class SpreadOptions(Bounded):
    """Over which workers work is spread."""

    executor: str = NONE
    """Where workers are (see `lossatlas info`): none (this process works alone, or beside others that carry out the
    same survey with --resume), local (processes on this machine), or ray (a Ray cluster). With --workers the default is
    local."""
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
        settle_executor(self.executor, self.workers, self.ray_address)

    @property
    def spreading(self) -> "Spreading":
        """What jobs are told."""
        from lossatlas.jobs.spreading import Spreading  # late, because --help does without torch

        return Spreading(self.executor, self.workers, self.ray_address, self.claims)


@dataclass(frozen=True, kw_only=True)
class SpreadRunOptions(SpreadOptions, RunOptions):
    """How a run is carried out that workers can share."""

    def handling(self) -> dict[str, Any]:
        return {**super().handling(), "spreading": self.spreading}
