"""A learning rate that falls along half a cosine."""

from math import cos, pi

__all__ = ["cosine"]


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2, from 1 to 0 (Loshchilov & Hutter 2017, without restarts).

    >>> round(cosine(0.5), 12)
    0.5
    """
    return (1 + cos(pi * min(progress, 1.0))) / 2
