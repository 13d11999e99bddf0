"""The measurement of curvature that a recipe asks for."""

from __future__ import annotations

from lossatlas.engine import Plan
from lossatlas.jobs.curvature_networks import NetworksMeasurement
from lossatlas.jobs.curvature_pieces import Keep, Measurement
from lossatlas.jobs.curvature_trajectory import TrajectoryMeasurement
from lossatlas.recipes.spectra import SpectraRecipe
from lossatlas.recipes.trained_with import describe_training

__all__ = ["make_measurement"]


def make_measurement(recipe: SpectraRecipe, plan: str | Plan, keep: Keep | None = None) -> Measurement:
    """Make the measurement of a recipe; arguments and errors are those of :class:`Measurement`."""
    if recipe.snapshots:
        found = TrajectoryMeasurement(recipe, plan, keep)
        found.data.attrs |= describe_training(recipe.config.trajectory)
        return found
    return NetworksMeasurement(recipe, plan, keep)
