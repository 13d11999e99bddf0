"""Recipes: configurations that determine a run completely, and the objects that are built from them.

Importing this package does not import torch, so that help and configuration files stay fast.
"""

from lossatlas.recipes.base import Config, ProblemConfig, list_differences
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.fit_config import PRESETS, FitConfig
from lossatlas.recipes.options import complete, find_options
from lossatlas.recipes.spectra_config import SpectraConfig
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.recipes.train_config import TrainConfig

__all__ = [
    "PRESETS",
    "CompareConfig",
    "Config",
    "ConnectConfig",
    "EnsembleConfig",
    "FitConfig",
    "ProblemConfig",
    "SpectraConfig",
    "SurveyConfig",
    "TrainConfig",
    "complete",
    "find_options",
    "list_differences",
]
