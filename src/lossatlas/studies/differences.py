"""Differences between the predictions of networks on the same examples, as functions of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import log

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.errors import BadInput

__all__ = ["Difference", "disagreement", "jensen_shannon", "mean_squared_difference", "measure_differences"]


@dataclass(frozen=True, eq=False)
class Difference:
    """One kind of difference between every two of R networks.

    Attributes:
        name: The name of the variable.
        long_name: The label in plots.
        units: The unit of the values; ``1`` for fractions.
        values: (R, R), symmetric, with zeros on the diagonal; NaN where outputs are not finite.
    """

    name: str
    long_name: str
    units: str
    values: npt.NDArray[np.float64]


def disagreement(one: Tensor, other: Tensor, weights: Tensor | None = None) -> float:
    """Compute the fraction of examples for which two networks predict different labels.

    Args:
        one: logits (N, ..., C); inner positions count like examples.
        other: those of the other network, likewise.
        weights: the weight of each example, (N,); default equal weights.

    Returns:
        A fraction in [0, 1]; NaN if any logit is NaN.
    """
    if bool(one.isnan().any()) or bool(other.isnan().any()):
        return float("nan")
    return _mean((one.argmax(dim=-1) != other.argmax(dim=-1)).double(), weights)


def jensen_shannon(one: Tensor, other: Tensor, weights: Tensor | None = None) -> float:
    """Compute the mean Jensen-Shannon divergence between two networks' distributions over classes, in nats.

    ``JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2`` with ``m = (p + q) / 2`` and natural logarithms (Lin 1991), so that
    it lies between 0 and log 2. In float64, from logits: probabilities that underflow are still told apart.

    Args:
        one: logits (N, ..., C); inner positions count like examples.
        other: those of the other network, likewise.
        weights: the weight of each example, (N,); default equal weights.

    Returns:
        A number in [0, log 2]; NaN if outputs are NaN or do not define a distribution.
    """
    p, q = (functional.log_softmax(logits.double(), dim=-1) for logits in (one, other))
    middle = torch.logaddexp(p, q) - log(2)
    divergences = (_relative(p, middle) + _relative(q, middle)) / 2
    # Rounding errors of the order of 1e-17 may leave the interval.
    return _mean(divergences.clamp(0, log(2)), weights)


def mean_squared_difference(one: Tensor, other: Tensor, weights: Tensor | None = None) -> float:
    """Compute the mean squared distance between two networks' outputs (N, ...), in their unit squared.

    Args:
        one: outputs (N, ...).
        other: those of the other network.
        weights: the weight of each example, (N,); default equal weights.
    """
    return _mean((one.double() - other.double()).square().flatten(1).sum(dim=1), weights)


def measure_differences(
    outputs: Mapping[str, Tensor], *, classifies: bool, weights: Tensor | None = None
) -> list[Difference]:
    """Compute all differences between every two networks that apply to their outputs.

    Args:
        outputs: (N, ...) by network, of the same examples in the same order; logits (N, ..., C) of classifiers.
        classifies: whether they are logits. If so, ``disagreement`` and ``js_divergence``; otherwise
            ``squared_difference``.
        weights: the weight of each example in these means, (N,); default equal weights.

    Raises:
        BadInput: two networks' outputs have different shapes.
    """
    (first, shape), *others = ((name, tuple(values.shape)) for name, values in outputs.items())
    for name, found in others:
        if found != shape:
            raise BadInput(
                f"the outputs of {first} have shape {shape} and those of {name} {found}; expected networks of the same "
                "task"
            )
    given = [values if values.ndim > 1 else values[:, None] for values in outputs.values()]
    if not classifies:
        squares = _pairwise(given, partial(mean_squared_difference, weights=weights))
        return [Difference("squared_difference", "mean squared difference of outputs", "1", squares)]
    return [
        Difference(
            "disagreement", "share of disagreeing labels", "1", _pairwise(given, partial(disagreement, weights=weights))
        ),
        Difference(
            "js_divergence",
            "mean Jensen-Shannon divergence",
            "nat",
            _pairwise(given, partial(jensen_shannon, weights=weights)),
        ),
    ]


def _relative(log_p: Tensor, log_m: Tensor) -> Tensor:
    """Compute KL(p || m), (N, ...), from logarithms (N, ..., C); classes of probability zero add nothing."""
    terms = log_p.exp() * (log_p - log_m)
    return torch.where(log_p == -torch.inf, 0.0, terms).sum(dim=-1)


def _mean(values: Tensor, weights: Tensor | None) -> float:
    """Compute the mean of values (N, ...) over examples with weights (N,)."""
    if weights is None:
        return float(values.mean())
    each, weights = values.flatten(1).mean(dim=1) if values.ndim > 1 else values, weights.to(values)
    # Examples of weight zero may have NaN.
    return float(torch.where(weights > 0, each, 0) @ weights / weights.sum())


def _pairwise(outputs: Sequence[Tensor], difference: Callable[[Tensor, Tensor], float]) -> npt.NDArray[np.float64]:
    found = np.zeros((len(outputs), len(outputs)))
    for k, one in enumerate(outputs):
        for i in range(k):
            found[i, k] = found[k, i] = difference(outputs[i], one)
    return found
