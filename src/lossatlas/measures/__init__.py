"""Measures: numbers that describe a surveyed curve or surface. Never imports torch.

Each measure is one module of ``lossatlas.measures.kinds``. All numbers are of the values on the grid and, between
them, of their linear interpolation. A number that would need a value that is not finite, or a place beyond the grid,
is None: nothing is guessed.
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
