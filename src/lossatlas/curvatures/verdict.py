"""What a gradient and eigenvalues say of a point, in words: a minimum, a saddle, or neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Verdict", "judge_point"]


@dataclass(frozen=True)
class Verdict:
    """What is known of a point.

    Attributes:
        kind: One of the words below.
        sentence: What it rests on, without a full stop.
        negative: The number of negative directions that were found: eigenvalues below the tolerance that converged.

    A point is a ``minimum`` within the tolerance if it is stationary and its smallest eigenvalue converged above
    ``-tolerance`` times the largest magnitude; a ``saddle`` if it is stationary and has a negative direction;
    ``undecided`` if it is stationary and the smallest eigenvalue did not converge or was not asked for. Otherwise it is
    ``not stationary``, or ``not finite``.
    """

    kind: Literal["minimum", "saddle", "undecided", "not stationary", "not finite"]
    sentence: str
    negative: int


def judge_point(
    loss: float,
    gradient_norm: float,
    top: Sequence[tuple[float, float]],
    bottom: Sequence[tuple[float, float]],
    tolerance: float,
    gradient_tolerance: float,
) -> Verdict:
    """Judge a point by its gradient and the eigenvalues at both ends of the Hessian's spectrum.

    It counts as stationary if a step of gradient descent of length 1/L, where L is the largest magnitude among the
    eigenvalues, lowers the loss by at most a small share of it according to the second-order model, ``|g|^2 / (2 L)``.
    This does not depend on the units of the loss or of the weights.

    Args:
        loss: the mean loss.
        gradient_norm: of its gradient.
        top: the largest eigenvalues of an operator, descending, with their residuals.
        bottom: the smallest eigenvalues of the Hessian, ascending, with their residuals; empty where they are unknown.
        tolerance: of eigenvalues and residuals, as a share of the largest magnitude.
        gradient_tolerance: the share of the loss.

    >>> judge_point(0.5, 1e-6, [(4.0, 1e-4)], [(-0.5, 1e-4), (0.1, 1e-4)], 1e-3, 1e-3).kind
    'saddle'
    """
    found = [*top, *bottom]
    if not all(map(math.isfinite, (loss, gradient_norm, *(value for pair in found for value in pair)))):
        return Verdict("not finite", "not finite: the loss or a product with the operator is not finite", 0)
    largest = max(abs(value) for value, _ in found)
    allowed = tolerance * largest
    negative = [value for value, residual in bottom if value < -allowed and residual <= allowed]
    said = ""
    if negative:
        several = "s" * (len(negative) > 1)
        said = f"at least {len(negative)} negative direction{several} found (down to {negative[0]:.3g})"
    share = _find_share(loss, gradient_norm, largest)
    descent = f"of {_as_words(share)} of the loss, {loss:.4g}"
    if not share <= gradient_tolerance:
        sentence = (
            f"not stationary: the gradient norm {gradient_norm:.3g} allows a descent {descent}, in a step of length "
            f"1/{largest:.3g} (more than {gradient_tolerance:g})"
        )
        ending = (f"; {said}" if said else "") + _tell_residuals(found, allowed)
        return Verdict("not stationary", sentence + ending, len(negative))
    stationary = f"the gradient norm {gradient_norm:.3g} allows a descent {descent} (at most {gradient_tolerance:g})"
    ending = _tell_residuals(found, allowed)
    if negative:
        return Verdict("saddle", f"a saddle: {said}, and {stationary}{ending}", len(negative))
    if not bottom:
        return Verdict("undecided", f"stationary: {stationary}; negative curvature was not looked for{ending}", 0)
    lowest, residual = bottom[0]
    if residual > allowed:
        return Verdict("undecided", f"stationary: {stationary}; whether it is a minimum is not known{ending}", 0)
    sentence = (
        f"a minimum within the tolerance: the smallest eigenvalue found, {lowest:.3g}, is not below -{tolerance:g} "
        f"times the largest, {largest:.3g}, and {stationary}{ending}"
    )
    return Verdict("minimum", sentence, 0)


def _find_share(loss: float, gradient_norm: float, largest: float) -> float:
    """The descent of a step of length 1/largest, as a share of the loss."""
    if gradient_norm == 0:
        return 0.0
    below = 2 * largest * abs(loss)
    return gradient_norm**2 / below if below > 0 else math.inf


def _as_words(share: float) -> str:
    return f"{share:.2g}" if math.isfinite(share) else "an unknown share"


def _tell_residuals(found: Sequence[tuple[float, float]], allowed: float) -> str:
    """What is said of eigenvalues that did not converge; nothing where all did."""
    open_ones = [residual for _, residual in found if residual > allowed]
    if not open_ones:
        return ""
    return f"; {len(open_ones)} of {len(found)} eigenvalues did not converge (residuals up to {max(open_ones):.2g})"
