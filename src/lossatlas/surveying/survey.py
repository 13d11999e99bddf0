"""The survey: metrics on a grid of a chart, for several splits, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine import BuffersPolicy, Engine, Metric, Plan, StreamingMetric
from lossatlas.engine.setup import GROUP, engine_for
from lossatlas.errors import BadInput
from lossatlas.metrics import OperatorMetric, metrics_for
from lossatlas.pictures import Raster
from lossatlas.problem import Problem
from lossatlas.surveying.store import SurveyStore
from lossatlas.weights import WeightSpace

__all__ = ["STREAMING", "fill", "grid_of", "survey"]

STREAMING = "streaming"
"""The name of the group of metrics that are folded together; an operator metric is a group of its own."""

Grid = Mapping[str, npt.NDArray[np.float64]]


def grid_of(chart: CoefficientChart, counts: Sequence[int], extent: float = 1.0) -> dict[str, npt.NDArray[np.float64]]:
    """Equally spaced coordinates in [-extent, extent] per axis of a chart.

    Args:
        chart: whose axes.
        counts: points per axis, in the order of the axes (U, V, ...).
        extent: half the range.

    Raises:
        BadInput: as many counts as axes are needed, each at least 2.
    """
    if len(counts) != len(chart.axes) or min(counts) < 2:
        raise BadInput(f"a grid for axes {', '.join(chart.axes)} needs a count of at least 2 for each; got {counts}")
    return {axis: np.linspace(-extent, extent, count) for axis, count in zip(chart.axes, counts, strict=True)}


def survey(
    chart: CoefficientChart,
    grid: Grid | Raster,
    problem: Problem,
    splits: Mapping[str, Split],
    *,
    metrics: Sequence[str] | None = None,
    space: WeightSpace | None = None,
    buffers: BuffersPolicy | None = None,
    plan: str | Plan = "auto",
    precision: str = "fp32",
    memory: str = "auto",
    group: int = GROUP,
    padding: int = 4,
    path: Path | str | None = None,
) -> xr.Dataset:
    """Evaluate metrics at every point of a grid on a chart.

    Args:
        chart: where.
        grid: per axis its ascending coordinates; or a picture, whose cells and ``padding`` become the grid and whose
            target the variable ``target`` (or ``target_loss``).
        problem: what.
        splits: examples by name, on the chart's device.
        metrics: names; default the loss, and the accuracy where it has a meaning.
        space: which parameters the chart spans; default all.
        buffers: what running statistics mean; default the group's own.
        plan: how the engine runs.
        precision: of the networks, unless the plan states one: fp32, bf16 or tf32.
        memory: bytes that a chunk of points may take, such as 2GiB; auto is a quarter of what is free.
        group: examples that are evaluated, and under batch statistics normalised, together.
        padding: cells around a picture.
        path: a zarr store to write, or to continue; None keeps the survey in memory.

    Returns:
        One dimension per axis, variables ``<split>_<metric>``: see :mod:`lossatlas.schema`.

    Raises:
        BadInput: axes that do not agree, an unknown metric, or a store of another survey.
    """
    picture = grid if isinstance(grid, Raster) else None
    coords = grid.grid(padding) if isinstance(grid, Raster) else dict(grid)
    if tuple(coords) != chart.axes:
        raise BadInput(f"the grid runs along {', '.join(coords)}, the chart along {', '.join(chart.axes)}")
    if not splits:
        raise BadInput("a survey needs at least one split of examples")
    chosen = metrics_for(problem.loss, list(metrics) if metrics is not None else None)
    engine = engine_for(
        problem, chart, next(iter(splits.values())), space=space, buffers=buffers, plan=plan, precision=precision,
        group=group, memory=memory,
    )  # fmt: skip
    for split in splits.values():
        engine.network.check(split)
    store = SurveyStore(Path(path) if path is not None else None, coords, {"chart": chart.fingerprint()})
    if picture is not None:
        put_target(store, picture, padding)
    fill(store, engine, chart, coords, splits, chosen, group)
    return store.open()


def put_target(store: SurveyStore, picture: Raster, padding: int) -> None:
    """Write the picture that was asked for beside what was found."""
    store.put(*picture.variable(padding))


def fill(
    store: SurveyStore,
    engine: Engine,
    chart: CoefficientChart,
    grid: Grid,
    splits: Mapping[str, Split],
    metrics: Mapping[str, Metric],
    group: int,
    on_points: Callable[[int], None] | None = None,
) -> None:
    """Evaluate what a store lacks, tile by tile.

    Args:
        store: made for this chart and grid.
        engine: evaluates the problem.
        chart: where.
        grid: per axis its coordinates.
        splits: examples by name.
        metrics: by name.
        group: examples evaluated together.
        on_points: called with the number of points done, per split and group of metrics.
    """
    streaming = {name: metric for name, metric in metrics.items() if isinstance(metric, StreamingMetric)}
    operators = {name: metric for name, metric in metrics.items() if isinstance(metric, OperatorMetric)}
    loss = engine.network.loss
    with torch.no_grad():
        controls = chart.controls()
    axes = [torch.from_numpy(np.asarray(coords, dtype=np.float64)) for coords in grid.values()]
    for split_name, split in splits.items():
        settings: dict[str, int | str] = {
            "examples": len(split),
            "examples_per_group": group,
            "data": split.fingerprint(),
        }
        settings |= {
            "buffers": engine.network.buffers,
            "loss": type(loss).__name__,
            "network": engine.network.fingerprint,
        }
        groups: dict[str, Mapping[str, Metric]] = {STREAMING: streaming} if streaming else {}
        groups |= {name: {name: metric} for name, metric in operators.items()}
        for name, members in groups.items():
            service = engine.plan.evaluate if name == STREAMING else engine.plan.derivatives
            recorded = settings | {"precision": service.precision}
            store.add(split_name, name, [metric.quantity(loss) for metric in members.values()], recorded)
            for tile in store.missing(split_name, name):
                parts = [axis[part] for axis, part in zip(axes, tile, strict=True)]
                shape = tuple(len(part) for part in parts)
                points = torch.cartesian_prod(*parts).reshape(-1, len(parts))
                coefficients = chart.coefficients(points.to(controls))
                if name == STREAMING:
                    values = engine.evaluate(coefficients, controls, split, streaming, group)
                else:
                    values = {name: _operator(engine, coefficients, controls, split, operators[name], group)}
                store.write(split_name, name, tile, {k: v.numpy().reshape(shape) for k, v in values.items()})
                if on_points is not None:
                    on_points(len(points))


def _operator(
    engine: Engine, coefficients: Tensor, controls: Tensor, split: Split, metric: OperatorMetric, group: int
) -> Tensor:
    parts = [
        metric.value(derivatives).cpu() for _, derivatives in engine.derivatives(coefficients, controls, split, group)
    ]
    return torch.cat(parts)
