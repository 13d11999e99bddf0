"""The layout of a survey on disk: names, units and attributes of its variables. Does not import torch.

A survey is an :class:`xarray.Dataset` in the zarr v3 format with one dimension per axis of the chart (``u``,
``v``, ``w`` for affine charts) and one variable ``<split>_<metric>`` per split and metric. Which points are evaluated
is not part of the data set: for each group of metrics a boolean ``<split>_<group>`` in the store's group ``done``,
chunked like the tiles and written after them, says so; its attribute ``variables`` lists what it vouches for. Every
array that is not written in tiles has the attribute ``whole`` once it was written to its end. ``target`` is the picture
that was asked for, on the survey's grid: +1 low, -1 high, 0 ignored or padding; of a grey picture ``target_loss``, the
loss that was asked for, NaN where none was; of a colour picture those of three groups of classes, see
:class:`TargetColour`.

Every such variable says in its attributes which ``split`` and which ``metric`` it holds, and of what examples
(``data_hash``) under what settings it was computed. A metric with several values
per point has a further dimension (``classes``), which its attribute ``dimension`` names; several repeats of one slice
lie along the dimension ``repeat``, one of :data:`SAMPLE_DIMENSIONS`, none of which is an axis. What tells how far a
metric may be off stands beside it as ``<split>_<metric>_<suffix>``, with the attribute ``companion``: see
:class:`Companion`. Where a grid was refined only as far as was needed, the boolean ``measured`` is False at points that
were interpolated. A grid of which regions were evaluated finer has lines that are not equally spaced; the attribute
:data:`WHOLE_GRID` says which of them are those of the grid before. What was requested is on the others that of the cell
of that grid which they lie in, and maps of the chart are interpolated.

A trajectory is in the same store, along a dimension ``snapshot`` without coordinates: see :class:`OnTrajectory`.
Networks around or between which the survey lies are along the dimension ``corner``: see :class:`Corner`.
How a curved chart stretches, shears and folds weight space is over the grid, without a split: see :class:`OnChart`.

Quantities of a second-order operator, of a survey or of a curvature run, begin with its name in :data:`OPERATORS`.

The attribute ``chart`` is a hash of the chart, and ``geometry`` describes it for pictures: see :class:`Geometry`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json
from lossatlas.files.stores import MARKS

__all__ = [
    "AVERAGED_FROM",
    "AVERAGE_RANK",
    "AXES",
    "CHANNELS",
    "CLASSES",
    "COMPANION",
    "CURVATURE",
    "CURVE",
    "DIMENSION",
    "DONE",
    "ENDS",
    "GEOMETRY",
    "GROUP",
    "GROUP_LOSS",
    "LOSS",
    "MEASURED",
    "MEMBER",
    "MOST_TILE_POINTS",
    "OFF_GRID",
    "OPERATORS",
    "PAIR_CORNERS",
    "PROBE_ERROR",
    "RANDOM_DIRECTIONS",
    "REPEAT",
    "RESIDUAL",
    "SAMPLE",
    "SAMPLE_DIMENSIONS",
    "SNAPSHOT",
    "STANDARD_ERROR",
    "TARGET",
    "TARGET_LOSS",
    "TILE_POINTS",
    "WHOLE_GRID",
    "Along",
    "Companion",
    "Corner",
    "End",
    "Geometry",
    "InCurvature",
    "InEnsemble",
    "OnChart",
    "OnTrajectory",
    "Operator",
    "Quantity",
    "Scoring",
    "TargetColour",
    "TrainedWith",
    "check_dimension",
    "check_name",
    "check_split_name",
    "find_companion",
    "is_name",
    "is_standard",
    "is_target",
    "list_value_dimensions",
    "name_curvature",
    "name_curvatures",
    "name_marks",
    "name_variable",
    "parse_texts",
    "read_operators",
    "record_texts",
    "say_metric",
]

AXES = ("u", "v", "w")
"""The names of the first three axes of pictures and affine charts; the fourth is ``x3``, the fifth ``x4``."""

AVERAGED_FROM = 0.75
"""The share of a training after which its weights are averaged, unless stated, as in Izmailov et al. 2018."""

AVERAGE_RANK = 20
"""How many deviations from a running mean are held, unless stated, as in Maddox et al. 2019."""

TARGET = "target"
"""The variable of the requested picture."""

TARGET_LOSS = "target_loss"
"""The variable of the target losses of a requested grey picture."""

CHANNELS = ("red", "green", "blue")
"""The channels of a colour picture, in their order."""

GROUP = "group"
"""The dimension of metrics with one value per group of classes."""

GROUP_LOSS = "group_loss"
"""The metric of the mean losses of groups of classes, whose record says which classes are in each."""

CURVE = "t"
"""The name of the axis of curves."""

REPEAT = "repeat"
"""The dimension of several repeats of the same slice, numbered from 0; not an axis of the chart."""

MEMBER = "member"
"""The dimension of the members of an ensemble, numbered from 0; not an axis of the chart."""

SAMPLE = "sample"
"""The dimension of samples of a distribution, numbered from 0; not an axis of the chart."""

SAMPLE_DIMENSIONS = (REPEAT, MEMBER, SAMPLE)
"""Dimensions along which the same thing was surveyed several times; none of them is an axis of a chart."""

CLASSES = "classes"
"""The dimension of metrics with one value per class."""

CURVATURE = "curvature"
"""The attribute that marks the data of a curvature run: eigenvalues, traces and densities at networks."""

DIMENSION = "dimension"
"""The attribute that names the dimension of a variable with several values at a point."""

COMPANION = "companion"
"""The attribute of a variable that is a companion of a metric; its value is the companion's suffix."""

