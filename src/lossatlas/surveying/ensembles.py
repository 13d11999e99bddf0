"""Ensembles of two and three members along a path: what averaging predictions is worth there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.data import Split
from lossatlas.engine import Engine

__all__ = ["Member", "ensembles_along"]

Member = tuple[Tensor, Tensor]
"""A path as coefficients (P, m) of controls (m, n)."""


def ensembles_along(
    engine: Engine,
    fixed: Member,
    paths: Mapping[str, Member],
    split: Split,
    group: int,
    on_share: Callable[[float], None] = lambda _: None,
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """Loss and accuracy of averaged softmax outputs of networks that stay and one on a path.

    For each path the first of those that stay with the path's point ("first"), and all of them with it ("all"): what
    Garipov et al. 2018 (arXiv 1802.10026, section 3.4) show along a curve, with phi(0) and with both ends.

    Args:
        engine: of a problem whose outputs are logits (B, ..., C).
        fixed: the networks that stay; their outputs are kept.
        paths: by name.
        split: the examples.
        group: examples evaluated together.
        on_share: told the share that is done, after every group of a chunk of points; may raise.

    Returns:
        By ``<path>``, ``first+<path>`` and ``all+<path>``: ``loss`` (P,), in nats, and ``accuracy`` (P,).
    """
    kept = [[] for _ in range(len(fixed[0]))]  # type: list[list[Tensor]]
    for points, _, outputs, _ in engine.outputs(*fixed, split, group):
        for index, point in enumerate(range(points.start, points.stop)):
            kept[point].append(outputs[index].log_softmax(dim=-1))
    stay = [torch.cat(parts) for parts in kept]
    found: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    done, total = 0, len(split) * sum(len(coefficients) for coefficients, _ in paths.values())
    for name, (coefficients, controls) in paths.items():
        chosen = {name: [], f"first+{name}": stay[:1], f"all+{name}": stay}  # type: dict[str, list[Tensor]]
        sums = {key: np.zeros((2, len(coefficients))) for key in chosen}
        for points, examples, outputs, targets in engine.outputs(coefficients, controls, split, group):
            own = outputs.log_softmax(dim=-1)
            for key, others in chosen.items():
                sums[key][:, points] += _scores(own, [other[examples] for other in others], targets)
            done += (points.stop - points.start) * (examples.stop - examples.start)
            on_share(done / total)
        for key, (losses, hits) in sums.items():
            found[key] = {"loss": losses / len(split), "accuracy": hits / len(split)}
    return found


def _scores(own: Tensor, others: list[Tensor], targets: Tensor) -> npt.NDArray[np.float64]:
    """Sums over examples (2, p) of loss and accuracy of the mean of own (p, B, ..., C) and others (B, ..., C).

    Positions whose label is negative do not count, as in :class:`lossatlas.CrossEntropy`.
    """
    members = torch.stack([own, *(other.expand_as(own) for other in others)])
    mean = members.logsumexp(dim=0) - math.log(len(members))
    labels = targets.expand(own.shape[:-1])
    counted = (labels >= 0).double().reshape(*labels.shape[:2], -1)
    losses = -mean.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    right = mean.argmax(dim=-1) == labels
    parts = [part.double().reshape(counted.shape) * counted for part in (losses, right)]
    means = [part.sum(dim=2) / counted.sum(dim=2).clamp(min=1) for part in parts]
    return torch.stack([mean.sum(dim=1) for mean in means]).cpu().numpy()
