"""The interface of studies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.files.reading import read_lines
from lossatlas.recipes import Config
from lossatlas.registry import Registry
from lossatlas.rundir import LOG, SURVEY
from lossatlas.surveying.store import read_survey

__all__ = ["SCALES", "STUDIES", "Run", "Study"]

STUDIES: Registry[Study] = Registry("study", "lossatlas.reproduce.studies", dashes=True)

MOST_LOG = 2**30
"""The largest size of the log of a run in bytes."""
SCALES = ("small", "paper")
"""The scales of a study: minutes on two cores, and as published, on a GPU."""


@dataclass(frozen=True)
class Run:
    """One finished run of a study."""

    config: Any
    """The configuration, of the class of its verb."""
    summary: Mapping[str, Any]
    path: Path
    """The run directory."""

    @property
    def survey(self) -> xr.Dataset:
        """Return the survey of the run."""
        return read_survey(self.path / SURVEY)

    def log(self) -> list[dict[str, Any]]:
        """Return the record of each step."""
        return read_lines(self.path / LOG, dict[str, Any], MOST_LOG)


class Study(ABC):
    """A published figure as a sweep of runs, with the pictures and tables made from them."""

    title: str
    """The reproduced figure, with its source."""

    @abstractmethod
    def runs(self, scale: str) -> Mapping[str, Config]:
        """Return the runs at a scale of :data:`SCALES`, by name and in their order.

        Data sets are named as on the command line. Where a configuration names runs (``trajectory``, ``init_from``,
        ``between``, ``runs`` and their like), they are earlier ones of the study.
        """

    @abstractmethod
    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        """Write the pictures into ``out`` and return the text: tables and verdicts in Markdown."""
