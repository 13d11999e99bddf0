"""Per-example losses: what the height of a landscape is.

They have a package of their own below ``problem``: a loss knows what outputs and labels fit it, and a new one is one
file.
"""

from lossatlas.losses.judging import judged
from lossatlas.losses.labelled import Labelled
from lossatlas.losses.loss import AUTO, LOSSES, BatchMean, Loss, PerExample, load_loss, loss_options
from lossatlas.losses.network_loss import NetworkLoss
from lossatlas.losses.terms import told_apart
from lossatlas.losses.weighing import check_total, checked_total, shares_of, weights_of

__all__ = [
    "AUTO",
    "LOSSES",
    "BatchMean",
    "Labelled",
    "Loss",
    "NetworkLoss",
    "PerExample",
    "check_total",
    "checked_total",
    "judged",
    "load_loss",
    "loss_options",
    "shares_of",
    "told_apart",
    "weights_of",
]
