"""Ensembles: members anywhere on charts, their predictions, and how good the average of these is."""

from lossatlas.ensembles.predictions import Predictions, Rows

__all__ = ["Predictions", "Rows"]
