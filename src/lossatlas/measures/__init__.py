"""Measures: numbers that describe a surveyed curve or surface. Never imports torch.

Each measure is one module of ``lossatlas.measures.kinds``. All numbers refer to the values on the grid and their linear
interpolation. A number that depends on a value that is not finite, or on a point beyond the grid, is None.
"""

from lossatlas.measures.measure import MEASURES, Measure, Value
from lossatlas.measures.merge_tree import MergeTree, Minimum, Pass, merge_tree
from lossatlas.measures.surface import Surface
from lossatlas.measures.surveys import measure_survey, take_surfaces

__all__ = [
    "MEASURES",
    "Measure",
    "MergeTree",
    "Minimum",
    "Pass",
    "Surface",
    "Value",
    "measure_survey",
    "merge_tree",
    "take_surfaces",
]
