"""Metrics that are means over examples."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lossatlas.engine import Evaluation, Folded, StreamingMetric
from lossatlas.errors import ModelFailure
from lossatlas.schema import STANDARD_ERROR, Companion

__all__ = ["MeanMetric", "divide_ratio", "find_ratio_error", "sum_ratio"]


class MeanMetric(StreamingMetric):
    """The mean of one number per example; over a random subset with its standard error.

    With weights w (:meth:`weights`) and numbers v it is the ratio of sums ``sum_i w_i v_i / sum_i w_i`` over a split.
    """

    companions = (STANDARD_ERROR,)

    @abstractmethod
    def per_example(self, evaluation: Evaluation) -> Tensor:
        """The numbers (p, B) of a batch."""

    def weights(self, evaluation: Evaluation) -> Tensor | None:
        """The weight of each example (B,), not negative, the same at all points; None for equal weights."""
        return None

    def sums(self, evaluation: Evaluation) -> Tensor:
        """The sums of w v, (w v)^2, w v w, w and w^2 over the examples of a batch: (p, 5)."""
        values = self.per_example(evaluation)
        if values.is_complex():  # they would lose their imaginary part
            raise ModelFailure(f"{type(self).__name__} gives {values.dtype}; expected real numbers, such as its abs()")
        return sum_ratio(values, self.weights(evaluation))

    def value(self, folded: Folded) -> Tensor:
        """The mean (p,); NaN where the weights sum to zero."""
        return divide_ratio(folded.sums)

    def companion(self, companion: Companion, folded: Folded) -> Tensor:
        """The standard error of the mean (p,), see :func:`find_ratio_error`."""
        return find_ratio_error(folded)


def sum_ratio(values: Tensor, weights: Tensor | None) -> Tensor:
    """Sum what the ratio ``sum_i w_i v_i / sum_i w_i`` and its standard error are made of.

    Args:
        values: (p, B), of B examples.
        weights: (B,), not negative; None for equal weights. What counts nothing may be NaN.

    Returns:
        The sums of w v, (w v)^2, w v w, w and w^2: (p, 5), float64.
    """
    values = values.double()
    weights = values.new_ones(values.shape[1]) if weights is None else weights.to(values)
    weighed = torch.where(weights > 0, values, 0) * weights
    counted = torch.stack([weights.sum(), weights.square().sum()]).expand(len(values), 2)
    return torch.cat(
        [torch.stack([weighed.sum(dim=1), weighed.square().sum(dim=1), weighed @ weights], dim=1), counted], dim=1
    )


def divide_ratio(sums: Tensor) -> Tensor:
    """Compute the ratio (...) from sums (..., 5) of :func:`sum_ratio`; NaN where the weights sum to zero."""
    return sums[..., 0] / sums[..., 3]


def find_ratio_error(folded: Folded) -> Tensor:
    """Compute the standard error (...) of a ratio for sampling without replacement (Cochran 1977, section 2.11).

    With the ratio R, n examples out of N and the residuals ``e_i = w_i v_i - R w_i``::

        sqrt(sum_i e_i^2 / (n - 1) / n (1 - n / N)) / (sum_i w_i / n)

    For equal weights that is the standard error of a mean, ``sqrt(s^2 / n (1 - n / N))`` (section 2.6), and for weights
    that are zero outside of a group that of the mean of the group (section 2.12). The bias of the ratio, of order 1/n,
    is not included.

    Args:
        folded: with sums (..., 5) of :func:`sum_ratio`.
    """
    n = folded.examples
    total, squares, products, count, squared_weights = folded.sums.unbind(dim=-1)
    ratio = total / count
    residuals = (squares - 2 * ratio * products + ratio.square() * squared_weights).clamp(min=0)
    return (residuals / (n - 1) / n * (1 - n / folded.population)).sqrt() / (count / n)