RANDOM_DIRECTIONS = "random_directions"
"""The attribute of a survey that says, as JSON text, how the random directions of its chart were made."""

MEASURED = "measured"
"""The variable that is True at evaluated points and False at interpolated ones; without it all are evaluated."""

WHOLE_GRID = "whole_grid"
"""The attribute of a survey of which regions were evaluated finer: the grid that is evaluated as a whole, per axis its
coordinates, as JSON. Further lines of the grid cross regions, and are interpolated elsewhere."""

TILE_POINTS = 256
"""How many points of a grid are evaluated and stored together, about, unless a survey says otherwise."""
MOST_TILE_POINTS = 2**20
"""The most that a survey may say."""
DONE = "_done"
"""How the names of marks ended while they were variables."""

LOSS = "loss"
"""The metric that every survey has."""

BESIDE = ("path_", "corner_", "along_", "chart_")
"""The prefixes of variables that surveys use for other things than metrics: :class:`OnTrajectory`, :class:`Corner`,
:class:`Along` and :class:`OnChart`."""

GEOMETRY = "geometry"
"""The attribute, or the variable of a comparison, that holds :class:`Geometry` as JSON."""

PAIR_CORNERS = ("start", "run", "other_run", "start_of_other_run")
"""The names of the corners of the quadrilateral of two compared networks and the weights that each started from."""

SNAPSHOT = "snapshot"
"""The dimension of a trajectory."""


class TargetColour:
    """Names of the variables of the target losses of a requested colour picture, one per channel, and attributes."""

    LOW, HIGH = "colour_low", "colour_high"
    """The attributes of the losses that are drawn as black and as full colour."""
    GROUP = "colour_classes"
    """The attribute of the classes whose mean loss is the channel, such as ``0-2,7``; absent where they are open."""

    @staticmethod
    def variable(channel: str) -> str:
        """The name of the variable of a channel: ``target_loss_red``."""
        return f"{TARGET_LOSS}_{channel}"


class OnChart:
    """Names of the variables that say how a curved chart distorts weight space, over the survey's grid.

    Each says in its attribute ``description`` what it is. They need no network and belong to no split.
    """

    PREFIX = "chart_"
    AREA = "chart_area"
    """The element of area (length, volume) relative to that of an isometric chart; its attribute ``scale`` is the
    distance in weight space that a unit of the coordinates covers in the root mean square."""
    SEPARATION = "chart_separation"
    """The least ratio of the distance in weight space to that in coordinates, over the points at least ``far`` away of
    the ``partners`` that it was compared with, out of ``out_of``; 1 where the chart is a flat isometry, 0 at a fold."""
    PRINCIPAL = ("chart_principal_1", "chart_principal_2")
    """The positions along the first two principal axes of the points in weight space, with the attribute
    ``explained``: the share of the variance along it."""

    @staticmethod
    def angle(axis: str, other: str) -> str:
        """The name of the angles in degrees between two axes of the chart: ``chart_angle_uv``."""
        return f"chart_angle_{axis}{other}"


