"""The job of ``lossatlas curvature``: eigenvalues, trace and spectral density at networks, or along a trajectory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from lossatlas.charts import Slice, encode_chart
from lossatlas.charts.files import load_chart
from lossatlas.engine.memory import find_memory_limit
from lossatlas.errors import BadInput
from lossatlas.exchange.curvature import CURVATURE, read_curvature
from lossatlas.exchange.netcdf import encode_netcdf
from lossatlas.jobs.checkpoint import restore_checkpoint, write_checkpoint
from lossatlas.jobs.curvature_pieces import LEADING, Measurement
from lossatlas.jobs.curvature_summary import summarise_curvature
from lossatlas.jobs.curvature_trajectory import TrajectoryMeasurement
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.measured_curvature import make_measurement
from lossatlas.jobs.pictures import write_pictures
from lossatlas.jobs.sampling import sample_steps
from lossatlas.jobs.starting import Start
from lossatlas.metrics import OperatorMetric
from lossatlas.recipes import SpectraConfig, complete
from lossatlas.recipes.measured import describe_measurement
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.spectra import build_spectra
from lossatlas.rundir import CHART, REPORT, RunDirectory
from lossatlas.streams import make_generator
from lossatlas.views import Style, draw
from lossatlas.views.curving import write_curvature

__all__ = ["run_curvature"]

TRACE = 40
"""The products of a trace."""
ENDS, WARM = 100, 40
"""The usual numbers of products until both ends of a spectrum have converged, from a random start and from the
eigenvectors of the snapshot before."""
METRIC = 20
"""About as many products take as long as a metric of sharpness, or of curvature."""
UNCERTAIN = 3.0
"""The factor by which these may be wrong: they depend on the spectrum."""
BUILDING = 0.3
"""The approximate seconds for loading a network and checking it."""


def _read_measured(path: Path) -> xr.Dataset:
    """Read what an unfinished run has measured so far."""
    try:
        return read_curvature(path)
    except BadInput as error:
        raise BadInput(f"{error}; start again with --overwrite") from error


def _reread(path: Path) -> None:
    """Read what a finished run holds: its numbers, and the eigenvectors of its networks."""
    read_curvature(path)
    for file in path.rglob(CHART):
        load_chart(file)


def _carry_out(start: Start[SpectraConfig], how: Handling) -> dict[str, Any]:
    """Measure curvature piece by piece, and write what it comes to.

    ``curvature.nc`` holds the data and is replaced after each piece; ``chart.safetensors`` holds the first network and
    its leading eigenvectors, and ``network_K/chart.safetensors`` those of the K-th; ``negative/chart.safetensors`` and
    ``network_K/negative/chart.safetensors`` hold eigenvectors of negative eigenvalues, where some were found.
    """
    run = start.run
    recipe = build_spectra(start.config)
    measurement = make_measurement(recipe, start.find_plan(start.config.plan), partial(_write_chart, run))
    measurement.check()
    start.put(
        recipe.base.device, recipe.fingerprints(), disk=recipe.disk, plan=measurement.plan.to_dict(),
        normalisation=recipe.base.data.normalisation,
    )  # fmt: skip
    torch.set_num_threads(measurement.plan.threads)
    how.introduce(recipe.base.problem, recipe.base.data, *recipe.notes)
    if (run.path / CURVATURE).is_file():
        measurement.continue_from(_read_measured(run.path))
        if isinstance(measurement, TrajectoryMeasurement):
            restore_checkpoint(run, measurement)
    how.foretell(lambda: _phases(measurement, how.pictures))
    started = time.perf_counter()
    _measure(run, measurement, how)
    seconds = time.perf_counter() - started
    data = measurement.data
    summary = {**summarise_curvature(data), "seconds": seconds, "peak_memory_bytes": measure_peak_bytes()}
    if how.pictures:
        pictures = draw(
            data, style=Style(title=_name_run(start.config)), record=describe_measurement(data, OpenedRun(run.path))
        )
        write_curvature(run.path / REPORT, data, summary, run.config_text(), pictures, write_pictures(run, pictures))
    start.finish(summary, {"curvature": seconds})
    return summary


def _estimate(config: SpectraConfig) -> Estimate:
    """Estimate the cost of a run by timing a few products; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_spectra(complete(config))
    measurement = make_measurement(recipe, config.plan)
    measurement.check()
    examples, places = len(recipe.samples[0]), len(recipe.networks) or len(recipe.snapshots)
    what = "snapshots" if recipe.snapshots else f"network{'s' * (places > 1)}"
    return Estimate(
        work={
            "curvature": f"{places} {what} of {recipe.space.size:,} parameters x {examples:,} examples, about "
            f"{_count_products(measurement):,} products"
        },
        forecast=Forecast(list(_phases(measurement, pictures=True))),
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, recipe.base.device),
        disk_bytes=recipe.disk + 500_000,
    )


