"""Charts: maps from a few coordinates to weight space."""

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.chart import CHARTS, Chart, CoefficientChart
from lossatlas.charts.files import chart_bytes, load_chart
from lossatlas.charts.kinds.corners import Corners
from lossatlas.charts.kinds.plane import Plane
from lossatlas.charts.kinds.simplex import Simplex
from lossatlas.charts.kinds.slice import Slice

__all__ = [
    "CHARTS",
    "AffineChart",
    "Chart",
    "CoefficientChart",
    "Corners",
    "Plane",
    "Simplex",
    "Slice",
    "chart_bytes",
    "load_chart",
]
