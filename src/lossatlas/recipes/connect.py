"""From the configuration of a curve to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.charts import CHARTS, Chain, Curve, Radial, radial_orders
from lossatlas.data import AUGMENTATIONS, Augmentation, Dataset, Split
from lossatlas.engine import BUFFERS, BuffersPolicy, Metric
from lossatlas.engine.buffers_policy import normalisations_with_statistics
from lossatlas.engine.memory import memory_limit
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Budget, Momentum, Seconds, Steps
from lossatlas.hashing import fingerprint
from lossatlas.metrics import metrics_for
from lossatlas.objectives import CURVE_OBJECTIVES, OnCurve
from lossatlas.problem import Problem
from lossatlas.recipes.alike import (
    Known,
    check_data_now,
    check_same_data,
    check_same_losses,
    check_same_model,
    known_of,
)
from lossatlas.recipes.base import stated
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.options import checked
from lossatlas.recipes.problem import ProblemRecipe, build_problem, surveyed_subset
from lossatlas.recipes.room import Extent, check_memory
from lossatlas.recipes.slicing import check_finite, named, one_thread
from lossatlas.rundir import RunDirectory
from lossatlas.schedules import SCHEDULES, Schedule
from lossatlas.specs import NetworkSpec
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["ConnectRecipe", "build_connect"]

TRIED = 4
"""Examples that the radial path is tried on."""
PATHS = 3
"""Between the networks: the curve, the straight line and the radial path."""
NO_RADIAL = "the path through the origin is left out"
HINT = "join networks of one architecture that were trained on the same data"


@dataclass(frozen=True)
class ConnectRecipe:
    """The objects of a curve between networks, on its device; the module stands at the first of them."""

    problem: Problem
    space: WeightSpace
    data: Dataset
    train: Split
    names: tuple[str, ...]
    """What the networks are called."""
    networks: Tensor
    """(k, n), in their order."""
    curve: Curve
    straight: Chain
    """The straight path through the same networks."""
    radial: Radial | None
    """The path through the origin between the first and the last."""
    no_radial: str
    """Why there is none; may be empty."""
    objective: OnCurve
    buffers: BuffersPolicy
    survey_buffers: BuffersPolicy
    augment: list[Augmentation]
    budget: Budget
    optimizer: Adam | Momentum
    schedule: Schedule
    surveyed: dict[str, Split]
    in_plane: dict[str, Split]
    metrics: dict[str, Metric]
    t: Tensor
    """(T,), float64: where paths are evaluated; each network's t is among them."""
    start: str
    """A hash of the curve before it was trained."""
    extent: Extent
    """Of all surveys together."""
    notes: tuple[str, ...] = ()
    """What somebody should know of the files that the networks are in."""

    @property
    def ends(self) -> Tensor:
        """(k, n): the controls of the curve that were put at the networks, wherever they are now."""
        return self.curve.controls().detach()[:: self.curve.degree // (len(self.names) - 1)]

    @property
    def moved(self) -> bool:
        """Whether these are trained with the bends."""
        return not bool(self.curve.held[0])

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what a configuration names and does not hold: data and networks."""
        found = {f"data/{name}": split.fingerprint() for name, split in self.data.splits.items()}
        return {**found, "curve": self.start}


def build_connect(config: ConnectConfig) -> ConnectRecipe:
    """The objects that a configuration stands for.

    Raises:
        BadInput: the first thing that is wrong with it.
    """
    if len(config.between) < 2:
        raise BadInput(
            f"a curve joins two networks or more and {len(config.between)} is given; name runs or files of weights, "
            "as in lossatlas connect runs/a runs/b"
        )
    runs = _runs(config.between)
    for run in runs[1:]:
        check_same_data(runs[0], run, HINT)
        check_same_model(runs[0], run, HINT)
    base = build_problem(config, config.splits)
    for run in runs:
        check_data_now(run, config.data, base.data, "leave out the options of --data, or bring the data back")
    check_same_losses(runs, base.data.train, "join networks that were trained under the same loss")
    problem, space = base.problem, base.space
    metrics = metrics_for(problem.loss, config.metrics)
    if "loss" not in metrics:
        raise BadInput("metrics leave out the loss, which a curve is about; add loss or auto")
    extent = _extent(config, len(metrics))
    controls = config.bends * (len(config.between) - 1) + len(config.between)
    size = torch.float32.itemsize * controls * space.size
    check_memory(f"bends is {config.bends:,}", size, "the curve's control points")
    drawn = stated(config.points)
    check_memory(f"points is {drawn:,}", torch.float64.itemsize * drawn * (1 + controls), "coordinates of a step")
    notes: list[str] = []
    start = _networks(config.start, base, notes)[1] if config.start else None
    names, networks = _networks(config.between, base, notes)
    device = base.device
    with one_thread():
        kind = CHARTS[config.curve]
        assert issubclass(kind, Curve)
        curve = kind.between(networks, config.bends, start, train_ends=config.train_ends)
        straight = Chain(networks, [True] * len(networks))
        radial, no_radial = _radial(base, networks, memory_limit(config.memory, device))
    curve = curve.to(device)
    policies = [BUFFERS[name] for name in (config.buffers, config.survey_buffers)]
    if not normalisations_with_statistics(problem.module):
        policies = [BUFFERS["batch"]] * 2  # without statistics all are one, and this one does nothing at a point
    buffers, survey_buffers = (
        policy.for_run(base.train, config.eval_batch_size, config.buffers_batches) for policy in policies
    )
    surveyed, in_plane = (
        {name: surveyed_subset(count, name, base.data.splits[name]).to(device) for name in config.splits}
        for count in (config.examples, config.plane_examples)
    )
    optimizer = Momentum if config.optimizer == "momentum" else Adam
    return ConnectRecipe(
        problem=problem,
        space=space,
        data=base.data,
        train=base.train,
        names=names,
        networks=networks.to(device),
        curve=curve,
        straight=straight.to(device),
        radial=radial.to(device) if radial is not None else None,
        no_radial=no_radial,
        objective=CURVE_OBJECTIVES[config.objective].of_curve(
            curve, drawn, stated(config.weight_decay), config.temperature
        ),
        buffers=buffers,
        survey_buffers=survey_buffers,
        augment=[AUGMENTATIONS[name]() for name in config.augment],
        budget=Steps(config.steps) if config.steps is not None else Seconds(config.seconds or 0.0),
        optimizer=optimizer(lr=stated(config.lr), max_norm=config.max_norm),
        schedule=SCHEDULES[config.schedule](**checked("schedule", config.schedule, config.schedule_options)),
        surveyed=surveyed,
        in_plane=in_plane,
        metrics=metrics,
        t=_times(config.times, len(names) - 1),
        start=fingerprint(curve.state_dict().items()),
        extent=extent,
        notes=tuple(dict.fromkeys(notes)),
    )


def _runs(specs: tuple[str, ...]) -> list[Known]:
    """Those of the networks that lie in run directories."""
    found = []
    for spec in specs:
        path = NetworkSpec.parse(spec).path
        run = RunDirectory(path if path.is_dir() else path.parent)
        if run.is_run:
            found.append(known_of(spec, run))
    return found


def _networks(specs: tuple[str, ...], base: ProblemRecipe, notes: list[str]) -> tuple[tuple[str, ...], Tensor]:
    """The names of networks, and their weights (k, n); adds to the notes what there is to say of their files."""
    states = named(specs)
    found: list[Tensor] = []
    held: dict[str, Tensor] | None = None
    varied = {name for entry in base.space.entries for name in entry.names}
    # The first comes last: the module is left there.
    for spec, state in zip(reversed(specs), reversed(states.values()), strict=True):
        notes += load_state(base.problem.module, state, f"checkpoint {spec}")
        check_finite(base.problem.module, spec)
        found.insert(0, base.space.vector_of(base.problem.module))
        parameters = {name: value for name, value in base.problem.module.named_parameters() if name not in varied}
        rest = {name: value.detach().clone() for name, value in parameters.items()}
        if held is not None and any(not torch.equal(held[name], value) for name, value in rest.items()):
            raise BadInput(
                f"{specs[-1]} and {spec} differ in parameters that do not vary; let them vary, with --parameters"
            )
        held = rest
    return tuple(states), torch.stack(found)


def _extent(config: ConnectConfig, metrics: int) -> Extent:
    """How much there is to survey: the curve, the straight line and the radial path, and the plane.

    Raises:
        BadInput: more than can be.
    """
    extents = {
        "grid": (f"{PATHS} x {config.times:,}", PATHS * config.times),
        "plane": (f"{config.plane:,} x {config.plane:,}", config.plane**2),
    }
    errors = config.examples != "all"
    for option, (dimensions, points) in extents.items():
        Extent(points, len(config.splits), metrics, errors).check(option, dimensions)
    whole = Extent(sum(points for _, points in extents.values()), len(config.splits), metrics, errors)
    whole.check("grid and plane")
    return whole


def _times(least: int, legs: int) -> Tensor:
    """So many t, or as many more as it takes for the networks, which part [0, 1] into legs, and others to be there."""
    return torch.linspace(0, 1, legs * max(2, math.ceil((least - 1) / legs)) + 1, dtype=torch.float64)


def _radial(base: ProblemRecipe, networks: Tensor, memory: int) -> tuple[Radial | None, str]:
    ends = networks[[0, -1]]
    batch = base.train.take(torch.arange(min(TRIED, len(base.train))))
    try:
        path = Radial(ends, radial_orders(base.problem, base.space, list(ends), batch))
    except BadInput as error:
        return None, f"{NO_RADIAL}: {str(error).removesuffix('; leave it out')}"
    if (needed := path.held_bytes) > memory:
        return None, (
            f"{NO_RADIAL}: one weight vector for each order of each end takes {needed / 2**20:,.0f} MiB, of which "
            f"--memory leaves {memory / 2**20:,.0f}"
        )
    return path, ""
