"""What a gradient and eigenvalues say of a point, in words: a minimum, a saddle, or neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Verdict", "judge_point"]

NEGLIGIBLE = 1e-6
"""The share of the weights' length by which a step counts as none: rounding weights to 32 bits moves them about so
far."""

Pair = tuple[float, float]
"""An eigenvalue and its residual."""


@dataclass(frozen=True)
class Verdict:
    """What is known of a point.

    Attributes:
        kind: One of the words below.
        sentence: What it rests on, without a full stop.
        negative: The number of negative directions that were found: eigenvalues below the tolerance that converged.

    A point is a ``minimum`` if it is stationary within the tolerance, the smallest eigenvalue found is positive by more
    than its residual, and against that curvature, too, the gradient is negligible; a ``saddle`` if it is stationary and
    has a negative direction; ``undecided`` if it is stationary and the smallest eigenvalue is neither, was not asked
    for or did not converge, if all are zero, or if eigenvalues that did not converge leave open whether it is
    stationary. Otherwise it is ``not stationary``, or ``not finite``.
    """

    kind: Literal["minimum", "saddle", "undecided", "not stationary", "not finite"]
    sentence: str
    negative: int


def judge_point(
    loss: float,
    gradient_norm: float,
    weight_norm: float,
    top: Sequence[Pair],
    bottom: Sequence[Pair],
    tolerance: float,
    gradient_tolerance: float,
    *,
    settled: bool = True,
) -> Verdict:
    """Judge a point by its gradient and the eigenvalues at both ends of the Hessian's spectrum.

    It counts as stationary if a step of gradient descent of length |g|/L, where L is the largest magnitude among the
    eigenvalues, is negligible in one of two senses: it lowers the loss by at most a small share of it, according to the
    second-order model by ``|g|^2 / (2 L)``; or it moves the weights w by at most ``1e-6 |w|``, which rounding does as
    well. The second sense is that of minima whose loss is zero: there any descent, however small, is a large share of
    what is left. Neither depends on the units of the loss or of the weights.

    Args:
        loss: the mean loss.
        gradient_norm: of its gradient.
        weight_norm: of the weights.
        top: the largest eigenvalues of an operator, descending, with their residuals; NaN where they were not found.
        bottom: the smallest eigenvalues of the Hessian, ascending, likewise; empty where they are unknown.
        tolerance: of eigenvalues and residuals, as a share of the largest magnitude.
        gradient_tolerance: the share of the loss.
        settled: whether the search for eigenvalues came to its end; otherwise there may be smaller ones.

    >>> judge_point(0.5, 1e-6, 3.0, [(4.0, 1e-4)], [(-0.5, 1e-4), (0.1, 1e-4)], 1e-3, 1e-3).kind
    'saddle'
    """
    asked = [*top, *bottom]
    found = [pair for pair in asked if all(map(math.isfinite, pair))]
    if not found or not all(map(math.isfinite, (loss, gradient_norm))):
        return Verdict("not finite", "not finite: the loss or a product with the operator is not finite", 0)
    largest = max(abs(value) for value, _ in found)
    allowed = tolerance * largest
    doubts = _tell_doubts(asked, found, allowed)
    if not settled and not doubts:
        doubts = "; the search ended before it could be sure of the smallest eigenvalues: allow more products"
    negative = [value for value, residual in bottom if value < -allowed and residual <= allowed]
    said = ""
    if negative:
        several = "s" * (len(negative) > 1)
        said = f"at least {len(negative)} negative direction{several} found (down to {negative[0]:.3g})"
    slope = _Slope(loss, gradient_norm, weight_norm, gradient_tolerance)
    kind: Literal["undecided", "not stationary"]
    if not slope.is_negligible(largest):
        # An eigenvalue that did not converge may be larger than it seems, and a step by it shorter.
        if slope.is_negligible(max(abs(value) + residual for value, residual in found)) or len(found) < len(asked):
            kind, start = "undecided", "whether it is stationary is not known"
        else:
            kind, start = "not stationary", "not stationary"
        sentence = f"{start}: {slope.tell(largest)}" + (f"; {said}" if said else "") + doubts
        return Verdict(kind, sentence, len(negative))
    stationary = slope.tell(largest)
    if negative:
        return Verdict("saddle", f"a saddle: {said}, and {stationary}{doubts}", len(negative))
    if not bottom:
        return Verdict("undecided", f"stationary: {stationary}; negative curvature was not looked for{doubts}", 0)
    if largest == 0 and not doubts:
        return Verdict("undecided", f"flat to second order: all eigenvalues found are 0, and {stationary}", 0)
    lowest, residual = bottom[0]
    if not residual <= allowed or (lowest > residual and not settled):
        return Verdict("undecided", f"stationary: {stationary}; whether it is a minimum is not known{doubts}", 0)
    smallest = f"the smallest eigenvalue found, {lowest:.3g} ± {residual:.2g}"
    # Against so small a curvature as the smallest may have, the gradient is to be negligible as well: a bowl whose loss
    # one short step does not lower may have a long flat way to its bottom.
    if lowest > residual and not slope.is_negligible(lowest - residual):
        sentence = (
            f"no negative curvature: {smallest}, is positive, and {stationary}; but along directions of so small a "
            "curvature the gradient may lead further down: whether a minimum is near is not known" + doubts
        )
        return Verdict("undecided", sentence, 0)
    if lowest > residual:
        sentence = f"a minimum within the tolerance: {smallest}, is positive, and {stationary}{doubts}"
        return Verdict("minimum", sentence, 0)
    sign = "is negative" if lowest < -residual else "has no certain sign"
    sentence = (
        f"no negative curvature beyond the tolerance: {smallest}, {sign}, and is not below -{tolerance:g} times the "
        f"largest, {largest:.3g}; {stationary}; whether it is a minimum is not known{doubts}"
    )
    return Verdict("undecided", sentence, 0)


@dataclass(frozen=True)
class _Slope:
    """The gradient at a point, and what it is compared to."""

    loss: float
    gradient: float
    weights: float
    tolerance: float

    def is_negligible(self, curvature: float) -> bool:
        """Whether a step along the gradient, of this largest curvature, counts as none."""
        return self._find_share(curvature) <= self.tolerance or self._find_move(curvature) <= NEGLIGIBLE

    def tell(self, curvature: float) -> str:
        """What the gradient allows, in words."""
        if curvature == 0 and self.gradient > 0:
            return f"the gradient norm is {self.gradient:.3g}, and no curvature limits the descent"
        share = self._find_share(curvature)
        start = f"the gradient norm {self.gradient:.3g} allows"
        if share <= self.tolerance:
            return f"{start} a descent of {share:.2g} of the loss, {self.loss:.4g}, a step (at most {self.tolerance:g})"
        move = self._find_move(curvature)
        if move <= NEGLIGIBLE:
            length = f"{move:.2g} of the weights' length (at most {NEGLIGIBLE:g})"
            return f"{start} a step of {length}, at a loss of {self.loss:.3g}"
        much = f"{share:.2g}" if math.isfinite(share) else "an unknown share"
        return (
            f"{start} a descent of {much} of the loss, {self.loss:.4g}, in a step of its length divided by "
            f"{curvature:.3g} (more than {self.tolerance:g})"
        )

    def _find_share(self, curvature: float) -> float:
        """The descent of a step, as a share of the loss."""
        if self.gradient == 0:
            return 0.0
        below = 2 * curvature * abs(self.loss)
        return self.gradient**2 / below if below > 0 else math.inf

    def _find_move(self, curvature: float) -> float:
        """The length of a step, as a share of that of the weights."""
        below = curvature * self.weights
        return self.gradient / below if below > 0 else math.inf


def _tell_doubts(asked: Sequence[Pair], found: Sequence[Pair], allowed: float) -> str:
    """What is said of eigenvalues that were not found or did not converge; nothing where all did."""
    if len(found) < len(asked):
        return (
            f"; only {len(found)} of {len(asked)} eigenvalues were found, and they have not converged: allow more "
            "products"
        )
    open_ones = [residual for _, residual in found if residual > allowed]
    if not open_ones:
        return ""
    return f"; {len(open_ones)} of {len(found)} eigenvalues have not converged (residuals up to {max(open_ones):.2g})"
