"""Where runs come from: the content of their ``provenance.json``."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "DATA",
    "FORMAT",
    "MARK",
    "MOST_THREADS",
    "InputPlace",
    "Provenance",
    "describe_difference",
    "fingerprint_code",
    "list_versions",
]

FORMAT = "lossatlas run 2"
"""The mark by which a directory is recognised as a run, with the number of the format."""
MARK = r"lossatlas run ([0-9]{1,9})"
"""A regular expression for the marks of runs in older and newer formats; its group is the number."""
DATA = "data/"
"""The prefix of the names of splits among the fingerprints."""
MOST_THREADS = 1024
"""The most threads that a plan may have; each takes memory."""


def list_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that results depend on."""
    return dict(_find_versions())


@cache
def _find_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("lossatlas", "torch", "numpy", "xarray", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def fingerprint_code() -> str:
    """Hash lossatlas's own source files: names and contents of all modules, wherever the package lies.

    Two processes with equal versions may run different code, of a working copy that somebody edits. The hash is made
    once in a process, which keeps the code that it has imported.

    Raises:
        OSError: a file cannot be read.
    """
    package = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(path.relative_to(package).as_posix() for path in package.rglob("[!.]*.py")):
        content = (package / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def describe_difference(
    who: str, theirs: tuple[Mapping[str, str], str], mine: tuple[Mapping[str, str], str]
) -> str | None:
    """Describe the first difference between what two processes run, for which they may find other values.

    Args:
        who: the other process, in words.
        theirs: its versions by package, and the fingerprint of its code.
        mine: those of the process that is told.

    Returns:
        A line that says what to do; None where there is no difference.

    >>> describe_difference("process 7", ({"torch": "2.0"}, "a"), ({"torch": "2.1"}, "a"))
    'process 7 runs torch 2.0, this process torch 2.1; use the same version everywhere'
    """
    (versions, code), (here, own) = theirs, mine
    for name in dict.fromkeys([*versions, *here]):
        if versions.get(name) != here.get(name):
            told, known = (
                f"{name} {found[name]}" if name in found else f"without {name}" for found in (versions, here)
            )
            return f"{who} runs {told}, this process {known}; use the same version everywhere"
    if code != own:
        return (
            f"{who} runs other source files of lossatlas than this process; use the same copy everywhere, and start "
            "again after changes to it"
        )
    return None


@dataclass(frozen=True)
class InputPlace:
    """The path of an input of a run at the time when the run was started."""

    absolute: str
    from_run: str
    """The path relative to the run directory."""


@dataclass(frozen=True)
class Provenance:
    """The part of a run's provenance that is needed to continue it or to build on it."""

    format: str
    verb: str = ""
    """The verb that made the run."""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Hashes of everything that the configuration refers to and does not contain, by name."""
    inputs: dict[str, InputPlace] = field(default_factory=dict)
    """The files and folders that the configuration names, by their spelling there."""
    plan: dict[str, Any] = field(default_factory=dict)
    """The plan of the engine; empty where the run has none."""
    threads: int | None = None
    """The number of torch's threads, where the result depends on it."""

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"{self.threads} threads; expected 1 to {MOST_THREADS}")
