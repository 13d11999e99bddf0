"""What a chart is judged by while it is fitted: one number of metrics at a few fixed points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.pictures import LOSS_FLOOR, correlate
from lossatlas.streams import make_generator

__all__ = ["Scoring", "correlate_log_loss", "pick_points"]


@final
@dataclass(frozen=True)
class Scoring:
    """How well a chart shows what an objective asks for, by the metrics of some of its points; higher is better.

    Attributes:
        name: What the score is called, as in summaries: ``log_loss_correlation``, ``gap``.
        coords: The coordinates of the points, (P, d), float64 on the CPU, the same in every run.
        metrics: The metrics that are evaluated at the points, by name.
        compute: Computes the score from the values of these metrics, by name, each (P,) or (P, k) in float64 on the
            CPU. It returns NaN where there is none.
    """

    name: str
    coords: Tensor
    metrics: Mapping[str, StreamingMetric]
    compute: Callable[[Mapping[str, Tensor]], float]


def pick_points(count: int, most: int, stream: str) -> Tensor:
    """Pick at most ``most`` of ``count`` points at random, the same in every run: their sorted indices (k,)."""
    order = torch.randperm(count, generator=make_generator(0, stream))
    return order[:most].sort().values


def correlate_log_loss(losses: Tensor, target: npt.NDArray[np.float64]) -> float:
    """Compute Pearson's correlation of log losses (P,) with a target (P,); NaN where it is not defined."""
    if not bool(losses.isfinite().all()):
        return float("nan")
    found = correlate(losses.double().clamp(min=LOSS_FLOOR).log().numpy(), target)
    return float("nan") if found is None else found
