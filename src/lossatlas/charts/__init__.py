"""Charts: maps from a few coordinates to weight space."""

from lossatlas.charts.chart import CHARTS, Chart, CoefficientChart
from lossatlas.charts.files import chart_bytes, load_chart
from lossatlas.charts.kinds.plane import Plane

__all__ = ["CHARTS", "Chart", "CoefficientChart", "Plane", "chart_bytes", "load_chart"]
