"""Checks of metrics of derivatives before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from lossatlas.data import Split
from lossatlas.engine import Engine, Metric, run_computation
from lossatlas.metrics.metric import group_by_computation, join_computations

__all__ = ["check_computations"]


def check_computations(engine: Engine, metrics: Mapping[str, Metric], split: Split, controls: Tensor) -> None:
    """Refuse metrics of derivatives that cannot be computed at any point.

    Args:
        engine: evaluates the points.
        metrics: by name; streaming ones are passed over.
        split: examples of the kind that will be evaluated.
        controls: of the chart, (m, n).

    Raises:
        BadInput: a computation is not defined for the network, as without second derivatives or under statistics of
            the batch, or the memory does not hold what it keeps at one point.
    """
    network, dtype = engine.network, torch.promote_types(controls.dtype, torch.float32)
    for group in group_by_computation(metrics):
        own = join_computations(group.values())
        run_computation(own.name, partial(own.check, network, split, dtype))
        engine.check_room(controls, own.count_vectors()[0], own.choose_space(network.space).size)
