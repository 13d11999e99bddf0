"""Per-example losses: what the height of a landscape is."""

from lossatlas.losses.loss import LOSSES, Loss, PerExample

__all__ = ["LOSSES", "Loss", "PerExample"]
