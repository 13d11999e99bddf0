"""Objectives: which points are drawn at a step, and what is made of the losses there."""

from lossatlas.objectives.clip import CLIPS, Clip
from lossatlas.objectives.clips.cell import ClipPerCell
from lossatlas.objectives.clips.example import ClipPerExample
from lossatlas.objectives.coarse_to_fine import CoarseToFine, Stage
from lossatlas.objectives.levels import Levels
from lossatlas.objectives.objective import Draw, Objective
from lossatlas.objectives.pattern import Pattern

__all__ = [
    "CLIPS",
    "Clip",
    "ClipPerCell",
    "ClipPerExample",
    "CoarseToFine",
    "Draw",
    "Levels",
    "Objective",
    "Pattern",
    "Stage",
]
