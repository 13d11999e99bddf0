"""Recipes: configurations that say everything about a run, and the objects that they stand for.

Importing this package imports no torch, so that help and configuration files stay quick.
"""

from lossatlas.recipes.base import Config, ProblemConfig, list_differences
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.fit_config import PRESETS, FitConfig
from lossatlas.recipes.options import complete, find_options
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.recipes.train_config import TrainConfig

__all__ = [
    "PRESETS",
    "CompareConfig",
    "Config",
    "ConnectConfig",
    "FitConfig",
    "ProblemConfig",
    "SurveyConfig",
    "TrainConfig",
    "complete",
    "find_options",
    "list_differences",
]
