"""Per-example losses: what the height of a landscape is."""

from lossatlas.losses.loss import LOSSES, BatchMean, Loss, PerExample, load_loss
from lossatlas.losses.network_loss import NetworkLoss

__all__ = ["LOSSES", "BatchMean", "Loss", "NetworkLoss", "PerExample", "load_loss"]
