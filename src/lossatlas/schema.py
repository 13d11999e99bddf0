"""What a survey on disk looks like: names, units and attributes of its variables. Imports no torch.

A survey is an :class:`xarray.Dataset` in the zarr v3 format with one dimension per axis of the chart (``u``,
``v``, ``w`` for affine charts) and one variable ``<split>_<metric>`` per split and metric. Beside the values of
each group of metrics stands a boolean ``<split>_<group>_done`` of the same shape, chunked like the tiles and
written after them; its attribute ``variables`` lists what it vouches for. Every other array has the attribute
``whole`` once it was written to its end. ``target`` is the picture that was asked for, on the survey's grid: +1 low, -1
high, 0 ignored or padding; of a grey picture ``target_loss``, the loss that was asked for in nats, NaN where none was.

Every such variable says in its attributes which ``split`` and which ``metric`` it holds. A metric with several values
per point has a further dimension (``classes``); several repeats of one slice lie along the dimension ``repeat``, which
is not an axis. Where examples are a subset, ``<split>_<metric>_standard_error`` says how far a mean may be off; where a grid
was refined only as far as was needed, the boolean ``measured`` is False at points that were interpolated.

A path that a network went is in the same store, along a dimension ``snapshot`` without coordinates: see :class:`OnTrajectory`.
The networks that a survey lies around or between are along the dimension ``corner``: see :class:`Corner`.

The attribute ``chart`` is a hash of the chart, and ``geometry`` what pictures know of it: see :class:`Geometry`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json

__all__ = [
    "AXES",
    "CLASSES",
    "CURVE",
    "GEOMETRY",
    "MEASURED",
    "OFF_GRID",
    "PAIR_CORNERS",
    "REPEAT",
    "SNAPSHOT",
    "STANDARD_ERROR",
    "TARGET",
    "TARGET_LOSS",
    "Along",
    "Corner",
    "Geometry",
    "OnTrajectory",
    "Quantity",
    "done_variable",
    "split_variable",
    "standard_error_variable",
]

AXES = ("u", "v", "w")
"""Names of the axes of pictures and of affine charts; further ones are numbered: ``x3`` follows ``w``."""

TARGET = "target"
TARGET_LOSS = "target_loss"


CURVE = "t"
"""The name of the axis of curves."""

REPEAT = "repeat"
"""The dimension of several repeats of the same slice, numbered from 0; not an axis of the chart."""

CLASSES = "classes"
"""The dimension of metrics with one value per class."""

MEASURED = "measured"
"""Where points were evaluated; elsewhere values are interpolated. Without it all were."""

STANDARD_ERROR = "_standard_error"
"""How the names of standard errors end."""

DONE = "_done"
"""How the names of marks end."""

LOSS = "loss"
"""The metric that every survey has."""

BESIDE = ("path_", "corner_", "along_")
"""How the names begin of what lies beside a survey's grid: see :class:`OnTrajectory`, :class:`Corner` and :class:`Along`."""

GEOMETRY = "geometry"
"""The attribute, or the variable of a comparison, that holds :class:`Geometry` as JSON."""

PAIR_CORNERS = ("start", "run", "other_run", "start_of_other_run")
"""The names of the corners of the figure that two compared networks span with the weights they started from."""

SNAPSHOT = "snapshot"
"""The dimension of a path."""


class OnTrajectory:
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


