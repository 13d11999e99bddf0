"""What a survey on disk looks like: names, units and attributes of its variables. Imports no torch.

A survey is an :class:`xarray.Dataset` in the zarr v3 format with one dimension per axis of the chart (``u``,
``v``, ``w`` for affine charts) and one variable ``<split>_<metric>`` per split and metric. Which points are evaluated
is not part of the data set: for each group of metrics a boolean ``<split>_<group>`` in the store's group ``done``,
chunked like the tiles and written after them, says so; its attribute ``variables`` lists what it vouches for. Every
array that is not written in tiles has the attribute ``whole`` once it was written to its end. ``target`` is the picture
that was asked for, on the survey's grid: +1 low, -1 high, 0 ignored or padding; of a grey picture ``target_loss``, the
loss that was asked for, NaN where none was.

Every such variable says in its attributes which ``split`` and which ``metric`` it holds, and of what examples
(``data_hash``) under what settings it was computed. A metric with several values
per point has a further dimension (``classes``), which its attribute ``dimension`` names; several repeats of one slice
lie along the dimension ``repeat``, one of :data:`SAMPLE_DIMENSIONS`, none of which is an axis. What tells how far a
metric may be off stands beside it as ``<split>_<metric>_<suffix>``, with the attribute ``companion``: see
:class:`Companion`. Where a grid was refined only as far as was needed, the boolean ``measured`` is False at points that
were interpolated.

A trajectory is in the same store, along a dimension ``snapshot`` without coordinates: see :class:`OnTrajectory`.
The networks that a survey lies around or between are along the dimension ``corner``: see :class:`Corner`.

The attribute ``chart`` is a hash of the chart, and ``geometry`` what pictures know of it: see :class:`Geometry`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json
from lossatlas.files.stores import MARKS

__all__ = [
    "AXES",
    "CLASSES",
    "COMPANION",
    "CURVE",
    "DIMENSION",
    "DONE",
    "GEOMETRY",
    "LOSS",
    "MEASURED",
    "MEMBER",
    "OFF_GRID",
    "PAIR_CORNERS",
    "REPEAT",
    "RESIDUAL",
    "SAMPLE",
    "SAMPLE_DIMENSIONS",
    "SNAPSHOT",
    "STANDARD_ERROR",
    "TARGET",
    "TARGET_LOSS",
    "Along",
    "Companion",
    "Corner",
    "Geometry",
    "OnTrajectory",
    "Quantity",
    "check_dimension",
    "check_name",
    "companion_of",
    "is_name",
    "is_standard",
    "name_marks",
    "name_variable",
    "parse_texts",
    "record_texts",
    "value_dimensions",
]

AXES = ("u", "v", "w")
"""Names of the axes of pictures and of affine charts; further ones are numbered: ``x3`` follows ``w``."""

TARGET = "target"
TARGET_LOSS = "target_loss"


CURVE = "t"
"""The name of the axis of curves."""

REPEAT = "repeat"
"""The dimension of several repeats of the same slice, numbered from 0; not an axis of the chart."""

MEMBER = "member"
"""The dimension of the members of an ensemble, likewise."""

SAMPLE = "sample"
"""The dimension of samples of a distribution, likewise."""

SAMPLE_DIMENSIONS = (REPEAT, MEMBER, SAMPLE)
"""Dimensions along which the same thing was surveyed several times; none of them is an axis of a chart."""

CLASSES = "classes"
"""The dimension of metrics with one value per class."""

DIMENSION = "dimension"
"""The attribute of a variable with several values at a point that names their dimension."""

COMPANION = "companion"
"""The attribute of a variable beside a metric that says which of its companions it is, by its suffix."""

MEASURED = "measured"
"""Where points were evaluated; elsewhere values are interpolated. Without it all were."""

DONE = "_done"
"""How the names of marks ended while they were variables."""

LOSS = "loss"
"""The metric that every survey has."""

BESIDE = ("path_", "corner_", "along_")
"""How names begin of what lies beside a survey's grid: :class:`OnTrajectory`, :class:`Corner` and :class:`Along`."""

GEOMETRY = "geometry"
"""The attribute, or the variable of a comparison, that holds :class:`Geometry` as JSON."""

PAIR_CORNERS = ("start", "run", "other_run", "start_of_other_run")
"""The names of the corners of the figure that two compared networks span with the weights they started from."""

SNAPSHOT = "snapshot"
"""The dimension of a trajectory."""


class OnTrajectory:
    """Names of the variables of a trajectory, each (snapshot,) unless it says otherwise."""

    STEP = "path_step"
    EPOCH = "path_epoch"
    RATE = "path_lr"
    PHASE = "path_phase"
    DISTANCE = "path_distance"
    """Euclidean distance from the chart."""
    ANGLE = "path_angle"
    """Degrees between the step to the next snapshot and the negative gradient; NaN at the last."""
    EXPLAINED = "path_explained"
    """The share of the variance along each principal component, the largest first."""
    ELSEWHERE = "path_elsewhere"
    """(plane, snapshot, 2): coordinates of the same trajectory in other planes."""

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

    Variables along ``corner`` carry the attribute ``names``: what each network is called; see :func:`parse_texts`.
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
    """What lies at each corner; empty where that is not known."""

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
            raise BadInput(f"the geometry of a chart cannot be read ({error}); survey it again") from error


