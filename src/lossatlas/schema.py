"""What a survey on disk looks like: names, units and attributes of its variables. Imports no torch.

A survey is an :class:`xarray.Dataset` in the zarr v3 format with one dimension per axis of the chart (``u``,
``v``, ``w`` for affine charts) and one variable ``<split>_<metric>`` per split and metric. Beside the values of
each group of metrics stands a boolean ``<split>_<group>_done`` of the same shape, chunked like the tiles and
written after them. ``target`` is the picture that was asked for, on the survey's grid: +1 low, -1 high, 0 ignored
or padding; of a grey picture ``target_loss``, the loss that was asked for in nats, NaN where none was.

A path that a network went is in the same store, along a dimension ``snapshot`` without coordinates: see :class:`Path`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AXES", "SNAPSHOT", "TARGET", "TARGET_LOSS", "Path", "Quantity", "done_variable", "split_variable"]

AXES = ("u", "v", "w")
"""Names of the axes of pictures and of affine charts; further ones are numbered: ``x3`` follows ``w``."""

TARGET = "target"
TARGET_LOSS = "target_loss"


SNAPSHOT = "snapshot"
"""The dimension of a path."""


class Path:
    """Names of the variables of a path, each (snapshot,) unless it says otherwise."""

    STEP = "path_step"
    EPOCH = "path_epoch"
    RATE = "path_lr"
    PHASE = "path_phase"
    DISTANCE = "path_distance"
    """Euclidean distance from the chart."""
    ANGLE = "path_angle"
    """Degrees between the way to the next snapshot and the negative gradient; NaN at the last."""
    EXPLAINED = "path_explained"
    """The share of the variance along each principal component, the largest first."""
    ELSEWHERE = "path_elsewhere"
    """(plane, snapshot, 2): coordinates of the same path in other planes."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """Along an axis of the chart."""
        return f"path_{axis}"

    @staticmethod
    def loss(split: str) -> str:
        """The loss of the snapshot itself."""
        return f"path_loss_{split}"

    @staticmethod
    def loss_under(split: str) -> str:
        """The loss at the nearest point of the chart."""
        return f"path_loss_under_{split}"


@dataclass(frozen=True)
class Quantity:
    """A measured quantity: the name of its variable and what plots say of it.

    ``units`` follows UDUNITS where there is a unit (``"nat"``) and is ``"1"`` for fractions and ratios.
    """

    name: str
    long_name: str
    units: str


def split_variable(split: str, metric: str) -> str:
    """The name of a metric's variable for one split: ``test_accuracy``."""
    return f"{split}_{metric}"


def done_variable(split: str, group: str) -> str:
    """The name of the boolean that says which points of a group are finished: ``test_streaming_done``."""
    return f"{split}_{group}_done"
