"""Where runs come from: what their ``provenance.json`` says."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["DATA", "FORMAT", "MARK", "MOST_THREADS", "InputPlace", "Provenance", "list_versions"]

FORMAT = "lossatlas run 2"
"""The mark of a run."""
MARK = r"lossatlas run ([0-9]{1,9})"
"""A pattern of the marks of runs in all formats, older and newer, with the number of each."""
DATA = "data/"
"""How the names of splits begin among the fingerprints."""
MOST_THREADS = 1024
"""More than that no machine runs well, and each takes memory."""


def list_versions() -> dict[str, str]:
    """The versions that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("lossatlas", "torch", "numpy", "xarray", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@dataclass(frozen=True)
class InputPlace:
    """Where an input of a run lay when it was begun."""

    absolute: str
    from_run: str
    """Relative to the run directory."""


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from, as far as those need it who continue it or build on it."""

    format: str
    verb: str = ""
    """That made the run."""
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Hashes of what the configuration names and does not hold."""
    inputs: dict[str, InputPlace] = field(default_factory=dict)
    """The files and folders that it names, by how it spells them."""
    plan: dict[str, Any] = field(default_factory=dict)
    """The engine's; empty where the run has none."""
    threads: int | None = None
    """Of torch, where the result depends on their number."""

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"{self.threads} threads; expected 1 to {MOST_THREADS}")
