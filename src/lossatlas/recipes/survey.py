"""The recipe of a survey: from its configuration to its objects, with all checks before any computation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossatlas.charts import Chart, RepeatedSlice
from lossatlas.engine.usual import choose_buffers
from lossatlas.errors import BadInput
from lossatlas.metrics import count_numbers
from lossatlas.recipes.base import AUTO, require
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.recipes.metrics import make_metrics
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import ProblemRecipe, build_problem, hash_network
from lossatlas.recipes.room import Extent
from lossatlas.recipes.site import SITES, SurveySite
from lossatlas.recipes.slicing import has_derived_directions, use_one_thread
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.rundir import CHART
from lossatlas.schema import REPEAT, SAMPLE, SAMPLE_DIMENSIONS
from lossatlas.surveying import Refinement
from lossatlas.surveying.survey import make_refinement

__all__ = ["SurveyRecipe", "build_survey"]


@dataclass(frozen=True, kw_only=True)
class SurveyRecipe(ChartRecipe[SurveyConfig]):
    """The objects of a survey, on its device, with the network at the centre in the module."""

    site: SurveySite
    grid: dict[str, npt.NDArray[np.float64]]
    refinement: Refinement | None
    extent: Extent

    def fingerprints(self) -> dict[str, str]:
        centre = hash_network(self.problem.module)
        return {**super().fingerprints(), "centre": centre, **self.site.fingerprints}


def build_survey(config: SurveyConfig, base: ProblemRecipe | None = None, run: Path | None = None) -> SurveyRecipe:
    """Build the recipe of a survey from its configuration.

    Args:
        config: the configuration of the survey.
        base: the recipe of its problem, if that was built before.
        run: the run directory if the survey is resumed. Directions that take long to compute are those of its chart.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    site_name = next((name for name in SITES if getattr(config, name)), None)
    if site_name is None:
        raise BadInput(
            "the survey lacks a network; name its weights with --checkpoint, its trajectory with --trajectory, several "
            "networks with --between, a run with --run, or a training whose weights vary with --posterior"
        )
    base = base if base is not None else build_problem(config, config.splits)
    metrics = make_metrics(base.problem.loss, config)
    with use_one_thread():
        site = SITES[site_name](_read_held(config, run)).build(config, base)
    extent = _extent(config, site, count_numbers(metrics, sampled=config.examples != "all"))
    grid = _grid(config, site)
    said = config.buffers if config.buffers != AUTO else site.buffers
    policy = said or choose_buffers(site.chart, base.problem.module)
    return SurveyRecipe(
        config=config,
        base=base,
        surveyed=base.take_examples(config.examples, config.splits),
        metrics=metrics,
        survey_buffers=base.make_buffers(policy, config),
        chart=site.chart.to(base.device),
        site=site,
        notes=site.notes,
        grid=grid,
        refinement=make_refinement(grid, config.tolerance, config.budget),
        extent=extent,
    )


def _read_held(config: SurveyConfig, run: Path | None) -> Chart | None:
    """Read the chart of a run whose directions are computed from derivatives; None where there is none to read.

    Derivatives that are computed again may differ in the last bits, with the memory that is free, and a survey of
    another chart is not the same one.
    """
    if run is None or not has_derived_directions(config) or not (run / CHART).is_file():
        return None
    with suppress(BadInput):  # it is damaged, and written again
        return OpenedRun(run).chart
    return None


def _extent(config: SurveyConfig, site: SurveySite, numbers: int) -> Extent:
    """Compute the extent of a survey.

    Raises:
        BadInput: the points do not fit the memory or take too long.
    """
    axes = _axes(site)
    counts = [len(coords) for coords in config.coordinates] or [*require(config.grid)]
    counts = counts * len(axes) if len(counts) == 1 else counts
    if REPEAT in site.chart.axes:
        counts.append(require(config.repeats))
    if SAMPLE in site.chart.axes:
        counts.append(config.samples)
    extent = Extent(prod(counts), len(config.splits), numbers, config.tile_points)
    extent.check(
        "samples" if config.posterior else "at" if config.at else "grid", " x ".join(f"{count:,}" for count in counts)
    )
    return extent


def _axes(site: SurveySite) -> list[str]:
    """Return the axes of the chart that have coordinates."""
    return [axis for axis in site.chart.axes if axis not in SAMPLE_DIMENSIONS]


def _grid(config: SurveyConfig, site: SurveySite) -> dict[str, npt.NDArray[np.float64]]:
    axes = _axes(site)
    if config.at:
        given_at = config.coordinates * len(axes) if len(config.at) == 1 else config.coordinates
        if len(given_at) != len(axes):
            raise _unequal("at", "lists of coordinates", len(given_at), axes)
        grid = {axis: np.array(at) for axis, at in zip(axes, given_at, strict=True)}
    else:
        grid_points, ends = require(config.grid), config.range or ()
        counts = grid_points * len(axes) if len(grid_points) == 1 else grid_points
        given = list(zip(ends[::2], ends[1::2], strict=True))
        boxes = [site.boxes[axis] for axis in axes] if not given else given * len(axes) if len(given) == 1 else given
        if len(counts) != len(axes):
            raise _unequal("grid", "numbers of points", len(counts), axes)
        if len(boxes) != len(axes):
            raise _unequal("range", "pairs of numbers", len(boxes), axes)
        grid = {axis: np.linspace(*box, count) for axis, box, count in zip(axes, boxes, counts, strict=True)}
        for (axis, coords), box in zip(grid.items(), boxes, strict=True):
            if not (np.diff(coords) > 0).all():
                raise BadInput(
                    f"range is {box[0]:.17g} to {box[1]:.17g} along {axis}, too short for {len(coords)} different "
                    "points; choose a longer one, or fewer points"
                )
    if REPEAT in site.chart.axes:
        grid[REPEAT] = np.arange(site.chart.repeats if isinstance(site.chart, RepeatedSlice) else 1, dtype=np.float64)
    if SAMPLE in site.chart.axes:
        grid[SAMPLE] = np.arange(config.samples, dtype=np.float64)
    return grid


def _unequal(option: str, what: str, count: int, axes: list[str]) -> BadInput:
    return BadInput(f"{option} gives {count} {what}; expected one for all axes or one for each of {', '.join(axes)}")
