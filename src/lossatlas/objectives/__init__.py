"""Objectives: which points of a chart a step of a fit samples, and which function of their losses is minimised."""

from lossatlas.objectives.along.arclength import ArcLength
from lossatlas.objectives.along.max import Maximum
from lossatlas.objectives.along.uniform import Uniform
from lossatlas.objectives.clips import CLIPS, Clip, ClipLogarithm, ClipPerCell, ClipPerExample
from lossatlas.objectives.coarse_to_fine import CoarseToFine, Stage
from lossatlas.objectives.colours import ColourLevels
from lossatlas.objectives.decorrelated import Decorrelated
from lossatlas.objectives.in_simplex import InSimplex
from lossatlas.objectives.isometric import Isometric
from lossatlas.objectives.levels import Levels
from lossatlas.objectives.objective import Objective, SampledPoints
from lossatlas.objectives.on_curve import CURVE_OBJECTIVES, OnCurve
from lossatlas.objectives.pattern import Pattern
from lossatlas.objectives.scoring import Scoring

__all__ = [
    "CLIPS",
    "CURVE_OBJECTIVES",
    "ArcLength",
    "Clip",
    "ClipLogarithm",
    "ClipPerCell",
    "ClipPerExample",
    "CoarseToFine",
    "ColourLevels",
    "Decorrelated",
    "InSimplex",
    "Isometric",
    "Levels",
    "Maximum",
    "Objective",
    "OnCurve",
    "Pattern",
    "SampledPoints",
    "Scoring",
    "Stage",
    "Uniform",
]