class OnTrajectory:
    """Names of the variables of a trajectory, of shape (snapshot,) unless stated otherwise."""

    STEP = "path_step"
    EPOCH = "path_epoch"
    RATE = "path_lr"
    PHASE = "path_phase"
    DISTANCE = "path_distance"
    """The Euclidean distance of a snapshot from the chart."""
    ANGLE = "path_angle"
    """The angle in degrees between the step to the next snapshot and the negative gradient; NaN at the last."""
    EXPLAINED = "path_explained"
    """The share of the variance explained by each principal component, the largest first."""
    ELSEWHERE = "path_elsewhere"
    """The coordinates of the same trajectory in other planes, (plane, snapshot, 2)."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """The name of the coordinates along an axis of the chart."""
        return f"path_{axis}"

    @staticmethod
    def loss(split: str) -> str:
        """The name of the losses of the snapshots themselves."""
        return f"path_loss_{split}"

    @staticmethod
    def loss_under(split: str) -> str:
        """The name of the losses at the points of the chart nearest to the snapshots."""
        return f"path_loss_under_{split}"


class Corner:
    """Names of the variables of the networks around or between which a survey lies, (corner, ...).

    Variables along ``corner`` carry the attribute ``names``: what each network is called; see :func:`parse_texts`.
    """

    DIMENSION = "corner"
    BIN = "bin"
    WEIGHTS = "corner_weights"
    """Histograms of the networks' weights, (corner, bin): how many lie in each bin."""
    WEIGHT = "corner_weight"
    """The centres of the bins, (bin,), equally spaced."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """The name of the coordinates of the networks along an axis of the chart."""
        return f"corner_{axis}"


class Along:
    """Names of the variables along a curve beside its survey, of shape (along,) unless stated otherwise."""

    DIMENSION = "along"
    PAIR = "ensemble"
    T = "along_t"
    LENGTH = "along_length"
    """The length of the curve from t = 0 to each point."""
    NORM = "along_norm"
    """The norm of each point of the curve; see :meth:`norm_on` for other paths between its ends."""
    RADIAL_DISTANCE = "along_radial_distance"
    """The distance of each point of the curve from the nearest point of the radial path between its ends."""
    PLANE_DISTANCE = "along_plane_distance"
    """The distance of each point of the curve from a plane."""

    @staticmethod
    def coordinate(axis: str) -> str:
        """The name of the coordinates of the curve along an axis of a plane."""
        return f"along_{axis}"

    @staticmethod
    def of(path: str, split: str, metric: str) -> str:
        """The name of a metric on another path between the same ends, at the same t: ``along_straight_test_loss``."""
        return f"along_{path}_{split}_{metric}"

    @staticmethod
    def norm_on(path: str) -> str:
        """The name of the norms on another path between the same ends, at the same t: ``along_straight_norm``."""
        return f"along_{path}_norm"

    @staticmethod
    def ensemble(path: str, split: str, metric: str) -> str:
        """The name of a metric of averaged predictions, (ensemble, along); ``names`` says what is averaged with."""
        return f"along_ensemble_{path}_{split}_{metric}"


@dataclass(frozen=True)
class Geometry:
    """The description of a chart for pictures: its axes, its corners, and how it interpolates between them."""

    kind: str
    """The name of the kind of chart."""
    axes: tuple[str, ...]
    """The names of the axes, d of them."""
    interpolation: str
    """How coordinates interpolate: ``affine``, ``barycentric``, ``bilinear``, ``curve``, or the chart's own word."""
    corners: tuple[tuple[float, ...], ...] = ()
    """The coordinates (d,) of each network, or of the origin, that the chart passes through."""
    names: tuple[str, ...] = ()
    """What lies at each corner; empty where that is not known."""

    def __post_init__(self) -> None:
        if wrong := [corner for corner in self.corners if len(corner) != len(self.axes)]:
            raise BadInput(
                f"a corner of a chart has {len(wrong[0])} coordinates; expected one each for {', '.join(self.axes)}"
            )
        if self.names and len(self.names) != len(self.corners):
            raise BadInput(f"{len(self.corners)} corners of a chart have {len(self.names)} names; expected one each")

    def record(self) -> str:
        """Write the geometry as JSON, which :meth:`parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a geometry that :meth:`record` wrote.

        Raises:
            BadInput: the text is not a geometry.
        """
        try:
            return parse_json(text, cls)
        except ValueError as error:
            raise BadInput(f"the geometry of a chart cannot be read ({error}); survey it again") from error


