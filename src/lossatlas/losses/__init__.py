"""Per-example losses: what the height of a landscape is.

They have a package of their own below ``problem``: a loss knows what outputs and labels fit it, and a new one is one
file.
"""

from lossatlas.losses.judging import judge
from lossatlas.losses.labelled import Labelled
from lossatlas.losses.loss import AUTO, LOSSES, BatchMean, Loss, PerExample, find_loss_options, load_loss
from lossatlas.losses.network_loss import NetworkLoss
from lossatlas.losses.terms import split_terms
from lossatlas.losses.weighing import check_total, share_examples, total_weights, weigh_examples

__all__ = [
    "AUTO",
    "LOSSES",
    "BatchMean",
    "Labelled",
    "Loss",
    "NetworkLoss",
    "PerExample",
    "check_total",
    "find_loss_options",
    "judge",
    "load_loss",
    "share_examples",
    "split_terms",
    "total_weights",
    "weigh_examples",
]
