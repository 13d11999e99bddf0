"""The tiles of a run that were given up, in ``failures.json``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lossatlas.errors import CannotFinish
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.writing import write_atomically
from lossatlas.locks import lock_folder

__all__ = ["FAILURES", "Failure", "clear_failures", "read_failures", "record_failure"]

FAILURES = "failures.json"
"""The file of a run that lists them."""
MOST_FAILURES = 10_000
"""The most that are kept."""
TRIES = 5
"""How many times a record is written that others, who did so at the same moment, have replaced."""


@dataclass(frozen=True)
class Failure:
    """A tile that was given up, or a run of a study or a comparison."""

    reason: str
    """Why, in one line: what its worker died of, or what was raised."""
    times: int = 1
    """How many times it was tried."""
    split: str = ""
    group: str = ""
    """The group of metrics that was evaluated; empty for a run."""
    coords: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By axis the first and the last coordinate of the tile."""
    run: str = ""
    """The name of the run in a study or a comparison; empty for a tile of this run itself."""

    @property
    def place(self) -> tuple[object, ...]:
        """What tells it from others."""
        return self.run, self.split, self.group, *sorted(self.coords.items())

    def describe(self) -> str:
        """Return what was given up, how often it was tried and why, in one line.

        >>> Failure("killed by signal 9", 3, "test", "loss", {"u": (-1.0, -0.5)}).describe()
        'test loss at u -1 to -0.5: given up after 3 tries (killed by signal 9)'
        """
        where = ", ".join(f"{axis} {first:g} to {last:g}" for axis, (first, last) in self.coords.items())
        what = " ".join(filter(None, [self.run, self.split, self.group])) + (f" at {where}" if where else "")
        tries = f"{self.times} {'try' if self.times == 1 else 'tries'}"
        return f"{what or 'the run'}: given up after {tries} ({self.reason})"


def read_failures(run: Path) -> list[Failure]:
    """Return what was given up in a run; nothing where the list is damaged.

    Args:
        run: the run directory.
    """
    with suppress(Unreadable):
        return read_json(run / FAILURES, list[Failure])[:MOST_FAILURES]
    return []


def record_failure(run: Path, failure: Failure) -> None:
    """Add to what was given up in a run, or replace what is said of the same tile; nothing where the disk refuses.

    Args:
        run: the run directory.
        failure: what was given up.
    """
    for _ in range(TRIES):
        with suppress(CannotFinish, OSError), lock_folder(run):
            others = [other for other in read_failures(run) if other.place != failure.place]
            _write(run, [*others, failure][-MOST_FAILURES:])
        if failure in read_failures(run):  # where the file system locks nothing, another one may have replaced it
            return


def clear_failures(run: Path) -> None:
    """Forget what was given up in a run, because it is tried again.

    Args:
        run: the run directory.
    """
    with suppress(OSError):
        (run / FAILURES).unlink(missing_ok=True)


def _write(run: Path, failures: Sequence[Failure]) -> None:
    write_atomically(run / FAILURES, msgspec.json.format(msgspec.json.encode(failures), indent=2) + b"\n")
