"""Charts: maps from a few coordinates to weight space."""

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.between import Between
from lossatlas.charts.chart import CHARTS, Block, Chart, CoefficientChart, check_controls
from lossatlas.charts.choosing import choose_chart_between, find_chart_options, make_chart
from lossatlas.charts.control_net import ControlNet
from lossatlas.charts.curve import Curve
from lossatlas.charts.distortion import Distortion, measure_distortion
from lossatlas.charts.files import encode_chart, load_chart
from lossatlas.charts.homogeneity import find_radial_orders
from lossatlas.charts.kinds.bezier import Bezier
from lossatlas.charts.kinds.bezier_surface import BezierSurface
from lossatlas.charts.kinds.chain import Chain
from lossatlas.charts.kinds.corners import Corners
from lossatlas.charts.kinds.grown import Grown
from lossatlas.charts.kinds.plane import Plane
from lossatlas.charts.kinds.quadrilateral import Quadrilateral
from lossatlas.charts.kinds.radial import Radial
from lossatlas.charts.kinds.repeated_slice import RepeatedSlice
from lossatlas.charts.kinds.simplex import Simplex
from lossatlas.charts.kinds.slice import Slice
from lossatlas.charts.kinds.spline import Spline
from lossatlas.charts.kinds.swag import Swag
from lossatlas.charts.kinds.through import Through
from lossatlas.charts.startable import ChartStart, Startable
from lossatlas.charts.trying import check_coefficients

__all__ = [
    "CHARTS",
    "AffineChart",
    "Between",
    "Bezier",
    "BezierSurface",
    "Block",
    "Chain",
    "Chart",
    "ChartStart",
    "CoefficientChart",
    "ControlNet",
    "Corners",
    "Curve",
    "Distortion",
    "Grown",
    "Plane",
    "Quadrilateral",
    "Radial",
    "RepeatedSlice",
    "Simplex",
    "Slice",
    "Spline",
    "Startable",
    "Swag",
    "Through",
    "check_coefficients",
    "check_controls",
    "choose_chart_between",
    "encode_chart",
    "find_chart_options",
    "find_radial_orders",
    "load_chart",
    "make_chart",
    "measure_distortion",
]
