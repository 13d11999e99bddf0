"""A metric that is a user's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lossatlas.engine import Evaluation
from lossatlas.engine.purity import is_comparable
from lossatlas.errors import ModelFailure
from lossatlas.losses import Loss
from lossatlas.metrics.mean import MeanMetric
from lossatlas.schema import Quantity

__all__ = ["PerExampleMetric"]


class PerExampleMetric(MeanMetric):
    """The mean of what a function says of each example.

    Args:
        function: ``(outputs, batch) -> (B,)``, of one network's outputs (B, ...) on a batch: real numbers of any kind,
            in a tensor on any device, an array or a list. It writes to neither.
        name: of the metric; default the function's.
        units: for plots.
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


def _tensor(returned: Any) -> Tensor | None:
    """The numbers that a function returned; None where it returned something else."""
    if isinstance(returned, np.ndarray | list | tuple):
        try:
            return torch.as_tensor(returned)
        except (TypeError, ValueError, RuntimeError):
            return None
    return returned if is_comparable(returned) else None
