"""What is looked at once a curve is there: paths, the plane of the curve, ensembles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from lossatlas import schema
from lossatlas.charts import CoefficientChart
from lossatlas.charts.lengths import length, lengths_until
from lossatlas.data import Split
from lossatlas.engine import Engine
from lossatlas.errors import BadInput
from lossatlas.jobs.job import Handling
from lossatlas.recipes import ConnectConfig
from lossatlas.recipes.connect import ConnectRecipe
from lossatlas.rundir import PLANE, RADIAL, STRAIGHT, SURVEY, RunDirectory
from lossatlas.schema import CURVE, Along, Corner
from lossatlas.streams import generator
from lossatlas.surveying import Surveyor, SurveyStore
from lossatlas.surveying.arrays import Grid
from lossatlas.surveying.best_plane import CurveInPlane, plane_of
from lossatlas.surveying.ensembles import MEMBERS, METRICS, ensembles_along
from lossatlas.surveying.path_points import PathPoints, distances, norms, points_of
from lossatlas.surveying.store import stored_survey

__all__ = ["ENSEMBLE_PATHS", "STORES", "CurveEvaluation"]

SMOOTH = 201
"""Points that a curve is drawn with, and its distances are taken at."""
MARGIN = 0.2
"""How far the plane's picture reaches beyond the curve, in shares of its extent."""
RADII = 1001
"""Points of the radial path that distances from it are taken at."""
STORES = {"straight": STRAIGHT, "radial": RADIAL}
"""Where other paths between the same networks are surveyed."""
ENSEMBLE_PATHS = ("curve", "straight", "random")
"""What ensembles of the ends and a point are evaluated on: two paths, and a random step away."""


