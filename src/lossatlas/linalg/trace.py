"""The trace of several symmetric matrices at once, with the error of its estimate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from lossatlas.linalg.krylov import Numbered, Product, find_precision_limit

__all__ = ["Trace", "estimate_trace", "find_half_width"]


@dataclass(frozen=True)
class Trace:
    """The estimated traces of p matrices, NaN where a product is not finite.

    Attributes:
        value: The estimates (p,), float64.
        standard_error: Their standard errors over the probes, (p,), at least what rounding amounts to.
        probes: The number of probes that the error is that of.
    """

    value: Tensor
    standard_error: Tensor
    probes: int


def find_half_width(standard_error: float, samples: int, level: float = 0.95) -> float:
    """Compute half the width of the confidence interval of a mean of few samples, by Student's t.

    Args:
        standard_error: of the mean.
        samples: their number, at least 2.
        level: the probability that the interval contains the mean.

    >>> round(find_half_width(1.0, 5), 3)
    2.776
    """
    return float(stdtrit(samples - 1, 0.5 + level / 2)) * standard_error


def estimate_trace(
    product: Product, numbered: Numbered, points: int, like: Tensor, sketch: int = 10, probes: int = 20
) -> Trace:
    """Estimate the traces of p symmetric matrices A by Hutch++ (Meyer et al. 2021).

    The trace is computed exactly in a space Q that a sketch of A spans, and estimated outside of it as the mean of
    ``g' (1 - QQ') A (1 - QQ') g`` over random signs g. Given Q these are independent, so that their spread is the error
    of their mean. (On a diagonal matrix random signs alone have no spread at all.)

    Args:
        product: multiplies matrices with vectors.
        numbered: random vectors, of which signs are taken; all matrices share them.
        points: the number p of matrices.
        like: a tensor of their dtype and device, whose last axis has their dimension n.
        sketch: the dimension of Q; twice as many products with each matrix are needed.
        probes: the number of products outside of Q, at least 2.
    """
    n = like.shape[-1]
    every = torch.arange(points)
    sketch = min(sketch, n)

    def sign(number: int) -> Tensor:
        return numbered(number).sign().to(like).expand(points, n)

    images = torch.stack([product(sign(k), every) for k in range(sketch)], dim=2)
    finite = images.isfinite().all(dim=(1, 2))
    images[~finite] = 1.0
    space = torch.linalg.qr(images)[0]  # (p, n, sketch)
    del images
    inside = torch.zeros(points, dtype=torch.float64)
    rounding = torch.zeros(points, dtype=torch.float64)
    for k in range(sketch):
        column = space[:, :, k].contiguous()
        entry = (column * product(column, every)).double().sum(dim=1).cpu()
        inside += entry
        rounding += find_precision_limit(like.dtype) * entry.abs()
    known = finite.cpu() & inside.isfinite()
    if sketch == n:
        return Trace(inside.where(known, float("nan")), rounding.where(known, float("nan")), 0)
    samples = []
    for k in range(probes):
        probe = sign(sketch + k)
        for _ in range(2):
            probe = probe - torch.bmm(space, torch.bmm(space.transpose(1, 2), probe[:, :, None]))[:, :, 0]
        samples.append((probe * product(probe, every)).double().sum(dim=1).cpu())
    outside = torch.stack(samples)
    value = inside + outside.mean(dim=0)
    error = (outside.std(dim=0) / probes**0.5).maximum(rounding)
    known &= value.isfinite()
    return Trace(value.where(known, float("nan")), error.where(known, float("nan")), probes)
