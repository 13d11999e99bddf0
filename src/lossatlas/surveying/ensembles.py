"""Ensembles of two and three members along a path: what averaging predictions is worth there."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lossatlas.data import Split
from lossatlas.engine import Engine, Evaluation, StreamingMetric
from lossatlas.losses import Loss
from lossatlas.metrics import streaming_metrics
from lossatlas.surveying.path_points import PathPoints

__all__ = ["MEMBERS", "METRICS", "ensembles_along"]

MEMBERS = ("alone", "first", "all")
"""What a point of the path is averaged with: nothing, the first of the networks that stay, all of them."""
METRICS = ("loss", "accuracy")
"""What ensembles are measured by."""


def ensembles_along(
    engine: Engine,
    stay: PathPoints,
    path: PathPoints,
    loss: Loss,
    split: Split,
    group: int,
    on_share: Callable[[float], None] = lambda _: None,
) -> dict[str, Tensor]:
    """Metrics of averaged softmax outputs of networks that stay and one on a path.

    What Garipov et al. 2018 (arXiv 1802.10026, section 3.4) show along a curve, with phi(0) and with both ends. The
    problem's own loss sees the logarithm of the averaged probabilities in the place of logits.

    Args:
        engine: of a problem whose outputs are logits (B, ..., C).
        stay: the networks that stay; their outputs are kept.
        path: those that take turns, P of them.
        loss: the problem's, one that classifies.
        split: the examples.
        group: examples evaluated together.
        on_share: told the share that is done, after every group of a chunk of points; may raise.

    Returns:
        Of each of :data:`METRICS` values (3, P), float64 on the processor, in the order of :data:`MEMBERS`.
    """
    metrics: dict[str, StreamingMetric] = streaming_metrics(loss, METRICS)
    kept: list[list[Tensor]] = [[] for _ in stay.coefficients]
    for points, _, evaluation in engine.evaluations(*stay, split, group):
        for index, point in enumerate(range(points.start, points.stop)):
            kept[point].append(evaluation.outputs[index].log_softmax(dim=-1))
    fixed = [torch.cat(parts) for parts in kept]
    sums = {name: torch.zeros(len(MEMBERS), len(path.coefficients), dtype=torch.float64) for name in metrics}
    done, total = 0, len(split) * len(path.coefficients)
    for points, examples, evaluation in engine.evaluations(*path, split, group):
        own = evaluation.outputs.log_softmax(dim=-1)
        for row, others in enumerate((fixed[:0], fixed[:1], fixed)):
            averaged = _averaged(loss, own, [other[examples] for other in others], evaluation)
            for name, metric in metrics.items():
                sums[name][row, points] += metric.sums(averaged)[:, 0].cpu()
        done += (points.stop - points.start) * (examples.stop - examples.start)
        on_share(done / total)
    return {name: added / len(split) for name, added in sums.items()}


def _averaged(loss: Loss, own: Tensor, others: list[Tensor], evaluation: Evaluation) -> Evaluation:
    """What the mean of own log probabilities (p, B, ..., C) and those of others (B, ..., C) makes of a batch."""
    members = torch.stack([own, *(other.expand_as(own) for other in others)])
    outputs = members.logsumexp(dim=0) - math.log(len(members))
    losses = torch.stack([loss(one, evaluation.targets) for one in outputs])
    return Evaluation(outputs, losses, evaluation.targets, evaluation.batch)
