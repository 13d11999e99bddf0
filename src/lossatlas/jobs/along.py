"""The evaluation of a trained curve: paths, the plane of the curve, ensembles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lossatlas import schema
from lossatlas.charts import CoefficientChart
from lossatlas.charts.lengths import measure_length, measure_lengths_until
from lossatlas.data import Split
from lossatlas.engine import Engine
from lossatlas.errors import BadInput
from lossatlas.jobs.connect_summary import summarise_curve
from lossatlas.jobs.job import Handling
from lossatlas.recipes.connect import ConnectRecipe
from lossatlas.rundir import PLANE, RADIAL, STRAIGHT, SURVEY
from lossatlas.schema import CURVE, Along, Corner
from lossatlas.streams import make_generator
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.arrays import Grid
from lossatlas.surveying.best_plane import CurveInPlane, find_plane
from lossatlas.surveying.ensembles import MEMBERS, METRICS, evaluate_ensembles
from lossatlas.surveying.path_points import PathPoints, locate_points, measure_distances, measure_norms

__all__ = ["ENSEMBLE_PATHS", "STORES", "CurveEvaluation"]

SMOOTH = 201
"""The number of points with which a curve is drawn and its distances are measured."""
MARGIN = 0.2
"""The margin of the plane's picture around the curve, as a share of its extent."""
RADII = 1001
"""The number of points of the radial path from which distances are measured."""
STORES = {"straight": STRAIGHT, "radial": RADIAL}
"""The stores of the surveys of other paths between the same networks."""
ENSEMBLE_PATHS = ("curve", "straight", "random")
"""The paths on which ensembles of the ends and a point are evaluated; ``random`` is a random step from the first
end."""


