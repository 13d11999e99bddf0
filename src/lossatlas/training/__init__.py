"""Training minima on purpose, and keeping their trajectories."""

from lossatlas.training.optimizers import OPTIMIZERS, OptimizerChoice, parse_optimizer
from lossatlas.training.thinning import Thinning, parse_thinning
from lossatlas.training.training import Switch, Training, parse_switch
from lossatlas.training.trajectory import Snapshot, Trajectory

__all__ = [
    "OPTIMIZERS",
    "OptimizerChoice",
    "Snapshot",
    "Switch",
    "Thinning",
    "Training",
    "Trajectory",
    "parse_optimizer",
    "parse_switch",
    "parse_thinning",
]
