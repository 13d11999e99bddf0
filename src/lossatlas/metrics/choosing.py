"""Metrics by the names that configurations use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossatlas.curvatures import CurvatureSettings
from lossatlas.engine import Metric, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.metric import METRICS, OperatorMetric, group_by_computation
from lossatlas.metrics.users import load_metric
from lossatlas.schema import DONE, Quantity, check_dimension, check_name

__all__ = ["AUTO", "choose_metrics", "choose_streaming_metrics"]

AUTO = "auto"
"""As a name: the loss, its terms where it has several, and the accuracy where it is defined."""


def choose_metrics(
    loss: Loss, names: Sequence[str | Metric] | None = None, curvature: CurvatureSettings | None = None
) -> dict[str, Metric]:
    """Make metrics from their names.

    Args:
        loss: the loss under which they are measured.
        names: the name of a metric, followed by a colon and its argument where it takes one
            (``regularised_loss:5e-4``); ``module:callable`` for a user's function (see :class:`PerExampleMetric`) or a
            class of metrics that takes no arguments; a metric itself; or ``auto``, which is the default.
        curvature: the settings of metrics of curvature that are given by their names.

    Returns:
        The metrics by the names of their variables.

    Raises:
        BadInput: an unknown name, a metric that is not defined under this loss, two different metrics of one name,
            names that variables and dimensions cannot have, or an object that is not a metric.
    """
    found: dict[str, tuple[Metric, int]] = {}
    for number, spec in enumerate((AUTO,) if names is None else names, 1):
        if spec == AUTO:
            names_of_terms = (f"loss_term:{term}" for term in loss.terms)
            likely = [METRICS["loss"](), *map(_metric, names_of_terms), METRICS["accuracy"]()]
            chosen = [metric for metric in likely if metric.applies(loss)]
        else:
            chosen = [_metric(spec, curvature) if isinstance(spec, str) else _given(spec)]
        for metric in chosen:
            name = _quantity(metric, loss).name
            if not metric.applies(loss):
                raise BadInput(f"metric {name!r} has no meaning under {type(loss).__name__}; leave it out")
            other, first = found.setdefault(name, (metric, number))
            records = [_quantity(each, loss).record for each in (other, metric)]
            if all(records) and records[0] != records[1]:
                kinds = f"{records[0]} and of {records[1]}"
                raise BadInput(
                    f"metrics of {kinds} are both called {name!r} and differ, and a survey holds one of them; name the "
                    "one that it has, or survey anew (--overwrite)"
                )
            if not _is_equal(other, metric):
                kinds = f"{first} ({type(other).__name__}) and {number} ({type(metric).__name__})"
                raise BadInput(f"metrics {kinds} are both called {name!r} and differ; give one of them another name")
    metrics = {name: metric for name, (metric, _) in found.items()}
    _check_together(metrics, loss)
    return metrics


def _given(metric: Any) -> Metric:
    """Return an object that was given as a metric, if it is one.

    Raises:
        BadInput: it is not a metric, or is a class of metrics.
    """
    if isinstance(metric, type) and issubclass(metric, Metric):
        raise BadInput(f"metric {metric.__name__} is a class; give an object of it, such as {metric.__name__}()")
    if not isinstance(metric, Metric):
        raise BadInput(
            f"a metric is given as {type(metric).__name__}; expected a name, a PerExampleMetric of a function, or an "
            "object of another class of metrics"
        )
    return metric


def _quantity(metric: Metric, loss: Loss) -> Quantity:
    """The quantity that a metric measures, whose names are checked.

    Raises:
        BadInput: it is not a quantity, or a name of the metric cannot be used in a survey.
    """
    kind, quantity = type(metric).__name__, metric.quantity(loss)
    if not isinstance(quantity, Quantity):
        raise BadInput(f"metric {kind} says that its quantity is {quantity!r}; expected a lossatlas.schema.Quantity")
    check_name(f"a metric ({kind})", quantity.name)
    if quantity.name.endswith(DONE):
        raise BadInput(f"metric {quantity.name!r} ends in {DONE!r} as marks do; give it another name")
    if quantity.dimension is not None:
        check_dimension(quantity.name, quantity.dimension)
    for beside in metric.companions:
        check_name(f"what stands beside metric {quantity.name!r}", beside.suffix)
    if isinstance(metric, OperatorMetric):
        own, what = metric.computation, f"the computation of metric {quantity.name!r}"
        if not isinstance(own, Computation):
            raise BadInput(f"{what} is {own!r}; expected an object of a class of computations")
        check_name(what, getattr(own, "name", None))
    return quantity


def _is_equal(one: Metric, other: Metric) -> bool:
    """Whether two metrics of one name measure the same: they are equal, or have equal settings."""
    try:
        return one is other or bool(one == other) or (type(one) is type(other) and vars(one) == vars(other))
    except Exception:  # settings of user code that cannot be compared, such as arrays
        return False


def _check_together(metrics: Mapping[str, Metric], loss: Loss) -> None:
    """Refuse metrics whose variables or marks would have the same names in a survey.

    Raises:
        BadInput: a companion or a dimension has the name of a metric, two companions have one name, or two different
            computations have one name.
    """
    beside: dict[str, str] = {}
    for name, metric in metrics.items():
        for called in (each.of(name) for each in metric.companions):
            if called in metrics or called in beside:
                what = f"metric {called!r}" if called in metrics else f"what stands beside metric {beside[called]!r}"
                raise BadInput(
                    f"{what} is called as what stands beside metric {name!r}, {called!r}; give one of them another name"
                )
            beside[called] = name
        dimension = metric.quantity(loss).dimension
        if dimension in metrics:
            raise BadInput(
                f"metric {dimension!r} is called as the dimension of metric {name!r}; give one of them another name"
            )
    named: dict[str, str] = {}
    for group in group_by_computation(metrics):
        name, metric = next(iter(group.items()))
        own = metric.computation
        if own.name in named:
            raise BadInput(
                f"metrics {named[own.name]!r} and {name!r} are made of different computations called {own.name!r}; "
                "give them equal options, or measure them in different surveys"
            )
        named[own.name] = name


def _metric(spec: str, curvature: CurvatureSettings | None = None) -> Metric:
    name, colon, argument = spec.partition(":")
    if colon and name not in METRICS:
        return load_metric(spec)
    metric = METRICS[name].of(argument) if colon else METRICS[name]()
    if curvature is not None and isinstance(metric, OperatorMetric):
        metric.configure(curvature)
    return metric


def choose_streaming_metrics(loss: Loss, names: Sequence[str | Metric] | None = None) -> dict[str, StreamingMetric]:
    """Make the metrics of :func:`choose_metrics` that are streaming, i.e. folded over outputs and losses."""
    return {name: metric for name, metric in choose_metrics(loss, names).items() if isinstance(metric, StreamingMetric)}