OFF_GRID = frozenset({Along.DIMENSION, Along.PAIR, Corner.DIMENSION, Corner.BIN, SNAPSHOT})
"""Dimensions of what lies beside a survey's grid: none of them is an axis."""


@dataclass(frozen=True)
class Quantity:
    """A measured quantity: the name of its variable and what plots say of it.

    ``units`` follows UDUNITS where there is a unit (``"nat"``) and is ``"1"`` for fractions and ratios. ``dimension``
    is that of the values at one point, where there are several (how many, the metric says); ``record`` says what
    exactly is measured, where the name alone does not.
    """

    name: str
    long_name: str
    units: str
    dimension: str | None = None
    record: str = ""


@dataclass(frozen=True)
class Companion:
    """Numbers that stand beside a metric and say how far it may be off, of its shape and in its units.

    ``suffix`` is what they are called, and how the names of their variables end; those that are ``sampled`` are known
    only where examples are a random subset of more.
    """

    suffix: str
    sampled: bool = False

    def of(self, metric: str) -> str:
        """What they are called beside a metric, or their variable beside a metric's: ``test_loss_standard_error``."""
        return f"{metric}_{self.suffix}"


STANDARD_ERROR = Companion("standard_error", sampled=True)
"""Of a mean over a subset of examples, as an estimate for all of them."""

RESIDUAL = Companion("residual")
"""By how much a value misses the equation that it solves approximately."""


def is_name(name: object) -> bool:
    """Whether axes, dimensions and metrics can be called so, and thus variables and folders: as Python's variables."""
    return isinstance(name, str) and name.isidentifier()


def check_name(what: str, name: object) -> None:
    """Refuse what :func:`is_name` says no of.

    Args:
        what: has the name, for messages.
        name: that it gives itself.

    Raises:
        BadInput: it is not one.
    """
    if not is_name(name):
        raise BadInput(f"{what} is called {name!r}; expected letters, digits and _, and a letter or _ first")


def check_dimension(metric: str, name: str) -> None:
    """Refuse a dimension of a metric's values that means something else in a survey, or may in another one.

    Raises:
        BadInput: it is not a name, or it is an axis, a dimension of samples or of what lies beside the grid, or one of
            the variables that surveys have anyhow.
    """
    check_name(f"the dimension of metric {metric!r}", name)
    if name in (LOSS, *AXES, CURVE, *SAMPLE_DIMENSIONS, *OFF_GRID) or is_standard(name):
        raise BadInput(
            f"the dimension {name!r} of metric {metric!r} means something else in a survey; give it another name"
        )


def name_variable(split: str, metric: str) -> str:
    """The name of a metric's variable for one split: ``test_accuracy``."""
    return f"{split}_{metric}"


def companion_of(name: str, attributes: Mapping[Any, Any]) -> str:
    """The suffix of the companion that a variable is, by its attributes; empty where it is not one.

    The name tells only where there are no attributes of ours, as in tables of others.

    >>> companion_of("test_loss_standard_error", {}), companion_of("test_standard_error", {"metric": "standard_error"})
    ('standard_error', '')
    """
    if COMPANION in attributes or "metric" in attributes:
        return str(attributes.get(COMPANION, ""))
    return next((known.suffix for known in (STANDARD_ERROR, RESIDUAL) if name.endswith(known.of(""))), "")


def value_dimensions(variables: Iterable[Mapping[Any, Any]]) -> frozenset[str]:
    """The dimensions along which metrics have several values at a point, by the attributes of variables."""
    return frozenset({CLASSES, *(str(each[DIMENSION]) for each in variables if DIMENSION in each)})


def name_marks(split: str, group: str) -> str:
    """Where in a store lies what says which points of a group of metrics are evaluated: ``done/test_streaming``."""
    return f"{MARKS}/{split}_{group}"


def record_texts(attribute: Any) -> Any:
    """An attribute as surveys store it: several texts as JSON, because not all of netCDF has lists of them.

    >>> record_texts(["a", "b"]), record_texts([1.0, 2.0])
    ('["a", "b"]', [1.0, 2.0])
    """
    several = isinstance(attribute, list | tuple) and any(isinstance(each, str) for each in attribute)
    return json.dumps(list(attribute), ensure_ascii=False) if several else attribute


def parse_texts(attribute: Any) -> list[str]:
    """The texts that an attribute holds, whether :func:`record_texts` wrote them, it is a list, or a single text.

    >>> parse_texts('["a", "b"]'), parse_texts(["a", "b"]), parse_texts("a"), parse_texts(None)
    (['a', 'b'], ['a', 'b'], ['a'], [])
    """
    if isinstance(attribute, str):
        try:
            return parse_json(attribute, list[str])
        except ValueError:
            return [attribute]
    return [str(each) for each in attribute] if isinstance(attribute, list | tuple) else []


def is_standard(name: str) -> bool:
    """Whether a name can be told to be one of a survey's variables without what marks say.

    >>> is_standard("path_lr"), is_standard("test_streaming_done"), is_standard("test_loss"), is_standard("mine")
    (True, True, True, False)
    """
    known = (TARGET, TARGET_LOSS, MEASURED)
    return name in known or name.startswith(BESIDE) or name.endswith((DONE, STANDARD_ERROR.of(""), f"_{LOSS}"))
