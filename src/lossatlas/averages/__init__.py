"""Averages of weight vectors: their moments, exponential averages, and the files of both."""

from lossatlas.averages.exponential import ExponentialAverage
from lossatlas.averages.files import Averages, encode_averages, read_averages
from lossatlas.averages.moments import KEPT, RUNNING, Moments

__all__ = [
    "KEPT",
    "RUNNING",
    "Averages",
    "ExponentialAverage",
    "Moments",
    "encode_averages",
    "read_averages",
]