@dataclass
class CurveEvaluation:
    """The evaluation of a curve in parts, each stored when it is finished and not repeated when a run is resumed.

    Attributes:
        folder: The folder of the surveys; None keeps them in memory.
        recipe: The recipe of the curve, which is trained.
        engine: The engine that evaluates the networks.
        how: The handling of the job.
    """

    folder: Path | None
    recipe: ConnectRecipe
    engine: Engine
    how: Handling

    def __post_init__(self) -> None:
        self.store = self._store(SURVEY, self.recipe.chart)
        self.geometry: dict[str, Any] = {
            "length": measure_length(self.recipe.chart),
            "straight_length": measure_length(self.recipe.straight),
        }
        """Numbers of the curve that do not depend on the loss, such as lengths."""
        self.plane_survey: xr.Dataset | None = None
        """The survey of the plane of the curve, once it is finished; None where there is none."""

    def carry_out(self) -> xr.Dataset:
        """Carry out all parts that are not finished; returns the survey of the curve with all quantities along it."""
        with self.store as store:
            self.paths()
            self.plane()
            self.ensembles()
            return store.open().load()

    def summarise(self, survey: xr.Dataset) -> dict[str, Any]:
        """Compute the numbers of the curve, as JSON values."""
        undefined = {"radial_undefined": self.recipe.no_radial} if self.recipe.no_radial else {}
        return {**summarise_curve(survey, self.geometry), **undefined, "parameters": self.recipe.space.size}

    def paths(self) -> None:
        """Survey the curve and the other paths at the same t, with their norms and the curve's distances."""
        recipe = self.recipe
        self._fill(self.store, recipe.chart, "survey")
        others: dict[str, CoefficientChart] = {"straight": recipe.straight}
        if recipe.radial is not None:
            others["radial"] = recipe.radial
        for name, chart in others.items():
            self._beside(name, chart)
            self._put(Along.norm_on(name), measure_norms(self._at(chart)), f"norm of the weights on the {name} path")
        self._put(Along.T, recipe.t, "t")
        self._put(Along.LENGTH, measure_lengths_until(recipe.chart, recipe.t), "length from t = 0")
        curve = self._at(recipe.chart)
        self._put(Along.NORM, measure_norms(curve), "norm of the weights")
        if recipe.radial is not None:
            radii = torch.linspace(0, 1, RADII, dtype=torch.float64)
            nearest = measure_distances(curve, locate_points(recipe.radial, radii[:, None]))
            self._put(Along.RADIAL_DISTANCE, nearest, "distance from the radial path")
        names, place = list(recipe.names), Corner.coordinate(CURVE)
        if recipe.moved:
            names = [f"from {name}" for name in names]
            self.geometry["ends_moved"] = (recipe.ends.detach() - recipe.networks).norm(dim=1).tolist()
        told = {"long_name": "t", "names": names}
        self.store.put_beside(place, (Corner.DIMENSION,), np.linspace(0, 1, len(names)), told)

    def plane(self) -> None:
        """Survey the plane of the curve, and put the curve into it."""
        points = self.recipe.config.plane
        if not points:
            return
        smooth = torch.linspace(0, 1, SMOOTH, dtype=torch.float64)[:, None]
        try:
            plane = find_plane(self.recipe.chart, self.recipe.networks, smooth)
        except BadInput as error:
            self.how.reporter.say(f"no plane: {error}")
            return
        grid = plane.make_grid(points, MARGIN)
        with self._store(PLANE, plane.chart, grid, plane.labels) as store:
            self._fill(store, plane.chart, "survey of the plane", self.recipe.in_plane)
            _put_curve(store, plane, self.recipe.names)
            self.plane_survey = store.open().load()
        self.geometry |= {
            "curve_to_plane_max": float(plane.distances.max()),
            "curve_to_plane_rms": float(plane.distances.square().mean().sqrt()),
            "networks_to_plane_max": float(plane.network_distances.max()),
        }

    def ensembles(self) -> None:
        """Evaluate ensembles of two and three members against t: on the curve, on the straight line, a random step
        away.
        """
        recipe = self.recipe
        if not recipe.config.ensembles or not recipe.problem.loss.classifies:
            return
        straight, curve = self._at(recipe.straight), self._at(recipe.chart)
        ends = locate_points(recipe.straight, torch.tensor([[0.0], [1.0]]))
        paths = dict(zip(ENSEMBLE_PATHS, (curve, straight, self._random_steps(curve)), strict=True))
        for split, examples in recipe.surveyed.items():
            for path, points in paths.items():
                places = {metric: Along.ensemble(path, split, metric) for metric in METRICS}
                if not self.store.lacks(*places.values()):
                    continue
                phase = f"ensembles, {split}, {path}"
                found = evaluate_ensembles(
                    self.engine, ends, points, recipe.problem.loss, examples, recipe.config.eval_batch_size,
                    lambda share, phase=phase: self.how.tell(phase, share),  # type: ignore[misc]
                )  # fmt: skip
                for metric, values in found.items():
                    told = {
                        "long_name": f"{split} {metric} of averaged predictions on the {path} path",
                        "units": recipe.problem.loss.units if metric == "loss" else "1",
                        "names": list(MEMBERS),
                    }
                    self.store.put_beside(places[metric], (Along.PAIR, Along.DIMENSION), values.numpy(), told)

    def _random_steps(self, curve: PathPoints) -> PathPoints:
        """Return points in one random direction from the first network, as far away as the points of the curve."""
        first = self.recipe.networks[:1]
        aside = torch.randn(first.shape[1], generator=make_generator(self.recipe.config.seed, "random step")).to(first)
        steps = measure_distances(curve, PathPoints(torch.ones(1, 1).to(first), first))
        away = torch.stack([torch.ones_like(steps), steps], dim=1).to(first)
        return PathPoints(away, torch.cat([first, (aside / aside.norm())[None]]))

    def _at(self, chart: CoefficientChart) -> PathPoints:
        return locate_points(chart, self.recipe.t[:, None])

    def _beside(self, name: str, chart: CoefficientChart) -> None:
        """Survey another path, and put its metrics beside those of the curve."""
        with self._store(STORES[name], chart) as store:
            self._fill(store, chart, f"survey of the {name} path")
            found = store.open().load()
        for key, variable in found.data_vars.items():
            told = dict(variable.attrs)
            if {"split", "metric"} <= told.keys() and not schema.find_companion(str(key), told):
                place = Along.of(name, told["split"], told["metric"])
                words = f"{told['long_name']} on the {name} path"
                self._put(place, variable.values, words, told["units"], variable.dims[1:])

    def _store(
        self,
        name: str,
        chart: CoefficientChart,
        grid: Grid | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> SurveyStore:
        """Open the store of a chart, by default on the points of the curve."""
        grid = grid if grid is not None else {CURVE: self.recipe.t.numpy()}
        folder = self.folder / name if self.folder is not None else None
        return SurveyStore.of_chart(folder, chart, grid, labels, say=self.how.reporter.say)

    def _fill(
        self, store: SurveyStore, chart: CoefficientChart, phase: str, splits: dict[str, Split] | None = None
    ) -> None:
        self.how.fill(self.recipe.build_surveyor(self.engine, chart, splits), store, phase)

    def _put(self, name: str, values: Any, long_name: str, units: str = "1", further: Sequence[Hashable] = ()) -> None:
        array = np.asarray(values, dtype=np.float64)
        told = {"long_name": long_name, "units": units}
        self.store.put_beside(name, (Along.DIMENSION, *map(str, further)), array, told)


def _put_curve(store: SurveyStore, plane: CurveInPlane, names: Sequence[str]) -> None:
    """Store the curve and the networks in the coordinates of its plane, and their distances from it."""
    for k, axis in enumerate(plane.chart.axes):
        place, told = Corner.coordinate(axis), {"long_name": axis, "names": list(names)}
        store.put_beside(place, (Corner.DIMENSION,), plane.networks[:, k].numpy(), told)
        own = {"long_name": f"curve along {axis}"}
        store.put_beside(Along.coordinate(axis), (Along.DIMENSION,), plane.coords[:, k].numpy(), own)
    told = {"long_name": "distance of the curve from the plane", "networks": plane.network_distances.tolist()}
    store.put_beside(Along.PLANE_DISTANCE, (Along.DIMENSION,), plane.distances.numpy(), told)
