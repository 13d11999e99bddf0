"""Whether results depend on which examples are evaluated together."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lossatlas.data import Split, take_rows
from lossatlas.engine.checking import spread
from lossatlas.engine.network import CHECKED_EXAMPLES, Network
from lossatlas.errors import Caution
from lossatlas.types import Batch, Outputs

__all__ = ["depends_on_groups", "warn_of_groups"]

LOOKED_AT = 64
"""The number of examples among which different ones are chosen."""
HALF = 4
"""The number of examples in each half of the batch that is tried."""
ROUNDING = 1e-4
"""The relative tolerance for sums in another order."""


def warn_of_groups(network: Network, split: Split, eval_batch_size: int, *, derives: bool = False) -> None:
    """Warn, once for a network, where results depend on which examples are evaluated together.

    Args:
        network: the network that is evaluated.
        split: the examples.
        eval_batch_size: how many are evaluated together.
        derives: whether derivatives are taken; a mean over a random subset stands for that over all examples, and so
            does its curvature unless examples mix.

    Warns:
        Caution: the loss of an example depends on the others in its group, or the mean of a batch on its size, and
            there are several groups. Or, where derivatives are taken, the loss of an example depends on the others, and
            these are a random subset.
    """
    groups, sampled = eval_batch_size < len(split), derives and len(split) < split.population
    if network.handed.groups_told or not (groups or sampled):
        return
    if network.loss.per_example:
        if network.tells_apart(split.take(spread(CHECKED_EXAMPLES, split)), outputs=False):
            return
        message = (
            "the loss of an example depends on which others are evaluated with it (eval_batch_size): the model or the "
            "loss mixes the examples of a batch; have them treat examples apart, or evaluate the whole split together"
        )
        if not groups:
            message = (
                "the loss of an example depends on which others are evaluated with it: the model or the loss mixes the "
                "examples of a batch, so that curvature on a random subset does not stand for that on all examples; "
                "have them treat examples apart, or take all of them together (--examples all, --eval_batch_size)"
            )
    else:
        weighed = network.loss.weights(network.targets(split.take(torch.arange(1)))) is not None
        if not groups or weighed or not depends_on_groups(network, split, calls=not network.has_statistics):
            return
        message = (
            f"{network.loss.record} depends on how many examples are evaluated together (eval_batch_size): it is not a "
            "mean over examples; say what each counts (BatchMean(..., weights=...)), or evaluate the whole split "
            "together"
        )
    network.handed.groups_told = True
    warnings.warn(message, Caution, stacklevel=3)


def depends_on_groups(network: Network, split: Split, *, calls: bool) -> bool:
    """Whether a mean over a few examples differs from the mean of the means over two halves of them.

    The halves are chosen so that their targets differ: in padding, in the number of equal ones, in size.

    Args:
        network: a network under a loss that is the mean of a batch with equal weights.
        split: the examples.
        calls: whether the network may be called on halves, which is necessary if it returns its own loss. A network
            that normalises by the batch gives other outputs there.
    """
    for examples in _tried(network, split):
        halves = examples.chunk(2)
        with network.calling():
            outputs, losses = network({}, split.take(examples))
            whole = float(losses[0])
            if _is_per_example(outputs, len(examples)):
                targets = network.targets(split.take(examples))
                parts = [_half(network, outputs, targets, half) for half in (slice(0, HALF), slice(HALF, None))]
            elif calls:
                parts = [float(network({}, split.take(half))[1][0]) for half in halves]
            else:
                return False
        apart = abs(whole - sum(parts) / 2)
        if math.isfinite(apart) and apart > ROUNDING * max(abs(whole), *map(abs, parts)):
            return True
    return False


def _half(network: Network, outputs: Outputs, targets: Any, half: slice) -> float:
    of_half = [take_rows(tree, half) for tree in (outputs, targets)]
    return float(network.loss(*of_half)[0])


def _is_per_example(outputs: Outputs, examples: int) -> bool:
    leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return bool(leaves) and all(leaf.ndim and len(leaf) == examples for leaf in leaves)


def _tried(network: Network, split: Split) -> Iterator[Tensor]:
    """Indices of examples, with a first half as different as possible from the second."""
    count = min(LOOKED_AT, len(split))
    if count < 2 * HALF:
        return
    places = spread(LOOKED_AT, split)
    numbers = _numbers(network.targets(split.take(places)), count)
    if numbers is None:
        yield places[: 2 * HALF]
        return
    usual = numbers.flatten().mode().values
    for key in ((numbers < 0) | numbers.isnan(), numbers == usual, numbers.nan_to_num()):
        order = key.double().sum(dim=1).argsort(stable=True)
        yield places[torch.cat([order[:HALF], order[-HALF:]])]


def _numbers(targets: Batch, count: int) -> Tensor | None:
    """The numbers in the targets of each example, (B, any); None if there are none."""
    found = [leaf for leaf in tree_leaves(targets) if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count]
    rows = [leaf.detach().cpu().double().reshape(count, -1) for leaf in found if not leaf.is_complex()]
    return torch.cat(rows, dim=1) if rows and sum(row.shape[1] for row in rows) else None