OFF_GRID = frozenset({Along.DIMENSION, Along.PAIR, Corner.DIMENSION, Corner.BIN, SNAPSHOT})
"""The dimensions of variables beside a survey's grid, none of which is an axis."""


@dataclass(frozen=True)
class Quantity:
    """A measured quantity, as variables and plots name it.

    Attributes:
        name: The name of the metric in its variables.
        long_name: Its name in plots.
        units: Its unit as in UDUNITS (``"nat"``); ``"1"`` for fractions and ratios.
        dimension: The name of the dimension of the values at one point, where there are several.
        record: What exactly is measured, where the name leaves it open.
    """

    name: str
    long_name: str
    units: str
    dimension: str | None = None
    record: str = ""


@dataclass(frozen=True)
class Companion:
    """Numbers beside a metric that say how accurate it is, of the same shape and in the same units.

    Attributes:
        suffix: Their name, and the suffix of their variables.
        sampled: Whether they are defined only where the examples are a random subset.
    """

    suffix: str
    sampled: bool = False

    def of(self, metric: str) -> str:
        """The name beside a metric, or beside a metric's variable: ``test_loss_standard_error``."""
        return f"{metric}_{self.suffix}"


STANDARD_ERROR = Companion("standard_error", sampled=True)
"""The standard error of a mean over a random subset of examples, as an estimate for all of them."""

PROBE_ERROR = Companion("probe_error")
"""The standard error of an estimate from random probes, such as that of a trace."""

RESIDUAL = Companion("residual")
"""The residual of the equation that a value solves approximately."""


@dataclass(frozen=True)
class Operator:
    """A second-order operator of the mean loss, as plots name it."""

    words: str
    """Its name in plots."""
    signed: bool
    """Whether it can have negative eigenvalues, so that its smallest ones say something."""


OPERATORS = {
    "hessian": Operator("Hessian", signed=True),
    "ggn": Operator("Gauss-Newton matrix", signed=False),
}
"""The operators that are known, by the beginnings of the names of their metrics and variables."""


@dataclass(frozen=True)
class End:
    """An end of the spectrum of an operator."""

    words: str
    """What plots call the eigenvalue at this end."""
    extreme: str
    """How the name of the metric of this eigenvalue alone ends: ``hessian_max``."""
    dimension: str
    """The dimension of a survey's metric of several eigenvalues at this end."""


ENDS = {"top": End("largest", "max", "top_eigenvalue"), "bottom": End("smallest", "min", "bottom_eigenvalue")}
"""The ends of a spectrum, by how the names of metrics and variables of several eigenvalues end: ``hessian_top``."""


class InCurvature:
    """Names of the dimensions of a curvature run's variables, beside those of :data:`ENDS` and :data:`SAMPLE`."""

    NETWORK = "network"
    LAYER = "layer"
    """Modules whose parameters vary by themselves; variables of layers begin with this name."""
    PROBE = "probe"
    """The random vectors that a spectral density is estimated from."""
    NODE = "node"
    """The nodes that stand for the spectrum, and their weights, of one probe."""
    OPERATOR = "operator"
    """The attribute that lists the operators, that of the layers first; see :func:`parse_texts`."""


