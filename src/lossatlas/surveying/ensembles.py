"""Ensembles of two and three members along a path: what averaging predictions is worth there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lossatlas.data import Split
from lossatlas.engine import Engine, Evaluation, Folded, StreamingMetric
from lossatlas.losses import Loss
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.surveying.path_points import PathPoints

__all__ = ["MEMBERS", "METRICS", "evaluate_ensembles"]

MEMBERS = ("alone", "first", "all")
"""What a point of the path is averaged with: nothing, the first of the networks that stay, all of them."""
METRICS = ("loss", "accuracy")
"""What ensembles are measured by."""


def evaluate_ensembles(
    engine: Engine,
    stay: PathPoints,
    path: PathPoints,
    loss: Loss,
    split: Split,
    eval_batch_size: int,
    on_share: Callable[[float], None] = lambda _: None,
) -> dict[str, Tensor]:
    """Metrics of averaged softmax outputs of networks that stay and one on a path.

    What Garipov et al. 2018 (arXiv 1802.10026, section 3.4) show along a curve, with phi(0) and with both ends. The
    problem's own loss sees the logarithm of the averaged probabilities instead of logits.

    Args:
        engine: of a problem whose outputs are logits.
        stay: the networks that stay; their outputs are kept.
        path: those that take turns, P of them.
        loss: the problem's, one that classifies.
        split: the examples.
        eval_batch_size: examples evaluated together.
        on_share: told the share that is done, after every eval batch of a chunk of points; may raise.

    Returns:
        Of each of :data:`METRICS` values (3, P), float64 on the CPU, in the order of :data:`MEMBERS`.
    """
    metrics: dict[str, StreamingMetric] = choose_streaming_metrics(loss, METRICS)
    kept: dict[int, list[Tensor]] = {}
    for _, examples, evaluation in engine.evaluations(*stay, split, eval_batch_size):
        kept.setdefault(examples.start, []).extend(_log_probabilities(evaluation))
    found = {name: torch.zeros(len(MEMBERS), len(path.coefficients), dtype=torch.float64) for name in metrics}
    done, total = 0, len(split) * len(path.coefficients)
    sums: dict[tuple[int, str], Tensor] = {}
    for points, examples, evaluation in engine.evaluations(*path, split, eval_batch_size):
        own, fixed = _log_probabilities(evaluation), kept[examples.start]
        first, last = examples.start == 0, examples.stop == len(split)
        for row, others in enumerate((fixed[:0], fixed[:1], fixed)):
            averaged = _averaged(evaluation, own, others)
            for name, metric in metrics.items():
                share = metric.sums(averaged).cpu()
                sums[row, name] = share if first else sums[row, name] + share
                if last:
                    folded = Folded(sums[row, name], len(split), len(split), _no_norms)
                    found[name][row, points] = metric.value(folded)
        done += (points.stop - points.start) * (examples.stop - examples.start)
        on_share(done / total)
    return found


def _log_probabilities(evaluation: Evaluation) -> Tensor:
    """Those of the classes, in the layout of the outputs (p, B, ...)."""
    log_probabilities: Tensor = evaluation.outputs.log_softmax(dim=evaluation.labelled.axis)
    return log_probabilities


def _averaged(evaluation: Evaluation, own: Tensor, others: list[Tensor]) -> Evaluation:
    """What the mean of own log probabilities (p, B, ...) and those of others (B, ...) makes of a batch."""
    members = torch.stack([own, *(other.expand_as(own) for other in others)])
    outputs = members.logsumexp(dim=0) - math.log(len(members))
    losses = torch.stack([evaluation.loss(one, evaluation.targets) for one in outputs])
    return replace(evaluation, outputs=outputs, losses=losses)


def _no_norms() -> Tensor:
    raise AssertionError("losses and accuracies ask for no norms")
