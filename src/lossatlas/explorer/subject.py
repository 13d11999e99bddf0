"""A run as the page shows it: its survey as it stands now, what of it is missing, and how its points are named."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput, LossatlasError
from lossatlas.presence import read_status
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import SURVEY
from lossatlas.schema import SAMPLE_DIMENSIONS, OnTrajectory
from lossatlas.views import data
from lossatlas.views.networks import networks
from lossatlas.views.scales import Floats

__all__ = ["Subject", "SurveyNow"]

CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a configuration names code: ``module:callable``."""
MAY_BE_CODE = ("model", "data", "loss", "feed", "metrics", "chart", "curve", "augment", "init", "optimizer", "schedule")
"""The settings that may name code."""


@dataclass(frozen=True, eq=False)
class SurveyNow:
    """The survey of a run as it stood at one moment.

    Attributes:
        survey: What could be read.
        revision: A text that changes when anything is written to the survey.
        damaged: A line for each part that could not be read.
        progress: How far the survey is, where a process writes it or it was left unfinished; empty where it is whole.
    """

    survey: xr.Dataset
    revision: str
    damaged: tuple[str, ...]
    progress: str

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The names of the chart's axes."""
        return data.axes(self.survey)

    @cached_property
    def samples(self) -> dict[str, xr.Dataset]:
        """The repeats, members or samples of the survey by name; the survey itself, unnamed, where there are none."""
        return data.split_samples(self.survey)

    @cached_property
    def sample_axes(self) -> tuple[str, ...]:
        """The dimensions of samples, which a point's coordinates state beside the axes."""
        return tuple(dim for dim in SAMPLE_DIMENSIONS if dim in self.survey.sizes)

    @cached_property
    def boxes(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest coordinate along each axis."""
        ends = {axis: data.read_numbers(self.survey, axis) for axis in self.axes}
        return {axis: (float(at.min()), float(at.max())) for axis, at in ends.items()}

    @cached_property
    def fields(self) -> list[data.Field]:
        """The quantities that are measured, of the first sample."""
        return data.quantities(data.take_first_sample(self.survey))

    @cached_property
    def home(self) -> dict[str, float]:
        """The coordinates that the page begins at: those of the first network that the survey names, or its middle."""
        there = networks(data.take_first_sample(self.survey))
        if len(there):
            return dict(zip(self.axes, map(float, there.at[0]), strict=True))
        middle = {axis: (low + high) / 2 for axis, (low, high) in self.boxes.items()}
        return {axis: 0.0 if low <= 0 <= high else middle[axis] for axis, (low, high) in self.boxes.items()}

    @cached_property
    def path(self) -> Floats | None:
        """The coordinates of a training's snapshots on the chart (snapshots, axes); None without a trajectory."""
        names = [OnTrajectory.coordinate(axis) for axis in self.axes]
        if not all(name in self.survey for name in names):
            return None
        return np.stack([data.read_numbers(self.survey, name) for name in names], axis=1)

    def say_snapshot(self, k: int) -> str:
        """Say when a snapshot was taken, and what its loss was."""
        said = [f"snapshot {k}"]
        if OnTrajectory.STEP in self.survey:
            said.append(f"step {int(self.survey[OnTrajectory.STEP].values[k]):,}")
        if OnTrajectory.DISTANCE in self.survey:
            said.append(f"{float(self.survey[OnTrajectory.DISTANCE].values[k]):.3g} from the chart")
        return ", ".join(said)

    def find_nearest(self, at: dict[str, float]) -> dict[str, tuple[int, float]]:
        """The index and the coordinate of the grid point nearest to coordinates, by axis."""
        found = {}
        for axis in self.axes:
            grid = data.read_numbers(self.survey, axis)
            index = int(np.abs(grid - at[axis]).argmin())
            found[axis] = (index, float(grid[index]))
        return found


@dataclass(eq=False)
class Subject:
    """A run that the page shows.

    Args:
        run: the run.
        name: what the page calls it.
    """

    run: OpenedRun
    name: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _now: SurveyNow | None = None

    def read(self) -> SurveyNow:
        """Read the survey, unless it is as it was when it was last read.

        Raises:
            BadInput: it cannot be read, and was never read before.
        """
        with self._lock:
            revision = find_revision(self.run.path / SURVEY)
            if self._now is not None and self._now.revision == revision:
                return self._now
            try:
                survey, damaged = self.run.read_damaged_survey()
                data.axes(survey)
            except LossatlasError:
                if self._now is None:
                    raise
                return self._now  # it is just being replaced by a larger one
            self._now = SurveyNow(survey, revision, tuple(damaged), self._tell_progress())
            return self._now

    def _tell_progress(self) -> str:
        """Say how far the survey is; nothing where it is finished."""
        try:
            status = read_status(self.run.path)
        except LossatlasError as error:
            return str(error)
        if status.state == "finished":
            return ""
        done = sum(count.done for count in status.counts)
        total = sum(count.wanted for count in status.counts)
        share = f"{done:,} of {total:,} evaluations" if total else "nothing evaluated yet"
        if status.state == "being written":
            left = f", about {status.seconds_left:.0f} s left" if status.seconds_left else ""
            return f"being surveyed now: {share}{left}"
        return f"not finished ({share}): continue it with lossatlas {self.run.verb} --out {self.run.path} --resume"

    @cached_property
    def own_code(self) -> str:
        """The code of its own that the run names, ``module:callable``, which evaluations execute; empty without any."""
        try:
            flat = self.run.directory.config()
        except LossatlasError:
            return ""
        values = [value for name, value in flat.items() if name.partition(".")[0] in MAY_BE_CODE]
        several = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return next((one for one in several if isinstance(one, str) and CODE.fullmatch(one)), "")

    def settle(self, at: dict[str, float]) -> dict[str, float]:
        """Complete coordinates along the axes of this run by those that the page begins at, and leave out others.

        Raises:
            BadInput: a coordinate is not finite.
        """
        now = self.read()
        found = {axis: float(at.get(axis, now.home[axis])) for axis in now.axes}
        if not all(np.isfinite(value) for value in found.values()):
            raise BadInput("a coordinate is not a finite number; give one for each axis")
        return found

    def say_place(self, at: dict[str, float]) -> str:
        """Say where coordinates are: ``u = 0.5, v = 0``."""
        return ", ".join(f"{axis} = {value:.6g}" for axis, value in self.settle(at).items())

    def list_coords(self, at: dict[str, float], sample: int) -> list[float]:
        """List the coordinates of a point in the order of the chart's axes, with the numbers of its sample.

        Args:
            at: by axis.
            sample: the place of the sample among all of them.
        """
        now = self.read()
        settled = self.settle(at)
        sizes = [now.survey.sizes[dim] for dim in now.sample_axes]
        place = np.unravel_index(sample, sizes) if sizes else ()
        beside = dict(zip(now.sample_axes, (float(k) for k in place), strict=True))
        order: Sequence[str] = self.run.chart.axes
        return [settled[axis] if axis in settled else beside[axis] for axis in order]


def find_revision(store: Path) -> str:
    """Find a text that changes whenever a chunk of a store or its description is written."""
    latest, count = 0, 0
    for folder, _, files in os.walk(store):
        for name in files:
            try:
                latest = max(latest, (Path(folder) / name).stat().st_mtime_ns)
            except OSError:  # it was just replaced
                continue
            count += 1
    return f"{count}-{latest}"
