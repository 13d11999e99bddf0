"""A run as the page shows it: its survey as it stands now, what of it is missing, and how its points are named."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput, LossatlasError
from lossatlas.presence import read_status
from lossatlas.recipes.inputs import list_code
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import SURVEY
from lossatlas.schema import MEASURED, SAMPLE_DIMENSIONS, OnTrajectory
from lossatlas.views import data
from lossatlas.views.networks import networks
from lossatlas.views.scales import Floats, number

__all__ = ["Subject", "SurveyNow", "find_revision"]

LEAST_AGE, TIMES = 0.3, 20.0
"""A store is looked through again after so many seconds, and after so many times as long as that takes."""


@dataclass(frozen=True, eq=False)
class SurveyNow:
    """The survey of a run as it stood at one moment.

    Attributes:
        survey: What could be read.
        revision: A text that changes when anything is written to the survey.
        damaged: A line for each part that could not be read.
    """

    survey: xr.Dataset
    revision: str
    damaged: tuple[str, ...]
    _listed: dict[int, list[data.Field]] = field(default_factory=dict, init=False, repr=False)
    """The quantities of samples that were asked for."""

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

    def choose_sample(self, wanted: int) -> int:
        """Choose the sample that is shown where one of a number is asked for: of runs side by side some have none.

        Raises:
            BadInput: the survey has several, and none of that number.
        """
        if (count := len(self.samples)) == 1:
            return 0
        if not 0 <= wanted < count:
            raise BadInput(
                f"sample {wanted} is asked for, counted from 0, and this run has {data.samples_in_words(self.survey)}; "
                "choose one of them"
            )
        return wanted

    def take_sample(self, wanted: int) -> xr.Dataset:
        """Take the sample that :meth:`choose_sample` chooses."""
        return list(self.samples.values())[self.choose_sample(wanted)]

    def list_fields(self, sample: int = 0) -> list[data.Field]:
        """List the quantities that are measured, of one sample."""
        chosen = self.choose_sample(sample)
        if chosen not in self._listed:
            self._listed[chosen] = data.quantities(self.take_sample(chosen))
        return self._listed[chosen]

    def tell_nearest(self, at: dict[str, float], sample: int) -> str:
        """Say what the survey holds of a sample at the grid point nearest to coordinates.

        Args:
            at: a coordinate for each of :attr:`axes`.
            sample: its place among all of them.
        """
        nearest = self.find_nearest(at)
        place = tuple(nearest[axis][0] for axis in self.axes)
        where = ", ".join(f"{axis} = {nearest[axis][1]:.4g}" for axis in self.axes)
        values = [(each.label, float(each.resolved[place])) for each in self.list_fields(sample)]
        said = ", ".join(f"{label} {number(value)}" for label, value in values if np.isfinite(value))
        measured = self.take_sample(sample).get(MEASURED)
        beside = ""
        if said and measured is not None and not bool(measured.transpose(*self.axes).values[place]):
            beside = " (interpolated between points that were evaluated)"
        return f"The survey says at its nearest point, {where}: {said or 'nothing yet'}{beside}."

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
        """Say when a snapshot was taken, and how far from the chart it is.

        Raises:
            BadInput: there is no such snapshot.
        """
        if self.path is None or not 0 <= k < len(self.path):
            raise BadInput(f"{k} is not the number of a snapshot of this survey; choose one of its trajectory")
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
    _fault: str = ""
    """Why the survey could not be read when it last was tried."""
    _fresh_until: float = -math.inf

    def read(self, anew: bool = False) -> SurveyNow:
        """Read the survey, unless it is as it was when it was last read, or was looked at only just now.

        A store of many chunks takes a while to look through, and each call of the page asks several times.

        Args:
            anew: whether it is looked at even if it was only just now.

        Raises:
            BadInput: it cannot be read, and was never read before.
        """
        with self._lock:
            begun = time.monotonic()
            if self._now is not None and begun < self._fresh_until and not anew:
                return self._now
            revision = find_revision(self.run.path / SURVEY)
            ended = time.monotonic()
            self._fresh_until = ended + max(LEAST_AGE, TIMES * (ended - begun))
            if self._now is not None and self._now.revision == revision:
                self._fault = ""
                return self._now
            try:
                survey, damaged = self.run.read_damaged_survey()
                data.axes(survey)
            except LossatlasError as error:
                if self._now is None:
                    raise
                self._fault = str(error)  # mostly it is just being replaced by a larger one
                return self._now
            self._now, self._fault = SurveyNow(survey, revision, tuple(damaged)), ""
            return self._now

    def tell_progress(self) -> str:
        """Say how far the survey is; nothing where it is finished and can be read.

        That changes while the survey stays as it is: a process ends, or is killed.
        """
        if self._fault:
            return f"what is shown is how the survey was before: {self._fault}"
        if self.run.finished:
            return ""
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
        """The code of its own that the run names, ``module:callable``, which evaluations execute; empty without any.

        A survey of another run's chart executes the code of that one, too.
        """
        named = []
        with suppress(LossatlasError):  # then nothing can be evaluated, and why is said where it is tried
            named += list_code(self.run.directory.config())
            named += list_code(self.run.maker.directory.config())
        return next((spec for _, spec in named), "")

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

    def say_network(self, at: dict[str, float], sample: int) -> str:
        """Say which network is meant, with its sample where there are several: ``u = 0.5, v = 0, repeat 1``."""
        now = self.read()
        name = list(now.samples)[now.choose_sample(sample)]
        return ", ".join([self.say_place(at), *([name] if len(now.samples) > 1 else [])])

    def list_coords(self, at: dict[str, float], sample: int) -> list[float]:
        """List the coordinates of a point in the order of the chart's axes, with the numbers of its sample.

        Args:
            at: by axis.
            sample: the place of the sample among all of them, as :meth:`SurveyNow.choose_sample` takes it.
        """
        now = self.read()
        settled = self.settle(at)
        sizes = [now.survey.sizes[dim] for dim in now.sample_axes]
        place = np.unravel_index(now.choose_sample(sample), sizes) if sizes else ()
        beside = dict(zip(now.sample_axes, (float(k) for k in place), strict=True))
        order: Sequence[str] = self.run.chart.axes
        return [settled[axis] if axis in settled else beside[axis] for axis in order]


def find_revision(store: Path) -> str:
    """Find a text that changes whenever a chunk of a store or its description is written.

    Several processes may write, and one may put in place later what it wrote earlier: the latest time says too little.
    """
    found, pending = [], [os.fspath(store)]
    while pending:
        # What is just being replaced is there at the next look.
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                with suppress(OSError):
                    told = entry.stat(follow_symlinks=False)
                    found.append(f"{entry.path} {told.st_mtime_ns} {told.st_size}")
    said = "\n".join(sorted(found)).encode(errors="surrogateescape")
    return hashlib.blake2b(said, digest_size=12).hexdigest()