class InEnsemble:
    """Names in the data of an ensemble: K members' predictions on N examples, averaged.

    What is averaged of classifiers is probabilities, of other networks outputs. Each score ``s`` of the attribute
    :attr:`SCORES` (such as ``nll`` and ``ece``, or ``squared_error``) has the variables

    - ``s`` (count): of the average of the first members in the given order, on all examples;
    - ``s_difference`` (count): that minus the score of the first member alone;
    - ``member_s`` (member): of each member alone;
    - ``s_halves`` (order, scale, count): every example scored under the order and the temperature that were found on
      the half of the examples that it is not in, averaged over halvings; raw scores with the same orders;
    - ``example_s`` (scale, example): of the average of all members, whose means over examples (weighted with
      :attr:`EXAMPLE_ROWS` where an example has several rows) are the scores; of those of bins with the sign of its bin;

    all but the last with a standard error beside them (:data:`STANDARD_ERROR`): ``s_halves_standard_error``. Without
    halvings nothing has the dimensions :attr:`ORDER`, :attr:`HALVING` and :attr:`HALF`, and :attr:`SCALE` is raw alone.
    """

    KIND = "ensemble"
    """The attribute that marks the data of an ensemble, and says what is averaged: one of the two that follow."""
    CLASSES = "classes"
    """Probabilities of classes are averaged."""
    VALUES = "values"
    """Outputs are averaged."""
    SCORES = "scores"
    """The attribute that lists the scores, those that are read first in front; see :func:`parse_texts`."""
    BINNED = "binned_scores"
    """The attribute that lists those of them that have bins of confidence, and no formula of a standard error."""
    PAIRWISE = "pairwise"
    """The attribute that lists what is measured of every two members."""
    SPLIT = "split"
    EXAMPLES = "examples"
    """The attribute of the number of examples that were scored, those of which a label counts."""
    ROWS = "rows"
    """The attribute of the number of rows (positions) that examples have together."""
    BINS = "bins"
    """The attribute of the number of bins of confidence."""
    HALVINGS = "halvings"
    """The attribute of the number of times that the examples were halved."""
    SEED = "halving_seed"
    BOOTSTRAP = "bootstrap"
    """The attribute of the number of samples of examples of which standard errors of scores of bins are made."""
    TEMPERATURE_LOW, TEMPERATURE_HIGH = "temperature_low", "temperature_high"
    """The attributes of the bounds within which temperatures were fitted."""
    DATA_HASH = "data_hash"
    """The attribute that says of which examples the scores are; absent where that is not known."""

    MEMBER = MEMBER
    """The dimension of members, whose coordinates are their names."""
    OTHER = "other_member"
    COUNT = "count"
    """The dimension of numbers of members that are averaged."""
    ORDER = "order"
    """The dimension of orders of members, whose coordinates are the two that follow."""
    GIVEN, GREEDY = "given", "greedy"
    SCALE = "scale"
    """The dimension whose coordinates are the two that follow: without and with a temperature."""
    RAW, TEMPERED = "raw", "tempered"
    HALVING = "halving"
    HALF = "half"
    """The dimension of the half, 0 or 1, on which something was found."""
    STAGE = "stage"
    """The dimension of the reliability of predictions, whose coordinates are :attr:`STAGES`."""
    STAGES = ("first member", "all members", "all members, tempered")
    BIN = "bin"
    """The dimension of bins of confidence, whose coordinates are their centres."""
    EXAMPLE = "example"

    TEMPERATURE = "temperature"
    """(order, count, halving, half); of ``values`` the factor on the spread."""
    AT_BOUND = "temperature_at_bound"
    """How many of these temperatures are at a bound, (order, count)."""
    POSITION = "greedy_position"
    """The position of each member in the greedy order, from 0, (halving, half, member)."""
    DISAGREEMENT = "disagreement"
    """Of ``classes``, (member, other_member)."""
    JS_DIVERGENCE = "js_divergence"
    """Of ``classes``, (member, other_member)."""
    SQUARED_DIFFERENCE = "squared_difference"
    """Of ``values``, (member, other_member)."""
    CONFIDENCE, ACCURACY, SHARE = "bin_confidence", "bin_accuracy", "bin_share"
    """Means over the rows in a bin, NaN where it is empty, and the share of all rows in it, (stage, bin); the accuracy
    has a standard error over examples."""
    EXAMPLE_ROWS = "example_rows"
    """The number of rows (positions) of each example, (example,); absent where each has one."""

    STEPS, PASSES = "training_steps", "training_passes"
    """(count,) in the given order, as are the two that follow; NaN where it is not known."""
    BYTES = "bytes"
    """What is held of the members, (count,)."""
    EVALUATIONS = "evaluations"
    """Evaluations of a network for one prediction, (count,)."""

    @staticmethod
    def difference(score: str) -> str:
        """The name of the differences from the first member: ``nll_difference``."""
        return f"{score}_difference"

    @staticmethod
    def of_member(score: str) -> str:
        """The name of the scores of each member alone: ``member_nll``."""
        return f"member_{score}"

    @staticmethod
    def halves(score: str) -> str:
        """The name of the scores on the halves that nothing was found on: ``nll_halves``."""
        return f"{score}_halves"

    @staticmethod
    def of_example(score: str) -> str:
        """The name of the scores of each example: ``example_nll``."""
        return f"example_{score}"

    @staticmethod
    def mean(difference: str) -> str:
        """The name of a mean over pairs among the first members, (count,): ``mean_disagreement``; NaN for one."""
        return f"mean_{difference}"


