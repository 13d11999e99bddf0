"""Ensembles: members anywhere on charts, their predictions, and how good the average of these is."""

from lossatlas.ensembles.calibration import fit_temperature
from lossatlas.ensembles.members import Cost, Effort, Listed, Members
from lossatlas.ensembles.predictions import Predictions, Rows
from lossatlas.ensembles.scores import SCORES
from lossatlas.ensembles.scoring import score_ensemble
from lossatlas.ensembles.settings import ScoringSettings
from lossatlas.paired import ScoreDifference, check_comparable, compare_ensembles

__all__ = [
    "SCORES",
    "Cost",
    "Effort",
    "Listed",
    "Members",
    "Predictions",
    "Rows",
    "ScoreDifference",
    "ScoringSettings",
    "check_comparable",
    "compare_ensembles",
    "fit_temperature",
    "score_ensemble",
]