@dataclass
class CurveEvaluation:
    """The parts of an evaluation, each kept once it is done, and not done again when a run is resumed.

    Attributes:
        run: that it belongs to.
        recipe: whose curve is trained.
        config: what is looked at.
        engine: that evaluates.
        how: it is carried out.
    """

    run: RunDirectory
    recipe: ConnectRecipe
    config: ConnectConfig
    engine: Engine
    how: Handling

    def __post_init__(self) -> None:
        self.survey = self._store(SURVEY, self.recipe.curve)
        self.geometry: dict[str, Any] = {
            "length": length(self.recipe.curve),
            "straight_length": length(self.recipe.straight),
        }
        """Numbers of the curve that need no network."""

    def paths(self) -> None:
        """The curve and the other paths at the same t, their norms, and the curve's distances."""
        recipe = self.recipe
        self._fill(self.survey, recipe.curve, "survey")
        others: dict[str, CoefficientChart] = {"straight": recipe.straight}
        if recipe.radial is not None:
            others["radial"] = recipe.radial
        for name, chart in others.items():
            self._beside(name, chart)
            self._put(Along.norm_on(name), norms(self._at(chart)), f"norm of the weights on the {name} path")
        self._put(Along.T, recipe.t, "t")
        self._put(Along.LENGTH, lengths_until(recipe.curve, recipe.t), "length from t = 0")
        curve = self._at(recipe.curve)
        self._put(Along.NORM, norms(curve), "norm of the weights")
        if recipe.radial is not None:
            radii = torch.linspace(0, 1, RADII, dtype=torch.float64)
            nearest = distances(curve, points_of(recipe.radial, radii[:, None]))
            self._put(Along.RADIAL_DISTANCE, nearest, "distance from the radial path")
        names, place = list(recipe.names), Corner.coordinate(CURVE)
        if recipe.moved:
            names = [f"from {name}" for name in names]
            self.geometry["ends_moved"] = (recipe.ends.detach() - recipe.networks).norm(dim=1).tolist()
        told = {"long_name": "t", "names": names}
        self.survey.put_beside(place, (Corner.DIMENSION,), np.linspace(0, 1, len(names)), told)

    def plane(self) -> None:
        """The surface of the plane of the curve, with the curve on it."""
        if not self.config.plane:
            return
        smooth = torch.linspace(0, 1, SMOOTH, dtype=torch.float64)[:, None]
        try:
            plane = plane_of(self.recipe.curve, self.recipe.networks, smooth)
        except BadInput as error:
            self.how.reporter.say(f"no plane: {error}")
            return
        grid = plane.grid(self.config.plane, MARGIN)
        with self._store(PLANE, plane.chart, grid, plane.labels) as store:
            self._fill(store, plane.chart, "survey of the plane", self.recipe.in_plane)
            _put_curve(store, plane, self.recipe.names)
        self.geometry |= {
            "curve_to_plane_max": float(plane.distances.max()),
            "curve_to_plane_rms": float(plane.distances.square().mean().sqrt()),
            "networks_to_plane_max": float(plane.network_distances.max()),
        }

    def plane_survey(self) -> xr.Dataset | None:
        """The surface of the plane, if there is one."""
        path = self.run.path / PLANE
        return stored_survey(path) if path.is_dir() else None

    def ensembles(self) -> None:
        """Two and three members against t: on the curve, on the straight line, a random step away."""
        recipe = self.recipe
        if not self.config.ensembles or not recipe.problem.loss.classifies:
            return
        straight, curve = self._at(recipe.straight), self._at(recipe.curve)
        ends = points_of(recipe.straight, torch.tensor([[0.0], [1.0]]))
        paths = dict(zip(ENSEMBLE_PATHS, (curve, straight, self._random_steps(curve)), strict=True))
        for split, examples in recipe.surveyed.items():
            for path, points in paths.items():
                places = {metric: Along.ensemble(path, split, metric) for metric in METRICS}
                if not self.survey.lacks(*places.values()):
                    continue
                phase = f"ensembles, {split}, {path}"
                found = ensembles_along(
                    self.engine, ends, points, recipe.problem.loss, examples, self.config.eval_batch_size,
                    lambda share, phase=phase: self.how.tell(phase, share),  # type: ignore[misc]
                )  # fmt: skip
                for metric, values in found.items():
                    told = {
                        "long_name": f"{split} {metric} of averaged predictions on the {path} path",
                        "units": recipe.problem.loss.units if metric == "loss" else "1",
                        "names": list(MEMBERS),
                    }
                    self.survey.put_beside(places[metric], (Along.PAIR, Along.DIMENSION), values.numpy(), told)

    def _random_steps(self, curve: PathPoints) -> PathPoints:
        """Steps from the first network in one random direction, as long as those to the curve's points."""
        first = self.recipe.networks[:1]
        aside = torch.randn(first.shape[1], generator=generator(self.config.seed, "random step")).to(first)
        steps = distances(curve, PathPoints(torch.ones(1, 1).to(first), first))
        away = torch.stack([torch.ones_like(steps), steps], dim=1).to(first)
        return PathPoints(away, torch.cat([first, (aside / aside.norm())[None]]))

    def _at(self, chart: CoefficientChart) -> PathPoints:
        return points_of(chart, self.recipe.t[:, None])

    def _beside(self, name: str, chart: CoefficientChart) -> None:
        """Survey another path, and put what is found there beside the curve's."""
        with self._store(STORES[name], chart) as store:
            self._fill(store, chart, f"survey of the {name} path")
            found = store.open().load()
        for key, variable in found.data_vars.items():
            told = dict(variable.attrs)
            measured = {"split", "metric"} <= told.keys()
            if measured and key == schema.split_variable(told["split"], told["metric"]):  # and no standard error
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
        """The store of a chart; on the points of the curve where no grid is given."""
        grid = grid if grid is not None else {CURVE: self.recipe.t.numpy()}
        attributes = {"chart": chart.fingerprint()}
        recorded = {schema.GEOMETRY: chart.geometry().record()}
        return SurveyStore(self.run.path / name, grid, attributes, labels, recorded, say=self.how.reporter.say)

    def _fill(
        self, store: SurveyStore, chart: CoefficientChart, phase: str, splits: dict[str, Split] | None = None
    ) -> None:
        recipe = self.recipe
        surveyor = Surveyor(self.engine, chart, splits or recipe.surveyed, recipe.metrics, self.config.eval_batch_size)
        self.how.fill(surveyor, store, phase)

    def _put(self, name: str, values: Any, long_name: str, units: str = "1", further: Sequence[Hashable] = ()) -> None:
        array = np.asarray(values, dtype=np.float64)
        told = {"long_name": long_name, "units": units}
        self.survey.put_beside(name, (Along.DIMENSION, *map(str, further)), array, told)


def _put_curve(store: SurveyStore, plane: CurveInPlane, names: Sequence[str]) -> None:
    """The curve and the networks in the coordinates of its plane, and how far they are from it."""
    for k, axis in enumerate(plane.chart.axes):
        place, told = Corner.coordinate(axis), {"long_name": axis, "names": list(names)}
        store.put_beside(place, (Corner.DIMENSION,), plane.networks[:, k].numpy(), told)
        own = {"long_name": f"curve along {axis}"}
        store.put_beside(Along.coordinate(axis), (Along.DIMENSION,), plane.coords[:, k].numpy(), own)
    told = {"long_name": "distance of the curve from the plane", "networks": plane.network_distances.tolist()}
    store.put_beside(Along.PLANE_DISTANCE, (Along.DIMENSION,), plane.distances.numpy(), told)