class Scoring:
    """How ensembles are usually scored, and within which bounds."""

    HALVINGS, BINS, BOOTSTRAP = 5, 15, 1000
    """Usual numbers of halvings, of bins of confidence (Guo et al. 2017, section 2), and of bootstrap samples."""
    MOST_HALVINGS, MOST_BINS = 20, 100
    """Standard errors take the covariances of all bins of all halvings."""
    FEWEST_SAMPLES, MOST_SAMPLES = 20, 10**6


class TrainedWith:
    """Attributes of a trajectory's data that say what it was trained with; absent where that is not known."""

    OPTIMIZER = "optimizer"
    """What the optimiser is called."""
    SWITCHES = "optimizer_switches"
    """How often the optimiser was changed; absent where it was not."""
    MOMENTUM = "optimizer_momentum"
    """The momentum of gradient descent, 0 without; absent for other optimisers."""
    DAMPENING = "optimizer_dampening"
    """The share by which a gradient is reduced before it is added to the momentum."""
    NESTEROV = "optimizer_nesterov"
    """1 for Nesterov's momentum, otherwise 0."""
    WEIGHT_DECAY = "optimizer_weight_decay"
    """The factor of the weights that is added to the gradient."""
    BATCH_SIZE = "optimizer_batch_size"
    """The most examples of a step."""


def name_curvatures(operators: Iterable[str] = tuple(OPERATORS)) -> tuple[str, ...]:
    """The metrics of one number that describe operators: both ends of the spectrum and the trace, of each in turn.

    The smallest eigenvalue of an operator without negative ones is left out.
    """
    return tuple(
        f"{name}_{quantity}"
        for name in operators
        for quantity in (ENDS["top"].extreme, *[ENDS["bottom"].extreme] * OPERATORS[name].signed, "trace")
    )


def name_curvature(metric: str) -> str:
    """What a metric of eigenvalues of an operator, or of its trace, is in words; empty for any other metric.

    >>> name_curvature("hessian_max"), name_curvature("hessian_bottom"), name_curvature("ggn_trace")
    ('largest eigenvalue of the Hessian', 'smallest eigenvalues of the Hessian', 'trace of the Gauss-Newton matrix')
    """
    name, _, quantity = metric.partition("_")
    known = {"trace": "trace"}
    for several, end in ENDS.items():
        known |= {end.extreme: f"{end.words} eigenvalue", several: f"{end.words} eigenvalues"}
    return f"{known[quantity]} of the {OPERATORS[name].words}" if name in OPERATORS and quantity in known else ""


def say_metric(metric: str) -> str:
    """Write the name of a metric in words.

    >>> say_metric("hessian_max"), say_metric("class_accuracy"), say_metric("sam_sharpness_0_05")
    ('largest eigenvalue of the Hessian', 'class accuracy', 'sam sharpness 0.05')
    """
    return name_curvature(metric) or re.sub(r"(?<=\d)_(?=\d)", ".", metric).replace("_", " ")


