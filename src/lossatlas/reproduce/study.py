"""The interface of studies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.recipes import FitConfig
from lossatlas.registry import Registry

__all__ = ["SCALES", "STUDIES", "Run", "Study"]

STUDIES: Registry[Study] = Registry("study", "lossatlas.reproduce.studies", dashes=True)

SCALES = ("small", "paper")
"""For two cores and minutes; and as published, for a GPU."""


@dataclass(frozen=True)
class Run:
    """One finished fit of a study."""

    config: FitConfig
    summary: Mapping[str, Any]
    survey: xr.Dataset


class Study(ABC):
    """A published figure as a sweep of fits and what is made of them."""

    title: str
    """What is reproduced, with its source."""

    @abstractmethod
    def fits(self, scale: str) -> dict[str, FitConfig]:
        """The fits at a scale of :data:`SCALES`, by name. Data sets are named as on the command line."""

    @abstractmethod
    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        """Write the pictures into ``out`` and return the text: tables and verdicts in Markdown."""
