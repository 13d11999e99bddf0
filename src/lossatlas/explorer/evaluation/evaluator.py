"""What a run computes on demand at points of its chart, with the problem of its own record.

Importing this module does not import torch; the problem, its engine and its data are opened when something is computed.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from lossatlas.describing import join_words
from lossatlas.errors import BadInput, Caution, LossatlasError, note_cautions
from lossatlas.explorer.evaluation.centre import Centre, find_centre
from lossatlas.explorer.evaluation.images import make_image
from lossatlas.files.stores import open_store
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import CHART, CONFIG, PROVENANCE, SURVEY
from lossatlas.schema import LOSS, REPEAT, OnTrajectory

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor

    from lossatlas.charts import Chart
    from lossatlas.data import Split
    from lossatlas.engine import Engine, StreamingMetric
    from lossatlas.studies import Breaks, ExaminedSplit, Place
    from lossatlas.surveying import Surveyor
    from lossatlas.surveying.path_points import PathPoints
    from lossatlas.surveying.standing import Standing
    from lossatlas.training.weight_trajectory import WeightTrajectory

__all__ = ["Curvature", "CurvatureNumber", "Evaluator", "Examined"]

P = ParamSpec("P")
R = TypeVar("R")
RECORD = (CONFIG, PROVENANCE, CHART)
"""The files of a run that are written anew where it is replaced or continued in another way."""
RETRIED = 5.0
"""Seconds after which it is tried again whether a run can compute that could not."""
KEPT = 8
"""How many examined points are kept, beside the centre."""
CURVATURES = ("hessian_max", "hessian_min", "hessian_trace")
"""The metrics that tell the curvature at a point."""
TRAIN = "train"
"""The split whose loss curvature is that of, where none is named."""


@dataclass(frozen=True, eq=False)
class Examined:
    """A point of a chart, or a network beside it, examined on all splits of a survey.

    Attributes:
        axes: The names of the axes.
        coords: The coordinates of the point; of a snapshot those of its projection onto the chart.
        splits: What was found, by split.
        place: Distance and angle, seen from the centre.
        off_chart: The Euclidean distance from the chart; 0 for its points.
        called: What it is called, in words; empty for a point.
        cautions: What has to be known to read the numbers rightly, in lines.
    """

    axes: tuple[str, ...]
    coords: tuple[float, ...]
    splits: Mapping[str, ExaminedSplit]
    place: Place
    off_chart: float = 0.0
    called: str = ""
    cautions: tuple[str, ...] = ()


class CurvatureNumber(NamedTuple):
    """A number that describes the curvature at a point."""

    name: str
    """The metric, ``hessian_max``."""
    value: float
    error: float
    """How far the value may be off: see ``error_name``."""
    units: str
    error_name: str
    """What the error is: ``residual`` of an eigenvalue, or ``probe_error`` of a trace."""


@dataclass(frozen=True)
class Curvature:
    """The curvature of the mean loss of a split at a point."""

    coords: tuple[float, ...]
    split: str
    numbers: tuple[CurvatureNumber, ...]
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Ready:
    """What evaluations need."""

    surveyor: Surveyor
    splits: Mapping[str, Split]
    metrics: Mapping[str, StreamingMetric]
    eval_batch_size: int
    cautions: tuple[str, ...]
    """What was told when the problem was opened, and holds at all points."""

    @property
    def engine(self) -> Engine:
        return self.surveyor.engine  # which may have taken smaller chunks since

    @property
    def chart(self) -> Chart:
        return self.surveyor.chart

    def form(self, coords: Sequence[float]) -> PathPoints:
        from lossatlas.studies import form_point

        return form_point(self.chart, coords, self.surveyor.controls)

    def find_split(self, name: str) -> Split:
        if name not in self.splits:
            raise BadInput(f"{name!r} is not a split of the survey; expected {', '.join(self.splits)}")
        return self.splits[name]


def _as_surveyed(method: Callable[Concatenate[Evaluator, P], R]) -> Callable[Concatenate[Evaluator, P], R]:
    """Make a method of an evaluator compute with as many threads as the run did, by which values differ."""

    @wraps(method)
    def compute(self: Evaluator, /, *args: P.args, **kwargs: P.kwargs) -> R:
        ready = self._prepare()
        from lossatlas.jobs.threads import use_threads

        with use_threads(ready.engine.plan.threads):
            return method(self, *args, **kwargs)

    return compute


class Evaluator:
    """Computes what is asked for at points of a run's chart, as the run's survey would.

    Its methods may take long, and are called by one thread. Where the record of the run changes, because it is replaced
    by another or continued, everything is opened anew; what could not be opened is tried again some seconds later.

    Args:
        run: a run with a survey, finished or not.
    """

    def __init__(self, run: OpenedRun) -> None:
        self.run = run
        self._ready: _Ready | LossatlasError | None = None
        self._opened: tuple[tuple[int, ...], float] = (), 0.0
        """The state of the record when the problem was opened, and when that was."""
        self._examined: OrderedDict[tuple[float, ...] | int, Examined] = OrderedDict()

    def prepare(self) -> None:
        """Open the problem of the run, and check that it is the one that was surveyed; does nothing a second time.

        Raises:
            LossatlasError: something is missing or has changed: the survey, the data, the model, a network. It is
                raised again each time, for some seconds without looking anew.
        """
        self._prepare()

    def _prepare(self) -> _Ready:
        record, (before, since) = self._find_record(), self._opened
        stale = isinstance(self._ready, LossatlasError) and time.monotonic() - since > RETRIED
        if self._ready is None or stale or record != before:
            self._forget()
            try:
                self._ready = self._open()
            except LossatlasError as error:
                self._ready = error
            self._opened = record, time.monotonic()
        if isinstance(self._ready, LossatlasError):
            raise self._ready
        return self._ready

    def _hold(self) -> _Ready:
        """What was prepared when the evaluation began, which nothing changes until it ends."""
        assert isinstance(self._ready, _Ready)
        return self._ready

    def _find_record(self) -> tuple[int, ...]:
        """Numbers that change when the record of the run does; 0 for what is not there."""
        found = []
        for name in RECORD:
            try:
                state = (self.run.path / name).stat()
                found += [state.st_ino, state.st_mtime_ns, state.st_size]
            except OSError:
                found.append(0)
        return tuple(found)

    def _forget(self) -> None:
        """Forget all that was read of the run."""
        if self._ready is None:
            return
        self.run.forget()
        self._examined.clear()
        for name in ("box", "centre", "_centre_weights", "_trajectory"):
            vars(self).pop(name, None)

    def _open(self) -> _Ready:
        from lossatlas.engine import StreamingMetric
        from lossatlas.jobs.joined_survey import join_survey

        self._open_survey()  # a run without a survey says so before its data are looked for
        with note_cautions() as cautions:
            surveyor, _ = join_survey(self.run)
        metrics = {name: one for name, one in self.run.metrics.items() if isinstance(one, StreamingMetric)}
        batch_size = self.run.recipe.config.eval_batch_size
        return _Ready(surveyor, self.run.splits, metrics, batch_size, tuple(cautions))

    def _open_survey(self) -> xr.Dataset:
        """Open the store of the survey, of which little is read: coordinates, and what lies along trajectories.

        Each time anew: what lies along a trajectory is added in the end, and a grid may grow.
        """
        if not (self.run.path / SURVEY).is_dir():
            raise BadInput(f"{self.run.path} holds no survey; give a run of fit, survey or connect that has one")
        return open_store(self.run.path / SURVEY)

    def _read(self, variable: str) -> npt.NDArray[np.float64] | None:
        """A small variable of the survey; None where it is not there or damaged."""
        with suppress(Exception):  # codecs fail in many ways on bytes that are not theirs
            return np.asarray(self._open_survey()[variable].values, dtype=np.float64)
        return None

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of the chart, in the order of coordinates."""
        return self.run.chart.axes

    @cached_property
    def box(self) -> dict[str, tuple[float, float]]:
        """The first and the last coordinate that were surveyed, by axis.

        Raises:
            BadInput: the run has no survey, or its coordinates are damaged.
        """
        found = {}
        for axis in self.axes:
            coords = self._read(axis)
            if coords is None or coords.ndim != 1 or not coords.size or not np.isfinite(coords).all():
                raise BadInput(f"{self.run.path / SURVEY} holds no coordinates along {axis}; resume the run (--resume)")
            found[axis] = (float(coords.min()), float(coords.max()))
        return found

    @cached_property
    def centre(self) -> Centre:
        """The point that others are compared with, and what lies there.

        That is where the chart has its first network or its origin; of a chart without these the middle of what was
        surveyed.

        Raises:
            BadInput: as :attr:`box`.
        """
        return find_centre(self.run.chart, self.box, self._open_survey())

    @cached_property
    def _centre_weights(self) -> Tensor:
        return self._hold().form(self.centre.coords).form_first()

    @_as_surveyed
    def examine(self, coords: Sequence[float]) -> Examined:
        """Examine a point on all splits of the survey; a few of the last points are kept, and the centre.

        Args:
            coords: the coordinates, one for each of :attr:`axes`; along ``repeat`` the number of the repeat.

        Raises:
            LossatlasError: as :meth:`prepare`, or the coordinates do not fit.
        """
        ready, at = self._hold(), self._check_coords(coords)
        if (kept := self._recall(at)) is not None:
            return kept
        with note_cautions() as cautions:
            point = ready.form(at)
            splits = self._examine(ready.engine, point)
            place = self._locate(point)
        if not self._is_within(at):
            cautions.append(f"the point {self._say(at)} lies beyond the domain that the chart was made for")
        return self._keep(
            at, Examined(self.axes, at, splits, place, cautions=_join([*ready.cautions, *cautions], splits))
        )

    @_as_surveyed
    def examine_snapshot(self, index: int) -> Examined:
        """Examine a snapshot of the trajectory that the survey lies along: its own weights, off the plane.

        It has its own running statistics, as its losses in the survey have, whatever the policy of the plane is.

        Args:
            index: the place of the snapshot in the survey's trajectory, from 0.

        Raises:
            LossatlasError: as :meth:`prepare`; the survey does not lie along a trajectory or has not followed it yet,
                there is no such snapshot, or the trajectory has changed since.
        """
        if (kept := self._recall(index)) is not None:
            return kept
        ready = self._hold()
        with note_cautions() as cautions:
            there, step = self._set_up(index)
            coords, distance = self._read_path(index)
            splits = self._examine(there.engine, there.point)
            place = self._locate(there.point)
        told = _join([*ready.cautions, *cautions], splits)
        return self._keep(index, Examined(self.axes, coords, splits, place, distance, f"step {step:,}", told))

    def _set_up(self, index: int) -> tuple[Standing, int]:
        """Set up a snapshot of the survey's trajectory as it stands; with the step at which it was taken.

        Raises:
            LossatlasError: as :meth:`examine_snapshot`.
        """
        from lossatlas.recipes.networks import keep_module
        from lossatlas.surveying.standing import Standing
        from lossatlas.weights.files import load_state

        ready, trajectory, recipe = self._hold(), self._trajectory, self.run.recipe
        if not 0 <= index < len(trajectory):
            raise BadInput(f"{index} is not the number of a snapshot; expected 0 to {len(trajectory) - 1}")
        snapshot, module = trajectory.snapshots[index], recipe.problem.module
        with keep_module(module):
            load_state(module, snapshot.state(), f"snapshot {snapshot.path}")
            examples = next(iter(ready.splits.values()))
            there = Standing(recipe.problem, recipe.space, examples, ready.engine.plan, ready.eval_batch_size)
        return there, snapshot.step

    @_as_surveyed
    def measure_curvature(
        self,
        coords: Sequence[float],
        split: str | None = None,
        on_points: Callable[[int, int], None] | None = None,
    ) -> Curvature:
        """Measure the largest and the smallest eigenvalue of the Hessian of the mean loss at a point, and its trace.

        Args:
            coords: as of :meth:`examine`.
            split: of whose mean loss; default that of the training examples, of as many as the survey takes of each.
            on_points: called with what is done and with all there is to do; may raise, which ends it.

        Raises:
            LossatlasError: as :meth:`prepare`; or the loss has no second derivative, or the memory is too small.
        """
        import torch

        from lossatlas.metrics import choose_metrics
        from lossatlas.recipes.metrics import make_curvature_settings
        from lossatlas.surveying import Surveyor

        at, ready, tell = self._check_coords(coords), self._hold(), on_points or _nothing
        config = self.run.recipe.config
        name = split or TRAIN
        examples = (
            self.run.base.take_examples(config.examples, (TRAIN,))[TRAIN]
            if name == TRAIN and TRAIN not in ready.splits
            else ready.find_split(name)
        )
        loss, numbers = ready.engine.network.loss, []
        tell(0, len(CURVATURES))
        with note_cautions() as cautions:
            for done, metric in enumerate(CURVATURES, 1):
                chosen = choose_metrics(loss, (metric,), make_curvature_settings(config))
                surveyor = Surveyor(ready.engine, ready.chart, {name: examples}, chosen, ready.eval_batch_size)
                (group,) = surveyor.chunks()
                found = surveyor.at(torch.tensor([at], dtype=torch.float64), name, group)
                surveyor.tell_of_unresolved()
                (companion,) = chosen[metric].companions
                units = chosen[metric].quantity(loss).units
                value, error = float(found[metric][0]), float(found[companion.of(metric)][0])
                numbers.append(CurvatureNumber(metric, value, error, units, companion.suffix))
                tell(done, len(CURVATURES))
        return Curvature(at, name, tuple(numbers), tuple(dict.fromkeys([*ready.cautions, *cautions])))

    @_as_surveyed
    def find_breaks(
        self,
        split: str,
        on_points: Callable[[int, int], None] | None = None,
        *,
        centre: Sequence[float] | None = None,
        directions: int = 16,
        steps: int = 12,
    ) -> Breaks:
        """Find which examples break first on the way to the edge of what was surveyed.

        Args:
            split: its name.
            on_points: called with what is done and with all there is to do; may raise, which ends it.
            centre: where the rays begin; default the :attr:`centre`.
            directions: how many rays.
            steps: at how many radii each is looked at.

        Raises:
            LossatlasError: as :meth:`prepare` and :func:`lossatlas.find_breaks`.
        """
        from lossatlas.studies import find_breaks

        at, ready = self._check_coords(self.centre.coords if centre is None else centre), self._hold()
        with note_cautions() as cautions:
            found = find_breaks(
                ready.engine,
                ready.chart,
                at,
                ready.find_split(split),
                ready.eval_batch_size,
                directions=directions,
                steps=steps,
                reach=self.box,
                on_points=on_points,
            )
        return replace(found, notes=tuple(dict.fromkeys([*ready.cautions, *cautions, *found.notes])))

    @_as_surveyed
    def measure_place(self, coords: Sequence[float]) -> Place:
        """Measure how far a point lies from the centre in weight space, and at which angle, without evaluating it."""
        return self._locate(self._hold().form(self._check_coords(coords)))

    @_as_surveyed
    def write_weights(self, coords: Sequence[float]) -> bytes:
        """Write the network at a point as a safetensors file, which ``load_state_dict(strict=True)`` takes.

        It has all parameters, tied ones under each of their names, and all buffers, statistics as the survey's policy
        has them at the point. Its metadata name the run, the coordinates and that policy. Where layers normalise by the
        batch, the file has the running statistics of the run's network, and a survey uses none.

        Raises:
            LossatlasError: as :meth:`prepare`, or the state of the model has parts that are not tensors.

        Warns:
            Caution: layers normalise by the batch, so that what is written computes something else in evaluation mode.
        """
        from lossatlas.weights.files import serialise_state

        at, ready = self._check_coords(coords), self._hold()
        if ready.engine.network.normalises_by_the_batch:
            warnings.warn(
                "the survey normalises by the statistics of each batch; the file has the running statistics of the "
                "run's own network, by which the network computes something else in evaluation mode",
                Caution,
                stacklevel=2,
            )
        metadata = {
            "run": self.run.path.resolve().name,
            "coordinates": json.dumps(dict(zip(self.axes, at, strict=True))),
            "buffers": ready.engine.network.buffers if ready.engine.network.has_statistics else "",
        }
        return serialise_state(ready.engine.find_state(*ready.form(at)), metadata)

    @_as_surveyed
    def write_snapshot(self, index: int) -> bytes:
        """Write a snapshot of the trajectory that the survey lies along as a safetensors file: its own weights.

        Args:
            index: as of :meth:`examine_snapshot`.

        Raises:
            LossatlasError: likewise.
        """
        from lossatlas.weights.files import serialise_state

        there, step = self._set_up(index)
        metadata = {"run": self.run.path.resolve().name, "step": str(step)}
        return serialise_state(there.engine.find_state(*there.point), metadata)

    def read_example(self, split: str, index: int) -> npt.NDArray[np.uint8] | None:
        """Read the input of an example as an image, (H, W) or (H, W, 3); None where it does not look like one.

        Raises:
            LossatlasError: as :meth:`prepare`, or there is no such example.
        """
        import torch

        ready = self._prepare()
        held = ready.find_split(split)
        if not 0 <= index < len(held):
            raise BadInput(f"{index} is not the index of an example of {split}; expected 0 to {len(held) - 1}")
        return make_image(ready.engine.network.handed.given(held.take(torch.tensor([index]))))

    def name_classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of the labels; empty where the data set has none.

        Raises:
            LossatlasError: as :meth:`prepare`.
        """
        self._prepare()
        return self.run.base.data.class_names

    def _check_coords(self, coords: Sequence[float]) -> tuple[float, ...]:
        at = tuple(float(value) for value in coords)
        if len(at) != len(self.axes) or not all(map(math.isfinite, at)):
            raise BadInput(f"a point is {at}; expected a finite number for each of {', '.join(self.axes)}")
        if REPEAT in self.axes and at[-1] not in (repeats := range(int(self.box[REPEAT][1]) + 1)):
            raise BadInput(f"{at[-1]:g} is not the number of a repeat; expected 0 to {repeats[-1]}")
        return at

    def _say(self, at: Sequence[float]) -> str:
        return join_words([f"{axis} = {value:.4g}" for axis, value in zip(self.axes, at, strict=True)])

    def _is_within(self, at: Sequence[float]) -> bool:
        import torch

        return bool(self._hold().chart.is_within(torch.tensor([at], dtype=torch.float64))[0])

    def _examine(self, engine: Engine, point: PathPoints) -> dict[str, ExaminedSplit]:
        from lossatlas.studies import examine_network

        ready = self._hold()
        of = partial(examine_network, engine, point, metrics=ready.metrics, eval_batch_size=ready.eval_batch_size)
        return {name: of(split=split) for name, split in ready.splits.items()}

    def _locate(self, point: PathPoints) -> Place:
        from lossatlas.studies import measure_place

        return measure_place(point.form_first(), self._centre_weights)

    @cached_property
    def _trajectory(self) -> WeightTrajectory:
        """The trajectory that the survey lies along, the same as then."""
        from lossatlas.hashing import fingerprint
        from lossatlas.training import Trajectory
        from lossatlas.training.weight_trajectory import WeightTrajectory

        folder = self.run.find_settings({"trajectory"}).get("trajectory")
        if not folder:
            raise BadInput(f"{self.run.path} does not lie along a trajectory; survey one with --trajectory")
        found = WeightTrajectory(Trajectory.of(Path(str(folder))), self.run.base.space)
        vectors = ((f"step {each.step}", found.vector(i)) for i, each in enumerate(found.snapshots))
        known = self.run.provenance.fingerprints.get("trajectory")
        if known is not None and known != fingerprint(vectors):
            raise BadInput(f"the trajectory in {folder} has changed since it was surveyed; survey it again")
        return found

    def _read_path(self, index: int) -> tuple[tuple[float, ...], float]:
        """Where a snapshot lies: the coordinates of its projection, and the distance from the chart."""
        found = [self._read(name) for name in (*map(OnTrajectory.coordinate, self.axes), OnTrajectory.DISTANCE)]
        if any(values is None or index >= len(values) for values in found):
            raise BadInput(f"the survey in {self.run.path} has not followed its trajectory yet; continue it (--resume)")
        *coords, distance = (float(values[index]) for values in found if values is not None)
        return tuple(coords), distance

    def _recall(self, key: tuple[float, ...] | int) -> Examined | None:
        if key in self._examined:
            self._examined.move_to_end(key)
        return self._examined.get(key)

    def _keep(self, key: tuple[float, ...] | int, found: Examined) -> Examined:
        self._examined[key] = found
        others = [each for each in self._examined if each != self.centre.coords]
        for each in others[: max(0, len(others) - KEPT)]:
            del self._examined[each]
        return found


def _join(cautions: Sequence[str], splits: Mapping[str, ExaminedSplit]) -> tuple[str, ...]:
    """All that has to be known to read what was found."""
    lines = [*cautions]
    for name, found in splits.items():
        loss = found.metrics.get(LOSS)
        if isinstance(loss, float) and not math.isfinite(loss):
            lines.append(f"the mean loss on {name} is {loss}: the network computes numbers that are not finite there")
        lines += [note for note in found.notes if note not in lines]
    return tuple(dict.fromkeys(lines))


def _nothing(done: int, total: int) -> None:
    """Do nothing between metrics."""
