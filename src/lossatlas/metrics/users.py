"""Metrics from outside of the package: functions, and classes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lossatlas.engine import Evaluation, Metric
from lossatlas.engine.purity import is_comparable
from lossatlas.errors import BadInput, ModelFailure, format_error
from lossatlas.losses import Loss
from lossatlas.metrics.mean import MeanMetric
from lossatlas.registry import load_callable
from lossatlas.schema import Quantity
from lossatlas.users_code import call_user_code

__all__ = ["PerExampleMetric", "load_metric"]


class PerExampleMetric(MeanMetric):
    """The mean of a function of each example.

    Args:
        function: ``(outputs, batch) -> (B,)``: from one network's outputs (B, ...) on a batch to one real number per
            example, in a tensor on any device, an array or a list. It must not write to its arguments.
        name: the name of the metric; default the function's.
        units: the unit, for plots.
    """

    def __init__(self, function: Callable[[Any, Any], Tensor], name: str = "", units: str = "1") -> None:
        self.function = function
        own = getattr(function, "__name__", "metric")
        self.name = name or (own if own.isidentifier() else "metric")
        self.units = units

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        named = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        record = f"{named.__module__}.{named.__qualname__}"
        return Quantity(self.name, str(self.name).replace("_", " "), self.units, record=record)

    def per_example(self, evaluation: Evaluation) -> Tensor:
        points, examples = evaluation.losses.shape
        return torch.stack([self._of_one(evaluation, point, examples) for point in range(points)])

    def _of_one(self, evaluation: Evaluation, point: int, examples: int) -> Tensor:
        outputs = tree_map(lambda leaf: leaf[point] if isinstance(leaf, Tensor) else leaf, evaluation.outputs)
        returned = self.function(outputs, evaluation.batch)
        values = _tensor(returned)
        if values is None or values.shape != (examples,):
            found = type(returned).__name__ if values is None else f"shape {tuple(values.shape)}"
            raise ModelFailure(
                f"metric {self.name!r} returned {found} for {examples} examples; expected one number each"
            )
        if values.is_complex():
            raise ModelFailure(
                f"metric {self.name!r} returned {values.dtype}; expected real numbers, such as its abs()"
            )
        return values.detach().to(evaluation.losses.device)


def load_metric(spec: str) -> Metric:
    """Load the metric that ``module:callable`` names.

    Args:
        spec: the name of a function of outputs and batch, or of a class of metrics that takes no arguments.

    Raises:
        BadInput: it cannot be imported, is a class of something else, or fails.
    """
    found = load_callable("metric", spec)
    if not isinstance(found, type):
        return found if isinstance(found, Metric) else PerExampleMetric(found)
    if not issubclass(found, Metric):
        raise BadInput(f"metric {spec!r} is a class, and not of metrics; name a function of outputs and batch")
    try:
        return call_user_code(found)
    except Exception as error:  # user code may fail in any way
        raise BadInput(
            f"metric {spec!r} cannot be made ({format_error(error)}); name a class that takes no arguments"
        ) from error


def _tensor(returned: Any) -> Tensor | None:
    """The numbers that a function returned, as a tensor; None where it returned something else."""
    if isinstance(returned, np.ndarray | list | tuple):
        try:
            return torch.as_tensor(returned)
        except (TypeError, ValueError, RuntimeError):
            return None
    return returned if is_comparable(returned) else None
