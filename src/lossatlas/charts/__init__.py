"""Charts: maps from a few coordinates to weight space."""

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.between import Between
from lossatlas.charts.chart import CHARTS, Chart, CoefficientChart
from lossatlas.charts.files import chart_bytes, load_chart
from lossatlas.charts.kinds.corners import Corners
from lossatlas.charts.kinds.draws import Draws
from lossatlas.charts.kinds.plane import Plane
from lossatlas.charts.kinds.quadrilateral import Quadrilateral
from lossatlas.charts.kinds.simplex import Simplex
from lossatlas.charts.kinds.slice import Slice
from lossatlas.charts.kinds.through import Through

__all__ = [
    "CHARTS",
    "AffineChart",
    "Between",
    "Chart",
    "CoefficientChart",
    "Corners",
    "Draws",
    "Plane",
    "Quadrilateral",
    "Simplex",
    "Slice",
    "Through",
    "chart_bytes",
    "load_chart",
]
