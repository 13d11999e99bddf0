"""A learning rate that falls along half a cosine."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi

from lossatlas.schedules.schedule import Schedule

__all__ = ["Cosine"]


@dataclass(frozen=True)
class Cosine(Schedule):
    """The factor ``(1 + cos(pi progress)) / 2``, from 1 to 0 (Loshchilov & Hutter 2017, without restarts).

    >>> round(Cosine()(0.5), 12)
    0.5
    """

    def __call__(self, progress: float) -> float:
        return (1 + cos(pi * min(progress, 1.0))) / 2
