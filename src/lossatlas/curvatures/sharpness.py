"""Sharpness: how far the loss rises within a given distance of a point, at p points at once.

Statistics that points have of their own stay those of the point while its weights are moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lossatlas.curvatures.spectrum import make_numbered
from lossatlas.engine import Derivatives

__all__ = ["ASCENT_STEPS", "NOISE_PAIRS", "SHARPNESS_VECTORS", "AverageRise", "Rises"]

ASCENT_STEPS = 20
"""The usual number of steps of an ascent."""
NOISE_PAIRS = 20
"""The usual number of pairs of opposite random steps."""
SHARPNESS_VECTORS = 6
"""The vectors of length n that are kept at each point: weights, gradients and steps, with copies."""
ROUNDINGS = 4
"""The number of roundings of a loss that a difference of two may be off by."""


@dataclass(frozen=True)
class AverageRise:
    """The mean rise of the loss under random steps, (p,), float64, with its standard error over pairs of steps.

    The standard error is not below what the rounding of the loss may be: that of steps which are too small for the
    precision looks like their spread, which it is not.
    """

    value: Tensor
    standard_error: Tensor


class Rises:
    """How far the loss rises around p points, in some of their parameters.

    The loss and its gradient at the points are computed once. A rise is NaN where the loss is not finite at the point.

    Args:
        derivatives: of the points.
        parameters: patterns of the parameters that are moved, as in :class:`CurvatureSettings`.
        seed: the seed of random steps, which all points share.

    Raises:
        BadInput: no parameter matches.
    """

    def __init__(self, derivatives: Derivatives, parameters: Sequence[str] = ("*",), seed: int = 0) -> None:
        self._derivatives = derivatives
        self._space = derivatives.space.choose(parameters)
        self._seed = seed

    def by_one_step(self, radius: float) -> Tensor:
        """Compute the rise one step ``radius * g / |g|`` along the gradient away, (p,) (Foret et al. 2021).

        It is zero where the gradient is.
        """
        return self._rise(radius * _direct(self._slopes))

    def by_steps(self, radius: float, steps: int = ASCENT_STEPS) -> Tensor:
        """Compute the largest rise that an ascent finds within a ball, (p,), at least 0, that of the point itself.

        It is NaN where the loss is not finite somewhere on the way.

        Each step goes the radius along the gradient and back into the ball, and the highest loss on the way counts. The
        first step is that of :meth:`by_one_step`; where the gradient is zero it goes along a random direction.

        Args:
            radius: of the ball.
            steps: how many are made.
        """
        random = self._scatter(make_numbered(self._seed, "ascent", self._space.size)(0))
        stationary = (self._slopes == 0).all(dim=1, keepdim=True)
        step = radius * _direct(self._slopes.where(~stationary, random))
        highest = self._rise(step).clamp(min=0)
        for _ in range(steps - 1):
            slopes = self._choose(self._derivatives.move(step).gradient())
            step = _shorten(step + radius * _direct(slopes), radius)
            highest = torch.maximum(highest, self._rise(step))
        return highest

    def adaptively(self, radius: float) -> Tensor:
        """Compute the rise one step away, where distances are relative to the weights, (p,) (Kwon et al. 2021).

        The step ``radius * T^2 g / |T g|`` with ``T = |w|``, entry by entry, is the one to which the linear loss rises
        most within ``|d / w| <= radius``. Multiplying a layer before a ReLU by a factor and dividing the next one by it
        does not change the rise.
        """
        scales = self._derivatives.weights().abs()
        return self._rise(radius * scales * _direct(scales * self._slopes))

    def on_average(self, radius: float, pairs: int = NOISE_PAIRS) -> AverageRise:
        """Estimate the mean rise under Gaussian steps d with ``E|d|^2 = radius^2``.

        Steps are taken in pairs d, -d, whose mean rise does not depend on the gradient.

        Args:
            radius: the root of the mean squared length of the steps.
            pairs: how many pairs are taken, at least 2.
        """
        numbered = make_numbered(self._seed, "noise", self._space.size)
        scale = radius / self._space.size**0.5
        means = []
        for number in range(pairs):
            step = scale * self._scatter(numbered(number))
            means.append((self._rise(step) + self._rise(-step)) / 2)
        samples = torch.stack(means)
        return AverageRise(samples.mean(dim=0), torch.maximum(samples.std(dim=0) / pairs**0.5, self.rounding))

    @cached_property
    def rounding(self) -> Tensor:
        """What a rise may be off by, since losses are rounded to the precision of the weights, (p,), float64."""
        unit = torch.finfo(self._derivatives.weights().dtype).eps
        return ROUNDINGS * unit * self._losses.abs()

    @cached_property
    def _losses(self) -> Tensor:
        """The losses at the points, (p,); NaN where they are not finite."""
        losses = self._derivatives.losses()
        return losses.where(losses.isfinite(), torch.nan)

    @cached_property
    def _slopes(self) -> Tensor:
        """The gradients (p, n) at the points, zero in parameters that are not moved."""
        return self._choose(self._derivatives.gradient())

    def _rise(self, steps: Tensor) -> Tensor:
        """How far the loss rises by steps (p, n)."""
        return self._derivatives.move(steps).losses() - self._losses

    def _choose(self, vectors: Tensor) -> Tensor:
        """Set the entries of vectors (p, n) to zero that are not moved."""
        return vectors * self._moved

    @cached_property
    def _moved(self) -> Tensor:
        """One for each weight that is moved, zero for the others, (n,)."""
        like = self._derivatives.weights()
        return self._spread(torch.ones(self._space.size).to(like))

    def _scatter(self, vector: Tensor) -> Tensor:
        """Put a vector of the parameters that are moved into the whole space, for all points, (p, n)."""
        return self._spread(vector.to(self._moved)).expand(self._derivatives.count, -1)

    def _spread(self, vector: Tensor) -> Tensor:
        whole = vector.new_zeros(1, self._derivatives.space.size)
        self._derivatives.space.add(self._space.unflatten(vector[None]), whole)
        return whole[0]


def _direct(vectors: Tensor) -> Tensor:
    """Vectors (p, n) divided by their norms; zero stays zero."""
    return vectors / _measure(vectors)


def _shorten(vectors: Tensor, radius: float) -> Tensor:
    """The nearest vectors in a ball."""
    return vectors * (radius / _measure(vectors)).clamp(max=1)


def _measure(vectors: Tensor) -> Tensor:
    """The norms (p, 1) of vectors (p, n), in 64 bits on the way, since squares of small slopes vanish in 32."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
    lengths: Tensor = norms.clamp(min=torch.finfo(vectors.dtype).tiny).to(vectors.dtype)
    return lengths