run_curvature = Job(SpectraConfig, _carry_out, _estimate, reread=_reread)
"""The job of ``lossatlas curvature``."""


def _measure(run: RunDirectory, measurement: Measurement, how: Handling) -> None:
    """Measure what is left, and store it piece by piece.

    Raises:
        Interrupted: the job is asked to stop.
    """
    total = len(measurement.pieces)
    how.tell("curvature", len(measurement.measured) / total)
    for _ in measurement.measure():
        if isinstance(measurement, TrajectoryMeasurement):
            write_checkpoint(run, measurement, 0)  # first: it serves the snapshot before as well
        run.write_bytes(CURVATURE, encode_netcdf(measurement.data))
        how.tell("curvature", len(measurement.measured) / total)


def _name_run(config: SpectraConfig) -> str:
    """The title of the pictures."""
    return f"{config.model} on {config.data}"


def _write_chart(run: RunDirectory, place: int, which: str, chart: Slice) -> None:
    """Write a slice along eigenvectors of a network, by its number."""
    folders = ([f"network_{place + 1}"] if place else []) + ([which] if which != LEADING else [])
    run.write_bytes("/".join([*folders, CHART]), encode_chart(chart))


def _phases(measurement: Measurement, pictures: bool) -> Iterator[Phase]:
    """Yield the phases that are still to come, measured on a few products."""
    recipe = measurement.recipe
    sample = recipe.samples[0]
    some = sample.subset(min(recipe.config.eval_batch_size, len(sample)), make_generator(0, "foretold"))
    products = _count_products(measurement)
    rate = sample_steps(measurement.time_product(some), products)
    share = 1 - len(measurement.measured) / len(measurement.pieces)
    places = len(recipe.networks) or len(recipe.snapshots)
    seconds = products * rate.seconds * len(sample) / len(some) + places * BUILDING
    yield Phase("curvature", share * seconds, max(UNCERTAIN, rate.factor))
    if pictures:
        yield PICTURES


def _count_products(measurement: Measurement) -> int:
    """Estimate the number of products of a whole measurement."""
    recipe, config = measurement.recipe, measurement.recipe.config
    most, samples = config.curvature_products, len(recipe.samples)  # those of all starts together are bounded
    starts = 2 if config.second_start else 1
    if recipe.snapshots:
        return min(starts * ENDS, most) + (len(recipe.snapshots) - 1) * min(starts * WARM, most)
    density = config.probes * recipe.steps
    spectrum = min((2 if max(config.top, config.bottom) > 1 else starts) * ENDS, most) + TRACE
    whole = len(recipe.operators) * (samples * spectrum + density)
    layers = len(recipe.layers) * (min(starts * ENDS, most) + TRACE + density)
    further = sum(isinstance(metric, OperatorMetric) for metric in recipe.metrics.values()) * samples
    return len(recipe.networks) * (whole + layers + further * METRIC)
