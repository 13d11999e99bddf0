"""Per-example losses: what the height of a landscape is."""

from lossatlas.losses.loss import LOSSES, BatchMean, Loss, PerExample, load_loss

__all__ = ["LOSSES", "BatchMean", "Loss", "PerExample", "load_loss"]
