"""Metrics by name: streaming ones, folded over outputs and losses, and operator ones, made of derivatives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from lossatlas.engine import Metric, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.users import PerExampleMetric
from lossatlas.registry import Registry, load_callable

__all__ = ["AUTO", "METRICS", "OperatorMetric", "by_computation", "count_numbers", "metrics_for", "streaming_metrics"]


class OperatorMetric(Metric):
    """A metric of the derivatives at a point."""

    @property
    @abstractmethod
    def computation(self) -> Computation:
        """What :meth:`value` and :meth:`companion` are given the result of; metrics with equal ones share a run."""


METRICS: Registry[type[Metric]] = Registry("metric", "lossatlas.metrics.kinds")

AUTO = "auto"
"""Among names: the loss, its terms where it has several, and the accuracy where it has a meaning."""


def metrics_for(loss: Loss, names: Sequence[str | Metric] | None = None) -> dict[str, Metric]:
    """Metrics by the names of their variables.

    Args:
        loss: under which they are measured.
        names: a metric's name, with its argument after a colon where it takes one (``regularised_loss:5e-4``); a
            user's function as ``module:callable`` (see :class:`PerExampleMetric`); metrics themselves; or ``auto``,
            which is the default.

    Raises:
        BadInput: an unknown name, a metric that has no meaning under this loss, or two of one name.
    """
    found: dict[str, Metric] = {}
    for spec in (AUTO,) if names is None else names:
        if spec == AUTO:
            names_of_terms = (f"loss_term:{term}" for term in loss.terms)
            likely = [METRICS["loss"](), *map(_metric, names_of_terms), METRICS["accuracy"]()]
            chosen = [metric for metric in likely if metric.applies(loss)]
        else:
            chosen = [_metric(spec) if isinstance(spec, str) else spec]
        for metric in chosen:
            name = metric.quantity(loss).name
            if not metric.applies(loss):
                raise BadInput(f"metric {name!r} has no meaning under {type(loss).__name__}; leave it out")
            if name in found and found[name].quantity(loss) != metric.quantity(loss):
                raise BadInput(f"two metrics are called {name!r}; give one of them another name")
            found[name] = metric
    _check_together(found)
    return found


def by_computation(metrics: Mapping[str, Metric]) -> list[dict[str, OperatorMetric]]:
    """The operator metrics among some, those that share a computation together."""
    groups: list[dict[str, OperatorMetric]] = []
    for name, metric in metrics.items():
        if isinstance(metric, OperatorMetric):
            own = metric.computation
            group = next((one for one in groups if next(iter(one.values())).computation == own), None)
            if group is None:
                groups.append(group := {})
            group[name] = metric
    return groups


def count_numbers(metrics: Mapping[str, Metric], *, sampled: bool) -> int:
    """How many numbers a point has at least, companions included; ``sampled``: where examples are a random subset."""
    return sum(1 + sum(sampled or not each.sampled for each in metric.companions) for metric in metrics.values())


def _check_together(metrics: Mapping[str, Metric]) -> None:
    """Refuse metrics of which two would have the same variables or marks in a survey.

    Raises:
        BadInput: a companion is called as a metric is, or two computations that differ have one name.
    """
    for name, metric in metrics.items():
        for beside in metric.companions:
            if beside.of(name) in metrics:
                raise BadInput(
                    f"metric {beside.of(name)!r} is called as what stands beside metric {name!r}; give one of them "
                    "another name"
                )
    named: dict[str, str] = {}
    for group in by_computation(metrics):
        name, metric = next(iter(group.items()))
        own = metric.computation
        if own.name in named:
            raise BadInput(
                f"metrics {named[own.name]!r} and {name!r} are made of different computations called {own.name!r}; "
                "give them equal options, or measure them in different surveys"
            )
        named[own.name] = name


def _metric(spec: str) -> Metric:
    name, colon, argument = spec.partition(":")
    if colon and name not in METRICS:
        return PerExampleMetric(load_callable("metric", spec))
    return METRICS[name].of(argument) if colon else METRICS[name]()


def streaming_metrics(loss: Loss, names: Sequence[str | Metric] | None = None) -> dict[str, StreamingMetric]:
    """Those of :func:`metrics_for` that are folded over outputs and losses."""
    return {name: metric for name, metric in metrics_for(loss, names).items() if isinstance(metric, StreamingMetric)}
