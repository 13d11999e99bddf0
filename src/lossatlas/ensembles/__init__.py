"""Ensembles: members anywhere on charts, their predictions, and how good the average of these is."""

from lossatlas.ensembles.members import Cost, Effort, Members
from lossatlas.ensembles.predictions import Predictions, Rows

__all__ = ["Cost", "Effort", "Members", "Predictions", "Rows"]
