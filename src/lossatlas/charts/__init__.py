"""Charts: maps from a few coordinates to weight space."""

from lossatlas.charts.chart import AXES, Chart, CoefficientChart
from lossatlas.charts.plane import Plane

__all__ = ["AXES", "Chart", "CoefficientChart", "Plane"]
