"""Training of networks, and recording of their trajectories."""

from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.averaging import Averaging, parse_averaging
from lossatlas.training.optimizers import OPTIMIZERS, OptimizerChoice, parse_optimizer
from lossatlas.training.thinning import Thinning, parse_thinning
from lossatlas.training.train import TrainResult, check_averaging, record_start, record_step, train
from lossatlas.training.training import Switch, Training, parse_switch
from lossatlas.training.trajectory import HeldTrajectory, Snapshot, Trajectory

__all__ = [
    "OPTIMIZERS",
    "AverageRecorder",
    "Averaging",
    "HeldTrajectory",
    "OptimizerChoice",
    "Snapshot",
    "Switch",
    "Thinning",
    "TrainResult",
    "Training",
    "Trajectory",
    "check_averaging",
    "parse_averaging",
    "parse_optimizer",
    "parse_switch",
    "parse_thinning",
    "record_start",
    "record_step",
    "train",
]
