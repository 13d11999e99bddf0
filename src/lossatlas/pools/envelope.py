"""What a worker has to share with the process that gives it tasks: versions, source code, files and paths."""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lossatlas.errors import BadInput
from lossatlas.files.reading import tell_reason
from lossatlas.pools.pool import PoolOptions
from lossatlas.provenance import describe_difference, fingerprint_code, list_versions

__all__ = ["Envelope", "tell_host"]


def tell_host() -> str:
    """The name of this machine."""
    return socket.gethostname()


@dataclass(frozen=True)
class Envelope:
    """What goes with tasks to every worker."""

    host: str
    """The machine of the process that gives the tasks."""
    versions: dict[str, str]
    code: str
    """The fingerprint of lossatlas's source files."""
    token: str | None
    """The content of a file in the shared directory; None where nothing is checked."""
    token_path: str
    folder: str
    """The working folder, where relative paths and ``module:callable`` are looked up."""
    before: list[str]
    """Entries of ``sys.path`` before the standard library."""
    after: list[str]
    """Those after it that are no part of the installation of Python."""
    threads: int
    device: str

    @classmethod
    def of_this_process(cls, options: PoolOptions, token: str | None, token_path: Path | str) -> Self:
        """What workers have to share with this process.

        Raises:
            BadInput: the working folder was removed.
        """
        try:
            folder = os.getcwd()  # noqa: PTH109 (Path.cwd says nothing else)
        except OSError as error:
            raise BadInput(f"the working folder cannot be used ({tell_reason(error)}); change to another") from error
        before, after = _split_path(sys.path)
        return cls(
            tell_host(), list_versions(), fingerprint_code(), token, str(token_path), folder, before, after,
            options.threads, options.device,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The envelope in JSON's types."""
        return asdict(self)

    def adopt_path(self) -> None:
        """Have this process import what the other one can import, from the same places."""
        own = [each for each in sys.path if each not in self.before and each not in self.after]
        sys.path[:] = [*self.before, *own, *self.after]

    def check(self, who: str) -> None:
        """Refuse to work with other software than the process that gives the tasks, or on other files.

        Args:
            who: this worker, in words.

        Raises:
            BadInput: something differs; the first difference is named.
        """
        here = list_versions(), fingerprint_code()
        if difference := describe_difference(who, here, (self.versions, self.code)):
            raise BadInput(difference)
        if self.token is None:
            return
        try:
            seen = Path(self.token_path).read_text()
        except (OSError, ValueError):
            seen = None
        if seen != self.token:
            raise BadInput(
                f"{who} does not see {Path(self.token_path).parent} as this process on {self.host} does; expected a "
                "directory that all workers share; choose one on a shared file system"
            )
        if not Path(self.folder).is_dir():
            raise BadInput(
                f"{who} has no folder {self.folder}, where this process runs; start from one that all workers share"
            )


def _split_path(path: Iterable[str]) -> tuple[list[str], list[str]]:
    """The entries of ``sys.path`` before the standard library, and those after it, without Python's own."""
    places = sysconfig.get_paths()
    standard = Path(places["stdlib"])
    archive = standard.parent / f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    own = {str(place) for place in (*places.values(), archive, standard / "lib-dynload")}
    before: list[str] = []
    after: list[str] = []
    kept = before
    for each in path:
        if each in (str(standard), str(archive)):
            kept = after
        elif each not in own:
            kept.append(each)
    return before, after
