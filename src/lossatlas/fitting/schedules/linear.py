"""A learning rate that falls linearly over the second half."""

__all__ = ["linear"]


def linear(progress: float) -> float:
    """1 up to half of the budget, then linearly down to 0 at its end.

    >>> linear(0.25), linear(0.75)
    (1.0, 0.5)
    """
    return min(1.0, max(0.0, 2 - 2 * progress))