def read_operators(attributes: Mapping[Any, Any]) -> list[str]:
    """The operators of a curvature run that are known, that of its layers first; ``hessian`` where it names none.

    Args:
        attributes: those of the curvature run.
    """
    named = [name for name in parse_texts(attributes.get(InCurvature.OPERATOR)) if name in OPERATORS]
    return named or [next(iter(OPERATORS))]


def is_name(name: object) -> bool:
    """Whether an axis, a dimension or a metric can have this name: the rules are those of Python's variables."""
    return isinstance(name, str) and name.isidentifier()


def check_name(what: str, name: object) -> None:
    """Refuse a name that does not satisfy :func:`is_name`.

    Args:
        what: what has the name, for the message.
        name: the name.

    Raises:
        BadInput: the name is not valid.
    """
    if not is_name(name):
        raise BadInput(f"{what} is called {name!r}; expected letters, digits and _, and a letter or _ first")


def check_split_name(name: object) -> None:
    """Refuse a split's name that cannot begin the names of variables and files, or that a survey uses for itself.

    Raises:
        BadInput: the name is empty or not a text, has other characters than letters, digits, ``_``, ``-`` and ``.``,
            or begins names that belong to a survey itself (``target``, ``path``, ``corner``, ``along``,
            ``chart``).
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise BadInput(
            f"{name!r} is not a name of a split; expected letters, digits, '_', '-' and '.', a letter, digit or '_' "
            "first; rename the split, as in {'test': examples}"
        )
    if name == TARGET or f"{name}_".startswith(BESIDE):
        raise BadInput(f"{name!r} cannot name a split, as surveys use {name}_... for other variables; rename the split")


def check_dimension(metric: str, name: str) -> None:
    """Refuse a dimension of a metric's values whose name has another meaning in surveys.

    Raises:
        BadInput: it is not a valid name; or it is the name of an axis, of a dimension of samples or beside the grid,
            or of a standard variable of surveys.
    """
    check_name(f"the dimension of metric {metric!r}", name)
    if name in (LOSS, *AXES, CURVE, *SAMPLE_DIMENSIONS, *OFF_GRID) or is_standard(name):
        raise BadInput(
            f"the dimension {name!r} of metric {metric!r} means something else in a survey; give it another name"
        )


def name_variable(split: str, metric: str) -> str:
    """The name of a metric's variable for one split: ``test_accuracy``."""
    return f"{split}_{metric}"


def find_companion(name: str, attributes: Mapping[Any, Any]) -> str:
    """The suffix of the companion that a variable is, by its attributes; empty where it is not one.

    Its attributes decide; the name does only where they are missing, as in imported tables.

    Args:
        name: the name of the variable.
        attributes: its attributes.

    Returns:
        The suffix of the companion; empty where the variable is not a companion.

    >>> find_companion("test_loss_standard_error", {})
    'standard_error'
    >>> find_companion("test_standard_error", {"metric": "standard_error"})
    ''
    """
    if COMPANION in attributes or "metric" in attributes:
        return str(attributes.get(COMPANION, ""))
    return next((known.suffix for known in (STANDARD_ERROR, PROBE_ERROR, RESIDUAL) if name.endswith(known.of(""))), "")


def list_value_dimensions(variables: Iterable[Mapping[Any, Any]]) -> frozenset[str]:
    """List the dimensions along which metrics have several values at a point.

    Args:
        variables: the attributes of each variable.
    """
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


def is_target(name: str) -> bool:
    """Whether a variable is a requested picture, or a channel of one."""
    return name in (TARGET, TARGET_LOSS, *map(TargetColour.variable, CHANNELS))


def is_standard(name: str) -> bool:
    """Whether a name can be recognised as a standard variable of surveys without their marks.

    >>> is_standard("path_lr"), is_standard("test_streaming_done"), is_standard("test_loss"), is_standard("mine")
    (True, True, True, False)
    """
    ends = (DONE, STANDARD_ERROR.of(""), f"_{LOSS}")
    return name == MEASURED or is_target(name) or name.startswith(BESIDE) or name.endswith(ends)