class Corner:
    """Names of what is known of the networks that a survey lies around or between, each (corner,) at least.

    Variables along ``corner`` carry the attribute ``names``: what each network is called.
    """

    DIMENSION = "corner"
    BIN = "bin"
    WEIGHTS = "corner_weights"
    """(corner, bin): how many of a network's weights lie in a bin."""
    WEIGHT = "corner_weight"
    """(bin,): the middles of the bins, equally spaced."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """Where the network is along an axis of the chart."""
        return f"corner_{axis}"


class Along:
    """Names of what is known along a curve beside its survey, each (along,) unless it says otherwise."""

    DIMENSION = "along"
    PAIR = "ensemble"
    T = "along_t"
    LENGTH = "along_length"
    """Of the curve from t = 0."""
    NORM = "along_norm"
    """Of the curve's points; see :meth:`norm_on` for other paths."""
    RADIAL_DISTANCE = "along_radial_distance"
    """Of the curve's points from the nearest one of the radial path between its ends."""
    PLANE_DISTANCE = "along_plane_distance"
    """Of the curve's points from a plane."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """Where the curve is along an axis of a plane."""
        return f"along_{axis}"

    @staticmethod
    def of(path: str, split: str, metric: str) -> str:
        """A metric on another path between the same ends, at the same t: ``along_straight_test_loss``."""
        return f"along_{path}_{split}_{metric}"

    @staticmethod
    def norm_on(path: str) -> str:
        """The norms on another path between the same ends, at the same t: ``along_straight_norm``."""
        return f"along_{path}_norm"

    @staticmethod
    def ensemble(path: str, split: str, metric: str) -> str:
        """(ensemble, along): a metric of averaged predictions; ``names`` says with whom a point of the path is."""
        return f"along_ensemble_{path}_{split}_{metric}"


@dataclass(frozen=True)
class Geometry:
    """What pictures know of a chart: its axes, where its corners lie, and how it interpolates between them."""

    kind: str
    """The name of the kind of chart."""
    axes: tuple[str, ...]
    """Those that have coordinates, d of them."""
    interpolation: str
    """``affine``, ``barycentric``, ``bilinear`` or ``curve``, or a word of the chart's own."""
    corners: tuple[tuple[float, ...], ...] = ()
    """The coordinates (d) of each network or origin that the chart was made of and passes through."""
    names: tuple[str, ...] = ()
    """What lies at each corner; empty where nobody said."""

    def __post_init__(self) -> None:
        if any(len(corner) != len(self.axes) for corner in self.corners):
            raise BadInput(f"a corner of a chart along {', '.join(self.axes)} has {len(self.axes)} coordinates")
        if self.names and len(self.names) != len(self.corners):
            raise BadInput(f"{len(self.corners)} corners of a chart have {len(self.names)} names; expected one each")

    def record(self) -> str:
        """As JSON, which :meth:`parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The geometry that :meth:`record` wrote.

        Raises:
            BadInput: the text is something else.
        """
        try:
            return parse_json(text, cls)
        except ValueError as error:
            raise BadInput(f"the geometry of a chart cannot be read ({error}); make its survey anew") from error


OFF_GRID = frozenset({Along.DIMENSION, Along.PAIR, Corner.DIMENSION, Corner.BIN, SNAPSHOT})
"""Dimensions of what lies beside a survey's grid: none of them is an axis."""


@dataclass(frozen=True)
class Quantity:
    """A measured quantity: the name of its variable and what plots say of it.

    ``units`` follows UDUNITS where there is a unit (``"nat"``) and is ``"1"`` for fractions and ratios. ``dimension``
    is that of the values at one point, where there are several; ``record`` says what exactly is measured, where the
    name alone does not.
    """

    name: str
    long_name: str
    units: str
    dimension: str | None = None
    record: str = ""


def split_variable(split: str, metric: str) -> str:
    """The name of a metric's variable for one split: ``test_accuracy``."""
    return f"{split}_{metric}"


def standard_error_variable(split: str, metric: str) -> str:
    """The name of the standard error of a metric's mean over a subset of examples: ``test_loss_standard_error``."""
    return f"{split_variable(split, metric)}{STANDARD_ERROR}"


def done_variable(split: str, group: str) -> str:
    """The name of the boolean that says which points of a group are finished: ``test_streaming_done``."""
    return f"{split}_{group}{DONE}"


def is_standard(name: str) -> bool:
    """Whether a name can be told to be one of a survey's variables without what marks say.

    >>> is_standard("path_lr"), is_standard("test_streaming_done"), is_standard("test_loss"), is_standard("mine")
    (True, True, True, False)
    """
    known = (TARGET, TARGET_LOSS, MEASURED)
    return name in known or name.startswith(BESIDE) or name.endswith((DONE, STANDARD_ERROR, f"_{LOSS}"))
