"""The interface of operator metrics, and the registry of all metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping

from lossatlas.curvatures import CurvatureSettings
from lossatlas.engine import Metric
from lossatlas.metrics.computation import Computation
from lossatlas.registry import Registry

__all__ = ["METRICS", "OperatorMetric", "count_numbers", "group_by_computation", "join_computations"]


class OperatorMetric(Metric):
    """A metric of the derivatives at a point."""

    def configure(self, curvature: CurvatureSettings) -> None:
        """Take the settings of curvature, as a metric that was made by its name; most do without."""

    @property
    @abstractmethod
    def computation(self) -> Computation:
        """The computation whose result :meth:`value` and :meth:`companion` are given; equal ones are run once."""


METRICS: Registry[type[Metric]] = Registry("metric", "lossatlas.metrics.kinds")


def group_by_computation(metrics: Mapping[str, Metric]) -> list[dict[str, OperatorMetric]]:
    """Group the operator metrics among some metrics by their computations.

    Returns:
        Each group as a mapping of names to metrics.
    """
    groups: list[dict[str, OperatorMetric]] = []
    for name, metric in metrics.items():
        if isinstance(metric, OperatorMetric):
            own = metric.computation
            group = next((one for one in groups if next(iter(one.values())).computation == own), None)
            if group is None:
                groups.append(group := {})
            group[name] = metric
    return groups


def join_computations(metrics: Iterable[OperatorMetric]) -> Computation:
    """Make the computation that serves all metrics of a group."""
    first, *others = (metric.computation for metric in metrics)
    return first.join(others)


def count_numbers(metrics: Mapping[str, Metric], *, sampled: bool) -> int:
    """Count the numbers that metrics have at a point, at least.

    Args:
        metrics: the metrics; one with a dimension counts once.
        sampled: whether the examples are a random subset, for which more companions are defined.
    """
    return sum(1 + sum(sampled or not each.sampled for each in metric.companions) for metric in metrics.values())
