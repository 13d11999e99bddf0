"""Maps of the loss landscapes of neural networks.

Public names are resolved when they are first used, so that importing the package imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossatlas.charts import Chart, CoefficientChart, Plane, load_chart
    from lossatlas.data import Dataset, Split, load_data
    from lossatlas.engine import BuffersPolicy, Engine, Functional, Plan, StreamingMetric
    from lossatlas.engine.buffers.batch import BatchStatistics
    from lossatlas.engine.buffers.frozen import FrozenStatistics
    from lossatlas.engine.setup import engine_for
    from lossatlas.errors import BadInput, CannotFinish, Interrupted, LossatlasError
    from lossatlas.fitting import Adam, Fit, FitResult, Seconds, Steps, fit
    from lossatlas.losses import Loss, PerExample
    from lossatlas.losses.kinds.cross_entropy import CrossEntropy
    from lossatlas.losses.kinds.squared_error import SquaredError
    from lossatlas.models.families.conv import Conv
    from lossatlas.models.families.mlp import MLP
    from lossatlas.objectives import ClipPerCell, ClipPerExample, CoarseToFine, Draw, Objective, Pattern, Stage
    from lossatlas.pictures import Picture, picture, score_accuracy, score_loss
    from lossatlas.problem import Dict, Feed, Pair, Problem
    from lossatlas.surveying import grid_of, survey
    from lossatlas.views import view, write_report
    from lossatlas.weights import Initialiser, WeightSpace
    from lossatlas.weights.initialisers.module import ModuleDefault
    from lossatlas.weights.initialisers.xavier import Xavier

_HOMES = {
    "charts": ("Chart", "CoefficientChart", "Plane", "load_chart"),
    "data": ("Dataset", "Split", "load_data"),
    "engine": ("BuffersPolicy", "Engine", "Functional", "Plan", "StreamingMetric"),
    "engine.buffers.batch": ("BatchStatistics",),
    "engine.buffers.frozen": ("FrozenStatistics",),
    "engine.setup": ("engine_for",),
    "errors": ("BadInput", "CannotFinish", "Interrupted", "LossatlasError"),
    "fitting": ("Adam", "Fit", "FitResult", "Seconds", "Steps", "fit"),
    "losses": ("Loss", "PerExample"),
    "losses.kinds.cross_entropy": ("CrossEntropy",),
    "losses.kinds.squared_error": ("SquaredError",),
    "models.families.conv": ("Conv",),
    "models.families.mlp": ("MLP",),
    "objectives": ("ClipPerCell", "ClipPerExample", "CoarseToFine", "Draw", "Objective", "Pattern", "Stage"),
    "pictures": ("Picture", "picture", "score_accuracy", "score_loss"),
    "problem": ("Dict", "Feed", "Pair", "Problem"),
    "surveying": ("grid_of", "survey"),
    "views": ("view", "write_report"),
    "weights": ("Initialiser", "WeightSpace"),
    "weights.initialisers.module": ("ModuleDefault",),
    "weights.initialisers.xavier": ("Xavier",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lossatlas' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lossatlas.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
