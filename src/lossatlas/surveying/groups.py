"""Groups of metrics that a survey evaluates together: those that are folded, and those of one computation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lossatlas import schema
from lossatlas.data import Split
from lossatlas.engine import Engine, Metric, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.metrics import Computation, group_by_computation, join_computations

__all__ = ["STREAMING", "Group", "check_names", "find_leading", "group_metrics"]

STREAMING = "streaming"
"""The name of the group of metrics that are folded together; those of one computation are a group, too."""


@dataclass(frozen=True)
class Group:
    """Metrics that are evaluated together."""

    name: str
    metrics: Mapping[str, Metric]
    quantities: Mapping[schema.Quantity, int | None]
    """And how many values each has at a point, where it has several."""
    computation: Computation | None
    """That all of them are made of; None where they are folded."""

    @property
    def streaming(self) -> dict[str, StreamingMetric]:
        """Those of the metrics that are folded."""
        return {name: metric for name, metric in self.metrics.items() if isinstance(metric, StreamingMetric)}

    def variables(self, split: str) -> Iterator[str]:
        """All that a survey may hold of the group on a split."""
        for name, metric in self.metrics.items():
            variable = schema.name_variable(split, name)
            yield from (variable, *(each.of(variable) for each in metric.companions))


def group_metrics(engine: Engine, split: Split, metrics: Mapping[str, Metric]) -> list[Group]:
    """Put metrics into groups: those that are folded, and those of each computation.

    Args:
        engine: evaluates them.
        split: examples of the kind that will be evaluated.
        metrics: by name.

    Raises:
        BadInput: metrics do not fit the examples, or a computation is called as what is folded.
    """
    streaming = {name: metric for name, metric in metrics.items() if isinstance(metric, StreamingMetric)}
    shapes = engine.shapes(split, metrics)
    loss = engine.network.loss

    def group(members: Mapping[str, Metric], computation: Computation | None = None) -> Group:
        quantities = {metric.quantity(loss): next(iter(shapes[name]), None) for name, metric in members.items()}
        return Group(STREAMING if computation is None else computation.name, members, quantities, computation)

    operators = [group(some, join_computations(some.values())) for some in group_by_computation(metrics)]
    if any(each.name == STREAMING for each in operators):
        raise BadInput(f"a computation is called {STREAMING!r}, as surveys call what is folded; give it another name")
    return ([group(streaming)] if streaming else []) + operators


def check_names(groups: Sequence[Group], splits: Iterable[str], axes: Iterable[str]) -> None:
    """Refuse metrics that would make a survey in which one name stands for two things.

    Args:
        groups: of all metrics.
        splits: the names of the splits.
        axes: those of the chart.

    Raises:
        BadInput: two variables have one name, a dimension is called as one of them or as an axis, or it has two
            lengths.
    """
    taken = dict.fromkeys(axes, "an axis of the chart")
    for split in splits:
        for group in groups:
            for variable in (*group.variables(split), schema.name_marks(split, group.name)):
                if variable in taken:
                    raise BadInput(
                        f"{variable} would be {taken[variable]} and one of split {split!r}; give a split or a "
                        "metric another name"
                    )
                taken[variable] = f"a variable of split {split!r}"
    lengths: dict[str | None, tuple[int | None, str]] = {None: (None, "")}
    for group in groups:
        for quantity, length in group.quantities.items():
            name, dimension = quantity.name, quantity.dimension
            if dimension is not None and dimension in taken:
                raise BadInput(
                    f"the dimension {dimension!r} of metric {name!r} is {taken[dimension]}, too; give it another name"
                )
            there, first = lengths.setdefault(dimension, (length, name))
            if there != length:
                raise BadInput(
                    f"metrics {first!r} and {name!r} have {there} and {length} values along {dimension!r}; give "
                    "the dimension of one of them another name"
                )


def find_leading(groups: Sequence[Group], splits: Iterable[str]) -> tuple[str, Group, str]:
    """Find the split, the group and the variable that decide where points are needed.

    Raises:
        BadInput: no metric has one value at each point.
    """
    single = {q.name: group for group in groups for q, length in group.quantities.items() if length is None}
    if not single:
        raise BadInput("points are refined by a metric with one value at each, such as the loss; add one")
    metric = schema.LOSS if schema.LOSS in single else next(iter(single))
    split = next(iter(splits))
    return split, single[metric], schema.name_variable(split, metric)
