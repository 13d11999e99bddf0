"""The recipe of a curve: from its configuration to its objects, with all checks before any computation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.charts import Chain, Curve, Radial, find_radial_orders, make_chart
from lossatlas.data import Split
from lossatlas.engine.memory import find_memory_limit
from lossatlas.errors import BadInput
from lossatlas.fitting import Adam, Momentum
from lossatlas.hashing import fingerprint
from lossatlas.metrics import count_numbers
from lossatlas.objectives import CURVE_OBJECTIVES
from lossatlas.recipes.alike import Known, check_same_data, check_same_losses, check_same_model
from lossatlas.recipes.base import require
from lossatlas.recipes.chart_recipe import DescentRecipe
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.metrics import make_metrics
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import ProblemRecipe, build_problem, check_data_now
from lossatlas.recipes.room import Extent, check_memory
from lossatlas.recipes.slicing import use_one_thread
from lossatlas.rundir import RunDirectory
from lossatlas.specs import NetworkSpec

__all__ = ["ConnectRecipe", "build_connect"]

TRIED = 4
"""The number of examples on which the radial path is tested."""
LEAST_POINTS = 16
"""The least number of points for which a plan is measured: a step may have one, and surveys have more."""
PATHS = 3
"""The number of surveyed paths between the networks: the curve, the straight line and the radial path."""
NO_RADIAL = "the path through the origin is left out"
HINT = "join networks of one architecture that were trained on the same data"


@dataclass(frozen=True, kw_only=True)
class ConnectRecipe(DescentRecipe[ConnectConfig]):
    """The objects of a curve between networks, on its device; the module stands at the first of them."""

    chart: Curve
    names: tuple[str, ...]
    """The names of the networks."""
    networks: Tensor
    """The weights of the k networks, (k, n), in their order along the curve."""
    straight: Chain
    """The polygonal chain through the same networks."""
    radial: Radial | None
    """The radial path between the first and the last network, along which norm and direction vary separately."""
    no_radial: str
    """The reason why there is no radial path; may be empty."""
    in_plane: dict[str, Split]
    """The examples on which the plane of the curve is evaluated, by split."""
    t: Tensor
    """The parameter values at which paths are evaluated, (T,), float64; they include those of all networks."""
    start: str
    """The hash of the curve before its training."""
    extent: Extent
    """The extent of all surveys together."""

    @property
    def steps_with(self) -> tuple[int, int | None]:
        points, batch_size = super().steps_with
        return max(points, LEAST_POINTS), batch_size

    @property
    def ends(self) -> Tensor:
        """Return the control points that started at the networks, (k, n), which may be trained."""
        return self.chart.controls().detach()[:: self.chart.degree // (len(self.names) - 1)]

    @property
    def moved(self) -> bool:
        """Return whether these control points are trained with the bends."""
        return not bool(self.chart.held[0])

    def fingerprints(self) -> dict[str, str]:
        return {**super().fingerprints(), "curve": self.start}


def build_connect(config: ConnectConfig, base: ProblemRecipe | None = None) -> ConnectRecipe:
    """Build the recipe of a curve from its configuration.

    Args:
        config: the configuration of the curve.
        base: the recipe of its problem, if that was built before.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    if len(config.between) < 2:
        raise BadInput(
            f"a curve connects two or more networks; got {len(config.between)}: name runs or files of weights, as in "
            "lossatlas connect runs/a runs/b"
        )
    runs = _runs(config.between) if base is None else []
    for run in runs[1:]:
        check_same_data(runs[0], run, HINT)
        check_same_model(runs[0], run, HINT)
    base = base if base is not None else build_problem(config, config.splits)
    for run in runs:
        hint = "leave out the options of --data, or restore the data"
        check_data_now(run.fingerprints, base.data, config.data, run.name, hint)
    check_same_losses(runs, base.data.train, "join networks that were trained under the same loss")
    problem, space = base.problem, base.space
    metrics = make_metrics(problem.loss, config)
    if "loss" not in metrics:
        raise BadInput("metrics lack the loss, which the numbers of a curve need; add loss or auto")
    extent = _extent(config, count_numbers(metrics, sampled=config.examples != "all"))
    controls = config.bends * (len(config.between) - 1) + len(config.between)
    size = torch.float32.itemsize * controls * space.size
    check_memory(f"bends is {config.bends:,}", size, "the curve's control points")
    sampled = require(config.points)
    check_memory(f"points is {sampled:,}", torch.float64.itemsize * sampled * (1 + controls), "coordinates of a step")
    bends = load_networks(config.start, base) if config.start else None
    loaded = load_networks(config.between, base)
    loaded.bring(problem.module)
    names, networks = loaded.names, loaded.vectors
    device = base.device
    with use_one_thread():
        kind = Curve.named(config.curve, "curve")
        start = bends.vectors if bends is not None else None
        curve = make_chart(config.curve, kind.between, networks, config.bends, start, train_ends=config.train_ends)
        straight = Chain(networks, [True] * len(networks))
        radial, no_radial = _radial(base, networks, find_memory_limit(config.memory, device))
    curve = curve.to(device)
    buffers, survey_buffers = (
        base.make_buffers(base.settle_buffers(policy), config) for policy in (config.buffers, config.survey_buffers)
    )
    optimizer = Momentum if config.optimizer == "momentum" else Adam
    return ConnectRecipe(
        config=config,
        base=base,
        names=names,
        networks=networks.to(device),
        chart=curve,
        straight=straight.to(device),
        radial=radial.to(device) if radial is not None else None,
        no_radial=no_radial,
        objective=CURVE_OBJECTIVES[config.objective].of_curve(
            curve, sampled, require(config.weight_decay), config.temperature
        ),
        buffers=buffers,
        survey_buffers=survey_buffers,
        optimizer=optimizer(lr=require(config.lr), max_norm=config.max_norm),
        surveyed=base.take_examples(config.examples, config.splits),
        in_plane=base.take_examples(config.plane_examples, config.splits),
        metrics=metrics,
        t=_times(config.times, len(names) - 1),
        start=fingerprint(curve.state_dict().items()),
        extent=extent,
        notes=tuple(dict.fromkeys([*(bends.notes if bends is not None else ()), *loaded.notes])),
    )


