"""Per-example losses: the height of a loss landscape.

A loss knows which outputs and targets fit it. A new loss is one new file in ``kinds``.
"""

from lossatlas.losses.groups import GroupLosses, check_grouping, find_group_losses, has_groups
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
    "GroupLosses",
    "Labelled",
    "Loss",
    "NetworkLoss",
    "PerExample",
    "check_grouping",
    "check_total",
    "find_group_losses",
    "find_loss_options",
    "has_groups",
    "judge",
    "load_loss",
    "share_examples",
    "split_terms",
    "total_weights",
    "weigh_examples",
]