def _runs(specs: tuple[str, ...]) -> list[Known]:
    """Return the records of those networks that lie in run directories."""
    found = []
    for spec in specs:
        path = NetworkSpec.parse(spec).path
        folder = path if path.is_dir() else path.parent
        if RunDirectory(folder).is_run:
            found.append(Known.of(spec, OpenedRun(folder)))
    return found


def _extent(config: ConnectConfig, numbers: int) -> Extent:
    """Compute the extent of the surveys of the curve, the straight line, the radial path and the plane.

    Raises:
        BadInput: the points do not fit the memory or take too long.
    """
    extents = {
        "grid": (f"{PATHS} x {config.times:,}", PATHS * config.times),
        "plane": (f"{config.plane:,} x {config.plane:,}", config.plane**2),
    }
    for option, (dimensions, points) in extents.items():
        Extent(points, len(config.splits), numbers).check(option, dimensions)
    whole = Extent(sum(points for _, points in extents.values()), len(config.splits), numbers)
    whole.check("grid and plane")
    return whole


def _times(least: int, legs: int) -> Tensor:
    """Return at least ``least`` equally spaced t that include those of the networks, which divide [0, 1] into legs."""
    return torch.linspace(0, 1, legs * max(2, math.ceil((least - 1) / legs)) + 1, dtype=torch.float64)


def _radial(base: ProblemRecipe, networks: Tensor, memory: int) -> tuple[Radial | None, str]:
    ends = networks[[0, -1]]
    batch = base.train.take(torch.arange(min(TRIED, len(base.train))))
    try:
        path = Radial(ends, find_radial_orders(base.problem, base.space, list(ends), batch))
    except BadInput as error:
        return None, f"{NO_RADIAL}: {str(error).removesuffix('; leave it out')}"
    if (needed := path.held_bytes) > memory:
        return None, (
            f"{NO_RADIAL}: one weight vector for each order of each end takes {needed / 2**20:,.0f} MiB, of which "
            f"--memory leaves {memory / 2**20:,.0f}"
        )
    return path, ""
